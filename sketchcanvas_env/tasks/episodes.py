"""The protocol of every task: the rules of its episodes, for many at once.

A task knows what an episode starts with, what an action does, what an agent is shown and told, and in which spaces all
of that lies. The environments (`sketchcanvas_env.envs`) add streams of sketches, checks of actions and Gymnasium's
forms; they have no rules. The states of N episodes are one named tuple of arrays of length N, the first of which holds
the rows of their sketches.
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


class Advanced(NamedTuple, Generic[S]):
    """What came of an action in each of N episodes.

    Attributes:
        reward: (N,) float64.
        state: the states now; those of episodes that ended say how.
        ended: (N,) bool.
    """

    reward: FloatArray
    state: S
    ended: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Look:
    """The last look of an episode, as a picture or a line shows it.

    Attributes:
        action: the canvas, an index into those on offer.
        rank: rank of the true photo.
        reward: sum of the rewards so far.
        top: ids of the nearest photos, nearest first; at most five are shown.
        oracle: the best action, None where it is not known.
        regret: reward of that action less this one, None where it is not known.
        tradeoff: the episode's own, None where all share one.
        all_looks: FLOPs (2 x MAC) and cost of all looks, None where there is only one.
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
    """An episode as a picture or a line shows it.

    Attributes:
        row: the sketch, a row of the split.
        look: the last look, None before the first.
        strokes: how many strokes of the drawing are there, None for all of them.
    """

    row: int
    look: Look | None
    strokes: int | None = None


class Episodes(Generic[S]):
    """The rules of a task's episodes, and what they look up; shared and read-only.

    A new environment is a subclass of this one with its `Arguments`, and a registration. `task` has the sketches and
    what they cost: a `sketchcanvas_env.tasks.canvas.Task`, whose own episodes are one choice.

    Attributes:
        arguments: what it was made from.
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
        """Itself: nothing in it can be changed."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments that it was made from; what they name is read again by the reader."""
        return _make, (self.arguments,)

    # ---------------------------------------------------------------- spaces and bounds

    def observation_space(self) -> spaces.Dict:
        """Space of one observation."""
        raise NotImplementedError

    def action_space(self) -> spaces.Discrete:
        """Space of one action."""
        raise NotImplementedError

    def reward_vector_space(self) -> spaces.Box:
        """Space of `info["reward_vector"]`, the terms of an episode's reward kept apart."""
        raise NotImplementedError

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds of every reward and of every undiscounted return."""
        raise NotImplementedError

    def out_of_range(self, action: int) -> str:
        """Error message for an action outside the action space."""
        raise NotImplementedError

    # ---------------------------------------------------------------- the rules

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Numbers that every episode draws for itself, by name: (low, high), which float32 holds exactly."""
        return {}

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError for an option of `reset` that makes no sense here; unknown ones are left to wrappers."""

    def start(self, rows: IntArray, drawn: Mapping[str, npt.NDArray[np.float32]]) -> S:
        """States in which N episodes begin.

        Args:
            rows: (N,) int64, rows of the split.
            drawn: (N,) float32 for each name in `ranges`.
        """
        raise NotImplementedError

    def advance(self, state: S, actions: IntArray) -> Advanced[S]:
        """Take an action in each of N episodes that have not ended.

        Args:
            state: where the episodes stand.
            actions: (N,) int64 within the action space.
        """
        raise NotImplementedError

    # ---------------------------------------------------------------- what is shown and told

    def room(self, n: int) -> Arrays:
        """Empty arrays for observations of n episodes."""
        return {name: np.empty((n, *shape), dtype=np.float32) for name, shape in self._shapes.items()}

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: space.shape or () for name, space in self.observation_space().spaces.items()}

    def observe(self, state: S, out: Arrays | None = None) -> Arrays:
        """Observations of N episodes.

        Args:
            state: where the episodes stand.
            out: arrays of `room(N)` to write into; fresh ones if None.

        Returns:
            (N, ...) float32 by name.
        """
        raise NotImplementedError

    def going(self, state: S) -> Arrays:
        """`info` of N episodes that begin or go on, (N, ...) by name; arrays that the caller may keep and change."""
        raise NotImplementedError

    def final(self, state: S) -> Arrays:
        """`info` of N episodes that ended, (N, ...) by name; it follows from where they ended."""
        raise NotImplementedError

    def shown(self, state: S, place: int, earned: float) -> Shown:
        """What a picture shows of one of N episodes.

        Args:
            state: where the episodes stand.
            place: which of them.
            earned: sum of its rewards so far.
        """
        raise NotImplementedError


def _make(arguments: Arguments) -> Episodes[Any]:
    return arguments.make()


def only(state: S, where: Any) -> S:
    """The states of some of the episodes; `where` is an index of arrays."""
    return type(state)(*(array[where] for array in state))


def put(state: S, where: IntArray, new: S) -> S:
    """The states with some of the episodes replaced.

    Args:
        state: of N episodes.
        where: (M,) which to replace.
        new: of M episodes.
    """
    arrays = [array.copy() for array in state]
    for array, values in zip(arrays, new, strict=True):
        array[where] = values
    return type(state)(*arrays)


def look_up(sources: Mapping[str, npt.NDArray[Any]], rows: IntArray, out: Arrays) -> None:
    """Write the given rows of each source into the array of its name."""
    for name, source in sources.items():
        # The rows are in range; "clip" spares take() the safety copy that it makes for out= otherwise.
        source.take(rows, axis=0, out=out[name], mode="clip")


def widened(low: FloatArray, high: FloatArray) -> spaces.Box:
    """The box between two corners, wider by rounding, so that a number that reaches a bound is never outside."""
    slack = 1e-12 * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    return spaces.Box(low - slack, high + slack, dtype=np.float64)


def fixed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, contiguous and read-only; a view of another's memory is copied first."""
    own = np.ascontiguousarray(array)
    if own is array and own.base is not None:
        own = own.copy()
    own.flags.writeable = False
    return own
