"""Runs exported selectors with onnxruntime and NumPy, without torch.

>>> selector = OnnxSelector.load("runs/onnx")  # doctest: +SKIP
>>> selector(sketch)                           # doctest: +SKIP
64
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.selectors.cascade_observation import Cascade, Seen, checked_costs, observe_looks
from agents.selectors.choice import choose
from agents.selectors.observation import check_told, counted_points, observe
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.outcomes.looks import look_feature_names
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import SIZE
from sketchcanvas_env.tasks.arguments import MAX_POINTS
from sketchcanvas_env.tasks.cascade_making import MAX_CANVASES, RANKINGS
from students.onnx.runtime import MAX_REASON, SELECTOR, open_graph, read_card, run_graph

GRAPHS_FOLDER = Path(__file__).parents[1] / "weights" / "onnx"
"""Exports of the shipped selectors, a folder each; `python -m agents.onnx.export` writes them."""

_GIGA = 1e9


def selector_graph(name: str) -> Path:
    """The folder with the export of a shipped selector; there may be none."""
    return GRAPHS_FOLDER / name if name and Path(name).name == name and name != ".." else GRAPHS_FOLDER / "none"


class OnnxSelector:
    """An exported selector: call it with a sketch and it names the canvas, as `agents.store.saved.SavedSelector` does.

    What `load` gives of a selector that looks several times is an `OnnxCascade`.

    Attributes:
        card: everything that the JSON file says.
        canvases: sides that it chooses from, pixels.
        max_points: points that a sketch is bounded to before the network sees it.
        reads: the parts of an observation that it looks at.
    """

    def __init__(self, card: Mapping[str, Any], session: Any, path: Path) -> None:
        """`load` is the way to make one."""
        self.card = card
        self.canvases = check_canvases(card["canvases"])
        self.max_points = int(card["max_points"])
        if not 2 <= self.max_points <= MAX_POINTS:
            raise ValueError(f"max_points must lie in [2, {MAX_POINTS}], not {self.max_points}")
        self.reads = tuple(card["reads"])
        self._flops = np.array(card["flops"], dtype=np.float64)
        if self._flops.shape != (self.max_points,) or not (np.isfinite(self._flops) & (self._flops > 0)).all():
            raise ValueError("it needs finite FLOPs above 0 for each number of points")
        self._session = session
        self._path = path
        sizes, self._actions = self._shapes()
        wanted = {name: [1, sizes[name]] for name in self.reads}
        found = {one.name: one.shape for one in session.get_inputs()}
        outputs = [one.shape for one in session.get_outputs()]
        if (found, outputs) != (wanted, [[1, self._actions]]):
            raise ValueError(f"its graph turns {found} into {outputs}, not {wanted} into {self._actions} logits")

    def _shapes(self) -> tuple[dict[str, int], int]:
        """Length of each part that an observation may have, and the number of actions."""
        return {"points": 5 * self.max_points, "stats": len(FEATURE_NAMES), "thumbnail": SIZE, "tradeoff": 1}, len(
            self.canvases
        )

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> OnnxSelector:
        """Read an exported selector and check it.

        Args:
            folder: written by `sketchcanvas export --onnx`.

        Returns:
            The selector; of a cascade an `OnnxCascade`.

        Raises:
            ImportError: onnxruntime is not installed.
            FileNotFoundError: no selector was exported there.
            ValueError: a damaged file, or files that do not belong together.
        """
        path = Path(folder)
        card = read_card(path, SELECTOR)
        # One thread: a decision is over before another one is awake.
        session = open_graph(path, card, f"{SELECTOR}.onnx", threads=1)
        try:
            kind = OnnxCascade if "cascade" in card else OnnxSelector
            return kind(card, session, path / f"{SELECTOR}.onnx")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path / SELECTOR}.json is damaged: {repr(error)[:MAX_REASON]}") from None

    def __call__(self, sketch: VectorSketch, tradeoff: float | None = None) -> int:
        """The side, in pixels, on which to draw a sketch.

        Args:
            sketch: the drawing.
            tradeoff: weight of cost against accuracy in [0, 1], for a selector trained with preferences only.

        Raises:
            ValueError: a tradeoff that is missing, not wanted or out of range.
        """
        return self.canvases[int(choose(self.logits(sketch, tradeoff)))]

    def logits(self, sketch: VectorSketch, tradeoff: float | None = None) -> NDArray[np.float32]:
        """The network's answer, (K,) float32; arguments and errors are those of a call."""
        return self._answer(observe(self.reads, sketch, self.max_points, tradeoff))

    def _answer(self, obs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = run_graph(self._session, obs, self._path, (1, self._actions))[0]
        return found

    def gflops(self, sketch: VectorSketch, tradeoff: float | None = None) -> float:
        """What deciding about a sketch costs, in GFLOPs (2 x MAC); arguments and errors are those of a call.

        It is the exported network's own count, which depends on the number of points and on nothing else.
        """
        check_told("tradeoff" in self.reads, tradeoff)
        return float(self._flops[counted_points(self.reads, sketch, self.max_points) - 1]) / _GIGA


class OnnxCascade(Cascade, OnnxSelector):
    """An exported selector that may look at a sketch several times, as `agents.store.saved.SavedCascade`.

    Ask `next` with the looks so far until it says None: the answer is by `ranking`. A call names the first canvas.

    Attributes:
        ranking: what the answer is, the ranking of the "last" look, or of all looks "fused".
        costs: what a look at each canvas costs, in FLOPs or milliseconds, as where it was trained.
    """

    def __init__(self, card: Mapping[str, Any], session: Any, path: Path) -> None:
        """`load` is the way to make one."""
        super().__init__(card, session, path)
        self.ranking = str(card["cascade"]["ranking"])
        if self.ranking not in RANKINGS:
            raise ValueError(f"unknown ranking {self.ranking!r}: there are {', '.join(RANKINGS)}")
        self.costs = checked_costs(card["cascade"]["costs"], len(self.canvases))

    def _shapes(self) -> tuple[dict[str, int], int]:
        """As the base's; no tradeoff is among the parts."""
        k = len(self.canvases)
        if k > MAX_CANVASES:
            raise ValueError(f"a cascade has at most {MAX_CANVASES} canvases, not {k}")
        parts, _ = super()._shapes()
        del parts["tradeoff"]
        return {**parts, "looks": len(look_feature_names(self.canvases)), "last": k}, k + 1

    def logits(
        self, sketch: VectorSketch, tradeoff: float | None = None, looks: Sequence[Seen] = ()
    ) -> NDArray[np.float32]:
        """As `Cascade.logits`."""
        told = observe(self.reads, sketch, self.max_points, tradeoff)
        seen = observe_looks(self.canvases, self.costs, looks)
        return self._answer({**told, **{name: part for name, part in seen.items() if name in self.reads}})
