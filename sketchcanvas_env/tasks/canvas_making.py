"""How the task of `SketchCanvas-v0` is made: its arguments, the table that they name, observations and rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchcanvas_env import data
from sketchcanvas_env.data import RECOGNITION, SketchDataset, check_split
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.outcomes.finding import check_dataset, load_table
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.names import Places, blocks
from sketchcanvas_env.storage.table_file import TableError
from sketchcanvas_env.tasks.arguments import DEFAULT_DATASET, Arguments
from sketchcanvas_env.tasks.canvas import Lookup, Task
from sketchcanvas_env.tasks.episodes import FloatArray, IntArray, fixed
from sketchcanvas_env.tasks.live import LiveTask, Retriever
from sketchcanvas_env.tasks.observations import split_observations, split_thumbnails


@dataclass(frozen=True, kw_only=True)
class CanvasArguments(Arguments):
    """The arguments of `SketchCanvas-v0`.

    Attributes:
        dataset: as in `Arguments`; by default new drawings of known photos, "emoji" has new photos.
        retriever: computes outcomes in live mode; excludes `table` and `student`.
        preferences: (low, high) between which every episode's tradeoff is drawn; `tradeoff` then says nothing. Rounded
            to float32, as observations are. None: all episodes share `tradeoff`.
    """

    dataset: str | SketchDataset = DEFAULT_DATASET
    retriever: Retriever | None = None
    preferences: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Check and normalise."""
        super().__post_init__()
        self._set(preferences=_checked(self.preferences))
        if self.retriever is not None and (self.table is not None or self.student is not None):
            raise ValueError("retriever computes the outcomes itself: give it without table and without student")

    def make(self) -> Task:
        """The task; equal arguments give the same object, except in live mode.

        Raises:
            ValueError: an argument that names something that does not exist (the message says what exists), or latency
                that nobody measured (it says how to).
            FileNotFoundError: no file at `table`.
            TableError: a table that was made from other data.
        """
        source = data.load(self.dataset) if isinstance(self.dataset, str) else self.dataset
        if self.task == RECOGNITION:
            source = data.recognition(source)
        if self.retriever is not None:
            return _live_task(source, self.retriever, self)
        return _table_task(find_table(source, self), source, self)


def make_task(**arguments: Any) -> Task:
    """The task of `SketchCanvas-v0`.

    Args:
        arguments: those of `CanvasArguments`, which says what is raised.
    """
    return CanvasArguments(**arguments).make()


def find_table(dataset: SketchDataset, arguments: Arguments) -> OutcomeTable:
    """The whole table that arguments speak of, all splits and canvases.

    Raises:
        ValueError: no table of that data set and student.
        FileNotFoundError: no file at `table`.
        TableError: a damaged file, or one made from other data.
    """
    table, student = arguments.table, arguments.student
    if table is None:
        found = load_table(dataset.name, student)
    else:
        found = table if isinstance(table, OutcomeTable) else OutcomeTable.load_cached(table)
        if student is not None and student != found.student:
            raise ValueError(f"the table holds outcomes of student {found.student!r}, not of {student!r}")
    check_dataset(found, dataset)
    return found


def _checked(preferences: object) -> tuple[float, float] | None:
    """The range of an environment's tradeoffs; ValueError for anything but 0 <= low <= high <= 1."""
    if preferences is None:
        return None
    if isinstance(preferences, str | bytes) or not isinstance(preferences, Sequence) or len(preferences) != 2:
        raise ValueError(f"preferences must be (low, high), between which tradeoffs are drawn, got {preferences!r}")
    for end in preferences:
        rules.check_tradeoff(end)
    low, high = (float(np.float32(end)) for end in preferences)
    if low > high:
        raise ValueError(f"preferences must be (low, high) with low <= high, got {preferences!r}")
    return low, high


@lru_cache(maxsize=32)
def _table_task(table: OutcomeTable, dataset: SketchDataset, arguments: CanvasArguments) -> Task:
    chosen = table.select(arguments.split, arguments.canvases)
    index = _rows_of(chosen, dataset)
    weights = (arguments.rank_weight, arguments.triplet_weight)
    rewards = chosen.rewards(arguments.tradeoff, *weights, arguments.cost)
    oracle = chosen.oracle(arguments.tradeoff, *weights, arguments.cost)
    best = np.take_along_axis(rewards, oracle[:, None], axis=1)
    lookup = Lookup(
        table=chosen,
        acc=fixed(rules.accuracy_reward(chosen.ranks, chosen.triplet, *weights)),
        rewards=fixed(rewards),
        oracle=fixed(oracle),
        regret=fixed(best - rewards),
    )
    costs, gallery = chosen.costs(arguments.cost), chosen.gallery_size[arguments.split]
    about = _about(dataset, index, chosen.flops, costs, gallery, chosen.margin, arguments)
    return Task(**about, lookup=lookup)


