"""Saves and loads selectors: weights and card in one safetensors file (`students.store.cards`).

The card names the network, canvases, algorithm and its settings, versions, and the hashes of the outcome table, student
and data of the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import students.store.provenance
import students.tables.latency
from agents.algorithms.common.curves import CurvePoint
from agents.algorithms.common.training import Run
from agents.evaluation.setting import EnvConfig, env_from_json
from agents.selectors import networks as selectors
from agents.selectors.base import Selector, as_tensors
from agents.selectors.decision import SketchCascade, SketchSelector, checked_costs
from agents.selectors.observation import POINT_DIM, part_sizes
from agents.store import provenance
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from sketchcanvas_env.tasks.arguments import MAX_POINTS
from students.store import cards
from students.store.pretrained import check_state

KIND = "selector"
SUFFIX = ".safetensors"

WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"
"""Folder of the shipped selectors, NAME.safetensors."""

_FIELDS = (
    "algorithm",
    "canvases",
    "max_points",
    "selector",
    "config",
    "trained_on",
    "versions",
)


@dataclass(frozen=True)
class SavedSelector(SketchSelector):
    """A trained selector: called with a sketch, it returns the canvas.

    `env.preferences` is the range of tradeoffs that it was trained for; it accepts others too.

    Attributes:
        selector: the network, in eval mode.
        canvases: sides to choose from, pixels, rising.
        max_points: points that a sketch is simplified to before the network sees it.
        card: the file's card; "sha256" is that of the weights.
    """

    selector: Selector
    canvases: tuple[int, ...]
    max_points: int
    card: dict[str, Any]

    @property
    def reads(self) -> tuple[str, ...]:
        """As `SketchSelector.reads`."""
        return self.selector.reads

    def scores(self, obs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """As `SketchSelector.scores`."""
        with torch.inference_mode():
            answer: NDArray[np.float32] = self.selector(as_tensors(obs))[0].numpy()
        return answer

    def flops(self, n_points: int) -> float:
        """As `SketchSelector.flops`; each number of points is counted once."""
        if n_points not in self._counted:
            self._counted[n_points] = float(self.selector.flops(self.example(n_points))[0])
        return self._counted[n_points]

    @cached_property
    def _counted(self) -> dict[int, float]:
        return {}

    def example(self, n_points: int) -> dict[str, torch.Tensor]:
        """An observation of a drawing with `n_points` points, zero but for the pen states, in the order of `reads`."""
        sizes = part_sizes(self.max_points, self.canvases if self.looks_again else None)
        parts = {name: torch.zeros((1, sizes[name])) for name in self.reads}
        if "points" in parts:
            points = parts["points"].view(self.max_points, POINT_DIM)
            points[:n_points, 2] = 1.0  # pen down throughout
            points[n_points:, 4] = 1.0  # padding
        return parts

    @property
    def env(self) -> EnvConfig:
        """The environment that it was trained in."""
        return env_from_json(self.card["config"]["env"])


@dataclass(frozen=True)
class SavedCascade(SketchCascade, SavedSelector):
    """A trained selector that may look at a sketch several times.

    Attributes:
        costs: cost of a look at each canvas, in FLOPs or milliseconds, as in training.
    """

    costs: tuple[float, ...]

    @property
    def ranking(self) -> str:
        """As `SketchCascade.ranking`."""
        return str(self.card["config"]["env"]["ranking"])


def save(path: str | Path, run: Run, table: OutcomeTable, curve: Sequence[CurvePoint] = ()) -> Path:
    """Write a run's selector, atomically.

    Args:
        path: the file, with or without the ending .safetensors.
        run: the finished run.
        table: the outcomes that it was trained on, at the canvases on offer; the card has their hashes.
        curve: the learning curve, to be kept on the card.

    Returns:
        The path of the file.
    """
    card = {
        "algorithm": run.config.algorithm,
        "canvases": list(run.config.env.canvases),
        "max_points": run.config.env.max_points,
        **({"costs": table.costs(run.config.env.cost).tolist()} if run.config.cascade else {}),
        "selector": run.selector.settings(),
        "config": run.config.to_json(),
        "trained_on": {**provenance.of_table(table), **run.config.env.extra_hashes()},
        "run": {"steps": run.steps, "seconds": run.seconds, "curve": [point.to_json() for point in curve]},
        "commit": students.store.provenance.commit(),
        "machine": students.tables.latency.machine(),
        "versions": provenance.versions(),
    }
    weights = weights_path(path)
    cards.write(weights, run.selector.state_dict(), card, KIND)
    return weights


def shipped() -> tuple[str, ...]:
    """Names of the selectors that come with the package."""
    return tuple(sorted(path.stem for path in WEIGHTS_FOLDER.glob(f"[!.]*{SUFFIX}")))


def load(path: str | Path) -> SavedSelector:
    """Read and check a selector.

    Args:
        path: the file, with or without the ending .safetensors, or the name of a shipped selector, such as "emoji".

    Returns:
        A callable, sketch -> canvas, or (sketch, tradeoff) -> canvas; for a cascade a `SavedCascade`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file or card, weights of another network, missing or extra tensors, wrong shapes, NaN.
    """
    file = weights_path(WEIGHTS_FOLDER / path if isinstance(path, str) and path in shipped() else path)
    if not file.exists():
        raise FileNotFoundError(f"no saved selector: {file} is missing; shipped are {', '.join(shipped())}")
    card, tensors = cards.read(file, KIND, lambda told: _bytes_of(network_of(told, file)))
    return from_card(card, tensors, file)


def from_card(card: dict[str, Any], tensors: Mapping[str, torch.Tensor], where: str | Path) -> SavedSelector:
    """The selector of a card and its weights.

    Args:
        card: as `save` writes it.
        tensors: the weights, by name.
        where: their name in error messages, usually the file.

    Raises:
        ValueError: as `load`.
    """
    selector = network_of(card, where)
    _fill(selector, tensors, where)
    canvases, points = check_canvases(card["canvases"]), int(card["max_points"])
    if "ranking" in card["config"]["env"]:
        try:
            costs = checked_costs(card.get("costs"), len(canvases))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        return SavedCascade(selector.eval(), canvases, points, card, costs)
    return SavedSelector(selector.eval(), canvases, points, card)


def network_of(card: Mapping[str, Any], where: str | Path) -> Selector:
    """The network that a card describes, untrained.

    Raises:
        ValueError: a card that lacks a field, contradicts itself or describes no network; the message begins with
            `where`.
    """
    missing = [name for name in _FIELDS if name not in card]
    if missing:
        raise ValueError(f"{where}: the card lacks {', '.join(missing)}")
    points = card["max_points"]
    if not isinstance(points, int) or isinstance(points, bool) or not 2 <= points <= MAX_POINTS:
        raise ValueError(f"{where}: max_points must be an integer from 2 to {MAX_POINTS}, got {points!r}")
    try:
        canvases = check_canvases(card["canvases"])
        selector = selectors.create(**card["selector"])
        env = env_from_json(card["config"]["env"])
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"{where} is damaged: {error}") from None
    if (canvases, points) != (env.canvases, env.max_points):
        raise ValueError(f"{where}: canvases or max_points differ from those in its config")
    if selector.conditioned != (env.preferences is not None):
        raise ValueError(f"{where}: conditioned must be true exactly where the environment has preferences")
    if selector.n_actions != len(canvases) + env.looks_again:
        raise ValueError(f"{where}: {selector.n_actions} actions for {len(canvases)} canvases")
    try:
        selectors.check_reads(selector, env.looks_again)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if selector.n_stats not in (None, len(FEATURE_NAMES)):
        raise ValueError(
            f"{where}: the network reads {selector.n_stats} statistics, this version takes {len(FEATURE_NAMES)}"
        )
    return selector


def _bytes_of(selector: Selector) -> int:
    """Limit on the bytes of the tensors; generous, so that a wrong shape is reported by name."""
    return 4096 + 2 * sum(int(tensor.nbytes) for tensor in selector.state_dict().values())


def _fill(selector: Selector, tensors: Mapping[str, torch.Tensor], where: str | Path) -> None:
    wanted = selector.state_dict()
    for name, tensor in tensors.items():  # first: PyTorch cannot tell whether numbers of 8 bits are finite
        if name in wanted and tensor.dtype != wanted[name].dtype:
            raise ValueError(f"{where}: {name} is of type {tensor.dtype}, the network's is {wanted[name].dtype}")
    check_state(tensors, {name: tensor.shape for name, tensor in wanted.items()}, str(where))
    selector.load_state_dict(dict(tensors))


def weights_path(path: str | Path) -> Path:
    """The path with the ending .safetensors."""
    plain = Path(path)
    return plain if plain.suffix == SUFFIX else plain.with_name(f"{plain.name}{SUFFIX}")
