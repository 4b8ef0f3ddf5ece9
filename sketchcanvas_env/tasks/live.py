"""Live mode: outcomes computed when they are asked for, for sketches that no table knows.

Anything with the shape of `Retriever` will do; `SketchCanvasEnv(retriever=...)` then asks it for the canvas
that was chosen, and for no other. The oracle is not known in this mode, so `info` has neither `oracle_action`
nor `regret`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sketchcanvas_env.outcomes.reward import DISTANCE_SLACK, MAX_DISTANCE, TRIPLET_MARGIN
from sketchcanvas_env.sketches.sketch import VectorSketch


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
        """Refuse what cannot be an outcome.

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
