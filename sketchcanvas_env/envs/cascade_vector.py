"""The environment of several looks, for many sketches at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import error

from sketchcanvas_env.data import RETRIEVAL, SketchDataset
from sketchcanvas_env.envs.canvas import Observation, check_render_mode, render_row
from sketchcanvas_env.envs.cascade import OfCascade, look_shown
from sketchcanvas_env.envs.vector_base import Info, StreamsVectorEnv, check_num_envs, with_masks
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks.canvas import DEFAULT_CANVASES
from sketchcanvas_env.tasks.cascade import make_cascade_task


class SketchCanvasCascadeVectorEnv(OfCascade, StreamsVectorEnv):
    """N copies of `SketchCanvasCascadeEnv` stepped by array look-ups; `gym.make_vec("SketchCanvasCascade-v0")` makes
    one.

    With the same seed and actions it gives what `SyncVectorEnv` over N single environments in SAME_STEP mode gives, bit
    for bit: observations, rewards, terminations and infos. A seed s means s + i in sub-environment i.

    Where a step ends an episode, the observation that it returns shows the *next* sketch (autoreset mode SAME_STEP).
    `info` follows:

    * `info["final_info"]` is about the episodes that the step ended: a dict of arrays with the keys of the single
      environment's info at the end. It is there only if an episode ended.
    * The other keys (`sketch_index`, `seen`, `flops`, `action_mask`) are about what is now shown.
    * Each key has a mask `_key`, which is True for the sub-environments that it speaks of; elsewhere arrays hold 0.
      Masks are not to be written to.

    `final_obs`, which `SyncVectorEnv` adds, is left out: stopping shows nothing new, so the last observation of an
    episode is the one that the caller has just acted on.

    With `copy=False` the observations lie in two sets of buffers that take turns. An observation stays as it is during
    the next `step`, so that what was acted on and what came of it can be used together, and is overwritten by the
    `step` or `reset` after that. Rewards, terminations and infos are fresh arrays always.

    Gymnasium's vector observation wrappers refuse it, as they refuse every environment in SAME_STEP mode;
    `SketchCanvasVectorEnv` says what to do instead.

    Args:
        num_envs: number of sub-environments, N.
        copy: whether observations are fresh arrays in every call.
        dataset: as all that follow, see `SketchCanvasCascadeEnv`.
        split: see there.
        student: see there.
        canvases: see there.
        tradeoff: see there.
        rank_weight: see there.
        triplet_weight: see there.
        cost: see there.
        max_points: see there.
        render_mode: see there; `render` gives one picture or line for each sub-environment.
        table: see there.
        task: see there.
        ranking: see there.
        looks: see there.

    Example:
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> import sketchcanvas_env
        >>> envs = gym.make_vec("SketchCanvasCascade-v0", num_envs=3)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([1, 1, 0]))
        >>> infos["seen"].tolist(), terminations.tolist(), "final_info" in infos
        ([2, 2, 1], [False, False, False], False)
        >>> envs.unwrapped.action_masks()[0].tolist()
        [True, False, True, True, True]
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([4, 2, 4]))
        >>> infos["final_info"]["canvas"].tolist(), infos["_final_info"].tolist(), infos["seen"].tolist()
        ([64, 0, 32], [True, False, True], [0, 6, 0])
    """

    def __init__(
        self,
        num_envs: int = 1,
        copy: bool = True,
        dataset: str | SketchDataset = "emoji",
        split: str = "train",
        student: str | None = None,
        canvases: Sequence[int] = DEFAULT_CANVASES,
        tradeoff: float = 0.2,
        rank_weight: float = 1.0,
        triplet_weight: float = 0.1,
        cost: str = "flops",
        max_points: int = 200,
        render_mode: str | None = None,
        table: str | os.PathLike[str] | OutcomeTable | None = None,
        task: str = RETRIEVAL,
        ranking: str = "last",
        looks: str | os.PathLike[str] | LookTable | None = None,
    ) -> None:
        """Make an environment; the class describes the arguments.

        Raises:
            ValueError: an argument that is out of range or names something that does not exist.
            FileNotFoundError: no file at `table` or `looks`, or no looks beside the table.
        """
        n = check_num_envs(num_envs)
        check_render_mode(render_mode)
        self.cascade = make_cascade_task(
            dataset=dataset,
            split=split,
            task=task,
            student=student,
            canvases=canvases,
            tradeoff=tradeoff,
            rank_weight=rank_weight,
            triplet_weight=triplet_weight,
            cost=cost,
            max_points=max_points,
            table=table,
            ranking=ranking,
            looks=looks,
        )
        self.task = self.cascade.task
        self._set_up(n, copy, render_mode, self.cascade.observation_space(), self.cascade.action_space())
        self.reward_space = self.cascade.reward_space()
        # The states that are shown, beside the rows.
        self._seen = np.zeros(n, dtype=np.int64)
        self._last = np.full(n, -1, dtype=np.int64)
        # Sums of rewards of the episodes that go on; only pictures show them.
        self._earned = np.zeros(n)

    # The Gymnasium interface.

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, Info]:
        """Show a sketch, at which nobody has looked, in every sub-environment.

        Args:
            seed: sub-environment i starts a new stream with seed + i, or with the i-th of a sequence; None goes on with
                the present streams.
            options: `{"index": i}` shows row i of the split in every sub-environment, an (N,) array its i-th element in
                the i-th. `{"reset_mask": mask}`, an (N,) bool array, resets some and leaves the others as they are.
                Other keys are left to wrappers.

        Returns:
            Observations of shape (N, ...), and infos (see the class) of those that were reset.

        Raises:
            ValueError: a number of seeds other than N, an index that the split does not have, a wrong mask.
            gymnasium.error.ResetNeeded: a mask in the very first reset.
        """
        mask, chosen = self._begin(seed, options or {})
        rows = self._show(mask, chosen)
        if chosen is None:
            self._episodes[mask] += 1
        self._seen = np.where(mask, 0, self._seen)
        self._last = np.where(mask, -1, self._last)
        self._earned[mask] = 0.0
        told = self._told_of(self.cascade.going(rows, self._seen), mask)
        return self.cascade.observe(rows, self._seen, self._last, self._room()), told

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Observation, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Info]:
        """Look at a canvas or stop, in every sub-environment; where an episode ends the next one begins.

        Args:
            actions: (N,) integers in [0, K].

        Returns:
            Observations, of the next sketch where an episode ended, rewards (N,) float64, terminations (N,) bool,
            truncations (all False), and infos (see the class).

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
            ValueError: actions of another shape or kind, or out of range.
        """
        rows = self._rows
        if rows is None:
            raise error.ResetNeeded("call reset() before step(): there are no sketches yet")
        done = self.cascade.advance(rows, self._seen, self._last, self._check_actions(actions))
        ended, infos = done.ended, Info()
        self._seen, self._last = done.seen, done.last
        self._earned += done.reward
        if ended.any():
            where = np.flatnonzero(ended)
            final = self.cascade.final(rows[where], done.seen[where], done.last[where])
            infos = self._final_infos(final, where, ended)
            rows = self._show(ended, None)
            self._episodes[where] += 1
            self._seen[where], self._last[where], self._earned[where] = 0, -1, 0.0
        infos.update(with_masks(self.cascade.going(rows, self._seen), self._everyone))
        observations = self.cascade.observe(rows, self._seen, self._last, self._room())
        return observations, done.reward, ended, np.zeros(self.num_envs, dtype=np.bool_), infos

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(N, K + 1) bool, which actions make sense now."""
        return self.cascade.action_mask(self._seen).astype(np.bool_)

    # How it is done.

    def _pictures(self, rows: npt.NDArray[np.int64], render_mode: str) -> list[Any]:
        states = zip(rows.tolist(), self._seen.tolist(), self._last.tolist(), self._earned.tolist(), strict=True)
        shown = [look_shown(self.cascade, *state) for state in states]
        return [render_row(self.task, int(row), each, render_mode) for row, each in zip(rows, shown, strict=True)]

    def _out_of_range(self, action: int) -> str:
        return self.cascade.out_of_range(action)
