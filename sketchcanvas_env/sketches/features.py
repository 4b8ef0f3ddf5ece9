"""Hand-made statistics of a sketch, as cheap input for selectors.

Every statistic lies in [0, 1]. An unbounded quantity x is mapped to x / (x + c), where c is near its median over
drawings and is given beside its name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.sketches.pen import LINE_WIDTH
from sketchcanvas_env.sketches.sketch import VectorSketch

FEATURE_NAMES = (
    "strokes",  # number of strokes, c = 8
    "points",  # number of points, c = 100
    "ink",  # length of all strokes in sides of the canvas, c = 5
    "density",  # share of the bounding box covered by ink if lines never crossed, at most 1
    "box_width",  # of the bounding box
    "box_height",
    "turning",  # mean absolute angle between consecutive segments, 1 is a U-turn
    "corners",  # share of those angles that exceed 45 degrees
    "short_strokes",  # share of the strokes shorter than a tenth of the canvas
    "closed_strokes",  # share of the strokes that end within a tenth of their length of where they began
    "stroke_length",  # mean length of a stroke in sides of the canvas, c = 0.5
    "length_spread",  # s / (s + mean), s the standard deviation of the strokes' lengths
    "longest_stroke",  # share of the ink in the longest stroke
    "spacing",  # mean distance between consecutive points of a stroke, c = 0.05
    "occupied",  # share of the cells of a 32 x 32 canvas with ink in them
    "crowded",  # share of those that more than one stroke passes through, which a 32 x 32 canvas merges
)
"""Names of the statistics, in order."""

GRID = 32
"""Cells along a side of the grid of `occupied` and `crowded`; the smallest default canvas."""

_SHORT = 0.1
_CLOSED = 0.1
_CORNER = np.pi / 4


def stroke_features(sketch: VectorSketch) -> npt.NDArray[np.float32]:
    """Statistics of one sketch, (F,) float32 in [0, 1], in the order of `FEATURE_NAMES`.

    Args:
        sketch: at least one stroke with at least one point.

    Example:
        >>> line = VectorSketch.from_strokes([[[0.25, 0.5], [0.75, 0.5]]])
        >>> dict(zip(FEATURE_NAMES, stroke_features(line).tolist()))["box_width"]
        0.5
    """
    # A search computes this for one sketch, so the number of NumPy calls decides its time.
    n = len(sketch.strokes)
    sizes = np.array([len(stroke) for stroke in sketch.strokes])
    owner = np.arange(n).repeat(sizes)
    last = sizes.cumsum() - 1
    points = np.concatenate(sketch.strokes).T.astype(np.float64, order="C")  # (2, P): xs, ys
    steps = np.zeros_like(points)  # to the next point of the same stroke, 0 at its last point
    np.subtract(points[:, 1:], points[:, :-1], out=steps[:, :-1])
    steps[:, last] = 0.0
    lengths = np.hypot(*steps)
    per_stroke = np.bincount(owner, weights=lengths)
    ink = float(per_stroke.sum())
    width, height = (points.max(axis=1) - points.min(axis=1)).tolist()
    turns = _turns(steps, lengths, owner)
    gaps = np.hypot(*(points[:, last] - points[:, last - sizes + 1]))
    closed = (sizes > 2) & (per_stroke > 0) & (gaps <= _CLOSED * per_stroke)
    mean = ink / n
    away = per_stroke - mean
    spread = math.sqrt(float((away * away).sum()) / n)
    occupied, crowded = _cells(points, steps, lengths, owner, last)
    n_steps = len(owner) - n
    features = (
        _squash(n, 8.0),
        _squash(len(owner), 100.0),
        _squash(ink, 5.0),
        # The box is at least as wide as the pen.
        min(1.0, ink * LINE_WIDTH / (max(width, LINE_WIDTH) * max(height, LINE_WIDTH))),
        width,
        height,
        float(turns.sum()) / len(turns) / np.pi if len(turns) else 0.0,
        np.count_nonzero(turns > _CORNER) / len(turns) if len(turns) else 0.0,
        np.count_nonzero(per_stroke < _SHORT) / n,
        np.count_nonzero(closed) / n,
        _squash(mean, 0.5),
        _squash(spread, mean) if spread > 0 else 0.0,
        float(per_stroke.max()) / ink if ink > 0 else 1.0,
        _squash(ink / n_steps, 0.05) if n_steps else 0.0,
        occupied,
        crowded,
    )
    return np.array(features, dtype=np.float32).clip(0.0, 1.0)


def batch_features(sketches: Iterable[VectorSketch]) -> npt.NDArray[np.float32]:
    """`stroke_features` of each of n sketches, (n, F) float32."""
    rows = [stroke_features(sketch) for sketch in sketches]
    return np.stack(rows) if rows else np.zeros((0, len(FEATURE_NAMES)), dtype=np.float32)


def _squash(value: float, scale: float) -> float:
    return value / (value + scale)


def _turns(
    steps: npt.NDArray[np.float64], lengths: npt.NDArray[np.float64], owner: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Absolute angles in [0, pi] between consecutive segments of each stroke, ignoring repeated points."""
    moves = lengths.nonzero()[0]  # segments of length 0 have no direction
    stroke = owner.take(moves)
    pairs = (stroke[1:] == stroke[:-1]).nonzero()[0]
    x, y = steps.take(moves.take(pairs), axis=1)
    next_x, next_y = steps.take(moves.take(pairs + 1), axis=1)
    return np.asarray(np.abs(np.arctan2(x * next_y - y * next_x, x * next_x + y * next_y)))


def _cells(
    points: npt.NDArray[np.float64],
    steps: npt.NDArray[np.float64],
    lengths: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
) -> tuple[float, float]:
    """`occupied` and `crowded`."""
    # Sample each segment in steps of at most half a cell. The last point of a stroke is added; a dot has no other.
    counts = np.ceil(lengths * 2 * GRID).astype(np.int64)
    counts[last] = 1
    start = counts.cumsum() - counts
    fraction = (np.arange(int(counts.sum())) - start.repeat(counts)) / counts.repeat(counts)
    walked = points.repeat(counts, axis=1) + fraction * steps.repeat(counts, axis=1)
    column, row = np.minimum((walked * GRID).astype(np.int64), GRID - 1)
    visited = np.zeros((int(owner[-1]) + 1) * GRID**2, dtype=bool)
    visited[owner.repeat(counts) * GRID**2 + row * GRID + column] = True
    strokes_in = np.bincount(visited.nonzero()[0] % GRID**2)
    occupied = np.count_nonzero(strokes_in)
    return occupied / GRID**2, np.count_nonzero(strokes_in > 1) / occupied
