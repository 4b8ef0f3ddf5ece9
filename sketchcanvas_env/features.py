"""Cheap hand-made statistics of a sketch: what a selector can look at without a recurrent network.

Every feature lies in [0, 1]. A quantity x without a bound is squashed as x / (x + c), where c, near its
median over drawings, is written beside it below; the map is monotone, so nothing is lost but scale.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.raster import LINE_WIDTH
from sketchcanvas_env.sketch import VectorSketch

FEATURE_NAMES = (
    "strokes",  # number of strokes, c = 8
    "points",  # number of points, c = 100
    "ink",  # length of all strokes in sides of the canvas, c = 5
    "density",  # share of the bounding box that the ink would cover if lines never crossed, cut at 1
    "box_width",  # of the bounding box
    "box_height",
    "turning",  # mean absolute turn between consecutive segments, 1 is a U-turn
    "corners",  # share of the turns that exceed 45 degrees
    "short_strokes",  # share of the strokes shorter than a tenth of the canvas
    "closed_strokes",  # share of the strokes that end within a tenth of their length of where they began
    "stroke_length",  # mean length of a stroke in sides of the canvas, c = 0.5
    "length_spread",  # s / (s + mean), s the standard deviation of the strokes' lengths
    "longest_stroke",  # share of the ink in the longest stroke
    "spacing",  # mean distance between consecutive points of a stroke, c = 0.05
    "occupied",  # share of the cells of a 32 x 32 canvas with ink in them
    "crowded",  # share of those that more than one stroke passes through: detail that a 32 x 32 canvas merges
)
"""Names of the features, in order."""

GRID = 32
"""Cells along a side of the grid of `occupied` and `crowded`: the smallest of the default canvases."""

_SHORT = 0.1
_CLOSED = 0.1
_CORNER = np.pi / 4


def stroke_features(sketch: VectorSketch) -> npt.NDArray[np.float32]:
    """Statistics of one sketch.

    Args:
        sketch: at least one stroke with at least one point.

    Returns:
        (F,) float32, each in [0, 1], in the order of `FEATURE_NAMES`.

    Example:
        >>> line = VectorSketch.from_strokes([[[0.25, 0.5], [0.75, 0.5]]])
        >>> dict(zip(FEATURE_NAMES, stroke_features(line).tolist()))["box_width"]
        0.5
    """
    sizes = np.array([len(stroke) for stroke in sketch.strokes])
    points = np.concatenate(sketch.strokes).astype(np.float64)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    ends = np.cumsum(sizes)
    steps = np.diff(points, axis=0)
    within = owner[1:] == owner[:-1]
    lengths = np.where(within, np.hypot(steps[:, 0], steps[:, 1]), 0.0)
    per_stroke = np.bincount(owner[1:], weights=lengths, minlength=len(sizes))
    ink = float(per_stroke.sum())
    width, height = np.ptp(points, axis=0)
    turns = _turns(steps, within, lengths)
    gaps = np.hypot(*(points[ends - 1] - points[ends - sizes]).T)
    closed = (sizes > 2) & (per_stroke > 0) & (gaps <= _CLOSED * per_stroke)
    mean, spread = float(per_stroke.mean()), float(per_stroke.std())
    occupied, crowded = _cells(points, steps, within, lengths, owner)
    n_steps = int(within.sum())
    features = (
        _squash(len(sizes), 8.0),
        _squash(len(points), 100.0),
        _squash(ink, 5.0),
        # A box of no width still holds a line: it is at least as wide as the pen.
        min(1.0, ink * LINE_WIDTH / (max(width, LINE_WIDTH) * max(height, LINE_WIDTH))),
        width,
        height,
        turns.mean() / np.pi if turns.size else 0.0,
        (turns > _CORNER).mean() if turns.size else 0.0,
        (per_stroke < _SHORT).mean(),
        closed.mean(),
        _squash(mean, 0.5),
        _squash(spread, mean) if spread > 0 else 0.0,
        per_stroke.max() / ink if ink > 0 else 1.0,
        _squash(ink / n_steps, 0.05) if n_steps else 0.0,
        occupied,
        crowded,
    )
    return np.clip(np.array(features, dtype=np.float32), 0.0, 1.0)


def batch_features(sketches: Iterable[VectorSketch]) -> npt.NDArray[np.float32]:
    """`stroke_features` of each of n sketches; (n, F) float32."""
    rows = [stroke_features(sketch) for sketch in sketches]
    return np.stack(rows) if rows else np.zeros((0, len(FEATURE_NAMES)), dtype=np.float32)


def _squash(value: float, scale: float) -> float:
    return value / (value + scale)


def _turns(
    steps: npt.NDArray[np.float64], within: npt.NDArray[np.bool_], lengths: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Absolute angles in [0, pi] between consecutive segments of a stroke, repeated points passed over."""
    # A segment of no length has no direction: leave it out, but keep the breaks between strokes.
    kept = ~within | (lengths > 0)
    steps, within = steps[kept], within[kept]
    pair = within[1:] & within[:-1]
    before, after = steps[:-1][pair], steps[1:][pair]
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    dot = (before * after).sum(axis=1)
    return np.asarray(np.abs(np.arctan2(cross, dot)))


def _cells(
    points: npt.NDArray[np.float64],
    steps: npt.NDArray[np.float64],
    within: npt.NDArray[np.bool_],
    lengths: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int64],
) -> tuple[float, float]:
    """Share of the grid's cells with ink, and share of those with ink of more than one stroke."""
    # Walk along each segment in steps of at most half a cell, so that no cell of any extent is jumped over.
    counts = np.where(within, np.ceil(lengths * 2 * GRID), 0).astype(np.int64)
    segment = np.repeat(np.arange(len(counts)), counts)
    start = np.cumsum(counts) - counts
    fraction = (np.arange(len(segment)) - start[segment]) / counts[segment]
    walked = points[segment] + fraction[:, None] * steps[segment]
    # The points themselves close each stroke, and are all there is of a dot.
    places = np.concatenate([walked, points])
    strokes = np.concatenate([owner[segment], owner])
    cell = np.clip((places * GRID).astype(np.int64), 0, GRID - 1)
    visits = np.unique((cell[:, 1] * GRID + cell[:, 0]) * (int(owner[-1]) + 1) + strokes)
    strokes_in = np.bincount(visits // (int(owner[-1]) + 1), minlength=GRID * GRID)
    occupied = int((strokes_in > 0).sum())
    return occupied / GRID**2, int((strokes_in > 1).sum()) / occupied
