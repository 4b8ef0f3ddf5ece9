"""Cutting of polylines at the edges of clips and masks of any shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float64]
"""Polyline, (P, 2) with P >= 2."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Spend = Callable[[int], object]
"""Called with the number of (segment or point, edge) pairs before they are compared; raises beyond a limit."""

_CHUNK = 1 << 18
"""Pairs compared at once, to limit memory."""
_CALL, _CUT = 500, 3_500
"""Fixed cost of examining a line and of cutting it, in pairs."""
_BESIDE = 1e-6
"""Distance of test points from a line, as a fraction of the largest coordinate."""


@dataclass(frozen=True, eq=False)
class Region:
    """Inside of closed polylines.

    Attributes:
        rings: each (P, 2); open ones are closed.
        even_odd: the fill rule; False is nonzero.
    """

    rings: tuple[Line, ...]
    even_odd: bool = False

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Both ends of each edge, (E, 2, 2)."""
        ends = [np.stack([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in self.rings if len(ring)]
        return np.concatenate(ends) if ends else np.empty((0, 2, 2))

    @cached_property
    def box(self) -> Box | None:
        """Bounding box, None if the region is empty."""
        if not len(self.edges):
            return None
        low, high = self.edges.min(axis=(0, 1)).tolist(), self.edges.max(axis=(0, 1)).tolist()
        return low[0], low[1], high[0], high[1]

    @cached_property
    def is_box(self) -> bool:
        """Whether it is an axis-aligned rectangle."""
        if len(self.rings) != 1 or self.box is None:
            return False
        left, top, right, bottom = self.box
        ring = self.rings[0]
        corners = ring[np.abs(ring - np.roll(ring, 1, axis=0)).max(axis=1) > 0]
        upright = np.isin(corners[:, 0], (left, right)).all() and np.isin(corners[:, 1], (top, bottom)).all()
        return len(corners) == 4 and bool(upright) and len(set(map(tuple, corners.tolist()))) == 4

    def contains(self, points: Line, spend: Spend) -> NDArray[np.bool_]:
        """Whether each of the points (P, 2) lies inside, (P,); undefined for points on an edge."""
        inside = np.zeros(len(points), dtype=bool)
        if self.box is None:
            return inside
        left, top, right, bottom = self.box
        x, y = points.T
        near = np.flatnonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))
        spend(len(near) * len(self.edges))
        (x0, y0), (x1, y1) = self.edges[:, 0].T, self.edges[:, 1].T
        step = max(1, _CHUNK // len(self.edges))
        for begin in range(0, len(near), step):
            some = near[begin : begin + step]
            px, py = points[some, 0, None], points[some, 1, None]
            side = (x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)
            up = (y0 <= py) & (y1 > py) & (side > 0)
            down = (y0 > py) & (y1 <= py) & (side < 0)
            if self.even_odd:
                inside[some] = (up ^ down).sum(axis=1) % 2 == 1
            else:
                inside[some] = up.sum(axis=1) != down.sum(axis=1)
        return inside


@dataclass(frozen=True, eq=False)
class Window:
    """Visible area of a clip or mask: the last layer that contains a point decides; other points are hidden.

    Attributes:
        layers: regions, and whether each shows (True) or hides.
    """

    layers: tuple[tuple[Region, bool], ...]

    def sees(self, points: Line, spend: Spend) -> NDArray[np.bool_]:
        """Whether each of the points (P, 2) is visible, (P,)."""
        seen = np.zeros(len(points), dtype=bool)
        for region, shows in self.layers:
            inside = region.contains(points, spend)
            seen = (seen | inside) if shows else (seen & ~inside)
        return seen

    @cached_property
    def box(self) -> Box | None:
        """The visible area if it is an axis-aligned rectangle, else None."""
        if len(self.layers) != 1 or not self.layers[0][1] or not self.layers[0][0].is_box:
            return None
        return self.layers[0][0].box

    def sees_all(self, box: Box) -> bool:
        """Whether the visible area is an axis-aligned rectangle that contains `box`."""
        if self.box is None:
            return False
        slack = _BESIDE * max(map(abs, self.box))
        low = min(box[0] - self.box[0], box[1] - self.box[1])
        return min(low, self.box[2] - box[2], self.box[3] - box[3]) >= -slack


def merged(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    """The windows, with all axis-aligned rectangles replaced by their intersection."""
    boxes = [window.box for window in windows if window.box is not None]
    if len(boxes) < 2:
        return windows
    low, high = np.max(boxes, axis=0)[:2], np.min(boxes, axis=0)[2:]
    others = tuple(window for window in windows if window.box is None)
    if (low >= high).any():
        return (Window(()),)
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])
    return Window(((Region((ring,)), True),)), *others


def box_of(lines: Sequence[Line]) -> Box:
    """Bounding box of some lines."""
    points = lines[0] if len(lines) == 1 else np.concatenate(lines)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


def seen(line: Line, windows: Sequence[Window], spend: Spend) -> list[Line]:
    """Parts of a line that are visible through all windows, in order.

    A line along an edge counts as visible, because half of its width is.
    """
    box = box_of([line])
    windows = [window for window in windows if not window.sees_all(box)]
    if not windows:
        return [line]
    regions = [region for window in windows for region, _ in window.layers]

    def keep(one_side: Line, other_side: Line) -> NDArray[np.bool_]:
        return np.logical_or(*(_through(windows, side, spend) for side in (one_side, other_side)))

    return _parts(line, regions, keep, spend)


def borders(shape: Region, windows: Sequence[Window], spend: Spend) -> list[Line]:
    """Parts of the windows' edges that bound the visible part of a filled shape."""
    regions = list(dict.fromkeys(region for window in windows for region, _ in window.layers))

    def keep(one_side: Line, other_side: Line) -> NDArray[np.bool_]:
        within = shape.contains(one_side, spend) & shape.contains(other_side, spend)
        found = np.zeros(len(within), dtype=bool)
        inner = np.flatnonzero(within)
        sides = (_through(windows, side[inner], spend) for side in (one_side, other_side))
        found[inner] = np.logical_xor(*sides)
        return found

    if shape.box is None or shape.box[0] == shape.box[2] or shape.box[1] == shape.box[3]:
        return []
    rings = [ring for region in regions for ring in region.rings if len(ring) and _meet(box_of([ring]), shape.box)]
    closed = [ring if np.array_equal(ring[0], ring[-1]) else np.concatenate([ring, ring[:1]]) for ring in rings]
    return [part for ring in closed for part in _parts(ring, [shape, *regions], keep, spend)]


