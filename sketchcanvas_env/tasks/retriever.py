"""Live mode: the interface of an object that computes outcomes on demand, for sketches that are in no table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sketchcanvas_env.outcomes.reward import DISTANCE_SLACK, MAX_DISTANCE, TRIPLET_MARGIN
from sketchcanvas_env.sketches.sketch import VectorSketch


@dataclass(frozen=True)
class Outcome:
    """Result of retrieval for one sketch at one canvas.

    Attributes:
        rank: rank of the true photo in the gallery, from 1; `reward.rank_of_true` counts ties against the student.
        distance: Euclidean distance between the L2-normalised embeddings of sketch and true photo, in [0, 2].
        triplet: triplet loss of the query, `reward.triplet_loss` with its default margin, in [0, 2.3].
        top: ids of the nearest photos, nearest first; needed by `render` only.

    Raises:
        ValueError: a value out of range.
    """

    rank: int
    distance: float
    triplet: float
    top: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.rank < 1:
            raise ValueError(f"rank counts from 1, got {self.rank}")
        for name, high in (("distance", MAX_DISTANCE), ("triplet", MAX_DISTANCE + TRIPLET_MARGIN)):
            value = getattr(self, name)
            if not math.isfinite(value) or not 0.0 <= value <= high + DISTANCE_SLACK:
                raise ValueError(f"{name} must lie in [0, {high:g}], got {value}")


@runtime_checkable
class Retriever(Protocol):
    """A frozen student with a gallery of photos, for `SketchCanvasEnv(retriever=...)`.

    Attributes:
        canvases: sides it can work at in pixels, ascending.
        flops: FLOPs (2 x MAC) of one sketch at each of them.

    With `cost="latency"` it also needs `milliseconds: Sequence[float]`, the median time of one sketch at each canvas on
    one thread.
    """

    canvases: Sequence[int]
    flops: Sequence[float]

    def retrieve(self, sketch: VectorSketch, canvas: int, photo_id: str) -> Outcome:
        """Rasterise a sketch, embed it, and rank the gallery by distance to it.

        Args:
            sketch: the drawing.
            canvas: side in pixels, one of `canvases`.
            photo_id: id of the true photo.
        """
        ...
