"""Selectors on disk: weights and card in one safetensors file (`students.store.cards`); `agents.load` reads them back.

The card names network, canvases, algorithm and its settings, versions, and the hashes of the outcome table, the student
and the data that the selector was trained on.
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
from agents.evaluation.evaluate import GIGA
from agents.evaluation.setting import CascadeConfig, EnvConfig, env_from_json
from agents.selectors import networks as selectors
from agents.selectors.base import Selector, as_tensors
from agents.selectors.cascade_observation import Cascade, Seen, checked_costs, observe_looks
from agents.selectors.choice import choose
from agents.selectors.observation import counted_points
from agents.selectors.points import POINT_DIM
from agents.store import provenance
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import SIZE
from sketchcanvas_env.tasks.arguments import MAX_POINTS
from students.store import cards

KIND = "selector"
SUFFIX = ".safetensors"

WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"
"""Where the shipped selectors lie, as <data set>.safetensors."""

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
class SavedSelector:
    """A trained selector: call it with a sketch and it names the canvas.

    One that was trained with preferences is called with a tradeoff beside the sketch. `env.preferences` says for
    which it was trained; it answers for others, too, but has learnt nothing of them.

    Attributes:
        selector: the network, in eval mode.
        canvases: sides it chooses from, pixels.
        max_points: points that a sketch is bounded to before the network sees it.
        card: everything that the file says of it; "sha256" is that of the weights.
    """

    selector: Selector
    canvases: tuple[int, ...]
    max_points: int
    card: dict[str, Any]

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
        return self._answer(self._observed(sketch, tradeoff))

    def _answer(self, obs: dict[str, torch.Tensor]) -> NDArray[np.float32]:
        with torch.inference_mode():
            answer: NDArray[np.float32] = self.selector(obs)[0].numpy()
        return answer

    def gflops(self, sketch: VectorSketch, tradeoff: float | None = None) -> float:
        """What deciding about a sketch costs, in GFLOPs (2 x MAC), at any tradeoff and after any looks.

        Arguments and errors are those of a call.
        """
        self.selector.check_tradeoff(tradeoff)
        return self.flops(counted_points(self.selector.reads, sketch, self.max_points)) / GIGA

    def flops(self, n_points: int) -> float:
        """FLOPs (2 x MAC) of deciding about a drawing of so many points: on nothing else does a network's work depend.

        Args:
            n_points: 1 to `max_points`.
        """
        if n_points not in self._counted:
            self._counted[n_points] = float(self.selector.flops(self.example(n_points))[0])
        return self._counted[n_points]

    @cached_property
    def _counted(self) -> dict[int, float]:
        """FLOPs by number of points, as far as they were asked for."""
        return {}

    def example(self, n_points: int) -> dict[str, torch.Tensor]:
        """An observation of a drawing of so many points, in the order of what the network reads."""
        parts = self._blank(n_points)
        return {name: parts[name] for name in self.selector.reads}

    def _blank(self, n_points: int) -> dict[str, torch.Tensor]:
        """All that there may be of an observation, nothing in it but the number of points."""
        points = torch.zeros((1, self.max_points, POINT_DIM))
        points[:, :n_points, 2] = 1.0  # pen down throughout
        points[:, n_points:, 4] = 1.0
        return {
            "points": points.reshape(1, -1),
            "stats": torch.zeros((1, len(FEATURE_NAMES))),
            "thumbnail": torch.zeros((1, SIZE)),
            "tradeoff": torch.zeros((1, 1)),
        }

    def _observed(self, sketch: VectorSketch, tradeoff: float | None) -> dict[str, torch.Tensor]:
        return self.selector.observe(sketch, self.max_points, tradeoff)

    @property
    def env(self) -> EnvConfig:
        """The environment that it was trained in."""
        return env_from_json(self.card["config"]["env"])


@dataclass(frozen=True)
class SavedCascade(Cascade, SavedSelector):
    """A trained selector that may look at a sketch several times.

    Ask `next` with the looks so far until it says None: the last look is the answer then, or with
    `env.ranking == "fused"` all of them together. A call names the first canvas.

    Attributes:
        costs: what a look at each canvas costs, in FLOPs or milliseconds, as where it was trained.
    """

    costs: tuple[float, ...]

    @property
    def ranking(self) -> str:
        """What its answer is: the ranking of the "last" look, or of all looks "fused"."""
        assert isinstance(self.env, CascadeConfig)  # `load` looks
        return self.env.ranking

    def logits(
        self, sketch: VectorSketch, tradeoff: float | None = None, looks: Sequence[Seen] = ()
    ) -> NDArray[np.float32]:
        """As `Cascade.logits`."""
        self.selector.check_tradeoff(tradeoff)
        return self._answer(self._shown(sketch, looks))

    def _blank(self, n_points: int) -> dict[str, torch.Tensor]:
        return {**super()._blank(n_points), **as_tensors(observe_looks(self.canvases, self.costs, ()))}

    def _shown(self, sketch: VectorSketch, looks: Sequence[Seen]) -> dict[str, torch.Tensor]:
        """The observation that the environment would give."""
        seen = as_tensors(observe_looks(self.canvases, self.costs, looks))
        return {**self._observed(sketch, None), **seen}


def save(path: str | Path, run: Run, table: OutcomeTable, curve: Sequence[CurvePoint] = ()) -> Path:
    """Write a run's selector, atomically.

    Args:
        path: where to, with or without the ending .safetensors.
        run: the finished run.
        table: the outcomes that it was trained on, at the canvases on offer, for their hashes.
        curve: what it earned in the course of training.

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
    """Names of the selectors that come with the package, one for each data set that has one."""
    return tuple(sorted(path.stem for path in WEIGHTS_FOLDER.glob(f"[!.]*{SUFFIX}")))


