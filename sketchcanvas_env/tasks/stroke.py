"""Looking at a drawing while it appears: the rules of `SketchCanvasStroke-v0`, and what there is to look up.

Arrays over prefixes have one row for each step of each drawing of the split, one drawing after another, as a
`PrefixTable` has them; a *look* is numbered by its prefix's row times K plus its canvas, -1 stands for none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.prefixes import MAX_STEPS, drawing_steps
from sketchcanvas_env.sketches.sketch import VectorSketch
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


class Drawing(NamedTuple):
    """Where N episodes stand.

    Attributes:
        rows: (N,) int64, rows of the split.
        step: (N,) int64, steps of the drawing that have come after the first.
        seen: (N,) int64, canvases at which the drawing as it is was looked at, as bit masks (2^j for canvas j).
        last: (N,) int64, the last look, -1 before the first.
        before: (N,) int64, the look before that, -1 before the second.
        looks: (N, K) int64, how often each canvas was looked at in all.
    """

    rows: IntArray
    step: IntArray
    seen: IntArray
    last: IntArray
    before: IntArray
    looks: IntArray


@dataclass(frozen=True, eq=False)
class StrokeTask(Episodes[Drawing]):
    """A task whose drawings appear step by step: states, rewards and observations; shared and read-only.

    Attributes:
        task: sketches, canvases, costs and weights.
        stroke_cost: what waiting for a whole drawing costs.
        steps: (n,) int64, steps of each drawing.
        first: (n,) int64, row of each drawing's first step among the R prefixes.
        share: (R,) float64, share of the strokes that are there.
        strokes: (R,) int64, number of strokes that are there.
        points: (R, max_points * 5) float32, as `Task.points`, of the drawing so far.
        stats: (R, F) float32, as `Task.stats`, of the drawing so far.
        ranks: (R * K + 1,) int64, rank of the true photo at each look, and last without a look.
        triplet: (R * K + 1,) float64, likewise.
        acc: (R * K + 1,) float64, R_acc likewise.
        top: (R * K + 1, 5) int32, the nearest photos at each look; -1 without a look.
        signals: (R * K + 1, 6) float32, distances of the nearest photos and the margin of the first two; 0 without a
            look.
        arguments: what it was made from.
        thumbnails: (R, 256) float32, as `Task.thumbnails`, of the drawing so far; None where they are not shown.
    """

    task: Task
    stroke_cost: float
    steps: IntArray
    first: IntArray
    share: FloatArray
    strokes: IntArray
    points: npt.NDArray[np.float32]
    stats: npt.NDArray[np.float32]
    ranks: IntArray
    triplet: FloatArray
    acc: FloatArray
    top: npt.NDArray[np.int32]
    signals: npt.NDArray[np.float32]
    arguments: Arguments
    thumbnails: npt.NDArray[np.float32] | None = None

    @property
    def n_canvases(self) -> int:
        """Number of canvases on offer, K; also the action that waits, and K + 1 is the one that stops."""
        return len(self.task.canvases)

    def sketch(self, row: int, step: int) -> VectorSketch:
        """The drawing in row `row` of the split after step `step`, from 0."""
        return drawing_steps(self.task.sketch(row))[step]

    # ---------------------------------------------------------------- the rules

    def start(self, rows: IntArray, drawn: Mapping[str, npt.NDArray[np.float32]] | None = None) -> Drawing:
        """N episodes in which the first step of the drawing is there and nothing was looked at."""
        none = np.full(len(rows), -1, dtype=np.int64)
        zero = np.zeros(len(rows), dtype=np.int64)
        return Drawing(rows, zero, zero, none, none, np.zeros((len(rows), self.n_canvases), dtype=np.int64))

    def advance(self, state: Drawing, actions: IntArray) -> Advanced[Drawing]:
        """Take an action in each of N episodes that have not ended.

        A look pays for itself at once, tradeoff * R_comp. Waiting costs stroke_cost times the share of the drawing that
        comes. Stopping pays (1 - tradeoff) * R_acc of the last look and ends the episode. To look again where nothing
        has changed and to wait when nothing will come says nothing new: it is to stop.

        Args:
            state: where the episodes stand.
            actions: (N,) int64, 0 to K - 1 for a look, K to wait, K + 1 to stop.
        """
        k = self.n_canvases
        rows, step, seen, last, before, looks = state
        at = self._at(state)
        going = self._open(state) >> actions & 1 > 0
        look, wait = going & (actions < k), going & (actions == k)
        reward = self._reward(
            self.acc.take(last) * ~going, self._paid_comp.take(actions) * going, self._coming.take(at) * wait
        )
        after = Drawing(
            rows=rows,
            step=step + wait,
            seen=np.where(wait, 0, seen | look << actions),
            last=np.where(look, at * k + actions, last),
            before=np.where(look, last, before),
            looks=looks + (look[:, None] & (actions[:, None] == np.arange(k))),
        )
        return Advanced(reward, after, ~going)

    def _reward(self, acc: FloatArray, comp: FloatArray, wait: FloatArray) -> FloatArray:
        return np.asarray(rules.reward(acc, comp, self.task.tradeoff) + self.stroke_cost * wait)

    def _at(self, state: Drawing) -> IntArray:
        """(N,) row of the prefix that is there."""
        return np.asarray(self.first.take(state.rows) + state.step)

    def _open(self, state: Drawing) -> IntArray:
        """(N,) which looks and whether waiting say something new, as bit masks."""
        k = self.n_canvases
        more = state.step + 1 < self.steps.take(state.rows)
        return np.asarray((1 << k) - 1 - state.seen + (more << k), dtype=np.int64)

    @cached_property
    def _paid_comp(self) -> FloatArray:
        """(K + 2,) R_comp of each action; waiting and stopping cost no FLOPs."""
        return fixed(np.append(self.task.comp, [0.0, 0.0]))

    @cached_property
    def _coming(self) -> FloatArray:
        """(R,) R_wait of waiting after each step, 0 after the last: the share that comes, below zero."""
        ends = np.append(self.share[1:], 1.0)
        return fixed(np.where(self.share < 1.0, self.share - ends, 0.0))

    @cached_property
    def _waited(self) -> FloatArray:
        """(R,) share of the drawing that came after the first step."""
        return fixed(self.share - np.repeat(self.share[self.first], self.steps))

    def action_mask(self, state: Drawing) -> npt.NDArray[np.int8]:
        """Which actions say something new: (N, K + 2) int8.

        1 for canvases at which the drawing as it is was not looked at, for waiting while strokes are to come, and for
        stopping once there was a look.
        """
        allowed = self._open(state) | (state.last >= 0) << self.n_canvases + 1
        return (allowed[:, None] >> np.arange(self.n_canvases + 2) & 1).astype(np.int8)

    # ---------------------------------------------------------------- how episodes end

    @cached_property
    def returns(self) -> FloatArray:
        """(R, K) undiscounted return of waiting for a prefix, looking once at a canvas, and stopping."""
        acc = self.acc[:-1].reshape(-1, self.n_canvases)
        return fixed(self._reward(acc, self.task.comp, -self._waited[:, None]))

    @cached_property
    def oracle_returns(self) -> FloatArray:
        """(n,) the highest return of each sketch's episode with one look; needs all outcomes."""
        return fixed(np.maximum.reduceat(self.returns.max(axis=1), self.first))

    def going(self, state: Drawing) -> Arrays:
        """`info` of N episodes that go on."""
        return {
            "sketch_index": state.rows.copy(),
            "strokes": self.strokes.take(self._at(state)),
            "seen": state.seen.copy(),
            "flops": paid(state.looks, self.task.flops),
            "action_mask": self.action_mask(state),
        }

    def final(self, state: Drawing) -> Arrays:
        """`info` of N episodes that ended."""
        rows, last, at = state.rows, state.last, self._at(state)
        vector = np.column_stack([self.acc.take(last), paid(state.looks, self.task.comp), -self._waited.take(at)])
        returns = self._reward(*vector.T)
        best = self.oracle_returns.take(rows)
        return {
            "sketch_index": rows,
            "strokes": self.strokes.take(at),
            "share": self.share.take(at),
            "canvas": np.where(last < 0, 0, self._sides.take(last % self.n_canvases)),
            "looks": state.looks.sum(axis=1),
            "flops": paid(state.looks, self.task.flops),
            "cost": paid(state.looks, self.task.costs),
            "rank": self.ranks.take(last),
            "triplet": self.triplet.take(last),
            "reward_vector": vector,
            "return": returns,
            "oracle_return": best,
            "regret": best - returns,
        }

    @cached_property
    def _sides(self) -> IntArray:
        return fixed(np.array(self.task.canvases, dtype=np.int64))

    # ---------------------------------------------------------------- what is shown and told

    def observe(self, state: Drawing, out: Arrays | None = None) -> Arrays:
        """Observations of N episodes; see `Episodes.observe`."""
        into = self.room(len(state.rows)) if out is None else out
        look_up(self.pictures, self._at(state), into)
        self._look_features(state, into["looks"])
        return into

    @cached_property
    def pictures(self) -> dict[str, npt.NDArray[np.float32]]:
        """What observations show of each drawing so far, (R, ...) by name."""
        parts = {"points": self.points, "stats": self.stats}
        return parts if self.thumbnails is None else {**parts, "thumbnail": self.thumbnails}

    def _look_features(self, state: Drawing, out: npt.NDArray[np.float32]) -> None:
        """Write (N, L) what is known of the looks so far, in the order of `look_names`."""
        k, last, before = self.n_canvases, state.last, state.before
        sides = np.arange(k)
        looked = last >= 0
        out[:, :k] = looked[:, None] & (last[:, None] % k == sides)
        out[:, k : 2 * k] = state.seen[:, None] >> sides & 1
        signals = self.signals.shape[1]
        out[:, 2 * k : 2 * k + signals] = self.signals.take(last, axis=0)
        now, then = self.top.take(last, axis=0), self.top.take(before, axis=0)
        same = (now[:, :, None] == then[:, None, :]) & (now >= 0)[:, :, None]
        photos = np.maximum((now >= 0).sum(axis=1), 1)
        spent = paid(state.looks, self.task.costs) / self.task.costs.sum()
        since = state.step - (last // k - self.first.take(state.rows))
        out[:, -4] = same[:, 0, 0]
        out[:, -3] = same.any(axis=2).sum(axis=1) / photos
        out[:, -2] = spent / (1.0 + spent)
        out[:, -1] = np.where(looked, since, 0) / MAX_STEPS

    @property
    def look_names(self) -> tuple[str, ...]:
        """(L,) names of the observation `looks`."""
        return stroke_look_names(self.task.canvases)

    def shown(self, state: Drawing, place: int, earned: float) -> Shown:
        """The drawing so far of one of N episodes, and the last look at it."""
        row, last = int(state.rows[place]), int(state.last[place])
        strokes = int(self.strokes[self.first[row] + state.step[place]])
        if last < 0:
            return Shown(row, None, strokes)
        table = self.task.table
        assert table is not None  # there is no live mode here
        looks = state.looks[[place]]
        all_looks = (float(paid(looks, self.task.flops)[0]), float(paid(looks, self.task.costs)[0]))
        top = photos_of(table, self.top[last])
        return Shown(
            row, Look(last % self.n_canvases, int(self.ranks[last]), earned, top, all_looks=all_looks), strokes
        )

    # ---------------------------------------------------------------- spaces and bounds

    def observation_space(self) -> spaces.Dict:
        """Space of one observation."""
        looks = spaces.Box(0.0, rules.MAX_DISTANCE, (len(self.look_names),), np.float32)
        return spaces.Dict({**self.task.observation_space().spaces, "looks": looks})

    def action_space(self) -> spaces.Discrete:
        """Space of one action: K canvases, waiting and stopping."""
        return spaces.Discrete(self.n_canvases + 2)

    def out_of_range(self, action: int) -> str:
        """Error message for an action outside the action space."""
        sides, k = ", ".join(map(str, self.task.canvases)), self.n_canvases
        return f"action {action} is out of range: 0 to {k - 1} look at canvases {sides}, {k} waits, {k + 1} stops"

    def reward_vector_space(self) -> spaces.Box:
        """Space of the sums of (R_acc, R_comp, R_wait) over an episode: at most every canvas at every step."""
        acc, _ = self.task.limits
        return widened(np.array([acc[0], self.task.comp.sum() * self.steps.max(), -1.0]), np.array([acc[1], 0.0, 0.0]))

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds of every reward, and of every undiscounted return."""
        low, high = self.reward_vector_space().low, self.reward_vector_space().high
        # A look alone pays for itself and no accuracy yet, so accuracy counts here only where it makes the bound wider.
        low[0] = min(low[0], 0.0)
        return float(self._reward(*low)), float(self._reward(*high))


def paid(looks: IntArray, each: FloatArray) -> FloatArray:
    """(N,) what looks at the canvases come to in all."""
    return np.asarray((looks * each).sum(axis=1))


def stroke_look_names(canvases: Iterable[int]) -> tuple[str, ...]:
    """Names of the numbers in the observation `looks`, in order.

    Args:
        canvases: (K,) sides on offer.

    Example:
        >>> stroke_look_names([32, 64])[:4]
        ('last_32', 'last_64', 'now_32', 'now_64')
        >>> stroke_look_names([32, 64])[4:9]
        ('distance_1', 'distance_2', 'distance_3', 'distance_4', 'distance_5')
        >>> stroke_look_names([32, 64])[9:]
        ('margin', 'same_first', 'common', 'cost', 'since')
    """
    sides = tuple(canvases)
    return (
        *(f"last_{side}" for side in sides),  # 1 for the canvas of the last look
        *(f"now_{side}" for side in sides),  # 1 for each canvas at which the drawing as it is was looked at
        *(f"distance_{place + 1}" for place in range(TOP)),  # of the nearest photos at the last look
        "margin",  # between the first two
        "same_first",  # 1 if the first photo is the same as at the look before
        "common",  # share of the nearest photos that were among the nearest at the look before
        "cost",  # c / (c + 1), c what the looks cost in units of one look at each canvas on offer
        "since",  # steps of the drawing since the last look, as a share of `prefixes.MAX_STEPS`
    )
