"""The task of `SketchCanvas-v0`: one choice of a canvas for each sketch.

The tasks of longer episodes hold a `Task`: the sketches of a split, the canvases on offer, their costs, and the rewards
of single looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env import data
from sketchcanvas_env.data import RECOGNITION, SketchDataset, check_split
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.outcomes.finding import check_dataset, load_table
from sketchcanvas_env.outcomes.hull import best_columns
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.names import Places, blocks
from sketchcanvas_env.storage.table_file import TableError
from sketchcanvas_env.tasks.arguments import DEFAULT_DATASET, Arguments
from sketchcanvas_env.tasks.episodes import (
    Advanced,
    Arrays,
    Episodes,
    FloatArray,
    IntArray,
    Look,
    Shown,
    fixed,
    look_up,
    only,
    widened,
)
from sketchcanvas_env.tasks.observations import split_observations, split_thumbnails
from sketchcanvas_env.tasks.retriever import Retriever

POINT_SIZE = 5
"""Numbers in a stroke-5 row: x, y, p1, p2, p3."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """Rewards of all choices, for n sketches and K canvases.

    Attributes:
        table: outcomes of these sketches at these canvases.
        acc: (n, K) float64, R_acc.
        rewards: (n, K) float64.
        oracle: (n,) int64, best action; ties go to the cheapest.
        regret: (n, K) float64, reward of the best action minus that of each action.
    """

    table: OutcomeTable
    acc: FloatArray
    rewards: FloatArray
    oracle: IntArray
    regret: FloatArray


class Choice(NamedTuple):
    """State of N episodes of one choice.

    Attributes:
        rows: (N,) int64, rows of the split.
        tradeoff: (N,) float32, the episodes' own tradeoffs; 0 and unused where all share the task's.
        action: (N,) int64, canvas chosen, -1 before the choice.
        outcome: (N,) int64, row * K + action after the choice, an index into flattened (n, K) arrays. In live mode (N,)
            objects of class `Outcome`.
        oracle: (N,) int64, best action, after the choice; not set in live mode.
        regret: (N,) float64, reward of the best action minus that of the choice, likewise.
    """

    rows: IntArray
    tradeoff: npt.NDArray[np.float32]
    action: IntArray
    outcome: npt.NDArray[Any]
    oracle: IntArray
    regret: FloatArray


@dataclass(frozen=True, eq=False)
class Task(Episodes[Choice]):
    """n sketches of one split, K canvases, and the reward of each choice. Shared and read-only.

    Attributes:
        arguments: the arguments it was made from: split, canvases, weights of the reward.
        dataset: the data set.
        table: outcomes of these sketches at these canvases; None in live mode.
        index: (n,) int64, row of each sketch in the data set.
        flops: (K,) float64, FLOPs (2 x MAC) of each canvas.
        costs: (K,) float64, q_j in the reward: FLOPs or milliseconds, as the argument `cost` says.
        points: (n, max_points * 5) float32, flattened stroke-5 rows.
        stats: (n, F) float32, `features.stroke_features`.
        thumbnails: (n, 256) float32, `thumbnail.thumbnail`; None where they are not observed.
    """

    arguments: CanvasArguments
    dataset: SketchDataset
    table: OutcomeTable | None
    index: IntArray
    flops: FloatArray
    costs: FloatArray
    points: npt.NDArray[np.float32]
    stats: npt.NDArray[np.float32]
    thumbnails: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Number of sketches, n."""
        return len(self.index)

    @property
    def task(self) -> Task:
        """Itself, for the protocol of `Episodes`."""
        return self

    @property
    def split(self) -> str:
        """Name of the split."""
        return self.arguments.split

    @cached_property
    def canvases(self) -> tuple[int, ...]:
        """Canvas sides on offer in pixels, ascending."""
        return tuple(self.arguments.canvases)

    @cached_property
    def preferences(self) -> tuple[float, float] | None:
        """Range (low, high) of the episodes' tradeoffs, None where all share the argument `tradeoff`."""
        given = self.arguments.preferences
        return None if given is None else (given[0], given[1])

    @property
    def max_points(self) -> int:
        """Number of points that an observation has room for."""
        return int(self.points.shape[1]) // POINT_SIZE

    @cached_property
    def sketch_ids(self) -> npt.NDArray[np.str_]:
        """Ids of the sketches, (n,)."""
        return fixed(self.dataset.sketch_ids[self.index])

    @cached_property
    def photo_ids(self) -> npt.NDArray[np.str_]:
        """Ids of their true photos, (n,)."""
        return fixed(self.dataset.photo_ids[self.index])

    def sketch(self, row: int) -> VectorSketch:
        """The drawing in row `row` of the split."""
        return self.dataset.sketch(int(self.index[row]))

    @cached_property
    def pictures(self) -> dict[str, npt.NDArray[np.float32]]:
        """The parts of observations that depend on the sketch alone, (n, ...) by name."""
        parts = {"points": self.points, "stats": self.stats}
        return parts if self.thumbnails is None else {**parts, "thumbnail": self.thumbnails}

    @cached_property
    def comp(self) -> FloatArray:
        """R_comp of each canvas, (K,)."""
        return fixed(rules.compute_reward(self.costs))

    @cached_property
    def lookup(self) -> Lookup | None:
        """Rewards of all choices; None in live mode."""
        if self.table is None:
            return None
        acc = self.arguments.acc(self.table.ranks, self.table.triplet)
        rewards = rules.reward(acc, self.comp, self.arguments.tradeoff)
        oracle = best_columns(rewards, self.costs)
        regret = np.take_along_axis(rewards, oracle[:, None], axis=1) - rewards
        return Lookup(self.table, fixed(acc), fixed(rewards), fixed(oracle), fixed(regret))

    @property
    def known(self) -> Lookup:
        """`lookup`.

        Raises:
            ValueError: live mode, in which only the outcome of the chosen canvas is known.
        """
        if self.lookup is None:
            raise ValueError("in live mode the other canvases' outcomes are not known")
        return self.lookup

    # ---------------------------------------------------------------- spaces and bounds

    def observation_space(self) -> spaces.Dict:
        """Space of one observation; with preferences it has the episode's tradeoff."""
        sizes = {name: array.shape[1] for name, array in self.pictures.items()}
        if self.preferences is not None:
            sizes["tradeoff"] = 1
        return spaces.Dict({name: spaces.Box(0.0, 1.0, (size,), np.float32) for name, size in sizes.items()})

    def action_space(self) -> spaces.Discrete:
        """Space of one action: K canvases."""
        return spaces.Discrete(self.n_canvases)

    def _gallery(self) -> tuple[float, float]:
        """Gallery size and triplet margin. A retriever's gallery is unknown, so 1 / rank may be as low as 0."""
        if self.table is None:
            return np.inf, rules.TRIPLET_MARGIN
        return self.table.gallery_size[self.split], self.table.margin

    @property
    def acc_range(self) -> tuple[float, float]:
        """Bounds (low, high) of R_acc."""
        gallery, margin = self._gallery()
        return rules.accuracy_range(gallery, self.arguments.rank_weight, self.arguments.triplet_weight, margin)

    def reward_vector_space(self) -> spaces.Box:
        """Space of (R_acc, R_comp)."""
        low, high = self.acc_range
        return widened(np.array([low, self.comp.min()]), np.array([high, self.comp.max()]))

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds (low, high) of every reward."""
        gallery, margin = self._gallery()
        tradeoff = self.arguments.tradeoff if self.preferences is None else np.array(self.preferences)
        weights = (self.arguments.rank_weight, self.arguments.triplet_weight)
        return rules.reward_range(self.costs, gallery, tradeoff, *weights, margin)

    def out_of_range(self, action: int) -> str:
        """Error message for an action outside the action space."""
        sides = ", ".join(map(str, self.canvases))
        return f"action {action} is out of range: 0 to {self.n_canvases - 1} stand for canvases {sides}"

    # ---------------------------------------------------------------- rules

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The range of tradeoffs with preferences, else nothing."""
        return {} if self.preferences is None else {"tradeoff": self.preferences}

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError for the option `tradeoff` without preferences."""
        if self.preferences is None and options.get("tradeoff") is not None:
            raise ValueError(
                "options['tradeoff'] is for environments with preferences, such as SketchCanvasPreference-v0; here all "
                "episodes share the argument tradeoff"
            )

    def start(self, rows: IntArray, drawn: Mapping[str, npt.NDArray[np.float32]]) -> Choice:
        """Initial state of N episodes; `drawn` has their tradeoffs with preferences."""
        none = np.full(len(rows), -1, dtype=np.int64)
        shared = np.zeros(len(rows), dtype=np.float32) if self.preferences is None else drawn["tradeoff"]
        return Choice(rows, shared, none, none, none, np.zeros(len(rows)))

    def advance(self, state: Choice, actions: IntArray) -> Advanced[Choice]:
        """Choose a canvas, which ends the episode. The reward is R = tradeoff * R_comp + (1 - tradeoff) * R_acc."""
        outcome = state.rows * self.n_canvases + actions
        if self.preferences is None:
            reward, regret = self._columns["reward"].take(outcome), self._columns["regret"].take(outcome)
            oracle = self.known.oracle.take(state.rows)
        else:
            rewards = rules.reward(self.known.acc.take(state.rows, axis=0), self.comp, state.tradeoff[:, None])
            oracle, each = best_columns(rewards, self.costs), np.arange(len(rewards))
            reward = rewards[each, actions]
            regret = rewards[each, oracle] - reward
        done = Choice(state.rows, state.tradeoff, actions, outcome, oracle, regret)
        return Advanced(reward, done, np.ones(len(actions), dtype=np.bool_))

    @cached_property
    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        """Results of each choice in the dtypes of `info`, (n * K, ...) by name."""
        known = self.known
        comp = np.broadcast_to(self.comp, known.acc.shape)
        return {
            "rank": fixed(known.table.ranks.astype(np.int64).ravel()),
            "triplet": fixed(known.table.triplet.astype(np.float64).ravel()),
            "reward_vector": fixed(np.stack([known.acc.ravel(), comp.ravel()], axis=1)),
            "reward": known.rewards.ravel(),
            "regret": known.regret.ravel(),
        }

    # ---------------------------------------------------------------- observations and info

    def observe(self, state: Choice, out: Arrays | None = None) -> Arrays:
        """Observations of N episodes, the same before and after the choice; see `Episodes.observe`."""
        into = self.room(len(state.rows)) if out is None else out
        look_up(self.pictures, state.rows, into)
        if self.preferences is not None:
            into["tradeoff"][:, 0] = state.tradeoff
        return into

    def going(self, state: Choice) -> Arrays:
        """`info` of N episodes before the choice."""
        return {"sketch_index": state.rows.copy(), **self._own_tradeoff(state)}

    def final(self, state: Choice) -> Arrays:
        """`info` of N episodes after the choice."""
        told, columns = self._told(state), self._columns
        for name in ("rank", "triplet", "reward_vector"):
            told[name] = columns[name].take(state.outcome, axis=0)
        told["oracle_action"], told["regret"] = state.oracle, state.regret
        return told

    def _told(self, state: Choice) -> Arrays:
        """The part of `info` that does not depend on the outcome."""
        return {
            "sketch_index": state.rows,
            "canvas": self.sides.take(state.action),
            "flops": self.flops.take(state.action),
            "cost": self.costs.take(state.action),
            **self._own_tradeoff(state),
        }

    def _own_tradeoff(self, state: Choice) -> Arrays:
        return {} if self.preferences is None else {"tradeoff": state.tradeoff.astype(np.float64)}

    def shown(self, state: Choice, place: int, earned: float) -> Shown:
        """What to render of one of N episodes."""
        row, action = int(state.rows[place]), int(state.action[place])
        if action < 0:
            return Shown(row, None)
        told = {name: array[0].tolist() for name, array in self.final(only(state, [place])).items()}
        look = Look(
            action,
            told["rank"],
            earned,
            self.top(state, place),
            oracle=told.get("oracle_action"),
            regret=told.get("regret"),
            tradeoff=told.get("tradeoff"),
        )
        return Shown(row, look)

    def top(self, state: Choice, place: int) -> tuple[str, ...]:
        """Ids of the photos nearest to the sketch at the chosen canvas in one of N episodes, nearest first."""
        table = self.known.table
        return photos_of(table, table.top[state.rows[place], state.action[place]])


@dataclass(frozen=True, eq=False)
class LiveTask(Task):
    """`Task` without a table: a retriever computes the outcome of the chosen canvas, and of no other.

    Attributes:
        retriever: computes outcomes.
    """

    retriever: Retriever | None = None

    def advance(self, state: Choice, actions: IntArray) -> Advanced[Choice]:
        """As `Task.advance`; calls the retriever once for each episode."""
        assert self.retriever is not None  # a default is needed after the fields of Task
        outcome = np.empty(len(actions), dtype=object)
        for i, (row, action) in enumerate(zip(state.rows.tolist(), actions.tolist(), strict=True)):
            outcome[i] = self.retriever.retrieve(self.sketch(row), self.canvases[action], str(self.photo_ids[row]))
        done = state._replace(action=actions, outcome=outcome)
        acc, comp = self.final(done)["reward_vector"].T
        tradeoff = self.arguments.tradeoff if self.preferences is None else state.tradeoff
        return Advanced(rules.reward(acc, comp, tradeoff), done, np.ones(len(actions), dtype=np.bool_))

    def final(self, state: Choice) -> Arrays:
        """As `Task.final`, without `oracle_action` and `regret`."""
        told = self._told(state)
        told["rank"] = np.array([int(each.rank) for each in state.outcome], dtype=np.int64)
        told["triplet"] = np.array([each.triplet for each in state.outcome], dtype=np.float64)
        acc = self.arguments.acc(told["rank"], told["triplet"])
        told["reward_vector"] = np.stack([acc, self.comp.take(state.action)], axis=1)
        return told

    def top(self, state: Choice, place: int) -> tuple[str, ...]:
        """The nearest photos as the retriever named them."""
        return tuple(state.outcome[place].top)


def photos_of(table: OutcomeTable, places: npt.NDArray[np.integer]) -> tuple[str, ...]:
    """Ids of the photos at some indices into `table.photos`; -1 is skipped."""
    return tuple(str(table.photos[place]) for place in places if place >= 0)


# -------------------------------------------------------------------- making the task


@dataclass(frozen=True, kw_only=True)
class CanvasArguments(Arguments):
    """Arguments of `SketchCanvas-v0`.

    Attributes:
        dataset: name of a data set, or a data set. The default has new drawings of known photos, "emoji" new photos.
        retriever: computes outcomes in live mode; excludes `table` and `student`.
        preferences: range (low, high) from which every episode draws its tradeoff instead of `tradeoff`, rounded to
            float32 as observations are. None: all episodes share `tradeoff`.
    """

    dataset: str | SketchDataset = DEFAULT_DATASET
    retriever: Retriever | None = None
    preferences: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Check and normalise."""
        super().__post_init__()
        self._set(preferences=_check_preferences(self.preferences))
        if self.retriever is not None and (self.table is not None or self.student is not None):
            raise ValueError("retriever computes the outcomes itself: give it without table and without student")

    def make(self) -> Task:
        """The task; equal arguments give the same object, except in live mode.

        Raises:
            ValueError: an argument names something that does not exist (the message lists what does), or latency that
                was not measured (the message says how to measure it).
            FileNotFoundError: no file at `table`.
            TableError: the table was made from other data.
        """
        source = data.load(self.dataset) if isinstance(self.dataset, str) else self.dataset
        if self.task == RECOGNITION:
            source = data.recognition(source)
        if self.retriever is not None:
            return _live_task(source, self.retriever, self)
        return _table_task(find_table(source, self), source, self)


