"""What a frozen student makes of a sketch while it is being drawn: outcomes after every step of the drawing.

An outcome table speaks of finished drawings. On-the-fly retrieval (Bhunia et al., "Sketch Less for More: On-the-Fly
Fine-Grained Sketch Based Image Retrieval", CVPR 2020) looks earlier. Student, rasteriser and gallery being fixed, what
a look at the first strokes gives is a fact, too, computed once and stored in a file beside the table's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP, check_canvases
from sketchcanvas_env.outcomes.sidecar import Companion, check_distances, load_beside
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.table_file import TableError, check_shapes, shapes_of

MAX_STEPS = 8
"""The most steps in which a drawing appears. Our choice: half of `emoji`'s drawings have five strokes or fewer."""

_HOW = "'python -m students.tables.prefixes --student NAME --table TABLE' builds them"


def strokes_drawn(n_strokes: int) -> npt.NDArray[np.int64]:
    """How many strokes are there after each step of a drawing, in steps as equal as whole strokes allow.

    Args:
        n_strokes: strokes of the whole drawing, at least 1.

    Returns:
        (T,) int64, rising, T the smaller of `n_strokes` and `MAX_STEPS`; the last is `n_strokes`.

    Example:
        >>> strokes_drawn(3).tolist(), strokes_drawn(12).tolist()
        ([1, 2, 3], [2, 3, 5, 6, 8, 9, 11, 12])
    """
    steps = min(MAX_STEPS, n_strokes)
    return np.asarray(-(-np.arange(1, steps + 1) * n_strokes // steps), dtype=np.int64)


def drawing_steps(sketch: VectorSketch) -> list[VectorSketch]:
    """The drawing after each of its steps; the last is the sketch itself."""
    return [VectorSketch(sketch.strokes[:count]) for count in strokes_drawn(sketch.n_strokes).tolist()]


@dataclass(frozen=True, eq=False, repr=False)
class PrefixTable(Companion):
    """Outcomes after every step of every drawing; it belongs to one outcome table, sketch by sketch.

    A sketch of T steps has T rows, one after another, in the order of the table's sketches. Arrays are copied, checked
    and made read-only. `check_prefixes` holds it against its table.

    Attributes:
        outcomes_hash: `OutcomeTable.hash` of the whole table.
        canvases: (K,) int64, some of the table's, rising.
        strokes: (N,) int32, strokes of each whole drawing.
        ranks: (R, K) int32, rank of the true photo, from 1.
        triplet: (R, K) float32, triplet loss.
        top: (R, K, 5) int32, the nearest photos as indices into `OutcomeTable.photos`, -1 where the gallery has fewer.
        distances: (R, K, 5) float32, Euclidean distances to them, not falling, in [0, 2]; 2 where there is no photo.
        meta: where it comes from; JSON-able.

    Raises:
        TableError: shapes or ranges that cannot be.
    """

    # Shapes in terms of N sketches, K canvases, R prefixes of them all.
    ARRAYS: ClassVar = {
        "canvases": (np.int64, ("K",)),
        "strokes": (np.int32, ("N",)),
        "ranks": (np.int32, ("R", "K")),
        "triplet": (np.float32, ("R", "K")),
        "top": (np.int32, ("R", "K", TOP)),
        "distances": (np.float32, ("R", "K", TOP)),
    }
    SUFFIX: ClassVar = ".prefixes.npz"
    NAME: ClassVar = "table of prefixes"
    MISSING: ClassVar = f"no prefixes at {{path}}: unfinished drawings need more than an outcome table; {_HOW}"

    outcomes_hash: str
    canvases: npt.NDArray[np.int64]
    strokes: npt.NDArray[np.int32]
    ranks: npt.NDArray[np.int32]
    triplet: npt.NDArray[np.float32]
    top: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float32]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of sketches, N."""
        return len(self.strokes)

    @cached_property
    def steps(self) -> npt.NDArray[np.int64]:
        """(N,) steps of each drawing."""
        return np.minimum(self.strokes, MAX_STEPS).astype(np.int64)

    @cached_property
    def first(self) -> npt.NDArray[np.int64]:
        """(N,) row of each drawing's first step."""
        return np.asarray(np.cumsum(self.steps) - self.steps)

    @cached_property
    def share(self) -> npt.NDArray[np.float64]:
        """(R,) share of the drawing's strokes that are there after each step, in (0, 1]."""
        return np.concatenate([strokes_drawn(count) / count for count in self.strokes.tolist()])

    def _check(self) -> None:
        _check(self)

    def check_against(self, table: OutcomeTable) -> None:
        """As `check_prefixes`."""
        check_prefixes(self, table)


def _check(prefixes: PrefixTable) -> None:
    """Raise TableError for the first thing that cannot be, whatever the outcome table says."""
    if prefixes.strokes.ndim != 1 or not prefixes.strokes.size or (prefixes.strokes < 1).any():
        raise TableError("strokes must be a row of numbers of at least 1")
    check_shapes(shapes_of(prefixes._arrays()), prefixes.ARRAYS, R=int(prefixes.steps.sum()))
    try:
        check_canvases(prefixes.canvases.tolist())
    except ValueError as error:
        raise TableError(str(error)) from None
    if (prefixes.ranks < 1).any():
        raise TableError("ranks must not be below 1")
    if not np.isfinite(prefixes.triplet).all() or (prefixes.triplet < 0).any():
        raise TableError("triplet must be finite and not negative")
    check_distances(prefixes.distances)
    if ((prefixes.top < 0) & (prefixes.distances != rules.MAX_DISTANCE)).any():
        raise TableError(f"distances must be {rules.MAX_DISTANCE:g} where the gallery has no photo")


def check_prefixes(prefixes: PrefixTable, table: OutcomeTable) -> None:
    """Refuse prefixes that do not belong to an outcome table.

    Args:
        prefixes: the prefixes.
        table: the whole table, all rows and columns.

    Raises:
        TableError: made for another table, or at odds with it: a whole drawing's outcomes must be the table's.
    """
    if prefixes.outcomes_hash != table.hash:
        raise TableError(
            f"the prefixes were made for another outcome table: hash {prefixes.outcomes_hash[:12]} there, "
            f"{table.hash[:12]} of the table of {table.student!r} on {table.dataset!r}; {_HOW}"
        )
    if len(prefixes) != len(table):
        raise TableError(f"prefixes of {len(prefixes)} sketches for a table of {len(table)}")
    try:
        columns = table.columns(prefixes.canvases.tolist())
    except ValueError as error:
        raise TableError(str(error)) from None
    whole = prefixes.first + prefixes.steps - 1
    for name in ("ranks", "triplet", "top"):
        if (getattr(prefixes, name)[whole] != getattr(table, name)[:, columns]).any():
            raise TableError(f"the {name} of whole drawings are others than in the outcome table")
    gallery = np.array([table.gallery_size[name] for name in table.split.tolist()])
    owner = np.repeat(np.arange(len(prefixes)), prefixes.steps)
    if (prefixes.ranks > gallery[owner, None]).any():
        raise TableError("ranks must not be above the size of the split's gallery")
    if (prefixes.triplet > rules.MAX_DISTANCE + table.margin + rules.DISTANCE_SLACK).any():
        raise TableError(f"triplet must not be above {rules.MAX_DISTANCE + table.margin:g}")
    if (prefixes.top < -1).any() or (prefixes.top >= len(table.photos)).any():
        raise TableError("top must hold indices into the table's photos, or -1")
    # Ties count against the true photo: a rank of five or less means that it is among the five nearest.
    place = {photo: index for index, photo in enumerate(table.photos.tolist())}
    true = np.array([place[photo] for photo in table.photo_ids.tolist()])[owner]
    if ((prefixes.ranks <= TOP) & ~(prefixes.top == true[:, None, None]).any(axis=-1)).any():
        raise TableError("ranks and top contradict each other: a true photo ranked among the first is not in top")


# -------------------------------------------------------------------- finding files


def prefixes_path(table: str | os.PathLike[str]) -> Path:
    """Where the prefixes lie that belong to the outcome table in a file.

    Example:
        >>> prefixes_path("runs/mine.npz").as_posix()
        'runs/mine.prefixes.npz'
    """
    return PrefixTable.path_beside(table)


def load_prefixes(table: OutcomeTable, path: str | os.PathLike[str] | None = None) -> PrefixTable:
    """Read the prefixes of an outcome table, once in a process for each state of the file.

    Args:
        table: the whole table.
        path: the prefixes' file; None for the one that is shipped with the student's table.

    Returns:
        The prefixes.

    Raises:
        FileNotFoundError: no such file; the message says how to make it.
        TableError: a damaged file, or one that was made for another table.
    """
    return load_beside(PrefixTable, table, path)