def _meet(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _through(windows: Sequence[Window], points: Line, spend: Spend) -> NDArray[np.bool_]:
    """Whether each point is visible through all windows, (P,)."""
    visible = np.ones(len(points), dtype=bool)
    for window in windows:
        left = np.flatnonzero(visible)
        visible[left] = window.sees(points[left], spend)
    return visible


def _parts(
    line: Line,
    regions: Sequence[Region],
    keep: Callable[[Line, Line], NDArray[np.bool_]],
    spend: Spend,
) -> list[Line]:
    """Cut a line at the edges of regions, and return the parts that are kept.

    Args:
        line: (P, 2).
        regions: regions whose edges cut the line.
        keep: called with a point on either side of the middle of each of Q pieces, (Q, 2) each; returns which pieces to
            keep, (Q,).
        spend: see `Spend`.
    """
    spend(_CALL)
    points = _with_crossings(line, regions, spend)
    steps = np.diff(points, axis=0)
    lengths = np.hypot(*steps.T)
    beside = np.stack([-steps[:, 1], steps[:, 0]], axis=1) / np.where(lengths > 0, lengths, 1.0)[:, None]
    beside *= _BESIDE * max(1e-9, np.abs(points).max())
    middles = points[:-1] + steps / 2
    kept = keep(middles + beside, middles - beside)
    if kept.all():
        return [line]
    changes = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]])))
    parts = [points[begin : end + 1] for begin, end in zip(changes[::2], changes[1::2], strict=True)]
    if len(parts) > 1 and kept[0] and kept[-1] and np.array_equal(line[0], line[-1]):  # join the ends of a closed line
        parts = [np.concatenate([parts[-1], parts[0][1:]]), *parts[1:-1]]
    # Parts of length 0 only touch an edge.
    return [part for part in parts if np.ptp(part, axis=0).max() > 0]


def _with_crossings(line: Line, regions: Sequence[Region], spend: Spend) -> Line:
    """Points of a line and its crossings with edges, in order."""
    edges = np.concatenate([np.empty((0, 2, 2)), *(region.edges for region in regions)])
    spend(len(edges))
    low, high = line.min(axis=0), line.max(axis=0)
    edges = edges[((edges.max(axis=1) >= low) & (edges.min(axis=1) <= high)).all(axis=1)]
    if not len(edges):
        return line
    spend(_CUT + (len(line) - 1) * len(edges))
    starts, steps = line[:-1], np.diff(line, axis=0)
    corner, along = edges[:, 0], edges[:, 1] - edges[:, 0]
    places, shares = [], []
    size = max(1, _CHUNK // len(edges))
    for begin in range(0, len(starts), size):
        step = steps[begin : begin + size, None]
        gap = corner - starts[begin : begin + size, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            turn = step[..., 0] * along[:, 1] - step[..., 1] * along[:, 0]
            at = (gap[..., 0] * along[:, 1] - gap[..., 1] * along[:, 0]) / turn  # position along the segment
            on = (gap[..., 0] * step[..., 1] - gap[..., 1] * step[..., 0]) / turn  # position along the edge
        segment, edge = np.nonzero((at > 0) & (at < 1) & (on >= -1e-9) & (on <= 1 + 1e-9))
        places.append(segment + begin)
        shares.append(at[segment, edge])
    place, share = np.concatenate(places), np.concatenate(shares)
    order = np.lexsort((share, place))
    place, share = place[order], share[order]
    return np.insert(line, place + 1, starts[place] + share[:, None] * steps[place], axis=0)
