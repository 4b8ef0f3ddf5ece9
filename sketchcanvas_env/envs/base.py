"""The base of all environments for one sketch at a time, and what single and vector environments share.

An environment is a subclass: its docstring, its `arguments`, and nothing else. The arguments make the task, which has
the rules; this module gives them Gymnasium's form.
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
from sketchcanvas_env.tasks.episodes import Episodes, Shown

RENDER_MODES = ("rgb_array", "ansi")

Observation = dict[str, npt.NDArray[np.float32]]


class OfTask:
    """What an environment's task consists of, as attributes of the environment.

    Attributes:
        arguments: the class of the arguments that a subclass takes beside `render_mode`.
        rules: the task that it steps through, made of its arguments.
        render_mode: how `render` shows an episode, None for not at all.
        reward_vector_space: space of `info["reward_vector"]`.
    """

    arguments: ClassVar[type[Arguments]]
    rules: Episodes[Any]
    render_mode: str | None
    reward_vector_space: spaces.Box

    def _make_rules(self, render_mode: str | None, given: Mapping[str, Any]) -> Episodes[Any]:
        """Check the arguments and make the task.

        Raises:
            TypeError: an argument that there is not; the message says which there are.
            ValueError: one that is out of range or names something that does not exist.
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
        return self.rules

    @property
    def task(self) -> Task:
        """Sketches, canvases, costs, weights, and the outcomes of single looks."""
        return self.rules.task

    @property
    def preferences(self) -> tuple[float, float] | None:
        """(low, high) between which each episode's tradeoff is drawn, None where all share one."""
        return self.task.preferences

    @property
    def canvases(self) -> tuple[int, ...]:
        """Sides on offer, in pixels, rising."""
        return self.task.canvases

    @property
    def flops(self) -> npt.NDArray[np.float64]:
        """(K,) FLOPs (2 x MAC) of each canvas."""
        return self.task.flops

    @property
    def costs(self) -> npt.NDArray[np.float64]:
        """(K,) what the reward charges for each canvas, in `cost_unit`."""
        return self.task.costs

    @property
    def cost_unit(self) -> str:
        """Unit of `costs`, of `info["cost"]` and of q_j: "FLOPs" or "ms"."""
        return rules.COSTS[self.task.cost]

    @property
    def dataset(self) -> SketchDataset:
        """Where sketches and photos come from."""
        return self.task.dataset

    @property
    def table(self) -> OutcomeTable | None:
        """Outcomes of the split's sketches at the canvases on offer, by `sketch_index`; None in live mode."""
        return self.task.table

    @property
    def sketch_ids(self) -> npt.NDArray[np.str_]:
        """(n,) names of the split's sketches, by `sketch_index`."""
        return self.task.sketch_ids

    @property
    def photo_ids(self) -> npt.NDArray[np.str_]:
        """(n,) names of the true photos, by `sketch_index`."""
        return self.task.photo_ids

    @property
    def reward_range(self) -> tuple[float, float]:
        """Bounds that no reward and no undiscounted return of this environment leaves."""
        return self.rules.reward_range


