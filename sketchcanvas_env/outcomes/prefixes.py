"""The table of prefixes: outcomes of unfinished drawings, after every step in which a sketch appears.

An outcome table has finished drawings only. On-the-fly retrieval (Bhunia et al., "Sketch Less for More: On-the-Fly
Fine-Grained Sketch Based Image Retrieval", CVPR 2020) ranks photos while a sketch is being drawn. Student, rasteriser
and gallery are fixed, so the outcomes are computed once and stored beside the outcome table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP, check_canvases
from sketchcanvas_env.outcomes.sidecar import SidecarTable, check_distances, gallery_sizes, true_photos
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.table_file import TableError

MAX_STEPS = 8
"""Most steps in which a drawing appears. Our choice: half of `emoji`'s drawings have five strokes or fewer."""

_HOW = "'python -m students.tables.prefixes --student NAME --table TABLE' builds them"


def strokes_drawn(n_strokes: int) -> npt.NDArray[np.int64]:
    """Number of strokes after each step of a drawing; the steps are as equal as whole strokes allow.

    Args:
        n_strokes: strokes of the whole drawing, at least 1.

    Returns:
        (T,) int64, ascending, T = min(n_strokes, `MAX_STEPS`); the last is `n_strokes`.

    Example:
        >>> strokes_drawn(3).tolist(), strokes_drawn(12).tolist()
        ([1, 2, 3], [2, 3, 5, 6, 8, 9, 11, 12])
    """
    steps = min(MAX_STEPS, n_strokes)
    return np.asarray(-(-np.arange(1, steps + 1) * n_strokes // steps), dtype=np.int64)


def drawing_steps(sketch: VectorSketch) -> list[VectorSketch]:
    """The drawing after each of its steps; the last is the whole sketch."""
    return [VectorSketch(sketch.strokes[:count]) for count in strokes_drawn(sketch.n_strokes).tolist()]


@dataclass(frozen=True, eq=False, repr=False)
class PrefixTable(SidecarTable):
    """Outcomes after every step of the N drawings of one outcome table.

    A drawing of T steps has T consecutive rows, in the order of the table's sketches; there are R rows in all.

    Attributes:
        outcomes_hash: `OutcomeTable.hash` of the whole table.
        canvases: (K,) int64, some of the table's, ascending.
        strokes: (N,) int32, strokes of each whole drawing.
        ranks: (R, K) int32, rank of the true photo, from 1.
        triplet: (R, K) float32, triplet loss.
        top: (R, K, 5) int32, nearest photos as indices into `OutcomeTable.photos`, -1 where the gallery has fewer.
        distances: (R, K, 5) float32, Euclidean distances to them, ascending, in [0, 2]; 2 where there is no photo.
        meta: provenance, JSON-able.

    Raises:
        TableError: wrong shapes, or values out of range.
    """

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
        """Steps of each drawing, (N,)."""
        return np.minimum(self.strokes, MAX_STEPS).astype(np.int64)

    @cached_property
    def first(self) -> npt.NDArray[np.int64]:
        """Row of each drawing's first step, (N,)."""
        return np.asarray(np.cumsum(self.steps) - self.steps)

    @cached_property
    def share(self) -> npt.NDArray[np.float64]:
        """Share of the drawing's strokes that are there after each step, (R,), in (0, 1]."""
        return np.concatenate([strokes_drawn(count) / count for count in self.strokes.tolist()])

    def _check(self, sizes: Mapping[str, int]) -> None:
        if not self.strokes.size or (self.strokes < 1).any():
            raise TableError("strokes must be a row of numbers of at least 1")
        if sizes["R"] != (rows := int(self.steps.sum())):
            raise TableError(f"ranks must have shape ({rows}, {sizes['K']}), got {self.ranks.shape}")
        check_canvases(self.canvases.tolist(), TableError)
        if (self.ranks < 1).any():
            raise TableError("ranks must not be below 1")
        if not np.isfinite(self.triplet).all() or (self.triplet < 0).any():
            raise TableError("triplet must be finite and not negative")
        check_distances(self.distances)
        if ((self.top < 0) & (self.distances != rules.MAX_DISTANCE)).any():
            raise TableError(f"distances must be {rules.MAX_DISTANCE:g} where the gallery has no photo")

    def check_against(self, table: OutcomeTable) -> None:
        """Check that the prefixes belong to an outcome table; see `SidecarTable.check_against`.

        The outcomes of whole drawings must be the table's.
        """
        if self.outcomes_hash != table.hash:
            raise TableError(
                f"the prefixes were made for another outcome table: hash {self.outcomes_hash[:12]} there, "
                f"{table.hash[:12]} of the table of {table.student!r} on {table.dataset!r}; {_HOW}"
            )
        if len(self) != len(table):
            raise TableError(f"prefixes of {len(self)} sketches for a table of {len(table)}")
        try:
            columns = table.columns(self.canvases.tolist())
        except ValueError as error:
            raise TableError(str(error)) from None
        whole = self.first + self.steps - 1
        for name in ("ranks", "triplet", "top"):
            if (getattr(self, name)[whole] != getattr(table, name)[:, columns]).any():
                raise TableError(f"the {name} of whole drawings are others than in the outcome table")
        owner = np.repeat(np.arange(len(self)), self.steps)
        if (self.ranks > gallery_sizes(table)[owner, None]).any():
            raise TableError("ranks must not be above the size of the split's gallery")
        if (self.triplet > rules.MAX_DISTANCE + table.margin + rules.DISTANCE_SLACK).any():
            raise TableError(f"triplet must not be above {rules.MAX_DISTANCE + table.margin:g}")
        if (self.top < -1).any() or (self.top >= len(table.photos)).any():
            raise TableError("top must hold indices into the table's photos, or -1")
        # Ties count against the true photo: a rank of five or less means that it is among the five nearest.
        true = true_photos(table)[owner, None, None]
        if ((self.ranks <= TOP) & ~(self.top == true).any(axis=-1)).any():
            raise TableError("ranks and top contradict each other: a true photo ranked among the first is not in top")
