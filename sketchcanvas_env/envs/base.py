"""Base of the environments for one sketch at a time, and what they share with the vector environments.

An environment is a subclass with a docstring and its `arguments`. The arguments make the task, which has the rules;
this module gives the task Gymnasium's interface.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import error, spaces

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.envs import sampling
from sketchcanvas_env.envs.render import picture, sentence
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks.arguments import Arguments
from sketchcanvas_env.tasks.canvas import Task
from sketchcanvas_env.tasks.episodes import Episodes

RENDER_MODES = ("rgb_array", "ansi")

Observation = dict[str, npt.NDArray[np.float32]]


class OfTask:
    """Attributes of single and vector environments.

    Attributes:
        arguments: class of the arguments that a subclass takes beside `render_mode`.
        rules: the task.
        render_mode: "rgb_array", "ansi" or None.
        reward_vector_space: space of `info["reward_vector"]`.
    """

    arguments: ClassVar[type[Arguments]]
    rules: Episodes[Any]
    render_mode: str | None
    reward_vector_space: spaces.Box
    # State of the episodes as arrays; None before the first reset.
    _state: Any

    def _make_rules(self, render_mode: str | None, given: Mapping[str, Any]) -> Episodes[Any]:
        """Check the arguments and make the task.

        Raises:
            TypeError: an unknown argument; the message lists the known ones.
            ValueError: an argument out of range, or one that names something that does not exist.
            FileNotFoundError: no file at a path.
        """
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"unknown render_mode {render_mode!r}: there are {', '.join(RENDER_MODES)} and None")
        known = inspect.signature(self.arguments).parameters
        for name in given:
            if name not in known:
                there = ", ".join(sorted(known))
                raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {name!r}; there are {there}")
        self.render_mode = render_mode
        self.rules = self.arguments(**given).make()
        self.reward_vector_space = self.rules.reward_vector_space()
        self._state = None
        return self.rules

    def _need_reset(self, call: str) -> None:
        if self._state is None:
            raise error.ResetNeeded(f"call reset() before {call}(): there is no sketch yet")

    def _rendered(self, place: int, earned: float) -> npt.NDArray[np.uint8] | str:
        """One of the episodes as `render_mode` says; `earned` is the sum of its rewards."""
        shown = self.rules.shown(self._state, place, earned)
        return picture(self.task, shown) if self.render_mode == "rgb_array" else sentence(self.task, shown)

    @property
    def task(self) -> Task:
        """Sketches, canvases, costs, weights, and the outcomes of single looks."""
        return self.rules.task

    @property
    def preferences(self) -> tuple[float, float] | None:
        """Range (low, high) from which episodes draw their tradeoffs, None where all share one."""
        return self.task.preferences

    @property
    def canvases(self) -> tuple[int, ...]:
        """Canvas sides on offer in pixels, ascending."""
        return self.task.canvases

    @property
    def flops(self) -> npt.NDArray[np.float64]:
        """FLOPs (2 x MAC) of each canvas, (K,)."""
        return self.task.flops

    @property
    def costs(self) -> npt.NDArray[np.float64]:
        """Cost of each canvas in the reward, in `cost_unit`, (K,)."""
        return self.task.costs

    @property
    def cost_unit(self) -> str:
        """Unit of `costs` and of `info["cost"]`: "FLOPs" or "ms"."""
        return rules.COSTS[self.task.arguments.cost]

    @property
    def dataset(self) -> SketchDataset:
        """The data set."""
        return self.task.dataset

    @property
    def table(self) -> OutcomeTable | None:
        """Outcomes of the split's sketches at the canvases on offer, by `sketch_index`; None in live mode."""
        return self.task.table

    @property
    def sketch_ids(self) -> npt.NDArray[np.str_]:
        """Ids of the split's sketches by `sketch_index`, (n,)."""
        return self.task.sketch_ids

    @property
    def photo_ids(self) -> npt.NDArray[np.str_]:
        """Ids of the true photos by `sketch_index`, (n,)."""
        return self.task.photo_ids

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds (low, high) of every reward and every undiscounted return."""
        return self.rules.reward_range


class SketchEnv(OfTask, gym.Env[Observation, np.int64]):
    """Base of the environments for one sketch at a time."""

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 1}  # noqa: RUF012 (Gymnasium's own form)

    def __init_subclass__(cls) -> None:
        """Let `help` and `inspect.signature` show the arguments."""
        super().__init_subclass__()
        cls.__signature__ = signature_of(cls.arguments)  # type: ignore[attr-defined]

    def __init__(self, render_mode: str | None = None, **arguments: Any) -> None:
        """Make an environment; the class docstring describes the arguments.

        Raises:
            TypeError: an unknown argument.
            ValueError: an argument out of range, or one that names something that does not exist.
            FileNotFoundError: no file at a path.
        """
        made = self._make_rules(render_mode, arguments)
        self.observation_space = cast("gym.Space[Observation]", made.observation_space())
        self.action_space = made.action_space()
        self._n_actions = int(made.action_space().n)
        self._stream = sampling.Stream()
        self._ended = False
        self._earned = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode with the next sketch.

        Args:
            seed: seed of a new stream of sketches; None continues the current stream.
            options: `{"index": i}` selects row i of the split; with preferences `{"tradeoff": x}` sets the episode's
                tradeoff. Other keys are left to wrappers.

        Returns:
            The observation, in new arrays, and info (see the class).

        Raises:
            ValueError: an index or a tradeoff out of range.
        """
        super().reset(seed=seed)
        options, made, stream = options or {}, self.rules, self._stream
        made.check_options(options)
        index = options.get("index")
        if index is not None:
            check_index(index, len(made))
        asked = {}
        for name, ends in made.ranges.items():
            if (value := options.get(name)) is not None:
                asked[name] = np.array([check_number(value, name, ends)])
        stream.follow(self.np_random)
        rows = None if index is None else np.array([index], dtype=np.int64)
        self._state = begin(made, stream.key, stream.episode, rows, asked)
        if index is None or len(asked) < len(made.ranges):
            stream.episode += 1
        self._ended, self._earned = False, 0.0
        return self._observation(), only_one(made.going(self._state))

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take an action.

        Args:
            action: an integer in the action space.

        Returns:
            Observation, reward, whether the episode ended, False, and info (see the class).

        Raises:
            gymnasium.error.ResetNeeded: `reset` was not called since the last episode ended.
            ValueError: not an integer in the action space.
        """
        self._need_reset("step")
        if self._ended:
            raise error.ResetNeeded("call reset() before step(): this episode ended")
        choice = check_integer(action)
        if not 0 <= choice < self._n_actions:
            raise ValueError(self.rules.out_of_range(choice))
        found = self.rules.advance(self._state, np.array([choice], dtype=np.int64))
        reward, ended = found.reward.item(), found.ended.item()
        self._state, self._ended = found.state, ended
        self._earned += reward
        told = self.rules.final(found.state) if ended else self.rules.going(found.state)
        return self._observation(), reward, ended, False, only_one(told)

    def render(self) -> npt.NDArray[np.uint8] | str | None:
        """The episode as a picture or a line.

        Returns:
            (H, W, 3) uint8 for `"rgb_array"`, one line for `"ansi"`, None (and a warning) without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
        """
        if self.render_mode is None:
            gym.logger.warn("render() was called without a render mode; make the environment with render_mode=...")
            return None
        self._need_reset("render")
        return self._rendered(0, self._earned)

    def _observation(self) -> Observation:
        return {name: array[0] for name, array in self.rules.observe(self._state).items()}


class OfLooks(OfTask):
    """Attributes of environments of several looks: the task has `action_mask` and `look_names`."""

    rules: Any

    @property
    def look_names(self) -> tuple[str, ...]:
        """Names of the elements of the observation `looks`, (L,)."""
        names: tuple[str, ...] = self.rules.look_names
        return names

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Actions that are not masked, (A,) bool or (N, A) in a vector environment, for sb3-contrib's MaskablePPO.

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
        """
        self._need_reset("action_masks")
        masks = np.asarray(self.rules.action_mask(self._state), dtype=np.bool_)
        return masks[0] if isinstance(self, gym.Env) else masks


