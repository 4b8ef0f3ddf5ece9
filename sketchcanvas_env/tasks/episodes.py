"""The protocol of every task: its spaces, rules, observations and infos, for many episodes at once.

The environments in `sketchcanvas_env.envs` step through any task. They add the random choice of sketches, the checks of
actions and Gymnasium's interface, and no rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

if TYPE_CHECKING:
    from sketchcanvas_env.tasks.arguments import Arguments
    from sketchcanvas_env.tasks.canvas import Task

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[Any]]

S = TypeVar("S", bound=tuple[npt.NDArray[Any], ...])
"""State of N episodes: a named tuple of arrays of length N, the first of which holds the sketches' rows."""


class Advanced(NamedTuple, Generic[S]):
    """Result of one action in each of N episodes.

    Attributes:
        reward: (N,) float64.
        state: new states, also of episodes that ended.
        ended: (N,) bool.
    """

    reward: FloatArray
    state: S
    ended: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Look:
    """The last look of an episode, for rendering.

    Attributes:
        action: index of the canvas.
        rank: rank of the true photo.
        reward: sum of the rewards so far.
        top: ids of the nearest photos, nearest first; at most five are drawn.
        oracle: best action, None where it is not known.
        regret: reward of the best action minus that of this one, None where it is not known.
        tradeoff: the episode's own, None where all share one.
        all_looks: FLOPs (2 x MAC) and cost of all looks, None in tasks of a single look.
    """

    action: int
    rank: int
    reward: float
    top: tuple[str, ...]
    oracle: int | None = None
    regret: float | None = None
    tradeoff: float | None = None
    all_looks: tuple[float, float] | None = None


@dataclass(frozen=True)
class Shown:
    """What to render of an episode.

    Attributes:
        row: row of the sketch in the split.
        look: the last look, None before the first.
        strokes: number of strokes drawn so far, None for the whole drawing.
    """

    row: int
    look: Look | None
    strokes: int | None = None


class Episodes(Generic[S]):
    """Base of tasks. Instances are shared between environments and read-only.

    A new environment is a subclass of this, its `Arguments`, and a registration. `task` holds the sketches and their
    costs.

    Attributes:
        arguments: the arguments it was made from.
    """

    arguments: Arguments

    if TYPE_CHECKING:

        @property
        def task(self) -> Task:
            """Sketches, canvases, costs, weights, and the outcomes of single looks."""

    def __len__(self) -> int:
        """Number of sketches, n."""
        return len(self.task)

    def __deepcopy__(self, memo: dict[int, Any]) -> Episodes[S]:
        """Itself, because it is read-only."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments only; unpickling makes the task again."""
        return _make, (self.arguments,)

    @cached_property
    def n_canvases(self) -> int:
        """Number of canvases on offer, K."""
        return len(self.task.canvases)

    @cached_property
    def sides(self) -> IntArray:
        """Canvas sides in pixels, (K,)."""
        return fixed(np.array(self.task.canvases, dtype=np.int64))

    # ---------------------------------------------------------------- spaces and bounds

    def observation_space(self) -> spaces.Dict:
        """Space of one observation."""
        raise NotImplementedError

    def action_space(self) -> spaces.Discrete:
        """Space of one action."""
        raise NotImplementedError

    def reward_vector_space(self) -> spaces.Box:
        """Space of `info["reward_vector"]`, the terms of an episode's return."""
        raise NotImplementedError

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds (low, high) of every reward and every undiscounted return."""
        raise NotImplementedError

    def out_of_range(self, action: int) -> str:
        """Error message for an action outside the action space."""
        raise NotImplementedError

    # ---------------------------------------------------------------- rules

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Numbers that every episode draws beside its sketch: (low, high) by name, both exact in float32."""
        return {}

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError for an option of `reset` that does not apply. Unknown options are left to wrappers."""

    def start(self, rows: IntArray, drawn: Mapping[str, npt.NDArray[np.float32]]) -> S:
        """Initial states of N episodes.

        Args:
            rows: (N,) int64, rows of the split.
            drawn: (N,) float32 for each name in `ranges`.
        """
        raise NotImplementedError

    def advance(self, state: S, actions: IntArray) -> Advanced[S]:
        """Take an action in each of N episodes that have not ended.

        Args:
            state: of N episodes.
            actions: (N,) int64 within the action space.
        """
        raise NotImplementedError

    # ---------------------------------------------------------------- observations and info

    def room(self, n: int) -> Arrays:
        """Empty arrays for observations of n episodes."""
        return {name: np.empty((n, *shape), dtype=np.float32) for name, shape in self._shapes.items()}

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: space.shape or () for name, space in self.observation_space().spaces.items()}

    def observe(self, state: S, out: Arrays | None = None) -> Arrays:
        """Observations of N episodes, (N, ...) float32 by name.

        Args:
            state: of N episodes.
            out: arrays of `room(N)` to write into; None for new ones.
        """
        raise NotImplementedError

    def going(self, state: S) -> Arrays:
        """`info` of N episodes that have not ended, (N, ...) by name. The caller may keep and change the arrays."""
        raise NotImplementedError

    def final(self, state: S) -> Arrays:
        """`info` of N episodes that ended, (N, ...) by name."""
        raise NotImplementedError

    def shown(self, state: S, place: int, earned: float) -> Shown:
        """What to render of one of N episodes.

        Args:
            state: of N episodes.
            place: index of the episode.
            earned: sum of its rewards so far.
        """
        raise NotImplementedError


def _make(arguments: Arguments) -> Episodes[Any]:
    return arguments.make()


def only(state: S, where: Any) -> S:
    """The states of some of the episodes; `where` is any NumPy index."""
    return type(state)(*(array[where] for array in state))


def put(state: S, where: IntArray, new: S) -> S:
    """A copy of the states of N episodes with M of them, at indices `where` (M,), replaced by `new`."""
    arrays = [array.copy() for array in state]
    for array, values in zip(arrays, new, strict=True):
        array[where] = values
    return type(state)(*arrays)


def look_up(sources: Mapping[str, npt.NDArray[Any]], rows: IntArray, out: Arrays) -> None:
    """Copy the given rows of each source into the array of the same name in `out`."""
    for name, source in sources.items():
        # With mode="clip" take() writes to out= without a buffer. The rows are always in range.
        source.take(rows, axis=0, out=out[name], mode="clip")


def widened(low: FloatArray, high: FloatArray) -> spaces.Box:
    """Box between two corners, a little wider, so that rounding never carries a value out of it."""
    slack = 1e-12 * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    return spaces.Box(low - slack, high + slack, dtype=np.float64)


def fixed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array as contiguous and read-only; views are copied."""
    own = np.ascontiguousarray(array)
    if own is array and own.base is not None:
        own = own.copy()
    own.flags.writeable = False
    return own