class SketchEnv(OfTask, gym.Env[Observation, np.int64]):
    """An environment for one sketch at a time; subclasses name their `arguments` and describe themselves."""

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 1}  # noqa: RUF012 (Gymnasium's own form)

    def __init_subclass__(cls) -> None:
        """Show the arguments in `help` and `inspect.signature`."""
        super().__init_subclass__()
        cls.__signature__ = signature_of(cls.arguments)  # type: ignore[attr-defined]

    def __init__(self, render_mode: str | None = None, **arguments: Any) -> None:
        """Make an environment; the class describes the arguments.

        Raises:
            TypeError: an argument that there is not.
            ValueError: an argument that is out of range or names something that does not exist.
            FileNotFoundError: no file at a path.
        """
        made = self._make_rules(render_mode, arguments)
        self.observation_space = cast("gym.Space[Observation]", made.observation_space())
        self.action_space = made.action_space()
        self._n_actions = int(made.action_space().n)
        self._stream = sampling.Stream()
        # The state of the one episode, as arrays of length 1. None before the first reset.
        self._state: Any = None
        self._ended = False
        self._earned = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode with the next sketch.

        Args:
            seed: starts a new stream of draws; None goes on with the present one.
            options: `{"index": i}` shows row i of the split, `{"tradeoff": x}` fixes the episode's tradeoff where
                there are preferences; other keys are left to wrappers.

        Returns:
            The observation, of fresh arrays, and info (see the class).

        Raises:
            ValueError: an index that the split does not have, a tradeoff that the preferences do not.
        """
        super().reset(seed=seed)
        options, made, stream = options or {}, self.rules, self._stream
        made.check_options(options)
        index = options.get("index")
        if index is not None:
            check_index(index, len(made))
        ranges = made.ranges
        asked = {name: check_number(options.get(name), name, ends) for name, ends in ranges.items()}
        stream.follow(self.np_random)
        key, episode = stream.key, stream.episode
        rows = sampling.draw(key, episode, len(made)) if index is None else np.array([index], dtype=np.int64)
        numbers = {
            name: sampling.draw_between(key, episode, *ranges[name]) if value is None else np.array([value])
            for name, value in asked.items()
        }
        if index is None or None in asked.values():
            episode += 1
        self._state = made.start(rows, numbers)
        self._ended, self._earned = False, 0.0
        return self._observation(), only_one(made.going(self._state))

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take an action.

        Args:
            action: an integer of the action space.

        Returns:
            The observation, the reward, whether the episode ended, False, and info (see the class).

        Raises:
            gymnasium.error.ResetNeeded: `reset` was not called since the last episode ended.
            ValueError: an action that is not an integer of the action space.
        """
        if self._state is None or self._ended:
            why = "this episode ended" if self._ended else "there is no sketch yet"
            raise error.ResetNeeded(f"call reset() before step(): {why}")
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
        """The episode as `render_mode` says.

        Returns:
            (H, W, 3) uint8 for `"rgb_array"`, one line for `"ansi"`, None (and a warning) without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: no sketch is there yet.
        """
        if self.render_mode is None:
            gym.logger.warn("render() was called without a render mode; make the environment with render_mode=...")
            return None
        if self._state is None:
            raise error.ResetNeeded("call reset() before render(): there is no sketch yet")
        return rendered(self.task, self.rules.shown(self._state, 0, self._earned), self.render_mode)

    def _observation(self) -> Observation:
        return {name: array[0] for name, array in self.rules.observe(self._state).items()}


class WithMasks:
    """`action_masks` for environments whose task has an `action_mask`."""

    rules: Any
    _state: Any

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Which actions make sense now, (A,) bool or (N, A) in a vector environment, as sb3-contrib's MaskablePPO asks.

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
        """
        if self._state is None:
            raise error.ResetNeeded("call reset() before action_masks(): there is no sketch yet")
        masks = np.asarray(self.rules.action_mask(self._state), dtype=np.bool_)
        return masks[0] if isinstance(self, gym.Env) else masks


def signature_of(arguments: type[Arguments], first: tuple[inspect.Parameter, ...] = ()) -> inspect.Signature:
    """The signature of an environment: `first`, `render_mode`, then its arguments."""
    mode = inspect.Parameter("render_mode", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="str | None")
    return inspect.Signature([*first, mode, *inspect.signature(arguments).parameters.values()])


def rendered(task: Task, shown: Shown, render_mode: str) -> npt.NDArray[np.uint8] | str:
    """An episode as a picture or as a line."""
    return picture(task, shown) if render_mode == "rgb_array" else sentence(task, shown)


def only_one(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """What arrays of length 1 hold, numbers as Python has them."""
    return {name: array[0] if array.ndim > 1 else array.item() for name, array in arrays.items()}


def check_index(index: object, n: int) -> None:
    """Raise ValueError unless `index` is a row of a split of n sketches."""
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < n:
        raise ValueError(f"options['index'] must be an integer from 0 to {n - 1}, a row of the split, got {index!r}")


def check_number(value: object, name: str, ends: tuple[float, float]) -> np.float32 | None:
    """The number that an option fixes, None for none; ValueError unless it lies in the range of what is drawn."""
    if value is None:
        return None
    low, high = ends
    # The range is one of float32 numbers, which is what the number will be.
    if (
        not isinstance(value, int | float | np.integer | np.floating)
        or isinstance(value, bool)
        or not low <= np.float32(value) <= high
    ):
        raise ValueError(f"options[{name!r}] must be a number in [{low:g}, {high:g}], got {value!r}")
    return np.float32(value)


def check_integer(action: object) -> int:
    """The action as an int; ValueError unless it is an integer."""
    if isinstance(action, np.ndarray) and action.shape == ():
        action = action[()]
    if isinstance(action, bool) or not isinstance(action, int | np.integer):
        raise ValueError(f"the action must be an integer, got {action!r} of type {type(action).__name__}")
    return int(action)
