"""What an environment offers, made ready once: observations, outcomes and rewards as arrays to look up.

The single and the vector environment are two ways to step through the same `Task`; neither computes a reward
of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env import data
from sketchcanvas_env.data import RECOGNITION, RETRIEVAL, TASKS, SketchDataset, check_split
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.table import (
    OutcomeTable,
    best_columns,
    check_canvases,
    check_dataset,
    load_cached,
    load_table,
)
from sketchcanvas_env.sketches.raster import check_side
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.names import Places, blocks
from sketchcanvas_env.storage.table_file import TableError
from sketchcanvas_env.tasks.live import Retriever
from sketchcanvas_env.tasks.observations import stroke_observations

MAX_POINTS = 5_000
"""The most points an observation may have room for."""

POINT_SIZE = 5
"""Numbers in a stroke-5 row: x, y, p1, p2, p3."""

RENDER_MODES = ("rgb_array", "ansi")

DEFAULT_CANVASES = (32, 64, 128, 256)


@dataclass(frozen=True, eq=False)
class Lookup:
    """What each choice is worth, for n sketches and the K canvases on offer.

    Attributes:
        table: outcomes of these sketches at these canvases.
        acc: (n, K) float64, R_acc.
        rewards: (n, K) float64.
        oracle: (n,) int64, the best action.
        regret: (n, K) float64, reward of the oracle less that of the action.
    """

    table: OutcomeTable
    acc: npt.NDArray[np.float64]
    rewards: npt.NDArray[np.float64]
    oracle: npt.NDArray[np.int64]
    regret: npt.NDArray[np.float64]


class Judged(NamedTuple):
    """What some choices are worth, each at a tradeoff of its own.

    Attributes:
        reward: (N,) float64.
        oracle: (N,) int64, the best action, the cheapest of equals.
        regret: (N,) float64, reward of that action less that of the choice.
    """

    reward: npt.NDArray[np.float64]
    oracle: npt.NDArray[np.int64]
    regret: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Task:
    """One split of one data set, the canvases on offer, what each choice is worth; shared and read-only.

    Attributes:
        dataset: where sketches and photos come from.
        split: the split's name.
        canvases: (K,) sides on offer.
        flops: (K,) float64, FLOPs (2 x MAC) of each.
        costs: (K,) float64, what the reward charges for each, q_j: FLOPs or milliseconds, as `cost` says.
        index: (n,) int64, row of each sketch in the data set.
        points: (n, max_points * 5) float32, stroke-5 rows one after another.
        stats: (n, F) float32, `features.stroke_features`.
        comp: (K,) float64, R_comp.
        limits: bounds of R_acc and of R_comp, each (low, high).
        tradeoff: weight of R_comp.
        rank_weight: weight of 1 / rank.
        triplet_weight: weight of the triplet loss.
        cost: what is charged, a key of `reward.COSTS`.
        lookup: what each choice is worth; None in live mode.
        retriever: computes outcomes in live mode, else None.
        recipe: the arguments of `make_task`.
    """

    dataset: SketchDataset
    split: str
    canvases: tuple[int, ...]
    flops: npt.NDArray[np.float64]
    costs: npt.NDArray[np.float64]
    index: npt.NDArray[np.int64]
    points: npt.NDArray[np.float32]
    stats: npt.NDArray[np.float32]
    comp: npt.NDArray[np.float64]
    limits: tuple[tuple[float, float], tuple[float, float]]
    tradeoff: float
    rank_weight: float
    triplet_weight: float
    cost: str = "flops"
    lookup: Lookup | None = None
    retriever: Retriever | None = None
    recipe: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Number of sketches, n."""
        return len(self.index)

    @property
    def max_points(self) -> int:
        """Number of points that an observation has room for."""
        return int(self.points.shape[1]) // POINT_SIZE

    @property
    def table(self) -> OutcomeTable | None:
        """Outcomes of these sketches at these canvases; None in live mode."""
        return None if self.lookup is None else self.lookup.table

    @cached_property
    def sketch_ids(self) -> npt.NDArray[np.str_]:
        """(n,) names of the sketches."""
        return fixed(self.dataset.sketch_ids[self.index])

    @cached_property
    def photo_ids(self) -> npt.NDArray[np.str_]:
        """(n,) names of their true photos."""
        return fixed(self.dataset.photo_ids[self.index])

    def sketch(self, row: int) -> VectorSketch:
        """The drawing in row `row` of the split."""
        return self.dataset.sketch(int(self.index[row]))

    def __deepcopy__(self, memo: dict[int, Any]) -> Task:
        """Itself: nothing in it can be changed."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments that it was made from; what they name is read again by the reader."""
        return _from_recipe, (self.recipe,)

    def judge(
        self, rows: npt.NDArray[np.int64], choices: npt.NDArray[np.int64], tradeoffs: npt.NDArray[np.floating]
    ) -> Judged:
        """What choices are worth where each episode has a tradeoff of its own; `lookup` has it for `tradeoff`.

        Args:
            rows: (N,) rows of the split.
            choices: (N,) actions.
            tradeoffs: (N,) weights of R_comp.

        Raises:
            ValueError: a tradeoff outside [0, 1], or live mode, in which only the choice that is made is known.
        """
        if self.lookup is None:
            raise ValueError("in live mode the other canvases' outcomes are not known")
        rewards = rules.reward(self.lookup.acc.take(rows, axis=0), self.comp, tradeoffs[:, None])
        oracle = best_columns(rewards, self.costs)
        each = np.arange(len(rewards))
        chosen = rewards[each, choices]
        return Judged(chosen, oracle, rewards[each, oracle] - chosen)

    def reward_range(self, tradeoff: float | npt.NDArray[np.floating]) -> tuple[float, float]:
        """Bounds of the reward at a tradeoff, or at all of several."""
        # The gallery of a retriever is its own: a rank has no limit there, so 1 / rank goes down to zero.
        gallery = np.inf if self.table is None else self.table.gallery_size[self.split]
        margin = rules.TRIPLET_MARGIN if self.table is None else self.table.margin
        return rules.reward_range(self.costs, gallery, tradeoff, self.rank_weight, self.triplet_weight, margin)

    def observation_space(self, with_tradeoff: bool = False) -> spaces.Dict:
        """Space of one observation, with the episode's tradeoff or without."""
        parts = {"points": self.points.shape[1], "stats": self.stats.shape[1]}
        if with_tradeoff:
            parts["tradeoff"] = 1
        return spaces.Dict({name: spaces.Box(0.0, 1.0, (size,), np.float32) for name, size in parts.items()})

    def action_space(self) -> spaces.Discrete:
        """Space of one action."""
        return spaces.Discrete(len(self.canvases))

    def reward_space(self) -> spaces.Box:
        """Space of `info["reward_vector"]`, (R_acc, R_comp)."""
        acc, comp = self.limits
        bounds = np.array([acc, comp], dtype=np.float64)
        slack = 1e-12 * np.maximum(1.0, np.abs(bounds).max(axis=1))
        return spaces.Box(bounds[:, 0] - slack, bounds[:, 1] + slack, dtype=np.float64)


