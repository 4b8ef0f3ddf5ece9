"""Observations of one sketch and of looks at it, as the environments show them. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.looks import look_feature_names, look_features
from sketchcanvas_env.sketches.features import FEATURE_NAMES, stroke_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import SIZE, thumbnail

POINT_DIM = 5
"""Columns of a stroke-5 row: x, y, p1, p2, p3."""


class Seen(Protocol):
    """A look at a sketch; `SeenLook` and `agents.search.answers.Look` fit."""

    @property
    def canvas(self) -> int:
        """Side in pixels."""

    @property
    def top(self) -> Sequence[Hashable]:
        """The nearest photos on this canvas, nearest first, by any names; the first `TOP` are read."""

    @property
    def distances(self) -> Sequence[float]:
        """Their Euclidean distances."""


@dataclass(frozen=True)
class SeenLook:
    """A look at a sketch.

    Attributes:
        canvas: side in pixels.
        top: the nearest photos on this canvas, nearest first, by any names.
        distances: their Euclidean distances.
    """

    canvas: int
    top: Sequence[Hashable]
    distances: Sequence[float]


def part_sizes(max_points: int, canvases: Sequence[int] | None = None) -> dict[str, int]:
    """Length of each part of an observation.

    Args:
        max_points: room for points, P.
        canvases: sides on offer in a cascade, K; None where each sketch is looked at once.

    Returns:
        "points" P * 5, "stats" F and "thumbnail" 256; "tradeoff" 1 without `canvases`, "looks" L and "last" K with.
    """
    sizes = {"points": POINT_DIM * max_points, "stats": len(FEATURE_NAMES), "thumbnail": SIZE}
    if canvases is None:
        return {**sizes, "tradeoff": 1}
    return {**sizes, "looks": len(look_feature_names(canvases)), "last": len(canvases)}


def observe(
    reads: Collection[str], sketch: VectorSketch, max_points: int, tradeoff: float | None = None
) -> dict[str, NDArray[np.float32]]:
    """The observation of a sketch, as a batch of one, with only the parts that are read.

    Args:
        reads: parts to compute, of "points", "stats", "thumbnail" and "tradeoff"; others are ignored.
        sketch: the drawing.
        max_points: points that it is simplified to, P.
        tradeoff: at which to choose, in [0, 1]; None where it is not read.

    Returns:
        "points" (1, P * 5), "stats" (1, F), "thumbnail" (1, 256) and "tradeoff" (1, 1), float32.

    Raises:
        ValueError: as `check_tradeoff`.
    """
    check_tradeoff("tradeoff" in reads, tradeoff)
    seen = {}
    if "points" in reads:
        seen["points"] = sketch.to_stroke5(max_points).reshape(1, -1)
    if "stats" in reads:
        seen["stats"] = stroke_features(sketch).reshape(1, -1)
    if "thumbnail" in reads:
        seen["thumbnail"] = thumbnail(sketch).reshape(1, -1)
    if tradeoff is not None:
        seen["tradeoff"] = np.array([[tradeoff]], dtype=np.float32)
    return seen


def observe_looks(
    canvases: Sequence[int], costs: Sequence[float], looks: Sequence[Seen]
) -> dict[str, NDArray[np.float32]]:
    """The parts of a cascade's observation that show earlier looks, as a batch of one.

    Args:
        canvases: (K,) sides on offer.
        costs: (K,) cost of a look at each, in any unit.
        looks: taken so far, in order.

    Returns:
        "looks" (1, L), named in `sketchcanvas_env.outcomes.looks.look_feature_names`, and "last" (1, K), float32.

    Raises:
        ValueError: a look at a canvas that is not on offer, or two looks at one canvas.
    """
    k = len(canvases)
    for look in looks:
        if look.canvas not in canvases:
            raise ValueError(f"the selector knows the canvases {list(canvases)}, not {look.canvas}")
    columns = [canvases.index(look.canvas) for look in looks]
    if len(set(columns)) != len(columns):
        raise ValueError(f"a canvas was looked at twice: {[look.canvas for look in looks]}")
    top = np.full((1, k, TOP), -1, dtype=np.int64)
    distances = np.full((1, k, TOP), rules.MAX_DISTANCE)
    numbers: dict[Hashable, int] = {}
    for column, look in zip(columns, looks, strict=True):
        names = list(look.top)[:TOP]
        top[0, column, : len(names)] = [numbers.setdefault(name, len(numbers)) for name in names]
        distances[0, column, : len(names)] = list(look.distances)[:TOP]
    seen, last = np.zeros((1, k), dtype=np.bool_), np.zeros((1, k), dtype=np.float32)
    seen[0, columns] = True
    last[0, columns[-1:]] = 1.0
    return {"looks": look_features(top, distances, seen, costs), "last": last}


def counted_points(reads: Collection[str], sketch: VectorSketch, max_points: int) -> int:
    """Number of points on which a network's FLOPs depend; 1 for a network that does not read points.

    Args:
        reads: parts of an observation that the network looks at.
        sketch: the drawing.
        max_points: points that it is simplified to.
    """
    # Simplifying takes longer than deciding, so it is done only where the number matters.
    return sketch.bounded(max_points).n_points if "points" in reads else 1


def check_tradeoff(conditioned: bool, tradeoff: float | None) -> None:
    """Check that a tradeoff is given exactly where it is read.

    Raises:
        ValueError: no tradeoff for a conditioned selector, a tradeoff for another one, or one outside [0, 1].
    """
    if not conditioned and tradeoff is not None:
        raise ValueError(
            f"this selector was trained for one tradeoff and cannot choose at {tradeoff}: leave the tradeoff out, "
            "or train one with preferences"
        )
    if conditioned and tradeoff is None:
        raise ValueError(
            "this selector chooses for many tradeoffs: say at which one, for example selector(sketch, tradeoff=0.2)"
        )
    if tradeoff is not None:
        rules.check_tradeoff(tradeoff)
