"""The arguments of `gym.make` that all environments share, and their checks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.data import RETRIEVAL, TASKS, SketchDataset
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.raster import check_side
from sketchcanvas_env.tasks.episodes import Episodes

MAX_POINTS = 5_000
"""Upper limit of the argument `max_points`."""

DEFAULT_CANVASES = (32, 64, 128, 256)

DEFAULT_DATASET = "emoji_known"
"""New drawings of known photos, where a choice of canvases can be learnt from strokes; "emoji" has new photos."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments that all environments share, checked and normalised before any file is read.

    Attributes:
        dataset: name of a data set, or a data set.
        split: one of its splits.
        task: "retrieval", or "recognition" to rank classes (`data.recognition`).
        student: name of the student whose outcomes to use; None for the data set's default, or for that of `table`.
        canvases: canvas sides on offer in pixels, ascending.
        tradeoff: weight of cost against accuracy in the reward, in [0, 1].
        rank_weight: weight of 1 / rank, not negative.
        triplet_weight: weight of the triplet loss, not negative.
        cost: cost in the reward, "flops" or "latency".
        max_points: number of points in an observation, 2 to `MAX_POINTS`.
        thumbnail: whether observations have a thumbnail of the strokes.
        table: path of an outcome table, or a table; None for the shipped one.

    Raises:
        ValueError: an argument out of range.
    """

    dataset: str | SketchDataset = "emoji"
    split: str = "train"
    task: str = RETRIEVAL
    student: str | None = None
    canvases: Sequence[int] = DEFAULT_CANVASES
    tradeoff: float = 0.2
    rank_weight: float = 1.0
    triplet_weight: float = 0.1
    cost: str = "flops"
    max_points: int = 200
    thumbnail: bool = False
    table: str | os.PathLike[str] | OutcomeTable | None = None

    def __post_init__(self) -> None:
        """Check and normalise."""
        rules.check_tradeoff(self.tradeoff)
        rules.check_weights(self.rank_weight, self.triplet_weight)
        rules.check_cost(self.cost)
        sides = check_canvases(self.canvases)
        for side in sides:
            check_side(side)
        whole = isinstance(self.max_points, int | np.integer) and not isinstance(self.max_points, bool)
        if not whole or not 2 <= self.max_points <= MAX_POINTS:
            raise ValueError(f"max_points must be an integer from 2 to {MAX_POINTS}, got {self.max_points!r}")
        if not isinstance(self.thumbnail, bool):
            raise ValueError(f"thumbnail must be True or False, got {self.thumbnail!r}")
        if not isinstance(self.split, str):
            raise ValueError(f"split must be a name, got {self.split!r}")
        if not isinstance(self.task, str) or self.task not in TASKS:
            raise ValueError(f"unknown task {self.task!r}: there are {', '.join(TASKS)}")
        if not isinstance(self.dataset, str | SketchDataset):
            raise ValueError(f"dataset must be a name or a SketchDataset, got {type(self.dataset).__name__}")
        self._set(
            canvases=sides,
            tradeoff=float(self.tradeoff),
            rank_weight=float(self.rank_weight),
            triplet_weight=float(self.triplet_weight),
            max_points=int(self.max_points),
            table=path_or(OutcomeTable, self.table, "table", "an outcome table"),
        )

    def _set(self, **values: Any) -> None:
        """Set fields to their normalised values, from `__post_init__` only."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def acc(self, ranks: npt.ArrayLike, triplet: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """R_acc by `rank_weight` and `triplet_weight`; see `reward.accuracy_reward`."""
        return rules.accuracy_reward(ranks, triplet, self.rank_weight, self.triplet_weight)

    def make(self) -> Episodes[Any]:
        """The task. Equal arguments give the same object."""
        raise NotImplementedError

    @classmethod
    def shared_by(cls, other: Arguments) -> Self:
        """Arguments of this class with the shared fields of others."""
        return cls(**{each.name: getattr(other, each.name) for each in fields(Arguments)})


def path_or(kind: type[Any], given: Any, name: str, what: str) -> Any:
    """`given` if it is None or an instance of `kind`, a path as a string; ValueError for anything else."""
    if given is None or isinstance(given, kind):
        return given
    if isinstance(given, bytes) or not isinstance(given, str | os.PathLike):
        raise ValueError(f"{name} must be the path of {what}, got {type(given).__name__}")
    return os.fspath(given)