def signature_of(arguments: type[Arguments], first: tuple[inspect.Parameter, ...] = ()) -> inspect.Signature:
    """The signature of an environment: `first`, `render_mode`, then its arguments."""
    mode = inspect.Parameter("render_mode", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="str | None")
    return inspect.Signature([*first, mode, *inspect.signature(arguments).parameters.values()])


def begin(
    rules: Episodes[Any],
    keys: npt.NDArray[np.uint64],
    episodes: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64] | None,
    numbers: Mapping[str, npt.NDArray[np.float32]],
) -> Any:
    """Initial states of N episodes.

    Args:
        rules: the task.
        keys: (N,) keys of the streams.
        episodes: (N,) numbers of the episodes in their streams.
        rows: (N,) rows of the sketches; None to draw them.
        numbers: (N,) values of some of `rules.ranges`; the others are drawn.
    """
    chosen = sampling.draw(keys, episodes, len(rules)) if rows is None else rows
    drawn = {
        name: numbers[name] if name in numbers else sampling.draw_between(keys, episodes, *ends)
        for name, ends in rules.ranges.items()
    }
    return rules.start(chosen, drawn)


def only_one(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The single elements of arrays of length 1, numbers as Python numbers."""
    return {name: array[0] if array.ndim > 1 else array.item() for name, array in arrays.items()}


def check_index(index: object, n: int) -> None:
    """Raise ValueError unless `index` is a row of a split of n sketches."""
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < n:
        raise ValueError(f"options['index'] must be an integer from 0 to {n - 1}, a row of the split, got {index!r}")


def check_number(value: object, name: str, ends: tuple[float, float]) -> np.float32:
    """An option's value as float32; ValueError unless it is a number in the range `ends` (exact in float32)."""
    low, high = ends
    if (
        not isinstance(value, int | float | np.integer | np.floating)
        or isinstance(value, bool)
        or not low <= np.float32(value) <= high
    ):
        raise ValueError(f"options[{name!r}] must be a number in [{low:g}, {high:g}], got {value!r}")
    return np.float32(value)


def check_integer(action: object) -> int:
    """The action as an int; ValueError unless it is an integer or a 0-d integer array."""
    if isinstance(action, np.ndarray) and action.shape == ():
        action = action[()]
    if isinstance(action, bool) or not isinstance(action, int | np.integer):
        raise ValueError(f"the action must be an integer, got {action!r} of type {type(action).__name__}")
    return int(action)
