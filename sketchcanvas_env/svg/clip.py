"""Cuts polylines at the edges of convex polygons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MAX_CORNERS = 8
_EXACT = 1e-9
"""Share of the largest coordinate under which a distance is nothing."""

Inside = NDArray[np.float64]
"""(H, 3): the points (x, y) for which x a + y b + c >= 0 in every row (a, b, c); a and b are of length 1 together."""

EVERYWHERE: Inside = np.empty((0, 3))


def inside_of(line: NDArray[np.float64]) -> Inside | None:
    """The inside of a closed line (P, 2) that is a convex polygon of up to 8 corners; None of another."""
    corners = line[np.abs(line - np.roll(line, 1, axis=0)).max(axis=1) > _EXACT * np.abs(line).max()]
    if not 3 <= len(corners) <= _MAX_CORNERS:
        return None
    edges = np.roll(corners, -1, axis=0) - corners
    after = np.roll(edges, -1, axis=0)
    turns = np.arctan2(edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0], (edges * after).sum(axis=1))
    # Turning one way all along is not enough: a star does so, too, but more than once around.
    if not (turns.min() > 0 or turns.max() < 0) or np.abs(turns).sum() > 3 * np.pi:
        return None
    inwards = np.sign(turns[0]) * np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.hypot(*edges.T)[:, None]
    return np.column_stack([inwards, -(corners * inwards).sum(axis=1)])


def cut(line: NDArray[np.float64], inside: Inside) -> list[NDArray[np.float64]]:
    """The parts of a polyline that lie inside, in order.

    Args:
        line: (P, 2), P >= 2.
        inside: of one polygon, or the rows of several, which is what they have in common.

    Returns:
        Polylines (Q, 2), Q >= 2; the line itself where none of it lies outside.
    """
    depth = line @ inside[:, :2].T + inside[:, 2]  # (P, H)
    if (depth >= -_EXACT * np.abs(line).max()).all():
        return [line]
    first, last = depth[:-1], depth[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = first / (first - last)
    enter = np.where(first < 0, crossing, 0.0).max(axis=1)
    leave = np.where(last < 0, crossing, 1.0).min(axis=1)
    kept = np.flatnonzero(~((first < 0) & (last < 0)).any(axis=1) & (enter < leave))
    if not len(kept):
        return []
    start, step = line[kept], line[kept + 1] - line[kept]
    ends = np.stack([start + enter[kept, None] * step, start + leave[kept, None] * step], axis=1)
    begins = np.ones(len(kept), dtype=bool)
    begins[1:] = (np.diff(kept) > 1) | (enter[kept[1:]] > 0)
    # Where a segment goes on from the one before it, they share a point.
    points = ends.reshape(-1, 2)[np.column_stack([begins, np.ones_like(begins)]).ravel()]
    return np.split(points, (np.cumsum(begins + 1) - (begins + 1))[begins][1:])
