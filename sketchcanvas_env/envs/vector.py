"""Base of the vector environments: N episodes at once, stepped by array look-ups."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
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
    begin,
    check_index,
    check_number,
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
    """N copies of a `SketchEnv`.

    With the same seed and actions, observations, rewards, terminations and infos equal those of `SyncVectorEnv` over N
    single environments in SAME_STEP mode, bit for bit. Seed s gives sub-environment i the seed s + i.

    The autoreset mode is SAME_STEP: where a step ends an episode, the returned observation is the first one of the
    *next* episode.

    * `info["final_info"]` is about the episodes that the step ended: a dict of arrays with the keys of the single
      environment's last info. It is missing if no episode ended.
    * The other keys are about the episodes that go on or begin.
    * Each key has a mask `_key`, True for the sub-environments that have a value; the others have 0. Masks are
      read-only.
    * `info["final_obs"]`, with `final_obs=True` only, has the last observations. The action that ends an episode
      changes no observation, so they are the ones that the caller acted on.

    With `copy=False` observations are written to two sets of buffers in turn: an observation stays valid during the
    next `step` and is overwritten by the `step` or `reset` after that. Rewards, terminations and infos are always new
    arrays.

    Gymnasium's vector observation wrappers (`gym.wrappers.vector.FlattenObservation` and others) refuse SAME_STEP mode.
    Live mode is not vectorised.
    """

    metadata = {  # noqa: RUF012 (Gymnasium's own form)
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    autoreset_mode = AutoresetMode.SAME_STEP

    def __init_subclass__(cls) -> None:
        """Let `help` and `inspect.signature` show the arguments."""
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
            copy: whether observations are new arrays in every call.
            final_obs: whether `info["final_obs"]` has the last observations of episodes that ended, one dict each.
            render_mode: as in the single environment; `render` gives one picture or line for each sub-environment.
            arguments: those of the single environment.

        Raises:
            TypeError: an unknown argument.
            ValueError: an argument out of range, or one that names something that does not exist.
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
        # Sum of each current episode's rewards, for rendering.
        self._earned = np.zeros(num_envs)
        self._buffers: list[Observation] = []
        self._everyone = np.ones(num_envs, dtype=np.bool_)
        self._everyone.flags.writeable = False

    # ---------------------------------------------------------------- the Gymnasium interface

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Generators of the sub-environments, as in `SyncVectorEnv`."""
        self._seed_missing()
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """Seeds of the sub-environments, as in `SyncVectorEnv`."""
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
            seed: sub-environment i starts a new stream with seed + i, or with element i of a sequence; None continues
                the current streams.
            options: `{"index": i}` selects row i of the split, an (N,) array one row for each sub-environment; with
                preferences `{"tradeoff": x}` likewise. `{"reset_mask": mask}`, an (N,) bool array, resets some
                sub-environments only. Other keys are left to wrappers.

        Returns:
            Observations of shape (N, ...), and infos (see the class) of the sub-environments that were reset.

        Raises:
            ValueError: a number of seeds other than N, an index or a tradeoff out of range, or an invalid mask.
            gymnasium.error.ResetNeeded: a mask in the first reset.
        """
        options, made = options or {}, self.rules
        made.check_options(options)
        asked = {}
        for name, ends in made.ranges.items():
            if (value := options.get(name)) is not None:
                given = self._check_option(name, value, "iuf", partial(check_number, name=name, ends=ends))
                asked[name] = given.astype(np.float32)
        seeds = self._check_seeds(seed)
        mask = self._check_mask(options.get("reset_mask"))
        index = options.get("index")
        if index is not None:
            index = self._check_option("index", index, "iu", partial(check_index, n=len(made))).astype(np.int64)
        if self._state is None and mask is not self._everyone:
            raise error.ResetNeeded("the first reset() must be of every sub-environment: call it without reset_mask")
        self._seed(seeds, mask)
        where = np.flatnonzero(mask)
        rows = None if index is None else index[where]
        numbers = {name: value[where] for name, value in asked.items()}
        begun = begin(made, self._keys[where], self._episodes[where], rows, numbers)
        self._state = begun if len(where) == self.num_envs else put(self._state, where, begun)
        if index is None or len(asked) < len(made.ranges):
            self._episodes[mask] += 1
        self._earned[mask] = 0.0
        told = made.going(self._state)
        if len(where) < self.num_envs:
            told = {name: _spread(array[where], where, self.num_envs) for name, array in told.items()}
        return made.observe(self._state, self._room()), _with_masks(told, mask)

    def step(self, actions: npt.NDArray[np.int64]) -> tuple[Observation, npt.NDArray[np.float64], Mask, Mask, Info]:
        """Take an action in every sub-environment; where an episode ends, the next one begins.

        Args:
            actions: (N,) integers in the action space.

        Returns:
            Observations (of the next sketch where an episode ended), rewards (N,) float64, terminations (N,) bool,
            truncations (all False), and infos (see the class).

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
            ValueError: actions of another shape or dtype, or out of range.
        """
        self._need_reset("step")
        made, n = self.rules, self.num_envs
        reward, state, ended = made.advance(self._state, self._check_actions(actions))
        if self.render_mode is not None:
            self._earned += reward
        infos = Info()
        count = np.count_nonzero(ended)
        if count == n:
            final = _with_masks(made.final(state), self._everyone)
            infos = {"final_info": final, "_final_info": self._everyone, **self._last_seen(state, ended)}
            state = begin(made, self._keys, self._episodes, None, {})
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
            state = put(state, where, begin(made, self._keys[where], self._episodes[where], None, {}))
            self._episodes[where] += 1
            self._earned[where] = 0.0
        self._state = state
        infos.update(_with_masks(made.going(state), self._everyone))
        return made.observe(state, self._room()), reward, ended, np.zeros(n, dtype=np.bool_), infos

    def render(self) -> tuple[Any, ...] | None:
        """The current episodes as one picture or line each, as in `SyncVectorEnv`.

        To see how an episode ended, render a single environment after `reset(options={"index": sketch_index})` and the
        same actions.

        Returns:
            N pictures or lines; None (and a warning) without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
        """
        if self.render_mode is None:
            logger.warn("render() was called without a render mode; make the environment with render_mode=...")
            return None
        self._need_reset("render")
        return tuple(self._rendered(i, float(self._earned[i])) for i in range(self.num_envs))

    # ---------------------------------------------------------------- streams

    def _last_seen(self, state: Any, ended: Mask) -> Info:
        """`final_obs` of the episodes that ended, as in `SyncVectorEnv`; empty without the argument `final_obs`."""
        if not self.final_obs:
            return {}
        found, last = self.rules.observe(only(state, ended)), np.full(self.num_envs, None, dtype=object)
        for place, i in enumerate(np.flatnonzero(ended).tolist()):
            last[i] = {name: array[place] for name, array in found.items()}
        return {"final_obs": last, "_final_obs": ended.copy()}

    def _seed(self, seeds: Sequence[int | None], mask: Mask) -> None:
        """Start new streams for masked sub-environments with a seed; for all of them the first time."""
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
        """Arrays to write observations to: new ones, or the next set of buffers."""
        if self.copy:
            return self.rules.room(self.num_envs)
        if not self._buffers:
            self._buffers = [self.rules.room(self.num_envs) for _ in range(2)]
        self._buffers.reverse()
        # The caller may add or remove keys, so give out a copy.
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

    def _check_option(
        self, name: str, value: object, kinds: str, check: Callable[[object], object]
    ) -> npt.NDArray[Any]:
        """An option of `reset` as one value for each sub-environment, (N,).

        Args:
            name: the option.
            value: one value or an (N,) array.
            kinds: dtype kinds that an array may have.
            check: raises ValueError for a value out of range.
        """
        if not isinstance(value, np.ndarray) or not value.ndim:
            check(value)
            return np.full(self.num_envs, value)
        if value.shape != (self.num_envs,) or value.dtype.kind not in kinds:
            word = "integer" if kinds == "iu" else "number"
            raise ValueError(
                f"options[{name!r}] must be one {word} or an array of {word}s of shape ({self.num_envs},), got shape "
                f"{value.shape} of {value.dtype}"
            )
        for extreme in (value.min(), value.max()):
            check(extreme)
        return value

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


def _spread(array: npt.NDArray[Any], where: npt.NDArray[np.int64], n: int) -> npt.NDArray[Any]:
    """Values of some of n sub-environments as an array of all, (n, ...), with 0 for the others."""
    whole = np.zeros((n, *array.shape[1:]), dtype=array.dtype)
    whole[where] = array
    return whole


def _with_masks(arrays: dict[str, npt.NDArray[Any]], mask: Mask) -> Info:
    """Infos with the mask of each key, as in Gymnasium's vector environments."""
    return {**arrays, **{f"_{name}": mask for name in arrays}}
