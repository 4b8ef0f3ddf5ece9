"""Live mode: outcomes computed when they are asked for, for sketches that no table knows.

Anything with the shape of `Retriever` will do; `SketchCanvasEnv(retriever=...)` then asks it for the canvas that was
chosen, and for no other. The oracle is not known in this mode, so `info` has neither `oracle_action` nor `regret`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.reward import DISTANCE_SLACK, MAX_DISTANCE, TRIPLET_MARGIN
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.tasks.canvas import Choice, Task
from sketchcanvas_env.tasks.episodes import Advanced, Arrays, IntArray


@dataclass(frozen=True)
class Outcome:
    """What retrieval gave for one sketch at one canvas.

    Attributes:
        rank: place of the true photo in the gallery, from 1; `reward.rank_of_true` counts ties against the
            student.
        distance: Euclidean distance between the L2-normalised embeddings of sketch and true photo, in [0, 2].
        triplet: triplet loss of the query, `reward.triplet_loss` with its default margin, in [0, 2.3].
        top: ids of the nearest photos, nearest first; only `render` needs them.
    """

    rank: int
    distance: float
    triplet: float
    top: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a rank below 1, a distance or a loss that is not finite or out of range.
        """
        if self.rank < 1:
            raise ValueError(f"rank counts from 1, got {self.rank}")
        for name, high in (("distance", MAX_DISTANCE), ("triplet", MAX_DISTANCE + TRIPLET_MARGIN)):
            value = getattr(self, name)
            if not math.isfinite(value) or not 0.0 <= value <= high + DISTANCE_SLACK:
                raise ValueError(f"{name} must lie in [0, {high:g}], got {value}")


@runtime_checkable
class Retriever(Protocol):
    """A frozen student with a gallery of photos: what live mode asks for.

    Attributes:
        canvases: sides that it can work at, in pixels, rising.
        flops: cost of one sketch at each of them, FLOPs (2 x MAC).

    A retriever may have a third, `milliseconds: Sequence[float]`: median time of one sketch at each canvas on one
    thread. It is asked for with `cost="latency"` only.
    """

    canvases: Sequence[int]
    flops: Sequence[float]

    def retrieve(self, sketch: VectorSketch, canvas: int, photo_id: str) -> Outcome:
        """Rasterise a sketch at one canvas, embed it, and rank the gallery by distance to it.

        Args:
            sketch: the drawing.
            canvas: side in pixels, one of `canvases`.
            photo_id: id of the true photo.
        """
        ...


@dataclass(frozen=True, eq=False)
class LiveTask(Task):
    """The task of `SketchCanvas-v0` without a table: a retriever computes the outcome of the canvas chosen.

    Attributes:
        retriever: computes outcomes.
    """

    retriever: Retriever | None = None

    def advance(self, state: Choice, actions: IntArray) -> Advanced[Choice]:
        """As `Task.advance`; the retriever is asked once for each episode."""
        assert self.retriever is not None  # a dataclass's field needs a default here, that is all
        outcome = np.empty(len(actions), dtype=object)
        for i, (row, action) in enumerate(zip(state.rows.tolist(), actions.tolist(), strict=True)):
            outcome[i] = self.retriever.retrieve(self.sketch(row), self.canvases[action], str(self.photo_ids[row]))
        done = state._replace(action=actions, outcome=outcome)
        acc, comp = self.final(done)["reward_vector"].T
        tradeoff = self.tradeoff if self.preferences is None else state.tradeoff
        return Advanced(rules.reward(acc, comp, tradeoff), done, np.ones(len(actions), dtype=np.bool_))

    def final(self, state: Choice) -> Arrays:
        """As `Task.final`, without the oracle and the regret."""
        told = self._told(state)
        told["rank"] = np.array([int(each.rank) for each in state.outcome], dtype=np.int64)
        told["triplet"] = np.array([each.triplet for each in state.outcome], dtype=np.float64)
        acc = rules.accuracy_reward(told["rank"], told["triplet"], self.rank_weight, self.triplet_weight)
        told["reward_vector"] = np.stack([acc, self.comp.take(state.action)], axis=1)
        return told

    def top(self, state: Choice, place: int) -> tuple[str, ...]:
        """The nearest photos as the retriever named them."""
        return tuple(state.outcome[place].top)
