"""The arrays of an outcome table: names, dtypes and shapes, and the checks of their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.data import SPLITS
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.storage.names import Places, blocks, repeats
from sketchcanvas_env.storage.table_file import Columns, TableError

if TYPE_CHECKING:
    from sketchcanvas_env.outcomes.table import OutcomeTable

TOP = 5
"""Number of nearest photos stored for each outcome."""

# Shapes in terms of N sketches, K canvases, P photos.
ARRAYS: Columns = {
    "canvases": (np.int64, ("K",)),
    "flops": (np.float64, ("K",)),
    "ranks": (np.int32, ("N", "K")),
    "distances": (np.float32, ("N", "K")),
    "triplet": (np.float32, ("N", "K")),
    "top": (np.int32, ("N", "K", TOP)),
    "photos": (str, ("P",)),
    "sketch_ids": (str, ("N",)),
    "photo_ids": (str, ("N",)),
    "split": (str, ("N",)),
    "level": (np.int8, ("N",)),
    "milliseconds": (np.float64, ("K",)),
}
ROWS = tuple(name for name, (_, shape) in ARRAYS.items() if shape[0] == "N")
"""Names of the arrays that have a row for each sketch."""


def check_canvases(canvases: Iterable[int], error: type[ValueError] = ValueError) -> tuple[int, ...]:
    """The canvas sides as a tuple of int.

    Raises:
        ValueError: none, not integers, below 1, or not strictly ascending. With `error` that is raised instead.
    """
    try:
        sides = tuple(canvases)
    except TypeError:
        raise error(f"canvases must be a sequence of sides in pixels, got {canvases!r}") from None
    if not all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in sides):
        raise error(f"canvases must be integers, sides in pixels, got {sides!r}")
    if not sides:
        raise error("canvases is empty: name at least one")
    if any(low >= high for low, high in pairwise(sides)) or sides[0] < 1:
        raise error(f"canvases must be above zero and rise without repeating, got {tuple(map(int, sides))}")
    return tuple(int(side) for side in sides)


def check_columns(table: OutcomeTable) -> None:
    """Raise TableError for canvases, costs or a margin that are out of range."""
    check_canvases(table.canvases.tolist(), TableError)
    for name in ("flops", "milliseconds"):
        costs = getattr(table, name)
        if costs is not None and (not np.isfinite(costs).all() or (costs <= 0).any()):
            raise TableError(f"{name} must be finite and above zero")
    if (np.diff(table.flops) < 0).any():
        raise TableError(f"flops must not fall as the canvas grows, got {table.flops.tolist()}")
    measured = table.meta.get("latency")
    if table.milliseconds is not None and not (isinstance(measured, Mapping) and measured.get("machine")):
        raise TableError('milliseconds need meta["latency"]["machine"], a description of the machine')
    margin = table.meta.get("triplet_margin", rules.TRIPLET_MARGIN)
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < math.inf:
        raise TableError(f"meta's triplet_margin must be a finite number, not negative, got {margin!r}")


def check_rows(table: OutcomeTable) -> None:
    """Raise TableError for names that repeat, unknown splits, or gallery sizes or levels out of range."""
    for name in ("sketch_ids", "photos"):
        if repeats(getattr(table, name)):
            raise TableError(f"{name} must not repeat")
    for rows in blocks(len(table)):
        if unknown := set(table.split[rows].tolist()) - set(SPLITS):
            raise TableError(f"unknown split {sorted(unknown)[0]!r}: it must be one of {', '.join(SPLITS)}")
    for split in table.splits:
        size = table.gallery_size.get(split)
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < 2**31:
            raise TableError(f"gallery_size must give the number of photos of split {split!r}, got {size!r}")
    if (table.level < 0).any():
        raise TableError("level must not be negative")
    conditions = table.meta.get("conditions")
    if conditions is not None:
        texts = isinstance(conditions, list) and all(
            isinstance(name, str) and name.isprintable() for name in conditions
        )
        if not texts or int(table.level.max(initial=0)) >= len(conditions):
            raise TableError('meta["conditions"] must be a list of names, one for each number in level')


def check_outcomes(table: OutcomeTable) -> None:
    """Raise TableError for outcomes that are out of range or contradict each other."""
    places = Places(table.photos)
    for rows in blocks(len(table)):
        true = places.of(table.photo_ids[rows])
        if (true < 0).any():
            lacking = str(table.photo_ids[rows][true < 0][0])
            raise TableError(f"photo_ids names {lacking!r}, which is not among photos")
        _check_block(table, rows, true[:, None])


def _check_block(table: OutcomeTable, rows: slice, true: npt.NDArray[np.int64]) -> None:
    """Check the outcomes of some rows; `true` (n, 1) are the indices of their true photos."""
    ranks, top = table.ranks[rows], table.top[rows]
    gallery = np.array([table.gallery_size[name] for name in table.split[rows].tolist()])[:, None]
    if (ranks < 1).any() or (ranks > gallery).any():
        raise TableError("ranks must lie between 1 and the size of the split's gallery")
    for name, high in (("distances", rules.MAX_DISTANCE), ("triplet", rules.MAX_DISTANCE + table.margin)):
        array = getattr(table, name)[rows]
        if not np.isfinite(array).all() or (array < 0).any() or (array > high + rules.DISTANCE_SLACK).any():
            raise TableError(f"{name} must be finite and lie in [0, {high:g}]")
    if (top < -1).any() or (top >= len(table.photos)).any():
        raise TableError("top must hold indices into photos, or -1 where the gallery has fewer than five")
    # This finds shuffled columns. Ties count against the true photo, so a rank of five or less means that it is among
    # the five nearest, and a rank of one that it is the nearest.
    if ((ranks == 1) & (top[..., 0] != true)).any() or ((ranks <= TOP) & ~(top == true[..., None]).any(axis=-1)).any():
        raise TableError("ranks and top contradict each other: a true photo ranked among the first is not in top")
