"""Looking at a drawing while it appears: the rules of `SketchCanvasStroke-v0`, and what there is to look up.

The single and the vector environment are two ways to step through the same `StrokeTask`; neither has rules of its own.
Arrays over prefixes have one row for each step of each drawing of the split, one drawing after another, as a
`PrefixTable` has them; a *look* is numbered by its prefix's row times K plus its canvas, -1 stands for none.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.prefixes import (
    MAX_STEPS,
    PrefixTable,
    check_prefixes,
    drawing_steps,
    load_prefixes,
    prefixes_path,
)
from sketchcanvas_env.outcomes.table import TOP, OutcomeTable
from sketchcanvas_env.sketches.features import batch_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.table_file import TableError
from sketchcanvas_env.tasks.canvas import Task, find_table, fixed, make_task

STROKE_COST = 0.5
"""What waiting for a whole drawing costs by default: `SketchCanvasStrokeEnv` says why that much."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[Any]]


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


class Advanced(NamedTuple):
    """What came of an action in each of N episodes.

    Attributes:
        reward: (N,) float64.
        reward_vector: (N, 3) float64, R_acc, R_comp and R_wait of this step; those that it did not touch are 0.
        drawing: where the episodes stand now; as before where they ended.
        ended: (N,) bool.
    """

    reward: FloatArray
    reward_vector: FloatArray
    drawing: Drawing
    ended: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class StrokeTask:
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
        recipe: the arguments of `make_stroke_task`.
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
    recipe: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """Number of sketches, n."""
        return len(self.task)

    def __deepcopy__(self, memo: dict[int, Any]) -> StrokeTask:
        """Itself: nothing in it can be changed."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments that it was made from; what they name is read again by the reader."""
        return _from_recipe, (self.recipe,)

    @property
    def n_canvases(self) -> int:
        """Number of canvases on offer, K; also the action that waits, and K + 1 is the one that stops."""
        return len(self.task.canvases)

    def sketch(self, row: int, step: int) -> VectorSketch:
        """The drawing in row `row` of the split after step `step`, from 0."""
        return drawing_steps(self.task.sketch(row))[step]

    # ---------------------------------------------------------------- the rules

    def start(self, rows: IntArray) -> Drawing:
        """Where N episodes begin: the first step of the drawing is there, nothing was looked at."""
        none = np.full(len(rows), -1, dtype=np.int64)
        zero = np.zeros(len(rows), dtype=np.int64)
        return Drawing(rows, zero, zero, none, none, np.zeros((len(rows), self.n_canvases), dtype=np.int64))

    def advance(self, drawing: Drawing, actions: IntArray) -> Advanced:
        """Take an action in each of N episodes that have not ended. These are the rules; there is no other copy.

        A look pays for itself at once, tradeoff * R_comp. Waiting costs stroke_cost times the share of the drawing that
        comes. Stopping pays (1 - tradeoff) * R_acc of the last look and ends the episode. To look again where nothing
        has changed and to wait when nothing will come says nothing new: it is to stop.

        Args:
            drawing: where the episodes stand.
            actions: (N,) int64, 0 to K - 1 for a look, K to wait, K + 1 to stop.
        """
        k = self.n_canvases
        rows, step, seen, last, before, looks = drawing
        at = self._at(drawing)
        going = self._open(drawing) >> actions & 1 > 0
        look, wait = going & (actions < k), going & (actions == k)
        vector = np.empty((len(rows), 3))
        np.multiply(self.acc.take(last), ~going, out=vector[:, 0])
        np.multiply(self._paid_comp.take(actions), going, out=vector[:, 1])
        np.multiply(self._coming.take(at), wait, out=vector[:, 2])
        return Advanced(
            reward=self._reward(*vector.T),
            reward_vector=vector,
            drawing=Drawing(
                rows=rows,
                step=step + wait,
                seen=np.where(wait, 0, seen | look << actions),
                last=np.where(look, at * k + actions, last),
                before=np.where(look, last, before),
                looks=looks + (look[:, None] & (actions[:, None] == np.arange(k))),
            ),
            ended=~going,
        )

    def _reward(self, acc: FloatArray, comp: FloatArray, wait: FloatArray) -> FloatArray:
        return np.asarray(rules.reward(acc, comp, self.task.tradeoff) + self.stroke_cost * wait)

    def _at(self, drawing: Drawing) -> IntArray:
        """(N,) row of the prefix that is there."""
        return np.asarray(self.first.take(drawing.rows) + drawing.step)

    def _open(self, drawing: Drawing) -> IntArray:
        """(N,) which looks and whether waiting say something new, as bit masks."""
        k = self.n_canvases
        more = drawing.step + 1 < self.steps.take(drawing.rows)
        return np.asarray((1 << k) - 1 - drawing.seen + (more << k), dtype=np.int64)

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

    def action_mask(self, drawing: Drawing) -> npt.NDArray[np.int8]:
        """Which actions say something new: (N, K + 2) int8.

        1 for canvases at which the drawing as it is was not looked at, for waiting while strokes are to come, and for
        stopping once there was a look.
        """
        allowed = self._open(drawing) | (drawing.last >= 0) << self.n_canvases + 1
        return (allowed[:, None] >> np.arange(self.n_canvases + 2) & 1).astype(np.int8)

    # ---------------------------------------------------------------- how episodes end

    @cached_property
    def returns(self) -> FloatArray:
        """(R, K) undiscounted return of waiting for a prefix, looking once at a canvas, and stopping."""
        acc = self.acc[:-1].reshape(-1, self.n_canvases)
        return fixed(self._reward(acc, self.task.comp, -self._waited[:, None]))

    @cached_property
    def oracle_returns(self) -> FloatArray:
        """(n,) the highest return of each sketch's episode with a look, by who knows all outcomes and looks once."""
        return fixed(np.maximum.reduceat(self.returns.max(axis=1), self.first))

    def going(self, drawing: Drawing) -> Arrays:
        """What info tells of N episodes that go on, in the environment's names."""
        return {
            "sketch_index": drawing.rows.copy(),
            "strokes": self.strokes.take(self._at(drawing)),
            "seen": drawing.seen.copy(),
            "flops": paid(drawing.looks, self.task.flops),
            "action_mask": self.action_mask(drawing),
        }

    def final(self, drawing: Drawing) -> Arrays:
        """What info tells of N episodes that ended, in the environment's names; it follows from where they ended."""
        rows, last, at = drawing.rows, drawing.last, self._at(drawing)
        vector = np.column_stack([self.acc.take(last), paid(drawing.looks, self.task.comp), -self._waited.take(at)])
        returns = self._reward(*vector.T)
        best = self.oracle_returns.take(rows)
        return {
            "sketch_index": rows.copy(),
            "strokes": self.strokes.take(at),
            "share": self.share.take(at),
            "canvas": np.where(last < 0, 0, self._sides.take(last % self.n_canvases)),
            "looks": drawing.looks.sum(axis=1),
            "flops": paid(drawing.looks, self.task.flops),
            "cost": paid(drawing.looks, self.task.costs),
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

    # ---------------------------------------------------------------- what is shown

    def room(self, n: int) -> Arrays:
        """Empty arrays for observations of n episodes."""
        widths = {name: space.shape[0] for name, space in self.observation_space().spaces.items() if space.shape}
        return {name: np.empty((n, width), dtype=np.float32) for name, width in widths.items()}

    def observe(self, drawing: Drawing, out: Arrays | None = None) -> Arrays:
        """Observations of N episodes.

        Args:
            drawing: where the episodes stand.
            out: arrays of `room(N)` to write into; fresh ones if None.

        Returns:
            The arrays, (N, ...) float32 by name.
        """
        into = self.room(len(drawing.rows)) if out is None else out
        at = self._at(drawing)
        for name, source in (("points", self.points), ("stats", self.stats)):
            # The rows are in range; "clip" spares take() the safety copy that it makes for out= otherwise.
            np.take(source, at, axis=0, out=into[name], mode="clip")
        self._look_features(drawing, into["looks"])
        return into

    def _look_features(self, drawing: Drawing, out: npt.NDArray[np.float32]) -> None:
        """Write (N, L) what is known of the looks so far, in the order of `look_names`."""
        k, last, before = self.n_canvases, drawing.last, drawing.before
        sides = np.arange(k)
        looked = last >= 0
        out[:, :k] = looked[:, None] & (last[:, None] % k == sides)
        out[:, k : 2 * k] = drawing.seen[:, None] >> sides & 1
        signals = self.signals.shape[1]
        out[:, 2 * k : 2 * k + signals] = self.signals.take(last, axis=0)
        now, then = self.top.take(last, axis=0), self.top.take(before, axis=0)
        same = (now[:, :, None] == then[:, None, :]) & (now >= 0)[:, :, None]
        photos = np.maximum((now >= 0).sum(axis=1), 1)
        spent = paid(drawing.looks, self.task.costs) / self.task.costs.sum()
        since = drawing.step - (last // k - self.first.take(drawing.rows))
        out[:, -4] = same[:, 0, 0]
        out[:, -3] = same.any(axis=2).sum(axis=1) / photos
        out[:, -2] = spent / (1.0 + spent)
        out[:, -1] = np.where(looked, since, 0) / MAX_STEPS

    @property
    def look_names(self) -> tuple[str, ...]:
        """(L,) names of the observation `looks`."""
        return stroke_look_names(self.task.canvases)

    # ---------------------------------------------------------------- spaces and bounds

    def observation_space(self) -> spaces.Dict:
        """Space of one observation."""
        looks = spaces.Box(0.0, rules.MAX_DISTANCE, (len(self.look_names),), np.float32)
        return spaces.Dict({**self.task.observation_space().spaces, "looks": looks})

    def action_space(self) -> spaces.Discrete:
        """Space of one action: K canvases, waiting and stopping."""
        return spaces.Discrete(self.n_canvases + 2)

    def out_of_range(self, action: int) -> str:
        """What to say of an action that there is not."""
        sides, k = ", ".join(map(str, self.task.canvases)), self.n_canvases
        return f"action {action} is out of range: 0 to {k - 1} look at canvases {sides}, {k} waits, {k + 1} stops"

    def reward_space(self) -> spaces.Box:
        """Space of the sums of (R_acc, R_comp, R_wait) over an episode: at most every canvas at every step."""
        acc, _ = self.task.limits
        low = np.array([acc[0], self.task.comp.sum() * self.steps.max(), -1.0])
        high = np.array([acc[1], 0.0, 0.0])
        slack = 1e-12 * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
        return spaces.Box(low - slack, high + slack, dtype=np.float64)

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds of every reward, and of every undiscounted return."""
        low, high = self.reward_space().low, self.reward_space().high
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


# -------------------------------------------------------------------- making tasks


def make_stroke_task(
    *,
    stroke_cost: float = STROKE_COST,
    prefixes: str | os.PathLike[str] | PrefixTable | None = None,
    **arguments: Any,
) -> StrokeTask:
    """Check an environment's arguments and make its task ready. Equal arguments give the same object.

    Args:
        stroke_cost: what waiting for a whole drawing costs, finite, not negative.
        prefixes: path of a table of prefixes, or the table; None for the one beside the outcome table.
        arguments: of `task.make_task`, other than `retriever`.

    Returns:
        The task.

    Raises:
        ValueError: an argument that is out of range or names something that does not exist, a canvas at which nobody
            looked at unfinished drawings.
        FileNotFoundError: no file at `table` or `prefixes`, or no prefixes beside the outcome table; the message says
            how to make them.
        TableError: prefixes that do not belong to the outcome table or to the data set.
    """
    if isinstance(stroke_cost, bool) or not isinstance(stroke_cost, int | float | np.integer | np.floating):
        raise ValueError(f"stroke_cost must be a number, got {stroke_cost!r}")
    if not 0.0 <= stroke_cost < math.inf:
        raise ValueError(f"stroke_cost must be finite and not negative, got {stroke_cost!r}")
    if isinstance(prefixes, bytes) or not isinstance(prefixes, str | os.PathLike | PrefixTable | None):
        raise ValueError(f"prefixes must be the path of a table of prefixes, got {type(prefixes).__name__}")
    task = make_task(**arguments)
    table = task.recipe["table"]
    whole = find_table(task.dataset, task.recipe["student"], table)
    given = prefixes if isinstance(prefixes, PrefixTable) else None
    path = None if prefixes is None or isinstance(prefixes, PrefixTable) else os.fspath(prefixes)
    if given is not None:
        check_prefixes(given, whole)
    beside = prefixes_path(table) if path is None and isinstance(table, str | os.PathLike) else path
    found = load_prefixes(whole, beside) if given is None else given
    return _stroke_task(task, whole, found, float(stroke_cost), given, path)


def _from_recipe(recipe: dict[str, Any]) -> StrokeTask:
    return make_stroke_task(**recipe)


@lru_cache(maxsize=32)
def _stroke_task(
    task: Task,
    whole: OutcomeTable,
    found: PrefixTable,
    stroke_cost: float,
    given: PrefixTable | None,
    path: str | None,
) -> StrokeTask:
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
    points, stats, strokes = _drawn(task.dataset, task.index.tobytes(), task.max_points)
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
        stroke_cost=stroke_cost,
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
        recipe={
            **{name: value for name, value in task.recipe.items() if name != "retriever"},
            "stroke_cost": stroke_cost,
            "prefixes": given if given is not None else path,
        },
    )


@lru_cache(maxsize=4)
def _drawn(
    dataset: SketchDataset, index: bytes, max_points: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], IntArray]:
    """Points, stats and numbers of strokes of all prefixes of the data set's rows in `index`."""
    drawings = [
        each for row in np.frombuffer(index, dtype=np.int64) for each in drawing_steps(dataset.sketch(int(row)))
    ]
    points = np.stack([drawing.to_stroke5(max_points).ravel() for drawing in drawings])
    strokes = np.array([drawing.n_strokes for drawing in drawings], dtype=np.int64)
    return fixed(points), fixed(batch_features(drawings)), fixed(strokes)
