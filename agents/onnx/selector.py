"""Runs exported selectors with onnxruntime and NumPy, without torch.

>>> selector = OnnxSelector.load("runs/onnx")  # doctest: +SKIP
>>> selector(sketch)                           # doctest: +SKIP
64
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.selectors.decision import SketchCascade, SketchSelector, checked_costs
from agents.selectors.observation import part_sizes
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.tasks.arguments import MAX_POINTS
from sketchcanvas_env.tasks.cascade import MAX_CANVASES, RANKINGS
from students.onnx.runtime import MAX_REASON, SELECTOR, open_graph, read_card, run_graph

GRAPHS_FOLDER = Path(__file__).parents[1] / "weights" / "onnx"
"""Exports of the shipped selectors, one folder each, written by `python -m agents.onnx.export`."""


def selector_graph(name: str) -> Path:
    """The folder of the export of a shipped selector; it does not exist for other names."""
    return GRAPHS_FOLDER / name if name and Path(name).name == name and name != ".." else GRAPHS_FOLDER / "none"


class OnnxSelector(SketchSelector):
    """An exported selector: called with a sketch, it returns the canvas.

    Attributes:
        card: the card of the export.
        canvases: sides to choose from, pixels, rising.
        max_points: points that a sketch is simplified to before the network sees it.
    """

    def __init__(self, card: Mapping[str, Any], session: Any, path: Path) -> None:
        """Check the card against the graph; use `load` to make one."""
        self.card = card
        self.canvases = check_canvases(card["canvases"])
        self.max_points = int(card["max_points"])
        if not 2 <= self.max_points <= MAX_POINTS:
            raise ValueError(f"max_points must lie in [2, {MAX_POINTS}], not {self.max_points}")
        self._flops = np.array(card["flops"], dtype=np.float64)
        if self._flops.shape != (self.max_points,) or not (np.isfinite(self._flops) & (self._flops > 0)).all():
            raise ValueError("it needs finite FLOPs above 0 for each number of points")
        self._session = session
        self._path = path
        sizes = part_sizes(self.max_points, self.canvases if self.looks_again else None)
        self._actions = len(self.canvases) + self.looks_again
        wanted = {name: [1, sizes[name]] for name in self.reads}
        found = {one.name: one.shape for one in session.get_inputs()}
        outputs = [one.shape for one in session.get_outputs()]
        if (found, outputs) != (wanted, [[1, self._actions]]):
            raise ValueError(f"its graph turns {found} into {outputs}, not {wanted} into {self._actions} logits")

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> OnnxSelector:
        """Read and check an exported selector.

        Args:
            folder: written by `sketchcanvas export --onnx`.

        Returns:
            The selector; for a cascade an `OnnxCascade`.

        Raises:
            ImportError: onnxruntime is not installed.
            FileNotFoundError: no selector was exported there.
            ValueError: a damaged file, or files that do not belong together.
        """
        path = Path(folder)
        card = read_card(path, SELECTOR)
        # One thread: more would not have started before the decision is made.
        session = open_graph(path, card, f"{SELECTOR}.onnx", threads=1)
        try:
            kind = OnnxCascade if "cascade" in card else OnnxSelector
            return kind(card, session, path / f"{SELECTOR}.onnx")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path / SELECTOR}.json is damaged: {repr(error)[:MAX_REASON]}") from None

    @property
    def reads(self) -> tuple[str, ...]:
        """As `SketchSelector.reads`."""
        return tuple(self.card["reads"])

    def scores(self, obs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """As `SketchSelector.scores`."""
        found: NDArray[np.float32] = run_graph(self._session, obs, self._path, (1, self._actions))[0]
        return found

    def flops(self, n_points: int) -> float:
        """As `SketchSelector.flops`: the exported network's own count."""
        return float(self._flops[n_points - 1])


class OnnxCascade(SketchCascade, OnnxSelector):
    """An exported selector that may look at a sketch several times."""

    def __init__(self, card: Mapping[str, Any], session: Any, path: Path) -> None:
        """As `OnnxSelector.__init__`."""
        canvases = check_canvases(card["canvases"])
        if len(canvases) > MAX_CANVASES:
            raise ValueError(f"a cascade has at most {MAX_CANVASES} canvases, not {len(canvases)}")
        super().__init__(card, session, path)
        if self.ranking not in RANKINGS:
            raise ValueError(f"unknown ranking {self.ranking!r}: there are {', '.join(RANKINGS)}")
        self.costs = checked_costs(card["cascade"]["costs"], len(canvases))

    @property
    def ranking(self) -> str:
        """As `SketchCascade.ranking`."""
        return str(self.card["cascade"]["ranking"])