def _check_preferences(preferences: object) -> tuple[float, float] | None:
    """The range of tradeoffs as floats; ValueError unless 0 <= low <= high <= 1."""
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


def find_table(dataset: SketchDataset, arguments: Arguments) -> OutcomeTable:
    """The whole outcome table that the arguments name, with all splits and canvases.

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


@lru_cache(maxsize=32)
def _table_task(table: OutcomeTable, dataset: SketchDataset, arguments: CanvasArguments) -> Task:
    chosen = table.select(arguments.split, arguments.canvases)
    index = _rows_in(dataset, chosen)
    rows = np.searchsorted(dataset.indices(arguments.split), index)
    costs = fixed(chosen.costs(arguments.cost))
    return Task(arguments, dataset, chosen, fixed(index), fixed(chosen.flops), costs, *_shown(dataset, arguments, rows))


def _live_task(dataset: SketchDataset, retriever: Retriever, arguments: CanvasArguments) -> LiveTask:
    check_split(arguments.split)
    have = check_canvases(retriever.canvases)
    missing = [side for side in arguments.canvases if side not in have]
    if missing:
        raise ValueError(
            f"the retriever has no canvas {', '.join(map(str, missing))}, it has {', '.join(map(str, have))}"
        )
    columns = [have.index(side) for side in arguments.canvases]
    flops, costs = (fixed(_live_costs(retriever, cost, len(have))[columns]) for cost in ("flops", arguments.cost))
    index = dataset.some_indices(arguments.split)
    shown = _shown(dataset, arguments, np.arange(len(index)))
    return LiveTask(arguments, dataset, None, fixed(index), flops, costs, *shown, retriever=retriever)


def _shown(dataset: SketchDataset, arguments: Arguments, rows: IntArray) -> tuple[Any, Any, Any]:
    """Points, statistics and thumbnails (None where they are not observed) of some rows of the split."""
    split = arguments.split
    arrays = split_observations(dataset, split, arguments.max_points)
    thumbnails = split_thumbnails(dataset, split) if arguments.thumbnail else None
    # A split as a whole is shared and not copied.
    whole = len(rows) == len(arrays[0]) and bool((rows == np.arange(len(rows))).all())
    points, stats, small = (array if whole or array is None else fixed(array[rows]) for array in (*arrays, thumbnails))
    return points, stats, small


def _live_costs(retriever: Retriever, cost: str, n: int) -> FloatArray:
    """Costs of a retriever's n canvases, (n,)."""
    found = retriever.flops if cost == "flops" else getattr(retriever, "milliseconds", None)
    if found is None:
        raise ValueError(
            "the retriever has no latency: give it an attribute milliseconds, one number for each of its canvases "
            "(students.tables.latency.measure measures them)"
        )
    if len(found) != n:
        raise ValueError(f"the retriever has {n} canvases but {len(found)} costs")
    return np.array(found, dtype=np.float64)


def _rows_in(dataset: SketchDataset, table: OutcomeTable) -> IntArray:
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
