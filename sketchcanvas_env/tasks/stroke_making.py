"""How the task of `SketchCanvasStroke-v0` is made: its arguments, the table of prefixes, and what is shown of them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.prefixes import PrefixTable, drawing_steps
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.features import batch_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import batch_thumbnails
from sketchcanvas_env.storage.table_file import TableError
from sketchcanvas_env.tasks.arguments import Arguments, path_or
from sketchcanvas_env.tasks.canvas import Task
from sketchcanvas_env.tasks.canvas_making import CanvasArguments, find_table
from sketchcanvas_env.tasks.episodes import IntArray, fixed
from sketchcanvas_env.tasks.stroke import StrokeTask

STROKE_COST = 0.5
"""What waiting for a whole drawing costs by default: `SketchCanvasStrokeEnv` says why that much."""


@dataclass(frozen=True, kw_only=True)
class StrokeArguments(Arguments):
    """The arguments of `SketchCanvasStroke-v0`.

    Attributes:
        stroke_cost: what waiting for a whole drawing costs, finite, not negative.
        prefixes: path of a table of prefixes, or the table; None for the one beside the outcome table.
    """

    stroke_cost: float = STROKE_COST
    prefixes: str | os.PathLike[str] | PrefixTable | None = None

    def __post_init__(self) -> None:
        """Check and normalise."""
        super().__post_init__()
        cost = self.stroke_cost
        if isinstance(cost, bool) or not isinstance(cost, int | float | np.integer | np.floating):
            raise ValueError(f"stroke_cost must be a number, got {cost!r}")
        if not 0.0 <= cost < math.inf:
            raise ValueError(f"stroke_cost must be finite and not negative, got {cost!r}")
        prefixes = path_or(PrefixTable, self.prefixes, "prefixes", "a table of prefixes")
        self._set(stroke_cost=float(cost), prefixes=prefixes)

    def make(self) -> StrokeTask:
        """The task; equal arguments give the same object.

        Raises:
            ValueError: an argument that names something that does not exist, a canvas at which nobody looked at
                unfinished drawings.
            FileNotFoundError: no file at `table` or `prefixes`, or no prefixes beside the outcome table; the message
                says how to make them.
            TableError: prefixes that do not belong to the outcome table or to the data set.
        """
        task = CanvasArguments.shared_by(self).make()
        whole = find_table(task.dataset, self)
        return _stroke_task(task, whole, PrefixTable.resolve(self.prefixes, whole, self.table), self)


def make_stroke_task(**arguments: Any) -> StrokeTask:
    """The task of `SketchCanvasStroke-v0`.

    Args:
        arguments: those of `StrokeArguments`, which says what is raised.
    """
    return StrokeArguments(**arguments).make()


@lru_cache(maxsize=32)
def _stroke_task(task: Task, whole: OutcomeTable, found: PrefixTable, arguments: StrokeArguments) -> StrokeTask:
    missing = sorted(set(task.canvases) - set(found.canvases.tolist()))
    if missing:
        raise ValueError(
            f"nobody looked at unfinished drawings at canvas {', '.join(map(str, missing))}: there are "
            f"{', '.join(map(str, found.canvases.tolist()))}"
        )
    columns = np.searchsorted(found.canvases, task.canvases)
    rows = np.flatnonzero(whole.split == task.split)  # as OutcomeTable.select takes them
    steps = found.steps[rows]
    first = np.cumsum(steps) - steps
    at = np.repeat(found.first[rows] - first, steps) + np.arange(steps.sum())
    split = task.index.tobytes()
    points, stats, strokes = _drawn(task.dataset, split, task.max_points)
    shares = strokes / np.repeat(found.strokes[rows], steps) if len(strokes) == len(at) else strokes
    if not np.array_equal(shares, found.share[at]):
        raise TableError("the prefixes are of drawings with other numbers of strokes than the data set's")
    # Without a look all photos are alike: ties count against the student, and d_true - d_other is 0 for each.
    ranks = np.append(found.ranks[at][:, columns], whole.gallery_size[task.split]).astype(np.int64)
    triplet = np.append(found.triplet[at][:, columns], np.float64(whole.margin))
    near = found.distances[at][:, columns].reshape(-1, TOP).clip(0.0, rules.MAX_DISTANCE)
    none = np.full((1, TOP), -1, dtype=np.int32)
    return StrokeTask(
        task=task,
        stroke_cost=arguments.stroke_cost,
        steps=fixed(steps),
        first=fixed(first),
        share=fixed(found.share[at]),
        strokes=strokes,
        points=points,
        stats=stats,
        ranks=fixed(ranks),
        triplet=fixed(triplet),
        acc=fixed(rules.accuracy_reward(ranks, triplet, task.rank_weight, task.triplet_weight)),
        top=fixed(np.concatenate([found.top[at][:, columns].reshape(-1, TOP), none])),
        signals=fixed(np.pad(np.column_stack([near, near[:, 1] - near[:, 0]]), ((0, 1), (0, 0)))),
        arguments=arguments,
        thumbnails=_thumbnails(task.dataset, split) if arguments.thumbnail else None,
    )


@lru_cache(maxsize=4)
def _drawn(
    dataset: SketchDataset, index: bytes, max_points: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], IntArray]:
    """Points, stats and numbers of strokes of all prefixes of the data set's rows in `index`."""
    drawings = _drawings(dataset, index)
    points = np.stack([drawing.to_stroke5(max_points).ravel() for drawing in drawings])
    strokes = np.array([drawing.n_strokes for drawing in drawings], dtype=np.int64)
    return fixed(points), fixed(batch_features(drawings)), fixed(strokes)


@lru_cache(maxsize=4)
def _thumbnails(dataset: SketchDataset, index: bytes) -> npt.NDArray[np.float32]:
    """Thumbnails of the same prefixes."""
    return fixed(batch_thumbnails(_drawings(dataset, index)))


def _drawings(dataset: SketchDataset, index: bytes) -> list[VectorSketch]:
    return [each for row in np.frombuffer(index, dtype=np.int64) for each in drawing_steps(dataset.sketch(int(row)))]
