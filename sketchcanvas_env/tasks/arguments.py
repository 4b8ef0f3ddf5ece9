"""The arguments of `gym.make`: what they mean, what they may be, and the one place where they are checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from sketchcanvas_env.data import RETRIEVAL, TASKS, SketchDataset
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.raster import check_side
from sketchcanvas_env.tasks.episodes import Episodes

MAX_POINTS = 5_000
"""The most points an observation may have room for."""

DEFAULT_CANVASES = (32, 64, 128, 256)

DEFAULT_DATASET = "emoji_known"
"""New drawings of known photos, where a choice of canvases can be learnt from strokes; "emoji" has new photos."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The arguments that all environments share. They are checked and normalised before any file is read.

    Attributes:
        dataset: name of a data set, or a data set.
        split: one of its splits.
        task: "retrieval" takes the data set as it is, "recognition" ranks classes (`data.recognition`).
        student: whose outcomes; None for the data set's default student, or for whoever's `table` it is.
        canvases: sides on offer in pixels, rising.
        tradeoff: weight of cost against accuracy, in [0, 1].
        rank_weight: weight of 1 / rank, not negative.
        triplet_weight: weight of the triplet loss, not negative.
        cost: what the reward charges, "flops" or "latency".
        max_points: room for points in an observation, 2 to `MAX_POINTS`.
        thumbnail: whether observations have a thumbnail of the strokes.
        table: path of an outcome table, or a table, instead of the shipped one.

    Raises:
        ValueError: an argument that is out of range.
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
        """Replace values by their normal form; only `__post_init__` may do so."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def make(self) -> Episodes[Any]:
        """The task; equal arguments give the same object."""
        raise NotImplementedError

    @classmethod
    def shared_by(cls, other: Arguments) -> Self:
        """Arguments of this kind with what another has in common with it."""
        return cls(**{each.name: getattr(other, each.name) for each in fields(Arguments)})


def path_or(kind: type[Any], given: Any, name: str, what: str) -> Any:
    """A path as a string, an object of `kind` or None as it is; ValueError for anything else."""
    if given is None or isinstance(given, kind):
        return given
    if isinstance(given, bytes) or not isinstance(given, str | os.PathLike):
        raise ValueError(f"{name} must be the path of {what}, got {type(given).__name__}")
    return os.fspath(given)
