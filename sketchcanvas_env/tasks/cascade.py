"""Looking at one sketch several times: the rules of `SketchCanvasCascade-v0`, and what there is to look up.

The single and the vector environment are two ways to step through the same `CascadeTask`; neither has rules of its own.

An episode's state is (row, seen, last): the sketch, the canvases looked at so far as a bit mask (2^j for canvas j), and
the last of them, -1 before the first look. So how episodes end can be listed: the `nodes` are all the (seen, last), or,
where looks are fused and their order does not matter, all the sets.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.looks import (
    LookTable,
    check_looks,
    load_looks,
    look_feature_names,
    look_signals,
    look_weights,
    looks_path,
)
from sketchcanvas_env.outcomes.table import OutcomeTable, best_columns
from sketchcanvas_env.tasks.canvas import Task, find_table, fixed, make_task

RANKINGS = ("last", "fused")
"""Which ranking is the answer: that of the last look, or that of all looks together."""

MAX_CANVASES = 8
"""The most canvases on offer: states are listed, and their number grows as 2^K."""

_BLOCK = 1 << 22  # rewards of nodes compared at once, 32 MiB

IntArray = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]


class Advanced(NamedTuple):
    """What came of an action in each of N episodes.

    Attributes:
        reward: (N,) float64.
        reward_vector: (N, 2) float64, R_acc and R_comp of this step; the one that it did not touch is 0.
        seen: (N,) int64, canvases looked at.
        last: (N,) int64, the last of them.
        ended: (N,) bool.
    """

    reward: npt.NDArray[np.float64]
    reward_vector: npt.NDArray[np.float64]
    seen: IntArray
    last: IntArray
    ended: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CascadeTask:
    """A task with sequences of looks: states, ways to end, what each is worth; shared and read-only.

    An *answer* is a ranking that an episode may end with: one for each canvas, or with "fused" one for each set of
    canvases, and at last the one of who never looked: all photos are alike, so by the rule for ties the true one is
    last, and L_tri is the margin.

    Attributes:
        task: sketches, canvases, costs, weights, and the outcomes of single looks.
        ranking: "last" or "fused".
        nodes: (M,) names of the ways to end, first the K single looks in the order of the canvases, then the others by
            (seen, last): "32+64>128" ends with 128 after 32 and 64 in any order; "32+64+128" are looks that are fused.
        node_seen: (M,) int64, canvases looked at.
        node_last: (M,) int64, the last of them; -1 for a set of several looks that are fused.
        node_answer: (M,) int64, which answer that is.
        answer_ranks: (n, A) int64, rank of the true photo, A - 1 answers and the one without a look.
        answer_triplet: (n, A) float64.
        answer_acc: (n, A) float64, R_acc.
        signals: (n, L) float32, `looks.look_signals`.
        looks: the table of looks that this was taken from, of all splits and canvases.
        recipe: the arguments of `make_cascade_task`.
    """

    task: Task
    ranking: str
    nodes: tuple[str, ...]
    node_seen: IntArray
    node_last: IntArray
    node_answer: IntArray
    answer_ranks: IntArray
    answer_triplet: npt.NDArray[np.float64]
    answer_acc: npt.NDArray[np.float64]
    signals: npt.NDArray[np.float32]
    looks: LookTable = field(repr=False)
    recipe: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Number of sketches, n."""
        return len(self.task)

    def __deepcopy__(self, memo: dict[int, Any]) -> CascadeTask:
        """Itself: nothing in it can be changed."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments that it was made from; what they name is read again by the reader."""
        return _from_recipe, (self.recipe,)

    @property
    def n_canvases(self) -> int:
        """Number of canvases on offer, K; also the action that stops."""
        return len(self.task.canvases)

    # ---------------------------------------------------------------- what sets of looks cost

    @cached_property
    def members(self) -> npt.NDArray[np.bool_]:
        """(2^K, K) which canvases are in each set."""
        return fixed(np.arange(1 << self.n_canvases)[:, None] >> np.arange(self.n_canvases) & 1 > 0)

    @cached_property
    def seen_flops(self) -> npt.NDArray[np.float64]:
        """(2^K,) FLOPs of looking at each set of canvases."""
        return self._sums(self.task.flops)

    @cached_property
    def seen_costs(self) -> npt.NDArray[np.float64]:
        """(2^K,) what the reward charges for each set of canvases."""
        return self._sums(self.task.costs)

    @cached_property
    def seen_comp(self) -> npt.NDArray[np.float64]:
        """(2^K,) sum of R_comp over each set of canvases."""
        return self._sums(self.task.comp)

    def _sums(self, each: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return fixed(np.where(self.members, each, 0.0).sum(axis=1))

    # ---------------------------------------------------------------- the rules

    def advance(self, rows: IntArray, seen: IntArray, last: IntArray, actions: IntArray) -> Advanced:
        """Take an action in each of N episodes that have not ended. These are the rules; there is no other copy.

        A look pays for itself at once, tradeoff * R_comp. Stopping pays (1 - tradeoff) * R_acc of the answer and ends
        the episode. A canvas that was looked at has nothing new to say: to ask for it again is to stop.

        Args:
            rows: (N,) int64, rows of the split.
            seen: (N,) int64, canvases looked at, as bit masks.
            last: (N,) int64, the last canvas looked at, -1 for none.
            actions: (N,) int64, 0 to K - 1 for a look, K to stop.
        """
        k = self.n_canvases
        ended = (seen | 1 << k) >> actions & 1 > 0
        answers = rows * self.answer_acc.shape[1] + self._answer_at.take(seen * (k + 1) + last + 1)
        vector = np.empty((len(rows), 2))
        vector[:, 0] = np.where(ended, self._acc.take(answers), 0.0)
        vector[:, 1] = np.where(ended, 0.0, self._paid_comp.take(actions))
        reward = np.where(ended, self._stop_rewards.take(answers), self._look_rewards.take(actions))
        return Advanced(
            reward=reward,
            reward_vector=vector,
            seen=np.where(ended, seen, seen | 1 << actions),
            last=np.where(ended, last, actions),
            ended=ended,
        )

    @cached_property
    def _look_rewards(self) -> npt.NDArray[np.float64]:
        """(K + 1,) of each look; the last stands in for stopping, which is no look."""
        return fixed(rules.reward(0.0, self._paid_comp, self.task.tradeoff))

    @cached_property
    def _paid_comp(self) -> npt.NDArray[np.float64]:
        return fixed(np.append(self.task.comp, 0.0))

    @cached_property
    def _acc(self) -> npt.NDArray[np.float64]:
        return fixed(self.answer_acc.ravel())

    @cached_property
    def _stop_rewards(self) -> npt.NDArray[np.float64]:
        """(n * A,) of stopping with each answer."""
        return fixed(rules.reward(self.answer_acc, 0.0, self.task.tradeoff).ravel())

    def action_mask(self, seen: IntArray) -> npt.NDArray[np.int8]:
        """Which actions make sense: (N, K + 1) int8, 1 for canvases not looked at and, after a look, for stopping.

        Args:
            seen: (N,) int64, canvases looked at.
        """
        return np.asarray(self._masks.take(seen, axis=0), dtype=np.int8)

    @cached_property
    def _masks(self) -> npt.NDArray[np.int8]:
        stop = np.arange(len(self.members))[:, None] > 0
        return fixed(np.concatenate([~self.members, stop], axis=1).astype(np.int8))

    # ---------------------------------------------------------------- how episodes end

    def node_of(self, seen: IntArray, last: IntArray) -> IntArray:
        """(N,) column of the node where an episode in each of N states would end; -1 before the first look.

        Args:
            seen: (N,) int64, canvases looked at.
            last: (N,) int64, the last of them, one of `seen`; -1 for none. With "fused" it says nothing.
        """
        return np.asarray(self._node_at.take(np.asarray(seen) * (self.n_canvases + 1) + np.asarray(last) + 1))

    @cached_property
    def _node_at(self) -> IntArray:
        """(2^K * (K + 1),) node of each (seen, last + 1), -1 where there is none."""
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
        """(2^K * (K + 1),) answer of each (seen, last + 1); the one without a look where there is no node."""
        nothing = self.answer_acc.shape[1] - 1
        return fixed(np.append(self.node_answer, nothing)[self._node_at])

    @cached_property
    def node_flops(self) -> npt.NDArray[np.float64]:
        """(M,) FLOPs of all looks of each node."""
        return fixed(self.seen_flops[self.node_seen])

    @cached_property
    def node_costs(self) -> npt.NDArray[np.float64]:
        """(M,) what the reward charges for all looks of each node."""
        return fixed(self.seen_costs[self.node_seen])

    @cached_property
    def node_rewards(self) -> npt.NDArray[np.float64]:
        """(n, M) undiscounted return of each sketch's episode that ends at each node."""
        return fixed(self._returns(np.arange(len(self))))

    def _returns(self, rows: IntArray) -> npt.NDArray[np.float64]:
        acc = self.answer_acc[rows][:, self.node_answer]
        return rules.reward(acc, self.seen_comp[self.node_seen], self.task.tradeoff)

    @cached_property
    def node_ranks(self) -> IntArray:
        """(n, M) rank of the true photo at each node."""
        return fixed(self.answer_ranks[:, self.node_answer])

    def oracle_nodes(self) -> IntArray:
        """(n,) node of the highest return of each sketch, the cheapest of equals, by who knows all outcomes.

        With "last" it is a single look: whoever knows the outcomes needs no look to choose the next.
        """
        return self._oracle[0]

    @property
    def oracle_returns(self) -> npt.NDArray[np.float64]:
        """(n,) the return at that node."""
        return self._oracle[1]

    @cached_property
    def _oracle(self) -> tuple[IntArray, npt.NDArray[np.float64]]:
        nodes, returns = np.empty(len(self), np.int64), np.empty(len(self))
        step = max(1, _BLOCK // len(self.nodes))
        for start in range(0, len(self), step):
            rows = np.arange(start, min(start + step, len(self)))
            each = self._returns(rows)
            nodes[rows] = best_columns(each, self.node_costs)
            returns[rows] = each[np.arange(len(rows)), nodes[rows]]
        return fixed(nodes), fixed(returns)

    # ---------------------------------------------------------------- what is shown

    def room(self, n: int) -> Arrays:
        """Empty arrays for observations of n episodes."""
        sources = {
            "points": self.task.points,
            "stats": self.task.stats,
            "looks": self.signals,
            "last": self._last_shown,
        }
        return {name: np.empty((n, source.shape[1]), dtype=np.float32) for name, source in sources.items()}

    def observe(self, rows: IntArray, seen: IntArray, last: IntArray, out: Arrays | None = None) -> Arrays:
        """Observations of N episodes.

        Args:
            rows: (N,) int64, rows of the split.
            seen: (N,) int64, canvases looked at.
            last: (N,) int64, the last of them, -1 for none.
            out: arrays of `room(N)` to write into; fresh ones if None.

        Returns:
            The arrays, (N, ...) float32 by name.
        """
        into = self.room(len(rows)) if out is None else out
        sources = {
            "points": (self.task.points, rows),
            "stats": (self.task.stats, rows),
            "looks": (self.signals, rows),
            "last": (self._last_shown, last + 1),
        }
        for name, (source, which) in sources.items():
            # What is asked for is in range; "clip" spares take() the safety copy that it makes for out= otherwise.
            np.take(source, which, axis=0, out=into[name], mode="clip")
        into["looks"] *= self._weights.take(seen, axis=0)
        return into

    @cached_property
    def _weights(self) -> npt.NDArray[np.float32]:
        """(2^K, L) what the signals are multiplied with after looks at each set of canvases."""
        return fixed(look_weights(self.members, self.task.costs))

    @cached_property
    def _last_shown(self) -> npt.NDArray[np.float32]:
        """(K + 1, K) one-hot of last, all zero in the first row."""
        return fixed(np.eye(self.n_canvases + 1, self.n_canvases, k=-1, dtype=np.float32))

    def going(self, rows: IntArray, seen: IntArray) -> Arrays:
        """What info tells of N episodes that go on, in the environment's names."""
        return {
            "sketch_index": rows.copy(),
            "seen": seen.copy(),
            "flops": self.seen_flops.take(seen),
            "action_mask": self.action_mask(seen),
        }

    def final(self, rows: IntArray, seen: IntArray, last: IntArray) -> Arrays:
        """What info tells of N episodes that ended, in the environment's names; it follows from where they ended."""
        answer = self._answer_at.take(seen * (self.n_canvases + 1) + last + 1)
        acc, comp = self.answer_acc[rows, answer], self.seen_comp.take(seen)
        returns = rules.reward(acc, comp, self.task.tradeoff)
        best = self.oracle_returns.take(rows)
        return {
            "sketch_index": rows.copy(),
            "seen": seen.copy(),
            "canvas": self._sides.take(last + 1),
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
    def _sides(self) -> IntArray:
        """(K + 1,) side of last, 0 for none."""
        return fixed(np.array([0, *self.task.canvases], dtype=np.int64))

    # ---------------------------------------------------------------- spaces

    def observation_space(self) -> spaces.Dict:
        """Space of one observation."""
        return spaces.Dict(
            {
                **self.task.observation_space().spaces,
                "looks": spaces.Box(0.0, rules.MAX_DISTANCE, (self.signals.shape[1],), np.float32),
                "last": spaces.Box(0.0, 1.0, (self.n_canvases,), np.float32),
            }
        )

    def action_space(self) -> spaces.Discrete:
        """Space of one action: K canvases and stopping."""
        return spaces.Discrete(self.n_canvases + 1)

    def reward_space(self) -> spaces.Box:
        """Space of the sums of (R_acc, R_comp) over an episode: every looked-at canvas is paid for, at most all."""
        acc, _ = self.task.limits
        low, high = np.array([acc[0], self.seen_comp.min()]), np.array([acc[1], 0.0])
        slack = 1e-12 * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
        return spaces.Box(low - slack, high + slack, dtype=np.float64)

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds of every reward, and of every undiscounted return."""
        (low_acc, low_comp), (high_acc, _) = self.reward_space().low, self.reward_space().high
        # A look alone pays for itself and no accuracy yet, so accuracy counts here only where it makes the bound wider.
        low = rules.reward(min(low_acc, 0.0), low_comp, self.task.tradeoff)
        return float(low), float(rules.reward(high_acc, 0.0, self.task.tradeoff))

    def out_of_range(self, action: int) -> str:
        """What to say of an action that there is not."""
        sides = ", ".join(map(str, self.task.canvases))
        k = self.n_canvases
        return f"action {action} is out of range: 0 to {k - 1} look at canvases {sides}, {k} stops"

    @property
    def look_names(self) -> tuple[str, ...]:
        """(L,) names of the observation `looks`."""
        return look_feature_names(self.task.canvases)


def make_cascade_task(
    *,
    ranking: str = "last",
    looks: str | os.PathLike[str] | LookTable | None = None,
    **arguments: Any,
) -> CascadeTask:
    """Check an environment's arguments and make its task ready. Equal arguments give the same object.

    Args:
        ranking: the answer is the ranking of the "last" look, or that of all looks "fused".
        looks: path of a table of looks, or the table; None for the one beside the outcome table.
        arguments: of `task.make_task`, other than `retriever`: there is no live mode.

    Returns:
        The task.

    Raises:
        ValueError: an argument that is out of range or names something that does not exist, more than `MAX_CANVASES`
            canvases, or sets of canvases that nobody fused.
        FileNotFoundError: no file at `table` or `looks`, or no looks beside the outcome table; the message says how to
            make them.
        TableError: looks that do not belong to the outcome table.
    """
    if ranking not in RANKINGS:
        raise ValueError(f"unknown ranking {ranking!r}: there are {', '.join(RANKINGS)}")
    if isinstance(looks, bytes) or not isinstance(looks, str | os.PathLike | LookTable | None):
        raise ValueError(f"looks must be the path of a table of looks, got {type(looks).__name__}")
    if "retriever" in arguments:
        raise ValueError("sequences of looks have no live mode: everything that may be seen is looked up")
    task = make_task(**arguments)
    if len(task.canvases) > MAX_CANVASES:
        raise ValueError(f"at most {MAX_CANVASES} canvases can be looked at in sequence, got {len(task.canvases)}")
    whole = find_table(task.dataset, task.recipe["student"], task.recipe["table"])
    found = _find_looks(whole, task.recipe["table"], looks)
    return _cascade_task(task, whole, found, ranking, looks if isinstance(looks, LookTable) else None, _path(looks))


def _path(looks: str | os.PathLike[str] | LookTable | None) -> str | None:
    return None if looks is None or isinstance(looks, LookTable) else os.fspath(looks)


def _from_recipe(recipe: dict[str, Any]) -> CascadeTask:
    return make_cascade_task(**recipe)


def _find_looks(
    whole: OutcomeTable,
    table: str | os.PathLike[str] | OutcomeTable | None,
    looks: str | os.PathLike[str] | LookTable | None,
) -> LookTable:
    if isinstance(looks, LookTable):
        check_looks(looks, whole)
        return looks
    if looks is None and isinstance(table, str | os.PathLike):
        looks = looks_path(table)
    return load_looks(whole, looks)


@lru_cache(maxsize=32)
def _cascade_task(
    task: Task, whole: OutcomeTable, looks: LookTable, ranking: str, given: LookTable | None, path: str | None
) -> CascadeTask:
    known = task.lookup
    assert known is not None  # make_task was given no retriever
    columns = whole.columns(task.canvases)
    rows = np.flatnonzero(whole.split == task.split)  # as OutcomeTable.select takes them
    table = known.table
    seen, last = _states(len(columns), ranking)
    if ranking == "last":
        answer, ranks, triplet = last, table.ranks, table.triplet
    else:
        more = [_fused_column(looks, whole, columns, each) for each in seen[len(columns) :].tolist()]
        answer = np.arange(len(seen))
        ranks = np.concatenate([table.ranks, looks.fused_ranks[rows][:, more]], axis=1)
        triplet = np.concatenate([table.triplet, looks.fused_triplet[rows][:, more]], axis=1)
    # Without a look all photos are alike: ties count against the student, and d_true - d_other is 0 for each.
    gallery = table.gallery_size[task.split]
    ranks = np.column_stack([ranks, np.full(len(rows), gallery)]).astype(np.int64)
    triplet = np.column_stack([triplet, np.full(len(rows), table.margin)]).astype(np.float64)
    return CascadeTask(
        task=task,
        ranking=ranking,
        nodes=_names(task.canvases, seen, last, ranking),
        node_seen=fixed(seen),
        node_last=fixed(last),
        node_answer=fixed(answer),
        answer_ranks=fixed(ranks),
        answer_triplet=fixed(triplet),
        answer_acc=fixed(rules.accuracy_reward(ranks, triplet, task.rank_weight, task.triplet_weight)),
        signals=fixed(look_signals(table.top, looks.distances[rows][:, columns])),
        looks=looks,
        recipe={
            **{name: value for name, value in task.recipe.items() if name != "retriever"},
            "ranking": ranking,
            "looks": given if given is not None else path,
        },
    )


def _states(k: int, ranking: str) -> tuple[IntArray, IntArray]:
    """seen and last of all nodes, in order."""
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
    """Column of the looks for a set of the canvases on offer."""
    wanted = sum(1 << int(column) for j, column in enumerate(columns) if members >> j & 1)
    found = np.flatnonzero(looks.fused_of == wanted)
    if not found.size:
        sides = ", ".join(str(whole.canvases[column]) for j, column in enumerate(columns) if members >> j & 1)
        raise ValueError(
            f"the looks of student {whole.student!r} on {whole.dataset!r} have no fused ranking of canvases {sides}: "
            "choose among those that were fused, or ranking='last'"
        )
    return int(found[0])
