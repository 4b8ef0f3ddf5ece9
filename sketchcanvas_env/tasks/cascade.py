"""Looking at one sketch several times: the rules of `SketchCanvasCascade-v0`, and what there is to look up.

An episode's state is (row, seen, last): the sketch, the canvases looked at so far as a bit mask (2^j for canvas j), and
the last of them, -1 before the first look. So how episodes end can be listed: the `nodes` are all the (seen, last), or,
where looks are fused and their order does not matter, all the sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.hull import best_columns
from sketchcanvas_env.outcomes.looks import LookTable, look_feature_names, look_weights, sureness_names
from sketchcanvas_env.tasks.arguments import Arguments
from sketchcanvas_env.tasks.canvas import Task, photos_of
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

_BLOCK = 1 << 22  # rewards of nodes compared at once, 32 MiB


class Looks(NamedTuple):
    """Where N episodes of several looks stand.

    Attributes:
        rows: (N,) int64, rows of the split.
        seen: (N,) int64, canvases looked at, as bit masks.
        last: (N,) int64, the last of them, -1 for none.
    """

    rows: IntArray
    seen: IntArray
    last: IntArray


@dataclass(frozen=True, eq=False)
class CascadeTask(Episodes[Looks]):
    """A task with sequences of looks: states, ways to end, what each is worth; shared and read-only.

    An *answer* is a ranking that an episode may end with: one for each canvas, or with "fused" one for each set of
    canvases. The last index means that no look was taken: all photos are alike, so by the rule for ties the true one
    is last, and L_tri is the margin.

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
        sureness: (n, 3 K) float32, confidence, entropy and `apart` of each canvas (`LookTable`); None where they are
            not shown.
        looks: the table of looks that this was taken from, of all splits and canvases.
        arguments: what it was made from.
    """

    task: Task
    ranking: str
    nodes: tuple[str, ...]
    node_seen: IntArray
    node_last: IntArray
    node_answer: IntArray
    answer_ranks: IntArray
    answer_triplet: FloatArray
    answer_acc: FloatArray
    signals: npt.NDArray[np.float32]
    looks: LookTable = field(repr=False)
    arguments: Arguments
    sureness: npt.NDArray[np.float32] | None = None

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
    def seen_flops(self) -> FloatArray:
        """(2^K,) FLOPs of looking at each set of canvases."""
        return self._sums(self.task.flops)

    @cached_property
    def seen_costs(self) -> FloatArray:
        """(2^K,) what the reward charges for each set of canvases."""
        return self._sums(self.task.costs)

    @cached_property
    def seen_comp(self) -> FloatArray:
        """(2^K,) sum of R_comp over each set of canvases."""
        return self._sums(self.task.comp)

    def _sums(self, each: FloatArray) -> FloatArray:
        return fixed(np.where(self.members, each, 0.0).sum(axis=1))

    # ---------------------------------------------------------------- the rules

    def start(self, rows: IntArray, drawn: Mapping[str, npt.NDArray[np.float32]] | None = None) -> Looks:
        """N episodes in which nothing was looked at; nothing is drawn for them but their sketches."""
        return Looks(rows, np.zeros(len(rows), dtype=np.int64), np.full(len(rows), -1, dtype=np.int64))

    def advance(self, state: Looks, actions: IntArray) -> Advanced[Looks]:
        """Take an action in each of N episodes that have not ended.

        A look pays for itself at once, tradeoff * R_comp. Stopping pays (1 - tradeoff) * R_acc of the answer and ends
        the episode. A canvas that was looked at has nothing new to say: asking for it again is stopping.

        Args:
            state: where the episodes stand.
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
        """(K + 1,) of each look; the last stands in for stopping, which is no look."""
        return fixed(rules.reward(0.0, np.append(self.task.comp, 0.0), self.task.tradeoff))

    @cached_property
    def _stop_rewards(self) -> FloatArray:
        """(n * A,) of stopping with each answer."""
        return fixed(rules.reward(self.answer_acc, 0.0, self.task.tradeoff).ravel())

    def action_mask(self, state: Looks) -> npt.NDArray[np.int8]:
        """Which actions make sense: (N, K + 1) int8, 1 for canvases not looked at and, after a look, for stopping."""
        return np.asarray(self._masks.take(state.seen, axis=0), dtype=np.int8)

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
    def node_flops(self) -> FloatArray:
        """(M,) FLOPs of all looks of each node."""
        return fixed(self.seen_flops[self.node_seen])

    @cached_property
    def node_costs(self) -> FloatArray:
        """(M,) what the reward charges for all looks of each node."""
        return fixed(self.seen_costs[self.node_seen])

    @cached_property
    def node_rewards(self) -> FloatArray:
        """(n, M) undiscounted return of each sketch's episode that ends at each node."""
        return fixed(self._returns(np.arange(len(self))))

    def _returns(self, rows: IntArray) -> FloatArray:
        acc = self.answer_acc[rows][:, self.node_answer]
        return rules.reward(acc, self.seen_comp[self.node_seen], self.task.tradeoff)

    @cached_property
    def node_ranks(self) -> IntArray:
        """(n, M) rank of the true photo at each node."""
        return fixed(self.answer_ranks[:, self.node_answer])

    def oracle_nodes(self) -> IntArray:
        """(n,) node of the highest return of each sketch; ties go to the cheapest; needs all outcomes.

        With "last" it is a single look: with all outcomes known no look is needed to choose the next.
        """
        return self._oracle[0]

    @property
    def oracle_returns(self) -> FloatArray:
        """(n,) the return at that node."""
        return self._oracle[1]

    @cached_property
    def _oracle(self) -> tuple[IntArray, FloatArray]:
        nodes, returns = np.empty(len(self), np.int64), np.empty(len(self))
        step = max(1, _BLOCK // len(self.nodes))
        for start in range(0, len(self), step):
            rows = np.arange(start, min(start + step, len(self)))
            each = self._returns(rows)
            nodes[rows] = best_columns(each, self.node_costs)
            returns[rows] = each[np.arange(len(rows)), nodes[rows]]
        return fixed(nodes), fixed(returns)

    # ---------------------------------------------------------------- what is shown and told

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
        """(2^K, 3 K) 1 for what is known of each canvas after looks at each set of them."""
        return fixed(np.repeat(self.members, 3, axis=1).astype(np.float32))

    @cached_property
    def _weights(self) -> npt.NDArray[np.float32]:
        """(2^K, L) what the signals are multiplied with after looks at each set of canvases."""
        return fixed(look_weights(self.members, self.task.costs))

    @cached_property
    def _last_shown(self) -> npt.NDArray[np.float32]:
        """(K + 1, K) one-hot of last, all zero in the first row."""
        return fixed(np.eye(self.n_canvases + 1, self.n_canvases, k=-1, dtype=np.float32))

    def going(self, state: Looks) -> Arrays:
        """`info` of N episodes that go on."""
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
        returns = rules.reward(acc, comp, self.task.tradeoff)
        best = self.oracle_returns.take(rows)
        return {
            "sketch_index": rows,
            "seen": seen,
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

    def shown(self, state: Looks, place: int, earned: float) -> Shown:
        """The last look of one of N episodes."""
        row, seen, last = (int(array[place]) for array in state)
        if last < 0:
            return Shown(row, None)
        table = self.task.table
        assert table is not None  # there is no live mode here
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
        """Space of the sums of (R_acc, R_comp) over an episode: every canvas looked at is paid for, at most all."""
        acc, _ = self.task.limits
        return widened(np.array([acc[0], self.seen_comp.min()]), np.array([acc[1], 0.0]))

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds of every reward, and of every undiscounted return."""
        (low_acc, low_comp), (high_acc, _) = self.reward_vector_space().low, self.reward_vector_space().high
        # A look alone pays for itself and no accuracy yet, so accuracy counts here only where it makes the bound wider.
        low = rules.reward(min(low_acc, 0.0), low_comp, self.task.tradeoff)
        return float(low), float(rules.reward(high_acc, 0.0, self.task.tradeoff))

    def out_of_range(self, action: int) -> str:
        """Error message for an action outside the action space."""
        sides = ", ".join(map(str, self.task.canvases))
        k = self.n_canvases
        return f"action {action} is out of range: 0 to {k - 1} look at canvases {sides}, {k} stops"

    @property
    def look_names(self) -> tuple[str, ...]:
        """(L,) names of the observation `looks`."""
        return look_feature_names(self.task.canvases)

    @property
    def confidence_names(self) -> tuple[str, ...]:
        """(3 K,) names of the observation `confidence`."""
        return sureness_names(self.task.canvases)
