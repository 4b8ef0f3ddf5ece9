"""The vector sketch: an ordered tuple of strokes on a unit canvas, and its conversions.

Coordinates are fractions of a square canvas, x to the right and y down. `sketchcanvas_env.sketches.raster` rasterises
sketches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sketchcanvas_env.sketches.pen import line_width, pixels_of

MAX_STROKES = 5_000
MAX_POINTS = 50_000
DEFAULT_MARGIN = 0.08
"""Fraction of the canvas left free on each side of the longer extent by `VectorSketch.fit`."""

_SHORT = 128  # number of points up to which plain Python is faster than NumPy


@dataclass(frozen=True, eq=False)
class VectorSketch:
    """A drawing as strokes in drawing order.

    Attributes:
        strokes: read-only float32 arrays of shape (P, 2), P >= 1, with coordinates in [0, 1]. A stroke of one point is
            a dot.

    Make sketches with `from_strokes`, `fit`, `from_stroke5` or `sketchcanvas_env.svg.reader.read_svg`, which validate.
    """

    strokes: tuple[NDArray[np.float32], ...]

    @classmethod
    def from_strokes(cls, strokes: Iterable[ArrayLike]) -> VectorSketch:
        """A sketch from strokes on the unit canvas.

        Args:
            strokes: each array-like of shape (P, 2), P >= 1.

        Raises:
            ValueError: no stroke, a wrong shape, a coordinate that is not finite or outside [0, 1], or more than
                `MAX_STROKES` strokes or `MAX_POINTS` points. The message names the stroke.
        """
        checked = _checked_strokes(strokes)
        for number, stroke in enumerate(checked):
            if stroke.min() < 0.0 or stroke.max() > 1.0:
                raise ValueError(
                    f"stroke {number} leaves the unit canvas (coordinates from {stroke.min():.4g} to "
                    f"{stroke.max():.4g}); VectorSketch.fit() scales any strokes onto it"
                )
        return cls(_frozen(checked))

    @classmethod
    def fit(cls, strokes: Iterable[ArrayLike], margin: float = DEFAULT_MARGIN) -> VectorSketch:
        """A sketch from strokes in any coordinates, scaled by their bounding box to the unit canvas and centred.

        The aspect ratio is kept.

        Args:
            strokes: each array-like of shape (P, 2), any finite coordinates, y down.
            margin: fraction of the canvas left free on each side of the longer extent, in [0, 0.5).

        Raises:
            ValueError: as `from_strokes` except for the range of coordinates, or a margin outside [0, 0.5).
        """
        if not 0.0 <= margin < 0.5:
            raise ValueError(f"margin must lie in [0, 0.5), not {margin}")
        checked = _checked_strokes(strokes)
        points = np.concatenate(checked)
        # Scale by a power of two, which is exact, so that neither 1e308 nor 1e-320 overflows below.
        _, exponent = np.frexp(np.abs(points).max())
        checked = [np.ldexp(stroke, -exponent) for stroke in checked]
        points = np.concatenate(checked)
        low, high = points.min(axis=0), points.max(axis=0)
        extent = float((high - low).max())
        # A single dot is placed in the middle of the canvas.
        scale = (1.0 - 2.0 * margin) / extent if extent > 0.0 else 0.0
        centre = (low + high) / 2.0
        return cls(_frozen([np.clip((s - centre) * scale + 0.5, 0.0, 1.0) for s in checked]))

    @classmethod
    def from_stroke5(cls, stroke5: ArrayLike) -> VectorSketch:
        """A sketch from rows (x, y, p1, p2, p3) as written by `to_stroke5`; rows with p3 = 1 are ignored.

        Raises:
            ValueError: a wrong shape, pen states that are not one-hot, or as `from_strokes`.
        """
        rows = np.asarray(stroke5, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != 5:
            raise ValueError(f"stroke-5 needs shape (points, 5), not {rows.shape}")
        pens = rows[:, 2:]
        if not (np.isin(pens, (0.0, 1.0)).all() and (pens.sum(axis=1) == 1.0).all()):
            raise ValueError("stroke-5 pen states (columns 2 to 4) must be one-hot")
        rows = rows[pens[:, 2] == 0.0]
        ends = np.flatnonzero(rows[:, 3] == 1.0) + 1
        pieces = np.split(rows[:, :2], ends)
        return cls.from_strokes([piece for piece in pieces if len(piece)])

    @property
    def n_strokes(self) -> int:
        """Number of strokes."""
        return len(self.strokes)

    @property
    def n_points(self) -> int:
        """Number of points over all strokes."""
        return sum(len(stroke) for stroke in self.strokes)

    def normalised(self, margin: float = DEFAULT_MARGIN) -> VectorSketch:
        """The sketch scaled by its bounding box and centred; see `fit`."""
        return VectorSketch.fit(self.strokes, margin)

    def simplified(self, tolerance: float) -> VectorSketch:
        """The sketch with every stroke simplified by Douglas-Peucker.

        Args:
            tolerance: distance in canvas units below which a point is redundant, >= 0.
        """
        if not tolerance >= 0.0:
            raise ValueError(f"tolerance must be >= 0, not {tolerance}")
        return VectorSketch(_frozen([s[douglas_peucker_weights(s) > tolerance] for s in self.strokes]))

    def bounded(self, max_points: int) -> VectorSketch:
        """The sketch with at most `max_points` points.

        Points are removed in order of their Douglas-Peucker weight over all strokes. If even two points per stroke are
        too many, strokes with the least ink are removed first.

        Raises:
            ValueError: max_points < 2.
        """
        if max_points < 2:
            raise ValueError(f"max_points must be at least 2, not {max_points}")
        if self.n_points <= max_points:
            return self
        strokes = list(self.strokes)
        ends = np.array([min(len(s), 2) for s in strokes])
        if ends.sum() > max_points:
            by_ink = np.argsort([-ink_length(s) for s in strokes], kind="stable")
            kept = by_ink[np.cumsum(ends[by_ink]) <= max_points]
            strokes = [strokes[i] for i in sorted(kept)]
        weights = [douglas_peucker_weights(s) for s in strokes]
        flat = np.concatenate(weights)
        if len(flat) <= max_points:
            return VectorSketch(_frozen(strokes))
        # A stable sort keeps the earlier of tied points on every platform.
        keep = np.zeros(len(flat), dtype=bool)
        keep[np.argsort(-flat, kind="stable")[:max_points]] = True
        pieces = np.split(keep, np.cumsum([len(w) for w in weights])[:-1])
        return VectorSketch(_frozen([s[k] for s, k in zip(strokes, pieces, strict=True)]))

    def to_stroke5(self, max_points: int) -> NDArray[np.float32]:
        """The sketch as stroke-5 rows (x, y, p1, p2, p3), (max_points, 5) float32.

        x and y are absolute positions. p1: the pen stays down to the next row; p2: last point of a stroke; p3: end of
        the sketch. Rows after the last point are (0, 0, 0, 0, 1). A sketch with more points is bounded first, as in the
        paper.
        """
        sketch = self.bounded(max_points)
        rows = np.zeros((max_points, 5), dtype=np.float32)
        rows[:, 4] = 1.0
        count = sketch.n_points
        rows[:count, :2] = np.concatenate(sketch.strokes)
        rows[:count, 2] = 1.0
        rows[:count, 4] = 0.0
        last = np.cumsum([len(s) for s in sketch.strokes]) - 1
        rows[last, 2] = 0.0
        rows[last, 3] = 1.0
        return rows

    def to_svg(self, side: int = 256) -> str:
        """The sketch as an SVG with one `<path>` for each stroke, drawn as `rasterise` draws it at that side."""
        paths = "\n".join(f'<path d="{_path_data(pixels_of(stroke, side))}"/>' for stroke in self.strokes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}" '
            f'viewBox="0 0 {side} {side}">\n'
            f'<g fill="none" stroke="#000" stroke-width="{line_width(side):.9g}" stroke-linecap="round" '
            f'stroke-linejoin="round">\n{paths}\n</g>\n</svg>\n'
        )


def ink_length(stroke: NDArray[np.floating]) -> float:
    """Length of a polyline (P, 2); 0 for a dot."""
    return float(np.hypot(*np.diff(stroke, axis=0).T).sum())


def douglas_peucker_weights(stroke: NDArray[np.floating]) -> NDArray[np.float64]:
    """Largest tolerance at which Douglas-Peucker keeps each point of a polyline, (P,) float64.

    A point is kept at a tolerance exactly if its weight is larger. End points have infinite weight. The weight of a
    point is capped by that of the point that split its segment, as in the recursion.

    Args:
        stroke: (P, 2) points.
    """
    points = np.asarray(stroke, dtype=np.float64)
    xs, ys = points.T.tolist()
    weights = np.zeros(len(points))
    weights[[0, -1]] = np.inf
    stack = [(0, len(points) - 1, np.inf)]
    while stack:
        first, last, cap = stack.pop()
        if last - first < 2:
            continue
        if last - first < _SHORT:
            middle, distance = _farthest(xs, ys, first, last)
        else:
            distances = _distances_to_segment(points[first + 1 : last], points[first], points[last])
            middle = first + 1 + int(distances.argmax())
            distance = float(distances[middle - first - 1])
        weight = min(cap, distance)
        if weight <= 0.0:
            continue
        weights[middle] = weight
        stack += [(first, middle, weight), (middle, last, weight)]
    return weights


def _farthest(xs: list[float], ys: list[float], first: int, last: int) -> tuple[int, float]:
    """Index and distance of the point farthest from the segment between two others; ties go to the first.

    The same as `_distances_to_segment` in plain Python, which is several times faster for few points.
    """
    x0, y0 = xs[first], ys[first]
    along_x, along_y = xs[last] - x0, ys[last] - y0
    square = along_x * along_x + along_y * along_y
    farthest, middle = -1.0, first + 1
    for i in range(first + 1, last):
        x, y = xs[i] - x0, ys[i] - y0
        if square > 0.0:
            position = (x * along_x + y * along_y) / square
            position = 0.0 if position < 0.0 else 1.0 if position > 1.0 else position
            x, y = x - position * along_x, y - position * along_y
        away = x * x + y * y
        if away > farthest:
            farthest, middle = away, i
    return middle, math.sqrt(farthest)


def _distances_to_segment(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    along = end - start
    square = float(along @ along)
    offsets = points - start
    # In a closed stroke start and end are one point.
    position = np.clip(offsets @ along / square, 0.0, 1.0) if square > 0.0 else np.zeros(len(points))
    away = offsets - position[:, None] * along
    return np.asarray(np.sqrt((away**2).sum(axis=1)))


def _checked_strokes(strokes: Iterable[ArrayLike]) -> list[NDArray[np.float64]]:
    checked: list[NDArray[np.float64]] = []
    total = 0
    for number, stroke in enumerate(strokes):
        points = np.asarray(stroke, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
            raise ValueError(f"stroke {number} needs shape (points, 2) with at least one point, not {points.shape}")
        if not np.isfinite(points).all():
            raise ValueError(f"stroke {number} holds a coordinate that is not finite")
        total += len(points)
        if number >= MAX_STROKES or total > MAX_POINTS:
            raise ValueError(f"a sketch may have at most {MAX_STROKES} strokes and {MAX_POINTS} points")
        checked.append(points)
    if not checked:
        raise ValueError("a sketch needs at least one stroke")
    return checked


def _frozen(strokes: Sequence[NDArray[np.floating]]) -> tuple[NDArray[np.float32], ...]:
    frozen = []
    for stroke in strokes:
        array = np.ascontiguousarray(stroke, dtype=np.float32)
        if array is stroke or array.base is not None:
            array = array.copy()
        array.flags.writeable = False
        frozen.append(array)
    return tuple(frozen)


def _path_data(points: NDArray[np.float64]) -> str:
    pairs = [f"{x:.3f},{y:.3f}" for x, y in points.tolist()]
    # A dot is a line of length 0, which round caps make visible.
    return "M" + pairs[0] + "L" + " ".join(pairs[1:] or pairs)