class OfTask:
    """What a task consists of, as attributes of an environment that has one in `task`.

    Attributes:
        task: the task.
        preferences: (low, high) between which each episode's tradeoff is drawn, None where all share the task's.
    """

    task: Task
    preferences: tuple[float, float] | None = None

    @property
    def canvases(self) -> tuple[int, ...]:
        """Sides on offer, in pixels, one for each action."""
        return self.task.canvases

    @property
    def flops(self) -> npt.NDArray[np.float64]:
        """(K,) FLOPs (2 x MAC) of each canvas."""
        return self.task.flops

    @property
    def costs(self) -> npt.NDArray[np.float64]:
        """(K,) what the reward charges for each canvas, in `cost_unit`."""
        return self.task.costs

    @property
    def cost_unit(self) -> str:
        """Unit of `costs`, of `info["cost"]` and of q_j: "FLOPs" or "ms"."""
        return rules.COSTS[self.task.cost]

    @property
    def dataset(self) -> SketchDataset:
        """Where sketches and photos come from."""
        return self.task.dataset

    @property
    def table(self) -> OutcomeTable | None:
        """Outcomes of the split's sketches at the canvases on offer, by `sketch_index`; None in live mode."""
        return self.task.table

    @property
    def sketch_ids(self) -> npt.NDArray[np.str_]:
        """(n,) names of the split's sketches, by `sketch_index`."""
        return self.task.sketch_ids

    @property
    def photo_ids(self) -> npt.NDArray[np.str_]:
        """(n,) names of the true photos, by `sketch_index`."""
        return self.task.photo_ids

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds that no reward of this environment leaves."""
        return self.task.reward_range(self.task.tradeoff if self.preferences is None else np.array(self.preferences))


def make_task(
    *,
    dataset: str | SketchDataset = "emoji",
    split: str = "train",
    task: str = RETRIEVAL,
    student: str | None = None,
    canvases: Sequence[int] = DEFAULT_CANVASES,
    tradeoff: float = 0.2,
    rank_weight: float = 1.0,
    triplet_weight: float = 0.1,
    cost: str = "flops",
    max_points: int = 200,
    table: str | os.PathLike[str] | OutcomeTable | None = None,
    retriever: Retriever | None = None,
) -> Task:
    """Check an environment's arguments and make its task ready. Equal arguments give the same object.

    Args:
        dataset: name of a data set, or a data set.
        split: one of its splits.
        task: "retrieval" takes the data set as it is, "recognition" ranks classes (`data.recognition`).
        student: whose outcomes; None for the data set's default student, or for whoever's `table` it is.
        canvases: sides on offer, rising.
        tradeoff: weight of cost against accuracy, in [0, 1].
        rank_weight: weight of 1 / rank, not negative.
        triplet_weight: weight of the triplet loss, not negative.
        cost: what the reward charges, "flops" or "latency".
        max_points: room for points in an observation, 2 to `MAX_POINTS`.
        table: path of an outcome table, or a table, instead of the shipped one.
        retriever: live mode; excludes `table` and `student`.

    Returns:
        The task.

    Raises:
        ValueError: an argument that is out of range or names something that does not exist (the message says
            what exists), or latency that nobody measured (it says how to).
        FileNotFoundError: no file at `table`.
    """
    rules.check_tradeoff(tradeoff)
    rules.check_weights(rank_weight, triplet_weight)
    rules.check_cost(cost)
    sides = check_canvases(canvases)
    for side in sides:
        check_side(side)
    whole = isinstance(max_points, int | np.integer) and not isinstance(max_points, bool)
    if not whole or not 2 <= max_points <= MAX_POINTS:
        raise ValueError(f"max_points must be an integer from 2 to {MAX_POINTS}, got {max_points!r}")
    if not isinstance(split, str):
        raise ValueError(f"split must be a name, got {split!r}")
    if not isinstance(task, str) or task not in TASKS:
        raise ValueError(f"unknown task {task!r}: there are {', '.join(TASKS)}")
    if isinstance(table, bytes) or not isinstance(table, str | os.PathLike | OutcomeTable | None):
        raise ValueError(f"table must be the path of an outcome table, got {type(table).__name__}")
    recipe = {
        "dataset": dataset,
        "split": split,
        "task": task,
        "student": student,
        "canvases": sides,
        "tradeoff": float(tradeoff),
        "rank_weight": float(rank_weight),
        "triplet_weight": float(triplet_weight),
        "cost": cost,
        "max_points": int(max_points),
        "table": table,
        "retriever": retriever,
    }
    if not isinstance(dataset, str | SketchDataset):
        raise ValueError(f"dataset must be a name or a SketchDataset, got {type(dataset).__name__}")
    source = data.load(dataset) if isinstance(dataset, str) else dataset
    if task == RECOGNITION:
        source = data.recognition(source)
    if retriever is not None:
        if table is not None or student is not None:
            raise ValueError("retriever computes the outcomes itself: give it without table and without student")
        return _live_task(source, check_split(split), sides, retriever, recipe)
    return _table_task(
        find_table(source, student, table),
        source,
        split,
        sides,
        cost=cost,
        **_numbers(recipe),
        recipe=_Hidden(recipe),
    )


def checked_preferences(preferences: Sequence[float] | None) -> tuple[float, float] | None:
    """The range of an environment's tradeoffs, rounded to float32 as observations are; None stays None.

    Raises:
        ValueError: anything but two numbers with 0 <= low <= high <= 1.
    """
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


def find_table(
    dataset: SketchDataset, student: str | None, table: str | os.PathLike[str] | OutcomeTable | None
) -> OutcomeTable:
    """The whole table that arguments of `make_task` speak of, which raises what `make_task` raises about it."""
    if table is None:
        found = load_table(dataset.name, student)
    else:
        found = table if isinstance(table, OutcomeTable) else load_cached(table)
        if student is not None and student != found.student:
            raise ValueError(f"the table holds outcomes of student {found.student!r}, not of {student!r}")
    check_dataset(found, dataset)
    return found


def _numbers(recipe: dict[str, Any]) -> dict[str, Any]:
    return {name: recipe[name] for name in ("tradeoff", "rank_weight", "triplet_weight", "max_points")}


def _from_recipe(recipe: dict[str, Any]) -> Task:
    return make_task(**recipe)


class _Hidden:
    """A value that a cache does not look at."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hidden)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=32)