def _live_task(dataset: SketchDataset, retriever: Retriever, arguments: CanvasArguments) -> LiveTask:
    check_split(arguments.split)
    have = check_canvases(retriever.canvases)
    missing = [side for side in arguments.canvases if side not in have]
    if missing:
        raise ValueError(
            f"the retriever has no canvas {', '.join(map(str, missing))}, it has {', '.join(map(str, have))}"
        )
    columns = [have.index(side) for side in arguments.canvases]
    flops = _live_costs(retriever, "flops", len(have))[columns]
    costs = _live_costs(retriever, arguments.cost, len(have))[columns]
    index = dataset.some_indices(arguments.split)
    # The retriever's gallery is its own: a rank has no limit here, so 1 / rank goes down to zero.
    about = _about(dataset, index, flops, costs, np.inf, rules.TRIPLET_MARGIN, arguments)
    return LiveTask(**about, lookup=None, retriever=retriever)


def _about(
    dataset: SketchDataset,
    index: IntArray,
    flops: FloatArray,
    costs: FloatArray,
    gallery: float,
    margin: float,
    arguments: CanvasArguments,
) -> dict[str, Any]:
    """The fields of a task that do not depend on outcomes."""
    split, weights = arguments.split, (arguments.rank_weight, arguments.triplet_weight)
    points, stats = split_observations(dataset, split, arguments.max_points)
    thumbnails = split_thumbnails(dataset, split) if arguments.thumbnail else None
    rows = np.searchsorted(dataset.indices(split), index)
    comp = rules.compute_reward(costs)
    return {
        "dataset": dataset,
        "split": split,
        "canvases": arguments.canvases,
        "flops": fixed(flops),
        "costs": fixed(costs),
        "index": fixed(index),
        "points": _rows(points, rows),
        "stats": _rows(stats, rows),
        "thumbnails": None if thumbnails is None else _rows(thumbnails, rows),
        "comp": fixed(comp),
        "limits": (rules.accuracy_range(gallery, *weights, margin), (float(comp.min()), float(comp.max()))),
        "tradeoff": arguments.tradeoff,
        "rank_weight": arguments.rank_weight,
        "triplet_weight": arguments.triplet_weight,
        "cost": arguments.cost,
        "preferences": arguments.preferences,
        "arguments": arguments,
    }


def _rows(array: npt.NDArray[np.float32], rows: IntArray) -> npt.NDArray[np.float32]:
    """Some rows of an array; the array itself, not copied, where that is all of them in order."""
    whole = len(rows) == len(array) and bool((rows == np.arange(len(rows))).all())
    return array if whole else fixed(array[rows])


def _live_costs(retriever: Retriever, cost: str, n: int) -> FloatArray:
    """What a retriever's n canvases cost, (n,)."""
    found = retriever.flops if cost == "flops" else getattr(retriever, "milliseconds", None)
    if found is None:
        raise ValueError(
            "the retriever has no latency: give it an attribute milliseconds, one number for each of its canvases "
            "(students.tables.latency.measure measures them)"
        )
    if len(found) != n:
        raise ValueError(f"the retriever has {n} canvases but {len(found)} costs")
    return np.array(found, dtype=np.float64)


def _rows_of(table: OutcomeTable, dataset: SketchDataset) -> IntArray:
    """Row in the data set of each sketch of the table; TableError where the two disagree."""
    rows = Places(dataset.sketch_ids).of(table.sketch_ids)
    lacking = np.flatnonzero(rows < 0)
    if lacking.size:
        name = str(table.sketch_ids[lacking[0]])
        raise TableError(f"the outcome table has sketch {name!r}, the data set {dataset.name!r} has not")
    for block in blocks(len(rows)):
        for column in ("photo_ids", "split"):
            wrong = np.flatnonzero(getattr(dataset, column)[rows[block]] != getattr(table, column)[block])
            if wrong.size:
                raise TableError(
                    f"the outcome table and data set {dataset.name!r} disagree on the {column} of sketch "
                    f"{str(table.sketch_ids[block][wrong[0]])!r}"
                )
    return rows
