"""The columns of an outcome table: their names, kinds and shapes, and what may stand in them."""

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
from sketchcanvas_env.storage.table_file import Columns, TableError, check_meta, check_shapes, shapes_of

if TYPE_CHECKING:
    from sketchcanvas_env.outcomes.table import OutcomeTable

TOP = 5
"""How many nearest photos are kept for each outcome."""

# Name of each array in the file: its kind, and its shape in terms of N rows, K canvases, P photos. A table may lack
# the last, and then neither file nor hash knows of it.
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
OPTIONAL = ("milliseconds",)
ROWS = tuple(name for name, (_, shape) in ARRAYS.items() if shape[0] == "N")
"""Names of the arrays that have a row for each sketch."""
TEXTS = ("dataset", "dataset_hash", "student", "student_hash")
OBJECTS = ("gallery_size", "meta")
FIELDS = (*TEXTS, *OBJECTS)


def check_canvases(canvases: Iterable[int]) -> tuple[int, ...]:
    """The canvases as a tuple of int; ValueError unless they are integers, some, above zero and rising."""
    try:
        sides = tuple(canvases)
    except TypeError:
        raise ValueError(f"canvases must be a sequence of sides in pixels, got {canvases!r}") from None
    if not all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in sides):
        raise ValueError(f"canvases must be integers, sides in pixels, got {sides!r}")
    if not sides:
        raise ValueError("canvases is empty: name at least one")
    if any(low >= high for low, high in pairwise(sides)) or sides[0] < 1:
        raise ValueError(f"canvases must be above zero and rise without repeating, got {tuple(map(int, sides))}")
    return tuple(int(side) for side in sides)


def check_columns(table: OutcomeTable) -> None:
    """Raise TableError for the first thing that cannot be."""
    for name in TEXTS:
        if not isinstance(getattr(table, name), str) or not getattr(table, name):
            raise TableError(f"{name} must be a string, not empty")
    sizes = check_shapes(shapes_of(table._arrays()), ARRAYS)
    if 0 in sizes.values():
        raise TableError("the table is empty: no sketch, no canvas or no photo")
    _check_columns(table)
    _check_rows(table)
    _check_outcomes(table)
    check_meta(table.meta)


def _check_columns(table: OutcomeTable) -> None:
    try:
        check_canvases(table.canvases.tolist())
    except ValueError as error:
        raise TableError(str(error)) from None
    if not np.isfinite(table.flops).all() or (table.flops <= 0).any():
        raise TableError("flops must be finite and above zero")
    if (np.diff(table.flops) < 0).any():
        raise TableError(f"flops must not fall as the canvas grows, got {table.flops.tolist()}")
    if table.milliseconds is not None:
        if not np.isfinite(table.milliseconds).all() or (table.milliseconds <= 0).any():
            raise TableError("milliseconds must be finite and above zero")
        measured = table.meta.get("latency")
        if not isinstance(measured, Mapping) or not measured.get("machine"):
            raise TableError(
                'milliseconds mean nothing without the machine: meta["latency"]["machine"] must describe it'
            )
    margin = table.meta.get("triplet_margin", rules.TRIPLET_MARGIN)
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < math.inf:
        raise TableError(f"meta's triplet_margin must be a finite number, not negative, got {margin!r}")


def _check_rows(table: OutcomeTable) -> None:
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


def _check_outcomes(table: OutcomeTable) -> None:
    places = Places(table.photos)
    for rows in blocks(len(table)):
        true = places.of(table.photo_ids[rows])
        if (true < 0).any():
            lacking = str(table.photo_ids[rows][true < 0][0])
            raise TableError(f"photo_ids names {lacking!r}, which is not among photos")
        _check_block(table, rows, true[:, None])


def _check_block(table: OutcomeTable, rows: slice, true: npt.NDArray[np.int64]) -> None:
    """The outcomes of some rows; (n, 1) `true` are their true photos' places in `photos`."""
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
    # A shuffled column would pass every check so far. Ties count against the true photo, so a rank of five or
    # less means that it is among the five nearest, and a rank of one that it is the nearest.
    if ((ranks == 1) & (top[..., 0] != true)).any() or ((ranks <= TOP) & ~(top == true[..., None]).any(axis=-1)).any():
        raise TableError("ranks and top contradict each other: a true photo ranked among the first is not in top")
