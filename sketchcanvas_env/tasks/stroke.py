"""The task of `SketchCanvasStroke-v0`: looks at a drawing while it appears stroke by stroke.

Arrays over prefixes have one row for each step of each drawing of the split, one drawing after another, as in
`PrefixTable`. A look is numbered row * K + canvas, with the row of its prefix; -1 stands for none.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.prefixes import MAX_STEPS, PrefixTable, drawing_steps
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.features import batch_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import batch_thumbnails
from sketchcanvas_env.storage.table_file import TableError
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

STROKE_COST = 0.5
"""Default cost of waiting for a whole drawing; `SketchCanvasStrokeEnv` says why."""


class Drawing(NamedTuple):
    """State of N episodes.

    Attributes:
        rows: (N,) int64, rows of the split.
        step: (N,) int64, current step of the drawing, from 0.
        seen: (N,) int64, canvases looked at since this step began, as bit masks (2^j for canvas j).
        last: (N,) int64, number of the last look, -1 before the first.
        before: (N,) int64, number of the look before that, -1 before the second.
        looks: (N, K) int64, number of looks at each canvas since the episode began.
    """

    rows: IntArray
    step: IntArray
    seen: IntArray
    last: IntArray
    before: IntArray
    looks: IntArray


@dataclass(frozen=True, eq=False)
class StrokeTask(Episodes[Drawing]):
    """n drawings that appear step by step: states, rewards and observations. Shared and read-only.

    The last row of arrays over looks is the state without a look.

    Attributes:
        arguments: the arguments it was made from, with `stroke_cost`.
        task: sketches, canvases, costs and weights.
        steps: (n,) int64, steps of each drawing.
        first: (n,) int64, row of each drawing's first step among the R prefixes.
        share: (R,) float64, share of the drawing's strokes in each prefix.
        strokes: (R,) int64, number of strokes in each prefix.
        points: (R, max_points * 5) float32, as `Task.points`, of each prefix.
        stats: (R, F) float32, as `Task.stats`, of each prefix.
        ranks: (R * K + 1,) int64, rank of the true photo at each look.
        triplet: (R * K + 1,) float64, triplet loss at each look.
        top: (R * K + 1, 5) int32, nearest photos at each look; -1 without a look.
        signals: (R * K + 1, 6) float32, distances of the nearest photos and the margin of the first two; 0 without a
            look.
        thumbnails: (R, 256) float32, as `Task.thumbnails`, of each prefix; None where they are not observed.
    """

    arguments: StrokeArguments
    task: Task
    steps: IntArray
    first: IntArray
    share: FloatArray
    strokes: IntArray
    points: npt.NDArray[np.float32]
    stats: npt.NDArray[np.float32]
    ranks: IntArray
    triplet: FloatArray
    top: npt.NDArray[np.int32]
    signals: npt.NDArray[np.float32]
    thumbnails: npt.NDArray[np.float32] | None

    @cached_property
    def acc(self) -> FloatArray:
        """R_acc at each look, (R * K + 1,)."""
        return fixed(self.arguments.acc(self.ranks, self.triplet))

    def sketch(self, row: int, step: int) -> VectorSketch:
        """The drawing in row `row` of the split at step `step`, from 0."""
        return drawing_steps(self.task.sketch(row))[step]

    # ---------------------------------------------------------------- rules

    def start(self, rows: IntArray, drawn: Mapping[str, npt.NDArray[np.float32]] | None = None) -> Drawing:
        """Initial states of N episodes: the first step of the drawing, and no look."""
        none = np.full(len(rows), -1, dtype=np.int64)
        zero = np.zeros(len(rows), dtype=np.int64)
        return Drawing(rows, zero, zero, none, none, np.zeros((len(rows), self.n_canvases), dtype=np.int64))

    def advance(self, state: Drawing, actions: IntArray) -> Advanced[Drawing]:
        """Take an action in each of N episodes that have not ended.

        The reward of a look is tradeoff * R_comp. The reward of waiting is -stroke_cost times the share of the drawing
        that is added. The reward of stopping is (1 - tradeoff) * R_acc of the last look, and the episode ends. A second
        look at the same step and canvas, and waiting after the last step, count as stopping.

        Args:
            state: of N episodes.
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
        return np.asarray(rules.reward(acc, comp, self.arguments.tradeoff) + self.arguments.stroke_cost * wait)

    def _at(self, state: Drawing) -> IntArray:
        """Row of the current prefix, (N,)."""
        return np.asarray(self.first.take(state.rows) + state.step)

    def _open(self, state: Drawing) -> IntArray:
        """Looks and waiting that do not count as stopping, as bit masks, (N,)."""
        k = self.n_canvases
        more = state.step + 1 < self.steps.take(state.rows)
        return np.asarray((1 << k) - 1 - state.seen + (more << k), dtype=np.int64)

    @cached_property
    def _paid_comp(self) -> FloatArray:
        """R_comp of each action, (K + 2,); 0 for waiting and stopping."""
        return fixed(np.append(self.task.comp, [0.0, 0.0]))

    @cached_property
    def _coming(self) -> FloatArray:
        """R_wait of waiting at each step, (R,): minus the share of strokes that is added; 0 at the last step."""
        ends = np.append(self.share[1:], 1.0)
        return fixed(np.where(self.share < 1.0, self.share - ends, 0.0))

    @cached_property
    def _waited(self) -> FloatArray:
        """Share of the drawing added since the first step, (R,)."""
        return fixed(self.share - np.repeat(self.share[self.first], self.steps))

    def action_mask(self, state: Drawing) -> npt.NDArray[np.int8]:
        """1 for looks that are not repeated, waiting before the last step, stopping after a look: (N, K + 2) int8."""
        allowed = self._open(state) | (state.last >= 0) << self.n_canvases + 1
        return (allowed[:, None] >> np.arange(self.n_canvases + 2) & 1).astype(np.int8)

    # ---------------------------------------------------------------- endings

    @cached_property
    def returns(self) -> FloatArray:
        """Undiscounted return of waiting for a prefix, looking once at a canvas, and stopping, (R, K)."""
        acc = self.acc[:-1].reshape(-1, self.n_canvases)
        return fixed(self._reward(acc, self.task.comp, -self._waited[:, None]))

    @cached_property
    def oracle_returns(self) -> FloatArray:
        """Highest return of each sketch's episodes with one look, (n,)."""
        return fixed(np.maximum.reduceat(self.returns.max(axis=1), self.first))

    def going(self, state: Drawing) -> Arrays:
        """`info` of N episodes that have not ended."""
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
            "canvas": np.where(last < 0, 0, self.sides.take(last % self.n_canvases)),
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

    # ---------------------------------------------------------------- observations and info

    def observe(self, state: Drawing, out: Arrays | None = None) -> Arrays:
        """Observations of N episodes; see `Episodes.observe`."""
        into = self.room(len(state.rows)) if out is None else out
        look_up(self.pictures, self._at(state), into)
        self._look_features(state, into["looks"])
        return into

    @cached_property
    def pictures(self) -> dict[str, npt.NDArray[np.float32]]:
        """The parts of observations that depend on the prefix alone, (R, ...) by name."""
        parts = {"points": self.points, "stats": self.stats}
        return parts if self.thumbnails is None else {**parts, "thumbnail": self.thumbnails}

    def _look_features(self, state: Drawing, out: npt.NDArray[np.float32]) -> None:
        """Write the observation `looks`, (N, L), in the order of `look_names`."""
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
        """Names of the elements of the observation `looks`, (L,)."""
        return stroke_look_names(self.task.canvases)

    def shown(self, state: Drawing, place: int, earned: float) -> Shown:
        """What to render of one of N episodes."""
        row, last = int(state.rows[place]), int(state.last[place])
        strokes = int(self.strokes[self.first[row] + state.step[place]])
        if last < 0:
            return Shown(row, None, strokes)
        table = self.task.table
        assert table is not None  # there is no live mode
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
        """Space of the sums of (R_acc, R_comp, R_wait) over an episode, with at most every canvas at every step."""
        low, high = self.task.acc_range
        return widened(np.array([low, self.task.comp.sum() * self.steps.max(), -1.0]), np.array([high, 0.0, 0.0]))

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds (low, high) of every reward and every undiscounted return."""
        low, high = self.reward_vector_space().low, self.reward_vector_space().high
        # The reward of a look has no R_acc, so R_acc lowers the bound only where it is negative.
        low[0] = min(low[0], 0.0)
        return float(self._reward(*low)), float(self._reward(*high))


def paid(looks: IntArray, each: FloatArray) -> FloatArray:
    """Sum over all looks of what each costs, (N,)."""
    return np.asarray((looks * each).sum(axis=1))


def stroke_look_names(canvases: Iterable[int]) -> tuple[str, ...]:
    """Names of the elements of the observation `looks`, in order.

    Args:
        canvases: (K,) canvas sides.

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
        *(f"now_{side}" for side in sides),  # 1 for each canvas looked at since the current step began
        *(f"distance_{place + 1}" for place in range(TOP)),  # of the nearest photos at the last look
        "margin",  # between the first two
        "same_first",  # 1 if the nearest photo is the same as at the look before
        "common",  # share of the nearest photos that were among the nearest at the look before
        "cost",  # c / (c + 1), c the cost of all looks divided by that of one look at every canvas
        "since",  # steps since the last look, divided by `prefixes.MAX_STEPS`
    )


