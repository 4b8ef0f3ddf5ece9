"""One choice of a canvas for each sketch: the rules of `SketchCanvas-v0`, and what there is to look up.

A `Task` is also what longer episodes are built on: the sketches of a split, the canvases on offer, what each costs and
what each choice is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.hull import best_columns
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.tasks.arguments import Arguments
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

POINT_SIZE = 5
"""Numbers in a stroke-5 row: x, y, p1, p2, p3."""


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
    acc: FloatArray
    rewards: FloatArray
    oracle: IntArray
    regret: FloatArray


class Judged(NamedTuple):
    """What some choices are worth, each at a tradeoff of its own.

    Attributes:
        reward: (N,) float64.
        oracle: (N,) int64, the best action; ties go to the cheapest.
        regret: (N,) float64, reward of that action less that of the choice.
    """

    reward: FloatArray
    oracle: IntArray
    regret: FloatArray


class Choice(NamedTuple):
    """Where N episodes of one choice stand.

    Attributes:
        rows: (N,) int64, rows of the split.
        tradeoff: (N,) float32, the episodes' own tradeoffs; says nothing where all share the task's.
        action: (N,) int64, the canvas, -1 before the choice.
        outcome: (N,) int64, row * K + action after the choice: where its outcome stands in an (n, K) array. In live
            mode (N,) objects, `live.Outcome`.
        oracle: (N,) int64, the best action, after the choice; says nothing in live mode.
        regret: (N,) float64, reward of that action less that of the choice, likewise.
    """

    rows: IntArray
    tradeoff: npt.NDArray[np.float32]
    action: IntArray
    outcome: npt.NDArray[Any]
    oracle: IntArray
    regret: FloatArray


@dataclass(frozen=True, eq=False)
class Task(Episodes[Choice]):
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
        arguments: what it was made from.
        thumbnails: (n, 256) float32, `thumbnail.thumbnail`; None where they are not shown.
        preferences: (low, high) between which each episode's tradeoff is drawn, None where all share `tradeoff`.
    """

    dataset: SketchDataset
    split: str
    canvases: tuple[int, ...]
    flops: FloatArray
    costs: FloatArray
    index: IntArray
    points: npt.NDArray[np.float32]
    stats: npt.NDArray[np.float32]
    comp: FloatArray
    limits: tuple[tuple[float, float], tuple[float, float]]
    tradeoff: float
    rank_weight: float
    triplet_weight: float
    cost: str
    lookup: Lookup | None
    arguments: Arguments
    thumbnails: npt.NDArray[np.float32] | None = None
    preferences: tuple[float, float] | None = None

    def __len__(self) -> int:
        """Number of sketches, n."""
        return len(self.index)

    @property
    def task(self) -> Task:
        """Itself: longer episodes have one of these beside them."""
        return self

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

    @cached_property
    def pictures(self) -> dict[str, npt.NDArray[np.float32]]:
        """What observations show of each sketch, (n, ...) by name."""
        parts = {"points": self.points, "stats": self.stats}
        return parts if self.thumbnails is None else {**parts, "thumbnail": self.thumbnails}

    # ---------------------------------------------------------------- spaces and bounds

    def observation_space(self) -> spaces.Dict:
        """Space of one observation; with preferences it has the episode's tradeoff."""
        sizes = {name: array.shape[1] for name, array in self.pictures.items()}
        if self.preferences is not None:
            sizes["tradeoff"] = 1
        return spaces.Dict({name: spaces.Box(0.0, 1.0, (size,), np.float32) for name, size in sizes.items()})

    def action_space(self) -> spaces.Discrete:
        """Space of one action: K canvases."""
        return spaces.Discrete(len(self.canvases))

    def reward_vector_space(self) -> spaces.Box:
        """Space of (R_acc, R_comp)."""
        return widened(*np.array(self.limits, dtype=np.float64).T)

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds of every reward."""
        # The gallery of a retriever is its own: a rank has no limit there, so 1 / rank goes down to zero.
        gallery = np.inf if self.table is None else self.table.gallery_size[self.split]
        margin = rules.TRIPLET_MARGIN if self.table is None else self.table.margin
        tradeoff = self.tradeoff if self.preferences is None else np.array(self.preferences)
        return rules.reward_range(self.costs, gallery, tradeoff, self.rank_weight, self.triplet_weight, margin)

    def out_of_range(self, action: int) -> str:
        """Error message for an action that stands for no canvas."""
        sides = ", ".join(map(str, self.canvases))
        return f"action {action} is out of range: 0 to {len(self.canvases) - 1} stand for canvases {sides}"

    # ---------------------------------------------------------------- the rules

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """With preferences, the tradeoff's."""
        return {} if self.preferences is None else {"tradeoff": self.preferences}

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError for a tradeoff where episodes have none of their own."""
        if self.preferences is None and options.get("tradeoff") is not None:
            raise ValueError(
                "options['tradeoff'] is for environments with preferences, such as SketchCanvasPreference-v0; here all "
                "episodes share the argument tradeoff"
            )

    def start(self, rows: IntArray, drawn: Mapping[str, npt.NDArray[np.float32]]) -> Choice:
        """N episodes in which nothing is chosen yet; `drawn` has their tradeoffs where there are preferences."""
        none = np.full(len(rows), -1, dtype=np.int64)
        shared = np.zeros(len(rows), dtype=np.float32) if self.preferences is None else drawn["tradeoff"]
        return Choice(rows, shared, none, none, none, np.zeros(len(rows)))

    def advance(self, state: Choice, actions: IntArray) -> Advanced[Choice]:
        """Choose a canvas, which ends the episode and pays R = tradeoff * R_comp + (1 - tradeoff) * R_acc."""
        outcome = state.rows * len(self.canvases) + actions
        if self.preferences is None:
            reward, regret = self._columns["reward"].take(outcome), self._columns["regret"].take(outcome)
            oracle = self._known().oracle.take(state.rows)
        else:
            reward, oracle, regret = self.judge(state.rows, actions, state.tradeoff)
        done = Choice(state.rows, state.tradeoff, actions, outcome, oracle, regret)
        return Advanced(reward, done, np.ones(len(actions), dtype=np.bool_))

    @cached_property
    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        """(n * K, ...) what is known of each choice, by its name in `info`, in the dtypes of `info`."""
        known = self._known()
        comp = np.broadcast_to(self.comp, known.acc.shape)
        return {
            "rank": fixed(known.table.ranks.astype(np.int64).ravel()),
            "triplet": fixed(known.table.triplet.astype(np.float64).ravel()),
            "reward_vector": fixed(np.stack([known.acc.ravel(), comp.ravel()], axis=1)),
            "reward": known.rewards.ravel(),
            "regret": known.regret.ravel(),
        }

    def judge(self, rows: IntArray, choices: IntArray, tradeoffs: npt.NDArray[np.floating]) -> Judged:
        """What choices are worth where each episode has a tradeoff of its own; `lookup` has it for `tradeoff`.

        Args:
            rows: (N,) rows of the split.
            choices: (N,) actions.
            tradeoffs: (N,) weights of R_comp.

        Raises:
            ValueError: a tradeoff outside [0, 1], or live mode, in which only the choice that is made is known.
        """
        rewards = rules.reward(self._known().acc.take(rows, axis=0), self.comp, tradeoffs[:, None])
        oracle = best_columns(rewards, self.costs)
        each = np.arange(len(rewards))
        chosen = rewards[each, choices]
        return Judged(chosen, oracle, rewards[each, oracle] - chosen)

    def _known(self) -> Lookup:
        if self.lookup is None:
            raise ValueError("in live mode the other canvases' outcomes are not known")
        return self.lookup

    # ---------------------------------------------------------------- what is shown and told

    def observe(self, state: Choice, out: Arrays | None = None) -> Arrays:
        """Observations of N episodes, the same before and after the choice; see `Episodes.observe`."""
        into = self.room(len(state.rows)) if out is None else out
        look_up(self.pictures, state.rows, into)
        if self.preferences is not None:
            into["tradeoff"][:, 0] = state.tradeoff
        return into

    def going(self, state: Choice) -> Arrays:
        """`info` of N episodes in which nothing is chosen yet."""
        return {"sketch_index": state.rows.copy(), **self._own_tradeoff(state)}

    def final(self, state: Choice) -> Arrays:
        """`info` of N episodes after the choice."""
        told, columns = self._told(state), self._columns
        for name in ("rank", "triplet", "reward_vector"):
            told[name] = columns[name].take(state.outcome, axis=0)
        told["oracle_action"], told["regret"] = state.oracle, state.regret
        return told

    def _told(self, state: Choice) -> Arrays:
        """What `info` says of a choice whatever its outcome."""
        return {
            "sketch_index": state.rows,
            "canvas": self._sides.take(state.action),
            "flops": self.flops.take(state.action),
            "cost": self.costs.take(state.action),
            **self._own_tradeoff(state),
        }

    def _own_tradeoff(self, state: Choice) -> Arrays:
        return {} if self.preferences is None else {"tradeoff": state.tradeoff.astype(np.float64)}

    @cached_property
    def _sides(self) -> IntArray:
        return fixed(np.array(self.canvases, dtype=np.int64))

    def shown(self, state: Choice, place: int, earned: float) -> Shown:
        """The choice of one of N episodes."""
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
        """Ids of the photos nearest to the sketch at the canvas chosen in one of N episodes, nearest first."""
        table = self._known().table
        return photos_of(table, table.top[state.rows[place], state.action[place]])


def photos_of(table: OutcomeTable, places: npt.NDArray[np.integer]) -> tuple[str, ...]:
    """Ids of the photos at some places of a table's list, without the -1 that stand for none."""
    return tuple(str(table.photos[place]) for place in places if place >= 0)
