"""The pilot study: accuracy against canvas size, for sketches and for photos as queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.evaluation import bootstrap
from agents.evaluation.bootstrap import FloatArray, Interval
from agents.evaluation.evaluate import jsonable
from agents.studies.students import origin_of
from sketchcanvas_env.data import SketchDataset
from students.network.embedder import Student
from students.tables.evaluation import StudentRow, evaluate_student, photo_ranks_of


@dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy of one kind of query against canvas size.

    Attributes:
        queries: the kind of query: "sketches", "sketches, level 2" or "photos".
        n: number of queries.
        acc1: by canvas side, share of queries whose true photo comes first, with its 95 % interval over photos.
        right_small: share right at the smallest canvas, with interval.
        right_small_of_large: share right at the smallest among those right at the largest, with interval; nan if none
            is right there.
    """

    queries: str
    n: int
    acc1: dict[int, tuple[float, Interval]]
    right_small: tuple[float, Interval]
    right_small_of_large: tuple[float, Interval]


@dataclass(frozen=True)
class PilotResult:
    """Accuracy of one student against canvas size, for sketches and for photos as queries.

    Attributes:
        row: ranks of the sketches; only its origin is part of the JSON.
        photo_side: side that the gallery's photos are embedded at, pixels.
        photo_ranks: by canvas side, the rank of every gallery photo with itself as the query; not part of the JSON.
        curves: of all sketches, of each level where there are several, of photos.
    """

    row: StudentRow
    photo_side: int
    photo_ranks: dict[int, tuple[int, ...]]
    curves: tuple[AccuracyCurve, ...]

    def to_json(self) -> dict[str, Any]:
        """The settings, curves and origin as JSON-able values."""
        row = self.row
        values: dict[str, Any] = jsonable(
            {
                "dataset": row.dataset,
                "dataset_hash": row.dataset_hash,
                "split": row.split,
                "gallery": row.gallery,
                "photo_side": self.photo_side,
                "curves": [asdict(curve) for curve in self.curves],
                "provenance": origin_of(row),
            }
        )
        return values


def pilot(
    student: Student,
    dataset: SketchDataset,
    split: str,
    canvases: Sequence[int] | None = None,
    *,
    card: dict[str, Any],
    resamples: int = bootstrap.RESAMPLES,
    command: str = "",
    progress: bool = False,
) -> PilotResult:
    """Rank the gallery for sketches and for photos at every canvas.

    Args:
        student: frozen.
        dataset: sketches and photos.
        split: whose sketches and gallery.
        canvases: sides, rising; all of the student's when None.
        card: the student's.
        resamples: of the bootstrap.
        command: the command line that reproduces the study, for the origin.
        progress: show progress bars on standard error.

    Raises:
        ValueError: as `students.tables.evaluation.evaluate_student`.
    """
    row = evaluate_student(student, dataset, split, canvases, card=card, command=command, progress=progress)
    photo_ranks = photo_ranks_of(student, dataset, split, row.canvases, progress)
    ranks = np.column_stack([row.ranks[side] for side in row.canvases])
    photos, level = np.array(row.photo_ids), dataset.level[dataset.indices(split)]
    levels = np.unique(level).tolist()

    def curve(queries: str, own_ranks: npt.NDArray[Any], clusters: npt.NDArray[Any]) -> AccuracyCurve:
        return _curve(queries, own_ranks == 1, clusters, row.canvases, resamples)

    return PilotResult(
        row=row,
        photo_side=student.config.photo_side,
        photo_ranks={side: tuple(photo_ranks[:, k].tolist()) for k, side in enumerate(row.canvases)},
        curves=(
            curve("sketches", ranks, photos),
            *(
                curve(f"sketches, level {one}", ranks[level == one], photos[level == one])
                for one in (levels if len(levels) > 1 else [])
            ),
            curve("photos", photo_ranks, dataset.gallery(split)),
        ),
    )


def _curve(
    queries: str,
    right: npt.NDArray[np.bool_],
    clusters: npt.NDArray[Any],
    canvases: tuple[int, ...],
    resamples: int,
) -> AccuracyCurve:
    """The curve of (n, K) booleans, whether the true photo came first."""
    both = right[:, :1] & right[:, -1:]
    columns = np.column_stack([right, both]).astype(np.float64)
    sampled = bootstrap.resampled_means(columns, clusters, resamples)
    means = columns.mean(axis=0)
    acc1 = {side: (float(means[k]), bootstrap.interval(sampled[:, k])) for k, side in enumerate(canvases)}
    of_large = float(_ratio(means[-1], means[-2])), bootstrap.interval(_ratio(sampled[:, -1], sampled[:, -2]))
    return AccuracyCurve(queries, len(right), acc1, acc1[canvases[0]], of_large)


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> FloatArray:
    """part / whole; nan where the whole is 0."""
    whole = np.asarray(whole, dtype=np.float64)
    return np.where(whole > 0, np.asarray(part) / np.where(whole > 0, whole, 1.0), np.nan)
