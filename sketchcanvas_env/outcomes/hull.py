"""Best column of each row, and the upper hull of points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def best_columns(rewards: npt.NDArray[np.float64], costs: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Column of the highest reward, (...) int64, for rewards (..., K); ties go to the cheapest."""
    # argmax takes the first of equal values, so sort the columns by cost.
    order = np.argsort(costs, kind="stable")
    return np.asarray(order[np.argmax(rewards[..., order], axis=-1)], dtype=np.int64)


def upper_hull(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Upper concave hull of points (x, y), from the leftmost to the highest: (M, 2) vertices, slopes falling."""
    # Sort by x, then by falling y; keep only points that are higher than all before.
    order = np.lexsort((-points[:, 1], points[:, 0]))
    rising: list[tuple[float, float]] = []
    for x, y in points[order].tolist():
        if not rising or y > rising[-1][1]:
            rising.append((x, y))
    hull: list[tuple[float, float]] = []
    for x, y in rising:
        # Drop the last vertex while it does not lie above the line from the one before it to the new point.
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (x - hull[-2][0]) <= (y - hull[-2][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    return np.array(hull, dtype=np.float64)
