"""The base of all vector environments: N streams of sketches, stepped by array look-ups."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import error, logger
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from sketchcanvas_env.envs import sampling
from sketchcanvas_env.envs.base import (
    RENDER_MODES,
    Observation,
    OfTask,
    check_index,
    check_number,
    rendered,
    signature_of,
)
from sketchcanvas_env.tasks.episodes import only, put

Info = dict[str, Any]
Mask = npt.NDArray[np.bool_]

_FIRST = (
    inspect.Parameter("num_envs", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=1, annotation="int"),
    inspect.Parameter("copy", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=True, annotation="bool"),
    inspect.Parameter("final_obs", inspect.Parameter.KEYWORD_ONLY, default=False, annotation="bool"),
)


class SketchVectorEnv(OfTask, VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """N copies of a `SketchEnv`; subclasses name their `arguments` and describe themselves.

    With the same seed and actions it gives what `SyncVectorEnv` over N single environments in SAME_STEP mode gives, bit
    for bit: observations, rewards, terminations and infos. A seed s means s + i in sub-environment i.

    Where a step ends an episode, the observation that it returns shows the *next* sketch (autoreset mode SAME_STEP).
    `info` follows:

    * `info["final_info"]` is about the episodes that the step ended: a dict of arrays with the keys of the single
      environment's info at the end. It is there only if an episode ended.
    * The other keys are about what is now shown.
    * Each key has a mask `_key`, which is True for the sub-environments that it speaks of; elsewhere arrays hold 0.
      Masks are not to be written to.

    `info["final_obs"]`, which `SyncVectorEnv` adds, is there with `final_obs=True` only: what ends an episode shows
    nothing new, so its last observation is the one that the caller has just acted on.

    With `copy=False` the observations lie in two sets of buffers that take turns. An observation stays as it is during
    the next `step`, so that what was acted on and what came of it can be used together, and is overwritten by the
    `step` or `reset` after that. Rewards, terminations and infos are fresh arrays always.

    Gymnasium's vector observation wrappers (`gym.wrappers.vector.FlattenObservation` and the like) refuse every
    environment in SAME_STEP mode: change the arrays in a line of your own. Live mode is not vectorised.
    """

    metadata = {  # noqa: RUF012 (Gymnasium's own form)
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    autoreset_mode = AutoresetMode.SAME_STEP

    def __init_subclass__(cls) -> None:
        """Show the arguments in `help` and `inspect.signature`."""
        super().__init_subclass__()
        cls.__signature__ = signature_of(cls.arguments, _FIRST)  # type: ignore[attr-defined]

    def __init__(
        self,
        num_envs: int = 1,
        copy: bool = True,
        *,
        final_obs: bool = False,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        """Make an environment.

        Args:
            num_envs: number of sub-environments, N.
            copy: whether observations are fresh arrays in every call.
            final_obs: whether `info["final_obs"]` has the last observations of episodes that ended, one dict each, for
                libraries that ask for it.
            render_mode: as in the single environment; `render` gives one picture or line for each sub-environment.
            arguments: those of the single environment.

        Raises:
            TypeError: an argument that there is not.
            ValueError: an argument that is out of range or names something that does not exist.
            FileNotFoundError: no file at a path.
        """
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs must be an integer of at least 1, got {num_envs!r}")
        made = self._make_rules(render_mode, arguments)
        if made.task.table is None:
            raise ValueError(
                "live mode is not vectorised: gym.make_vec(..., vectorization_mode='sync') steps single environments"
            )
        self.num_envs = int(num_envs)
        self.copy = bool(copy)
        self.final_obs = bool(final_obs)
        self.single_observation_space = made.observation_space()
        self.single_action_space = made.action_space()
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._n_actions = int(self.single_action_space.n)
        self._generators: list[np.random.Generator] = []
        self._seeds: list[int] = []
        self._keys = np.zeros(num_envs, dtype=np.uint64)
        self._episodes = np.zeros(num_envs, dtype=np.int64)
        # The states of all episodes; None before the first reset.
        self._state: Any = None
        # Sums of rewards of the episodes that go on, for pictures.
        self._earned = np.zeros(num_envs)
        self._buffers: list[Observation] = []
        self._everyone = np.ones(num_envs, dtype=np.bool_)
        self._everyone.flags.writeable = False

    # ---------------------------------------------------------------- the Gymnasium interface

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generators that the sub-environments were seeded with, as `SyncVectorEnv` gives them."""
        self._seed_missing()
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The sub-environments' seeds, as `SyncVectorEnv` gives them."""
        self._seed_missing()
        return tuple(self._seeds)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, Info]:
        """Begin an episode in every sub-environment.

        Args:
            seed: sub-environment i starts a new stream with seed + i, or with the i-th of a sequence; None goes on with
                the present streams.
            options: `{"index": i}` shows row i of the split in every sub-environment, an (N,) array its i-th element in
                the i-th; with preferences, `{"tradeoff": x}` likewise. `{"reset_mask": mask}`, an (N,) bool array,
                resets some and leaves the others as they are. Other keys are left to wrappers.

        Returns:
            Observations of shape (N, ...), and infos (see the class) of those that were reset.

        Raises:
            ValueError: a number of seeds other than N, an index that the split does not have, a tradeoff that the
                preferences do not, a wrong mask.
            gymnasium.error.ResetNeeded: a mask in the very first reset.
        """
        options, made = options or {}, self.rules
        made.check_options(options)
        asked = {name: self._check_numbers(options.get(name), name, ends) for name, ends in made.ranges.items()}
        seeds = self._check_seeds(seed)
        mask = self._check_mask(options.get("reset_mask"))
        index = self._check_indices(options.get("index"))
        if self._state is None and mask is not self._everyone:
            raise error.ResetNeeded("the first reset() must be of every sub-environment: call it without reset_mask")
        self._seed(seeds, mask)
        where = np.flatnonzero(mask)
        begun = self._begin(where, index, asked)
        self._state = begun if len(where) == self.num_envs else put(self._state, where, begun)
        if index is None or any(value is None for value in asked.values()):
            self._episodes[mask] += 1
        self._earned[mask] = 0.0
        told = made.going(self._state)
        if len(where) < self.num_envs:
            told = {name: _where(array, mask) for name, array in told.items()}
        return made.observe(self._state, self._room()), _with_masks(told, mask)

    def step(self, actions: npt.NDArray[np.int64]) -> tuple[Observation, npt.NDArray[np.float64], Mask, Mask, Info]:
        """Take an action in every sub-environment; where an episode ends the next one begins.

        Args:
            actions: (N,) integers of the action space.

        Returns:
            Observations, of the next sketch where an episode ended, rewards (N,) float64, terminations (N,) bool,
            truncations (all False), and infos (see the class).

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
            ValueError: actions of another shape or kind, or out of range.
        """
        if self._state is None:
            raise error.ResetNeeded("call reset() before step(): there are no sketches yet")
        made, n = self.rules, self.num_envs
        reward, state, ended = made.advance(self._state, self._check_actions(actions))
        if self.render_mode is not None:
            self._earned += reward
        infos = Info()
        count = np.count_nonzero(ended)
        if count == n:
            final = _with_masks(made.final(state), self._everyone)
            infos = {"final_info": final, "_final_info": self._everyone, **self._last_seen(state, ended)}
            state = self._begin(slice(None))
            self._episodes += 1
            if self.render_mode is not None:
                self._earned[:] = 0.0
        elif count:
            where = np.flatnonzero(ended)
            told = {name: _spread(array, where, n) for name, array in made.final(only(state, where)).items()}
            infos = {
                "final_info": _with_masks(told, ended),
                "_final_info": ended.copy(),
                **self._last_seen(state, ended),
            }
            state = put(state, where, self._begin(where))
            self._episodes[where] += 1
            self._earned[where] = 0.0
        self._state = state
        infos.update(_with_masks(made.going(state), self._everyone))
        return made.observe(state, self._room()), reward, ended, np.zeros(n, dtype=np.bool_), infos

    def render(self) -> tuple[Any, ...] | None:
        """The episodes that go on, one picture or line each, as `SyncVectorEnv` gives them.

        To see what ended an episode, render a single environment after `reset(options={"index": sketch_index})` and the
        same actions.

        Returns:
            N pictures or lines; None (and a warning) without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
        """
        if self.render_mode is None:
            logger.warn("render() was called without a render mode; make the environment with render_mode=...")
            return None
        if self._state is None:
            raise error.ResetNeeded("call reset() before render(): there are no sketches yet")
        shown = (self.rules.shown(self._state, i, float(self._earned[i])) for i in range(self.num_envs))
        return tuple(rendered(self.task, each, self.render_mode) for each in shown)

    # ---------------------------------------------------------------- streams

    def _begin(
        self,
        where: Any,
        index: npt.NDArray[np.int64] | None = None,
        asked: Mapping[str, npt.NDArray[np.float32] | None] | None = None,
    ) -> Any:
        """States of new episodes in some sub-environments: what was asked for, and the rest drawn. Counts nothing up.

        Args:
            where: which, an index of arrays.
            index: (N,) rows asked for.
            asked: (N,) numbers asked for, by name.
        """
        keys, episodes = self._keys[where], self._episodes[where]
        rows = sampling.draw(keys, episodes, len(self.rules)) if index is None else index[where]
        numbers = {}
        for name, ends in self.rules.ranges.items():
            given = None if asked is None else asked[name]
            numbers[name] = sampling.draw_between(keys, episodes, *ends) if given is None else given[where]
        return self.rules.start(rows, numbers)

    def _last_seen(self, state: Any, ended: Mask) -> Info:
        """`final_obs` of the episodes that ended, in the form of `SyncVectorEnv`; nothing where it is not asked for."""
        if not self.final_obs:
            return {}
        found, last = self.rules.observe(only(state, ended)), np.full(self.num_envs, None, dtype=object)
        for place, i in enumerate(np.flatnonzero(ended).tolist()):
            last[i] = {name: array[place] for name, array in found.items()}
        return {"final_obs": last, "_final_obs": ended.copy()}

    def _seed(self, seeds: Sequence[int | None], mask: Mask) -> None:
        """Start the streams of the masked sub-environments with a seed; the first time, those of all."""
        if not self._generators:
            pairs = [seeding.np_random(seed) for seed in seeds]
            self._generators, self._seeds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            self._keys[:] = [sampling.stream_key(generator) for generator in self._generators]
            self._episodes[:] = 0
            return
        for i in np.flatnonzero(mask).tolist():
            if seeds[i] is not None:
                self._generators[i], self._seeds[i] = seeding.np_random(seeds[i])
                self._keys[i] = sampling.stream_key(self._generators[i])
                self._episodes[i] = 0

    def _seed_missing(self) -> None:
        if not self._generators:
            self._seed([None] * self.num_envs, self._everyone)

    def _room(self) -> Observation:
        """Where observations are written: fresh arrays, or the buffers whose turn it is."""
        if self.copy:
            return self.rules.room(self.num_envs)
        if not self._buffers:
            self._buffers = [self.rules.room(self.num_envs) for _ in range(2)]
        self._buffers.reverse()
        # A new dict: what the caller adds to or removes from one does not show in the next.
        return dict(self._buffers[0])

    # ---------------------------------------------------------------- checks

    def _check_seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(
                f"seed must be one number or {self.num_envs}, one for each sub-environment, got {len(seed)}"
            )
        return list(seed)

    def _check_mask(self, mask: object) -> Mask:
        if mask is None:
            return self._everyone
        if not isinstance(mask, np.ndarray) or mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"options['reset_mask'] must be a bool array of shape ({self.num_envs},), got {mask!r}")
        if not mask.any():
            raise ValueError("options['reset_mask'] must be True somewhere")
        return mask.copy()

    def _check_indices(self, index: object) -> npt.NDArray[np.int64] | None:
        if index is None:
            return None
        if isinstance(index, np.ndarray) and index.ndim:
            if index.shape != (self.num_envs,) or index.dtype.kind not in "iu":
                raise ValueError(
                    f"options['index'] must be one integer or an integer array of shape ({self.num_envs},), "
                    f"got shape {index.shape} of {index.dtype}"
                )
            for extreme in (index.min(), index.max()):
                check_index(extreme, len(self.rules))
            return index.astype(np.int64)
        check_index(index, len(self.rules))
        return np.full(self.num_envs, index, dtype=np.int64)

    def _check_numbers(self, value: object, name: str, ends: tuple[float, float]) -> npt.NDArray[np.float32] | None:
        if value is None:
            return None
        if isinstance(value, np.ndarray) and value.ndim:
            if value.shape != (self.num_envs,) or value.dtype.kind not in "iuf":
                raise ValueError(
                    f"options[{name!r}] must be one number or an array of shape ({self.num_envs},), got shape "
                    f"{value.shape} of {value.dtype}"
                )
            for extreme in (value.min(), value.max()):
                check_number(extreme, name, ends)
            return value.astype(np.float32)
        return np.full(self.num_envs, check_number(value, name, ends), dtype=np.float32)

    def _check_actions(self, actions: object) -> npt.NDArray[np.int64]:
        choices = np.asarray(actions)
        if choices.shape != (self.num_envs,) or choices.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be an integer array of shape ({self.num_envs},), "
                f"got shape {choices.shape} of {choices.dtype}"
            )
        low, high = choices.min(), choices.max()
        if low < 0 or high >= self._n_actions:
            raise ValueError(self.rules.out_of_range(int(low if low < 0 else high)))
        return choices.astype(np.int64, copy=False)


def _where(array: npt.NDArray[Any], mask: Mask) -> npt.NDArray[Any]:
    """The array with 0 where the mask is False."""
    return np.where(mask.reshape(-1, *([1] * (array.ndim - 1))), array, np.zeros((), dtype=array.dtype))


def _spread(array: npt.NDArray[Any], where: npt.NDArray[np.int64], n: int) -> npt.NDArray[Any]:
    """What some of n sub-environments have to tell, with 0 for the others; (n, ...)."""
    whole = np.zeros((n, *array.shape[1:]), dtype=array.dtype)
    whole[where] = array
    return whole


def _with_masks(arrays: dict[str, npt.NDArray[Any]], mask: Mask) -> Info:
    """Infos as Gymnasium's vector environments give them: each key has a mask that says of whom it speaks."""
    return {**arrays, **{f"_{name}": mask for name in arrays}}