# -------------------------------------------------------------------- making the task


@dataclass(frozen=True, kw_only=True)
class StrokeArguments(Arguments):
    """Arguments of `SketchCanvasStroke-v0`.

    Attributes:
        stroke_cost: cost of waiting for a whole drawing, finite, not negative.
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
        """The task. Equal arguments give the same object.

        Raises:
            ValueError: an argument names something that does not exist, or a canvas that the prefixes lack.
            FileNotFoundError: no file at `table` or `prefixes`, or no prefixes beside the outcome table; the message
                says how to make them.
            TableError: the prefixes do not belong to the outcome table or to the data set.
        """
        task = CanvasArguments.shared_by(self).make()
        whole = find_table(task.dataset, self)
        return _stroke_task(task, whole, PrefixTable.resolve(self.prefixes, whole, self.table), self)


@lru_cache(maxsize=32)
def _stroke_task(task: Task, whole: OutcomeTable, found: PrefixTable, arguments: StrokeArguments) -> StrokeTask:
    missing = sorted(set(task.canvases) - set(found.canvases.tolist()))
    if missing:
        raise ValueError(
            f"the prefixes have no canvas {', '.join(map(str, missing))}, they have "
            f"{', '.join(map(str, found.canvases.tolist()))}"
        )
    columns = np.searchsorted(found.canvases, task.canvases)
    rows = np.flatnonzero(whole.split == task.split)  # as in OutcomeTable.select
    steps = found.steps[rows]
    first = np.cumsum(steps) - steps
    at = np.repeat(found.first[rows] - first, steps) + np.arange(steps.sum())
    split = task.index.tobytes()
    points, stats, strokes = _drawn(task.dataset, split, task.max_points)
    shares = strokes / np.repeat(found.strokes[rows], steps) if len(strokes) == len(at) else strokes
    if not np.array_equal(shares, found.share[at]):
        raise TableError("the prefixes are of drawings with other numbers of strokes than the data set's")
    # Without a look all photos tie: the true one is ranked last, and every d_true - d_other is 0.
    ranks = np.append(found.ranks[at][:, columns], whole.gallery_size[task.split]).astype(np.int64)
    triplet = np.append(found.triplet[at][:, columns], np.float64(whole.margin))
    near = found.distances[at][:, columns].reshape(-1, TOP).clip(0.0, rules.MAX_DISTANCE)
    none = np.full((1, TOP), -1, dtype=np.int32)
    return StrokeTask(
        arguments=arguments,
        task=task,
        steps=fixed(steps),
        first=fixed(first),
        share=fixed(found.share[at]),
        strokes=strokes,
        points=points,
        stats=stats,
        ranks=fixed(ranks),
        triplet=fixed(triplet),
        top=fixed(np.concatenate([found.top[at][:, columns].reshape(-1, TOP), none])),
        signals=fixed(np.pad(np.column_stack([near, near[:, 1] - near[:, 0]]), ((0, 1), (0, 0)))),
        thumbnails=_thumbnails(task.dataset, split) if arguments.thumbnail else None,
    )


@lru_cache(maxsize=4)
def _drawn(
    dataset: SketchDataset, index: bytes, max_points: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], IntArray]:
    """Points, statistics and numbers of strokes of all prefixes of some sketches; `index` holds their rows as bytes."""
    drawings = _drawings(dataset, index)
    points = np.stack([drawing.to_stroke5(max_points).ravel() for drawing in drawings])
    strokes = np.array([drawing.n_strokes for drawing in drawings], dtype=np.int64)
    return fixed(points), fixed(batch_features(drawings)), fixed(strokes)


@lru_cache(maxsize=4)
def _thumbnails(dataset: SketchDataset, index: bytes) -> npt.NDArray[np.float32]:
    """Thumbnails of all prefixes of some sketches."""
    return fixed(batch_thumbnails(_drawings(dataset, index)))


def _drawings(dataset: SketchDataset, index: bytes) -> list[VectorSketch]:
    return [each for row in np.frombuffer(index, dtype=np.int64) for each in drawing_steps(dataset.sketch(int(row)))]