def load(path: str | Path) -> SavedSelector:
    """Read a selector; nothing in the file is trusted before it is checked.

    Args:
        path: of the file, with or without the ending .safetensors; or the name of a shipped selector, "emoji".

    Returns:
        A callable, sketch -> canvas, or (sketch, tradeoff) -> canvas; of a cascade a `SavedCascade`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file or card, weights of another network, missing or extra tensors, wrong shapes, NaN.
    """
    file = weights_path(WEIGHTS_FOLDER / path if isinstance(path, str) and path in shipped() else path)
    if not file.exists():
        raise FileNotFoundError(f"no saved selector: {file} is missing")
    card, tensors = cards.read(file, KIND, lambda told: _bytes_of(network_of(told, file)))
    return from_card(card, tensors, file)


def from_card(card: dict[str, Any], tensors: Mapping[str, torch.Tensor], where: str | Path) -> SavedSelector:
    """The selector of a card and its weights.

    Args:
        card: as `save` writes it.
        tensors: the weights, by name.
        where: what messages call them, usually the file.

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
        raise ValueError(f"{where}: canvases or max_points are not those of the run in its config")
    if selector.conditioned != (env.preferences is not None):
        raise ValueError(f"{where}: a network is told the tradeoff just when its environment has preferences")
    cascade = isinstance(env, CascadeConfig)
    if selector.n_actions != len(canvases) + cascade:
        raise ValueError(f"{where}: {selector.n_actions} actions for {len(canvases)} canvases")
    try:
        selectors.check_reads(selector, cascade)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if selector.n_stats not in (None, len(FEATURE_NAMES)):
        raise ValueError(
            f"{where}: the network reads {selector.n_stats} statistics, this version takes {len(FEATURE_NAMES)}"
        )
    return selector


def _bytes_of(selector: Selector) -> int:
    """Room for a network's weights, with some to spare, so that a wrong shape is reported by name."""
    return 4096 + 2 * sum(int(tensor.nbytes) for tensor in selector.state_dict().values())


def _fill(selector: Selector, tensors: Mapping[str, torch.Tensor], where: str | Path) -> None:
    wanted = selector.state_dict()
    missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or extra:
        raise ValueError(f"{where}: missing tensors {missing[:3] or 'none'}, extra tensors {extra[:3] or 'none'}")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ValueError(
                f"{where}: {name} is {tuple(tensor.shape)} {tensor.dtype}, the card asks for "
                f"{tuple(wanted[name].shape)} {wanted[name].dtype}"
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{where}: {name} holds NaN or infinity")
    selector.load_state_dict(dict(tensors))


def weights_path(path: str | Path) -> Path:
    """The file meant by a path with or without the ending .safetensors."""
    plain = Path(path)
    return plain if plain.suffix == SUFFIX else plain.with_name(f"{plain.name}{SUFFIX}")