def _table_task(
    table: OutcomeTable,
    dataset: SketchDataset,
    split: str,
    canvases: tuple[int, ...],
    *,
    cost: str,
    tradeoff: float,
    rank_weight: float,
    triplet_weight: float,
    max_points: int,
    recipe: _Hidden,
) -> Task:
    chosen = table.select(split, canvases)
    costs = chosen.costs(cost)
    index = _rows_of(chosen, dataset)
    points, stats = _observations(dataset, split, index, max_points)
    rewards = chosen.rewards(tradeoff, rank_weight, triplet_weight, cost)
    oracle = chosen.oracle(tradeoff, rank_weight, triplet_weight, cost)
    best = np.take_along_axis(rewards, oracle[:, None], axis=1)
    gallery = chosen.gallery_size[split]
    return Task(
        dataset=dataset,
        split=split,
        canvases=canvases,
        flops=chosen.flops,
        costs=costs,
        index=fixed(index),
        points=points,
        stats=stats,
        comp=fixed(rules.compute_reward(costs)),
        limits=_limits(costs, gallery, rank_weight, triplet_weight, chosen.margin),
        tradeoff=tradeoff,
        rank_weight=rank_weight,
        triplet_weight=triplet_weight,
        cost=cost,
        lookup=Lookup(
            table=chosen,
            acc=fixed(rules.accuracy_reward(chosen.ranks, chosen.triplet, rank_weight, triplet_weight)),
            rewards=fixed(rewards),
            oracle=fixed(oracle),
            regret=fixed(best - rewards),
        ),
        recipe=recipe.value,
    )


