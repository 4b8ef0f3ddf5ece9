"""The task of `SketchCanvasCascade-v0`: several looks at one sketch, then a stop.

The state of an episode is (row, seen, last): the sketch, the canvases looked at as a bit mask (2^j for canvas j), and
the last of them, -1 before the first look. The ways in which an episode can end are the `nodes`: all (seen, last), or
all sets where looks are fused and their order does not matter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.looks import LookTable, look_feature_names, look_signals, look_weights, sureness_names
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks.arguments import Arguments, path_or
from sketchcanvas_env.tasks.canvas import CanvasArguments, Task, find_table, photos_of
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
    widened,
)

RANKINGS = ("last", "fused")
"""Answer of an episode: the ranking of the last look, or the fused ranking of all looks."""

MAX_CANVASES = 8
"""Most canvases on offer. All states are listed, and their number grows as 2^K."""

_BLOCK = 1 << 22
"""Most returns that are compared at once, 32 MiB."""


class Looks(NamedTuple):
    """State of N episodes of several looks.

    Attributes:
        rows: (N,) int64, rows of the split.
        seen: (N,) int64, canvases looked at, as bit masks.
        last: (N,) int64, the last of them, -1 before the first look.
    """

    rows: IntArray
    seen: IntArray
    last: IntArray


@dataclass(frozen=True, eq=False)
class CascadeTask(Episodes[Looks]):
    """Sequences of looks at n sketches: states, possible endings and their returns. Shared and read-only.

    An *answer* is a ranking that an episode may end with: one for each canvas, or with "fused" one for each set of
    canvases. The last answer is the one without a look: all photos are equally near, so by the rule for ties the true
    photo comes last, and the triplet loss is the margin.

    Attributes:
        arguments: the arguments it was made from, with `ranking`.
        task: sketches, canvases, costs, weights, and the outcomes of single looks.
        nodes: (M,) names of the endings, first the K single looks in the order of the canvases, then the others by
            (seen, last): "32+64>128" ends with 128 after 32 and 64 in any order; "32+64+128" is a set of fused looks.
        node_seen: (M,) int64, canvases looked at.
        node_last: (M,) int64, the last of them; -1 for a set of fused looks.
        node_answer: (M,) int64, index of the answer.
        answer_ranks: (n, A) int64, rank of the true photo.
        answer_triplet: (n, A) float64, triplet loss.
        signals: (n, L) float32, `looks.look_signals`.
        sureness: (n, 3 K) float32, confidence, entropy and `apart` of each canvas (`LookTable`); None where they are
            not observed.
        looks: the whole table of looks, with all splits and canvases.
    """

    arguments: CascadeArguments
    task: Task
    nodes: tuple[str, ...]
    node_seen: IntArray
    node_last: IntArray
    node_answer: IntArray
    answer_ranks: IntArray
    answer_triplet: FloatArray
    signals: npt.NDArray[np.float32]
    sureness: npt.NDArray[np.float32] | None
    looks: LookTable = field(repr=False)

    @property
    def ranking(self) -> str:
        """Ranking that is the answer, "last" or "fused"."""
        return self.arguments.ranking

    @cached_property
    def answer_acc(self) -> FloatArray:
        """R_acc of each answer, (n, A)."""
        return fixed(self.arguments.acc(self.answer_ranks, self.answer_triplet))

    # ---------------------------------------------------------------- costs of sets of looks

    @cached_property
    def members(self) -> npt.NDArray[np.bool_]:
        """Canvases in each set, (2^K, K)."""
        return fixed(np.arange(1 << self.n_canvases)[:, None] >> np.arange(self.n_canvases) & 1 > 0)

    @cached_property
    def seen_flops(self) -> FloatArray:
        """FLOPs of looking at each set of canvases, (2^K,)."""
        return self._sums(self.task.flops)

    @cached_property
    def seen_costs(self) -> FloatArray:
        """Cost of each set of canvases, in the unit of `Task.costs`, (2^K,)."""
        return self._sums(self.task.costs)

    @cached_property
    def seen_comp(self) -> FloatArray:
        """Sum of R_comp over each set of canvases, (2^K,)."""
        return self._sums(self.task.comp)

    def _sums(self, each: FloatArray) -> FloatArray:
        return fixed(np.where(self.members, each, 0.0).sum(axis=1))

    # ---------------------------------------------------------------- rules

    def start(self, rows: IntArray, drawn: Mapping[str, npt.NDArray[np.float32]] | None = None) -> Looks:
        """Initial states of N episodes; nothing is drawn beside the sketches."""
        return Looks(rows, np.zeros(len(rows), dtype=np.int64), np.full(len(rows), -1, dtype=np.int64))

    def advance(self, state: Looks, actions: IntArray) -> Advanced[Looks]:
        """Take an action in each of N episodes that have not ended.

        The reward of a look is tradeoff * R_comp. The reward of stopping is (1 - tradeoff) * R_acc of the answer, and
        the episode ends. Looking at a canvas again counts as stopping.

        Args:
            state: of N episodes.
            actions: (N,) int64, 0 to K - 1 for a look, K to stop.
        """
        k = self.n_canvases
        rows, seen, last = state
        ended = (seen | 1 << k) >> actions & 1 > 0
        answers = rows * self.answer_acc.shape[1] + self._answer_at.take(seen * (k + 1) + last + 1)
        reward = np.where(ended, self._stop_rewards.take(answers), self._look_rewards.take(actions))
        after = Looks(rows, np.where(ended, seen, seen | 1 << actions), np.where(ended, last, actions))
        return Advanced(reward, after, ended)

    @cached_property
    def _look_rewards(self) -> FloatArray:
        """Reward of each look, (K + 1,); the last is a placeholder for stopping."""
        return fixed(rules.reward(0.0, np.append(self.task.comp, 0.0), self.arguments.tradeoff))

    @cached_property
    def _stop_rewards(self) -> FloatArray:
        """Reward of stopping with each answer, (n * A,)."""
        return fixed(rules.reward(self.answer_acc, 0.0, self.arguments.tradeoff).ravel())

    def action_mask(self, state: Looks) -> npt.NDArray[np.int8]:
        """1 for canvases not looked at and, after a look, for stopping: (N, K + 1) int8."""
        return np.asarray(self._masks.take(state.seen, axis=0), dtype=np.int8)

    @cached_property
    def _masks(self) -> npt.NDArray[np.int8]:
        stop = np.arange(len(self.members))[:, None] > 0
        return fixed(np.concatenate([~self.members, stop], axis=1).astype(np.int8))

    # ---------------------------------------------------------------- endings

    def node_of(self, seen: IntArray, last: IntArray) -> IntArray:
        """Node at which an episode in each of N states would end, (N,) int64; -1 before the first look.

        Args:
            seen: (N,) int64, canvases looked at.
            last: (N,) int64, the last of them; -1 for none. Ignored with "fused".
        """
        return np.asarray(self._node_at.take(np.asarray(seen) * (self.n_canvases + 1) + np.asarray(last) + 1))

    @cached_property
    def _node_at(self) -> IntArray:
        """Node of each (seen, last + 1), (2^K * (K + 1),); -1 where there is none."""
        k = self.n_canvases
        at = np.full((1 << k, k + 1), -1, dtype=np.int64)
        columns = np.arange(len(self.nodes))
        if self.ranking == "fused":
            at[self.node_seen] = columns[:, None]
        else:
            at[self.node_seen, self.node_last + 1] = columns
        return fixed(at.ravel())

    @cached_property
    def _answer_at(self) -> IntArray:
        """Answer of each (seen, last + 1), (2^K * (K + 1),); the one without a look where there is no node."""
        nothing = self.answer_acc.shape[1] - 1
        return fixed(np.append(self.node_answer, nothing)[self._node_at])

    @cached_property
    def node_flops(self) -> FloatArray:
        """FLOPs of all looks of each node, (M,)."""
        return fixed(self.seen_flops[self.node_seen])

    @cached_property
    def node_costs(self) -> FloatArray:
        """Cost of all looks of each node, (M,)."""
        return fixed(self.seen_costs[self.node_seen])

    @cached_property
    def node_rewards(self) -> FloatArray:
        """Undiscounted return of each sketch's episode that ends at each node, (n, M)."""
        return fixed(self._returns(np.arange(len(self))))

    def _returns(self, rows: IntArray) -> FloatArray:
        acc = self.answer_acc[rows][:, self.node_answer]
        return rules.reward(acc, self.seen_comp[self.node_seen], self.arguments.tradeoff)

    @cached_property
    def node_ranks(self) -> IntArray:
        """Rank of the true photo at each node, (n, M)."""
        return fixed(self.answer_ranks[:, self.node_answer])

    @cached_property
    def oracle_returns(self) -> FloatArray:
        """Highest return of each sketch over all nodes, (n,)."""
        step = max(1, _BLOCK // len(self.nodes))
        rows = np.arange(len(self))
        best = [self._returns(rows[start : start + step]).max(axis=1) for start in range(0, len(self), step)]
        return fixed(np.concatenate(best))

    # ---------------------------------------------------------------- observations and info

    def observe(self, state: Looks, out: Arrays | None = None) -> Arrays:
        """Observations of N episodes; see `Episodes.observe`."""
        into = self.room(len(state.rows)) if out is None else out
        look_up(self._pictures, state.rows, into)
        look_up({"last": self._last_shown}, state.last + 1, into)
        into["looks"] *= self._weights.take(state.seen, axis=0)
        if self.sureness is not None:
            into["confidence"] *= self._seen_three_times.take(state.seen, axis=0)
        return into

    @cached_property
    def _pictures(self) -> dict[str, npt.NDArray[np.float32]]:
        parts = {**self.task.pictures, "looks": self.signals}
        return parts if self.sureness is None else {**parts, "confidence": self.sureness}

    @cached_property
    def _seen_three_times(self) -> npt.NDArray[np.float32]:
        """1 for the elements of `confidence` that each set of looks reveals, (2^K, 3 K)."""
        return fixed(np.repeat(self.members, 3, axis=1).astype(np.float32))

    @cached_property
    def _weights(self) -> npt.NDArray[np.float32]:
        """Factors of the signals after looks at each set of canvases, (2^K, L)."""
        return fixed(look_weights(self.members, self.task.costs))

    @cached_property
    def _last_shown(self) -> npt.NDArray[np.float32]:
        """One-hot of last, (K + 1, K); all zero in the first row."""
        return fixed(np.eye(self.n_canvases + 1, self.n_canvases, k=-1, dtype=np.float32))

    def going(self, state: Looks) -> Arrays:
        """`info` of N episodes that have not ended."""
        return {
            "sketch_index": state.rows.copy(),
            "seen": state.seen.copy(),
            "flops": self.seen_flops.take(state.seen),
            "action_mask": self.action_mask(state),
        }

    def final(self, state: Looks) -> Arrays:
        """`info` of N episodes that ended."""
        rows, seen, last = state
        answer = self._answer_at.take(seen * (self.n_canvases + 1) + last + 1)
        acc, comp = self.answer_acc[rows, answer], self.seen_comp.take(seen)
        returns = rules.reward(acc, comp, self.arguments.tradeoff)
        best = self.oracle_returns.take(rows)
        return {
            "sketch_index": rows,
            "seen": seen,
            "canvas": self._side_of_last.take(last + 1),
            "flops": self.seen_flops.take(seen),
            "cost": self.seen_costs.take(seen),
            "rank": self.answer_ranks[rows, answer],
            "triplet": self.answer_triplet[rows, answer],
            "reward_vector": np.stack([acc, comp], axis=1),
            "return": returns,
            "oracle_return": best,
            "regret": best - returns,
        }

    @cached_property
    def _side_of_last(self) -> IntArray:
        """Canvas side of last, (K + 1,); 0 for none."""
        return fixed(np.array([0, *self.task.canvases], dtype=np.int64))

    def shown(self, state: Looks, place: int, earned: float) -> Shown:
        """What to render of one of N episodes."""
        row, seen, last = (int(array[place]) for array in state)
        if last < 0:
            return Shown(row, None)
        table = self.task.table
        assert table is not None  # cascades have no live mode
        all_looks = (float(self.seen_flops[seen]), float(self.seen_costs[seen]))
        top = photos_of(table, table.top[row, last])
        return Shown(row, Look(last, int(table.ranks[row, last]), earned, top, all_looks=all_looks))

    # ---------------------------------------------------------------- spaces and bounds

    def observation_space(self) -> spaces.Dict:
        """Space of one observation."""
        wide = (
            {"looks": self.signals} if self.sureness is None else {"looks": self.signals, "confidence": self.sureness}
        )
        boxes = {name: spaces.Box(0.0, rules.MAX_DISTANCE, (each.shape[1],), np.float32) for name, each in wide.items()}
        last = spaces.Box(0.0, 1.0, (self.n_canvases,), np.float32)
        return spaces.Dict({**self.task.observation_space().spaces, **boxes, "last": last})

    def action_space(self) -> spaces.Discrete:
        """Space of one action: K canvases and stopping."""
        return spaces.Discrete(self.n_canvases + 1)

    def reward_vector_space(self) -> spaces.Box:
        """Space of the sums of (R_acc, R_comp) over an episode, with at most one look at each canvas."""
        low, high = self.task.acc_range
        return widened(np.array([low, self.seen_comp.min()]), np.array([high, 0.0]))

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds (low, high) of every reward and every undiscounted return."""
        (low_acc, low_comp), (high_acc, _) = self.reward_vector_space().low, self.reward_vector_space().high
        # The reward of a look has no R_acc, so R_acc lowers the bound only where it is negative.
        low = rules.reward(min(low_acc, 0.0), low_comp, self.arguments.tradeoff)
        return float(low), float(rules.reward(high_acc, 0.0, self.arguments.tradeoff))

    def out_of_range(self, action: int) -> str:
        """Error message for an action outside the action space."""
        sides = ", ".join(map(str, self.task.canvases))
        k = self.n_canvases
        return f"action {action} is out of range: 0 to {k - 1} look at canvases {sides}, {k} stops"

    @property
    def look_names(self) -> tuple[str, ...]:
        """Names of the elements of the observation `looks`, (L,)."""
        return look_feature_names(self.task.canvases)

    @property
    def confidence_names(self) -> tuple[str, ...]:
        """Names of the elements of the observation `confidence`, (3 K,)."""
        return sureness_names(self.task.canvases)


# -------------------------------------------------------------------- making the task


@dataclass(frozen=True, kw_only=True)
class CascadeArguments(Arguments):
    """Arguments of `SketchCanvasCascade-v0`.

    Attributes:
        ranking: whether the answer is the ranking of the "last" look or of all looks "fused".
        looks: path of a table of looks, or the table; None for the one beside the outcome table.
        confidence: whether observations have the confidence of each look.
    """

    ranking: str = "last"
    looks: str | os.PathLike[str] | LookTable | None = None
    confidence: bool = False

    def __post_init__(self) -> None:
        """Check and normalise."""
        super().__post_init__()
        if self.ranking not in RANKINGS:
            raise ValueError(f"unknown ranking {self.ranking!r}: there are {', '.join(RANKINGS)}")
        self._set(looks=path_or(LookTable, self.looks, "looks", "a table of looks"))
        if not isinstance(self.confidence, bool):
            raise ValueError(f"confidence must be True or False, got {self.confidence!r}")
        if len(self.canvases) > MAX_CANVASES:
            raise ValueError(f"at most {MAX_CANVASES} canvases can be looked at in sequence, got {len(self.canvases)}")

    def make(self) -> CascadeTask:
        """The task. Equal arguments give the same object.

        Raises:
            ValueError: an argument names something that does not exist, the looks have no fused ranking for a set of
                canvases, or no confidence.
            FileNotFoundError: no file at `table` or `looks`, or no looks beside the outcome table; the message says how
                to make them.
            TableError: the looks do not belong to the outcome table.
        """
        task = CanvasArguments.shared_by(self).make()
        whole = find_table(task.dataset, self)
        return _cascade_task(task, whole, LookTable.resolve(self.looks, whole, self.table), self)


@lru_cache(maxsize=32)
def _cascade_task(task: Task, whole: OutcomeTable, looks: LookTable, arguments: CascadeArguments) -> CascadeTask:
    table = task.table
    assert table is not None  # cascades have no live mode
    ranking = arguments.ranking
    columns = whole.columns(task.canvases)
    rows = np.flatnonzero(whole.split == task.split)  # as in OutcomeTable.select
    seen, last = _states(len(columns), ranking)
    if ranking == "last":
        answer, ranks, triplet = last, table.ranks, table.triplet
    else:
        more = [_fused_column(looks, whole, columns, each) for each in seen[len(columns) :].tolist()]
        answer = np.arange(len(seen))
        ranks = np.concatenate([table.ranks, looks.fused_ranks[rows][:, more]], axis=1)
        triplet = np.concatenate([table.triplet, looks.fused_triplet[rows][:, more]], axis=1)
    # Without a look all photos tie: the true one is ranked last, and every d_true - d_other is 0.
    gallery = table.gallery_size[task.split]
    ranks = np.column_stack([ranks, np.full(len(rows), gallery)]).astype(np.int64)
    triplet = np.column_stack([triplet, np.full(len(rows), table.margin)]).astype(np.float64)
    return CascadeTask(
        arguments=arguments,
        task=task,
        nodes=_names(task.canvases, seen, last, ranking),
        node_seen=fixed(seen),
        node_last=fixed(last),
        node_answer=fixed(answer),
        answer_ranks=fixed(ranks),
        answer_triplet=fixed(triplet),
        signals=fixed(look_signals(table.top, looks.distances[rows][:, columns])),
        sureness=fixed(looks.sureness()[rows][:, columns].reshape(len(rows), -1)) if arguments.confidence else None,
        looks=looks,
    )


def _states(k: int, ranking: str) -> tuple[IntArray, IntArray]:
    """`node_seen` and `node_last`."""
    sets = [each for each in range(1, 1 << k) if each.bit_count() > 1]
    if ranking == "last":
        more = [(each, j) for each in sets for j in range(k) if each >> j & 1]
    else:
        more = [(each, -1) for each in sets]
    seen, last = np.array([(1 << j, j) for j in range(k)] + more, dtype=np.int64).T
    return np.ascontiguousarray(seen), np.ascontiguousarray(last)


def _names(canvases: tuple[int, ...], seen: IntArray, last: IntArray, ranking: str) -> tuple[str, ...]:
    names = []
    for each, end in zip(seen.tolist(), last.tolist(), strict=True):
        before = [str(side) for j, side in enumerate(canvases) if each >> j & 1 and j != end]
        final = [] if end < 0 else [str(canvases[end])]
        names.append(">".join(part for part in ("+".join(before), *final) if part))
    return tuple(names)


def _fused_column(looks: LookTable, whole: OutcomeTable, columns: IntArray, members: int) -> int:
    """Column of the table of looks for a set of the canvases on offer."""
    wanted = sum(1 << int(column) for j, column in enumerate(columns) if members >> j & 1)
    found = np.flatnonzero(looks.fused_of == wanted)
    if not found.size:
        sides = ", ".join(str(whole.canvases[column]) for j, column in enumerate(columns) if members >> j & 1)
        raise ValueError(
            f"the looks of student {whole.student!r} on {whole.dataset!r} have no fused ranking of canvases {sides}: "
            "choose among those that were fused, or ranking='last'"
        )
    return int(found[0])
