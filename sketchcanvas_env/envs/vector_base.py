"""What the vector environments share: streams of sketches, checks of arguments, buffers for observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import error, logger, spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from sketchcanvas_env.envs.canvas import Observation, check_index, render_row
from sketchcanvas_env.tasks import sampling
from sketchcanvas_env.tasks.canvas import RENDER_MODES, OfTask

Info = dict[str, Any]


def check_num_envs(num_envs: object) -> int:
    """The number of sub-environments as an int; ValueError unless it is an integer of at least 1."""
    if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
        raise ValueError(f"num_envs must be an integer of at least 1, got {num_envs!r}")
    return int(num_envs)


class StreamsVectorEnv(OfTask, VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """N streams of sketches, stepped by array look-ups; a subclass sets `task` and calls `_set_up`."""

    metadata = {  # noqa: RUF012 (Gymnasium's own form)
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    autoreset_mode = AutoresetMode.SAME_STEP

    def _set_up(
        self,
        num_envs: int,
        copy: bool,
        render_mode: str | None,
        observation_space: spaces.Dict,
        action_space: spaces.Discrete,
    ) -> None:
        self.num_envs = num_envs
        self.copy = bool(copy)
        self.render_mode = render_mode
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self._shapes = {name: space.shape or () for name, space in observation_space.spaces.items()}
        self._n_actions = int(action_space.n)
        self._generators: list[np.random.Generator] = []
        self._seeds: list[int] = []
        self._keys = np.zeros(num_envs, dtype=np.uint64)
        self._episodes = np.zeros(num_envs, dtype=np.int64)
        # The sketches that are shown; None before the first reset.
        self._rows: npt.NDArray[np.int64] | None = None
        self._buffers: list[Observation] = []
        self._everyone = np.ones(num_envs, dtype=np.bool_)
        self._everyone.flags.writeable = False

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

    def render(self) -> tuple[Any, ...] | None:
        """The sketches that wait, one picture or line each, as `SyncVectorEnv` gives them.

        To see what came of a choice, render a single environment after `reset(options={"index":
        sketch_index})` and `step`.

        Returns:
            N pictures or lines; None (and a warning) without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
        """
        if self.render_mode is None:
            logger.warn("render() was called without a render mode; make the environment with render_mode=...")
            return None
        if self._rows is None:
            raise error.ResetNeeded("call reset() before render(): there are no sketches yet")
        return tuple(self._pictures(self._rows, self.render_mode))

    def _pictures(self, rows: npt.NDArray[np.int64], render_mode: str) -> list[Any]:
        return [render_row(self.task, int(row), None, render_mode) for row in rows]

    # Streams.

    def _begin(
        self, seed: int | Sequence[int | None] | None, options: dict[str, Any]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64] | None]:
        """Check what `reset` was given and seed; which sub-environments it is about, and the rows asked for."""
        seeds = self._check_seeds(seed)
        mask = self._check_mask(options.get("reset_mask"))
        chosen = self._check_indices(options.get("index"))
        if self._rows is None and mask is not self._everyone:
            raise error.ResetNeeded("the first reset() must be of every sub-environment: call it without reset_mask")
        self._seed(seeds, mask)
        return mask, chosen

    def _show(self, mask: npt.NDArray[np.bool_], chosen: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
        """Other sketches where the mask says so, drawn or chosen; the rows of all. Counts nothing up."""
        rows = np.zeros(self.num_envs, dtype=np.int64) if self._rows is None else self._rows.copy()
        if chosen is None:
            rows[mask] = sampling.draw(self._keys[mask], self._episodes[mask], len(self.task))
        else:
            rows[mask] = chosen[mask]
        self._rows = rows
        return rows

    def _seed(self, seeds: Sequence[int | None], mask: npt.NDArray[np.bool_]) -> None:
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

    # Infos of episodes of several steps.

    def _told_of(self, told: dict[str, npt.NDArray[Any]], mask: npt.NDArray[np.bool_]) -> Info:
        """What `reset` tells of the sub-environments that it was about."""
        if not mask.all():
            told = {name: only(array, mask) for name, array in told.items()}
        return with_masks(told, mask)

    def _final_infos(
        self, final: dict[str, npt.NDArray[Any]], where: npt.NDArray[np.int64], ended: npt.NDArray[np.bool_]
    ) -> Info:
        """What `step` tells of the episodes that it ended, which lie at `where`."""
        told = {name: spread(array, where, self.num_envs) for name, array in final.items()}
        return {"final_info": with_masks(told, ended), "_final_info": ended.copy()}

    # Buffers.

    def _room(self) -> Observation:
        """Where observations are written: fresh arrays, or the buffers whose turn it is."""
        if self.copy:
            return self._empty()
        if not self._buffers:
            self._buffers = [self._empty() for _ in range(2)]
        self._buffers.reverse()
        # A new dict: what the caller adds to or removes from one does not show in the next.
        return dict(self._buffers[0])

    def _empty(self) -> Observation:
        return {name: np.empty((self.num_envs, *shape), dtype=np.float32) for name, shape in self._shapes.items()}

    # Checks.

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

    def _check_mask(self, mask: object) -> npt.NDArray[np.bool_]:
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
                check_index(extreme, len(self.task))
            return index.astype(np.int64)
        check_index(index, len(self.task))
        return np.full(self.num_envs, index, dtype=np.int64)

    def _check_actions(self, actions: object) -> npt.NDArray[np.int64]:
        choices = np.asarray(actions)
        if choices.shape != (self.num_envs,) or choices.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be an integer array of shape ({self.num_envs},), "
                f"got shape {choices.shape} of {choices.dtype}"
            )
        low, high = choices.min(), choices.max()
        if low < 0 or high >= self._n_actions:
            raise ValueError(self._out_of_range(int(low if low < 0 else high)))
        return choices.astype(np.int64, copy=False)

    def _out_of_range(self, action: int) -> str:
        """What to say of an action that there is not."""
        raise NotImplementedError


def only(array: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The array with 0 where the mask is False."""
    return np.where(mask.reshape(-1, *([1] * (array.ndim - 1))), array, np.zeros((), dtype=array.dtype))


def spread(array: npt.NDArray[Any], where: npt.NDArray[np.int64], n: int) -> npt.NDArray[Any]:
    """What some of n sub-environments have to tell, with 0 for the others; (n, ...)."""
    whole = np.zeros((n, *array.shape[1:]), dtype=array.dtype)
    whole[where] = array
    return whole


def with_masks(arrays: dict[str, npt.NDArray[Any]], mask: npt.NDArray[np.bool_]) -> Info:
    """Infos as Gymnasium's vector environments give them: each key has a mask that says of whom it speaks."""
    return {**arrays, **{f"_{name}": mask for name in arrays}}