def _live_task(
    dataset: SketchDataset,
    split: str,
    canvases: tuple[int, ...],
    retriever: Retriever,
    recipe: dict[str, Any],
) -> Task:
    have = check_canvases(retriever.canvases)
    missing = [side for side in canvases if side not in have]
    if missing:
        raise ValueError(
            f"the retriever has no canvas {', '.join(map(str, missing))}, it has {', '.join(map(str, have))}"
        )
    columns = [have.index(side) for side in canvases]
    flops = _live_costs(retriever, "flops", len(have))[columns]
    costs = _live_costs(retriever, recipe["cost"], len(have))[columns]
    numbers = _numbers(recipe)
    index = dataset.some_indices(split)
    points, stats = _observations(dataset, split, index, numbers.pop("max_points"))
    return Task(
        dataset=dataset,
        split=split,
        canvases=canvases,
        flops=fixed(flops),
        costs=fixed(costs),
        index=fixed(index),
        points=points,
        stats=stats,
        comp=fixed(rules.compute_reward(costs)),
        # The retriever's gallery is its own: a rank has no limit here, so 1 / rank goes down to zero.
        limits=_limits(costs, np.inf, numbers["rank_weight"], numbers["triplet_weight"], rules.TRIPLET_MARGIN),
        cost=recipe["cost"],
        retriever=retriever,
        recipe=recipe,
        **numbers,
    )


def _live_costs(retriever: Retriever, cost: str, n: int) -> npt.NDArray[np.float64]:
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


def _limits(
    costs: npt.NDArray[np.float64],
    gallery: float,
    rank_weight: float,
    triplet_weight: float,
    margin: float,
) -> tuple[tuple[float, float], tuple[float, float]]:
    comp = rules.compute_reward(costs)
    return (
        rules.accuracy_range(gallery, rank_weight, triplet_weight, margin),
        (float(comp.min()), float(comp.max())),
    )


def _rows_of(table: OutcomeTable, dataset: SketchDataset) -> npt.NDArray[np.int64]:
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


# ---------------------------------------------------------------- observations


@dataclass(frozen=True)
class _ByHash:
    """A data set that a cache tells from others by its content."""

    hash: str
    dataset: SketchDataset = field(compare=False)


@lru_cache(maxsize=12)
def _split_observations(
    source: _ByHash, split: str, max_points: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return stroke_observations(source.dataset, split, max_points)


def split_observations(
    dataset: SketchDataset, split: str, max_points: int = 200
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Observations of every sketch of a split, in the order of `dataset.indices(split)`.

    They are computed once in a process for each content of a data set.

    Args:
        dataset: the data set.
        split: one of its splits.
        max_points: room for points.

    Returns:
        Read-only float32 arrays: points (n, max_points * 5) and stats (n, F).

    Raises:
        ValueError: unknown split, or one without sketches.
    """
    dataset.some_indices(split)
    return _split_observations(_ByHash(dataset.hash, dataset), split, max_points)


def _observations(
    dataset: SketchDataset, split: str, index: npt.NDArray[np.int64], max_points: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Observations of the given rows of the data set, all of them in `split`."""
    points, stats = split_observations(dataset, split, max_points)
    rows = np.searchsorted(dataset.indices(split), index)
    if len(rows) == len(points) and (rows == np.arange(len(rows))).all():
        return points, stats
    return fixed(points[rows]), fixed(stats[rows])


def fixed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, contiguous and read-only; a view of another's memory is copied first."""
    own = np.ascontiguousarray(array)
    if own is array and own.base is not None:
        own = own.copy()
    own.flags.writeable = False
    return own
