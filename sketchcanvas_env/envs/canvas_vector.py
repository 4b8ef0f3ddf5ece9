"""The environment for many sketches at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import error

from sketchcanvas_env.data import RETRIEVAL, SketchDataset
from sketchcanvas_env.envs.canvas import Observation, check_preference, check_render_mode, out_of_range
from sketchcanvas_env.envs.vector_base import Info, StreamsVectorEnv, check_num_envs
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks import sampling
from sketchcanvas_env.tasks.canvas import DEFAULT_CANVASES, Task, checked_preferences, make_task


class SketchCanvasVectorEnv(StreamsVectorEnv):
    """N copies of `SketchCanvasEnv` stepped by array look-ups; `gym.make_vec("SketchCanvas-v0")` makes one.

    With the same seed and actions it gives what `SyncVectorEnv` over N single environments in SAME_STEP mode
    gives, bit for bit: observations, rewards, terminations and infos. A seed s means s + i in
    sub-environment i.

    Every step ends every episode, so the observation that `step` returns shows the *next* sketches (autoreset
    mode SAME_STEP). `info` follows:

    * `info["final_info"]` is about the episodes that the step ended: a dict of arrays with the keys of the
      single environment's info, `reward_vector` of shape (N, 2) and the others (N,).
    * `info["sketch_index"]`, and with preferences `info["tradeoff"]`, is about the sketches now shown.
    * Each key has a mask `_key`, here always all True. The masks are one read-only array.

    `final_obs`, which `SyncVectorEnv` adds, is left out: the last observation of a one-step episode is its
    first, which the caller has just acted on, and N dicts of copies would cost more than all the rest.

    With `copy=False` the observations lie in two sets of buffers that take turns. An observation stays as it
    is during the next `step`, so that what was acted on and what came of it can be used together, and is
    overwritten by the `step` or `reset` after that. Rewards, terminations and infos are fresh arrays always.

    Args:
        num_envs: number of sub-environments, N.
        copy: whether observations are fresh arrays in every call.
        dataset: as all that follow, see `SketchCanvasEnv`.
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
        preferences: see there.
        task: see there.

    Live mode is not vectorised here; `SyncVectorEnv` over single environments does it.

    **Wrappers.** Gymnasium's vector observation wrappers (`gym.wrappers.vector.FlattenObservation` and the like) refuse
    every environment that resets in SAME_STEP mode, and `gym.make_vec(..., wrappers=[...])` is for its sync and async
    modes. Change the arrays in a line of your own, or wrap single environments, which is slower; the last example does
    both. What leaves observations alone works: `RecordEpisodeStatistics`, `NormalizeReward`.

    Example:
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> import sketchcanvas_env
        >>> envs = gym.make_vec("SketchCanvas-v0", num_envs=3, canvases=(32, 256))
        >>> observations, infos = envs.reset(seed=0)
        >>> observations["points"].shape, observations["stats"].shape[0]
        ((3, 1000), 3)
        >>> flat = np.concatenate([observations["points"], observations["stats"]], axis=1)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([0, 1, 0]))
        >>> infos["final_info"]["canvas"]
        array([ 32, 256,  32])
        >>> bool(terminations.all()), bool(truncations.any()), rewards.dtype
        (True, False, dtype('float64'))

        The same flat observations by a wrapper, around single environments:

        >>> slower = gym.make_vec(
        ...     "SketchCanvas-v0", num_envs=3, vectorization_mode="sync", wrappers=[gym.wrappers.FlattenObservation],
        ...     vector_kwargs={"autoreset_mode": "SameStep"}, canvases=(32, 256),
        ... )
        >>> bool(np.array_equal(slower.reset(seed=0)[0], flat))
        True
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
        preferences: Sequence[float] | None = None,
        task: str = RETRIEVAL,
    ) -> None:
        """Make an environment; the class describes the arguments.

        Raises:
            ValueError: an argument that is out of range or names something that does not exist.
            FileNotFoundError: no file at `table`.
        """
        n = check_num_envs(num_envs)
        check_render_mode(render_mode)
        self.preferences = checked_preferences(preferences)
        self.task = make_task(
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
        )
        self._set_up(
            n, copy, render_mode, self.task.observation_space(self.preferences is not None), self.task.action_space()
        )
        self.reward_space = self.task.reward_space()
        self._outcomes = _Columns(self.task)
        # The episodes' own tradeoffs, (N,); None where they share the task's.
        self._tradeoffs = None if self.preferences is None else np.zeros(n, dtype=np.float32)

    # The Gymnasium interface.

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, Info]:
        """Show a sketch in every sub-environment.

        Args:
            seed: sub-environment i starts a new stream with seed + i, or with the i-th of a sequence; None
                goes on with the present streams.
            options: `{"index": i}` shows row i of the split in every sub-environment, an (N,) array its i-th
                element in the i-th; with preferences, `{"tradeoff": x}` likewise. `{"reset_mask": mask}`, an (N,)
                bool array, resets some and leaves the others as they are. Other keys are left to wrappers.

        Returns:
            Observations of shape (N, ...), and `{"sketch_index": (N,) int64}` with its mask, with preferences also
            "tradeoff" (N,) float64.

        Raises:
            ValueError: a number of seeds other than N, an index that the split does not have, a tradeoff that the
                preferences do not, a wrong mask.
            gymnasium.error.ResetNeeded: a mask in the very first reset.
        """
        options = options or {}
        weights = self._check_tradeoffs(options.get("tradeoff"))
        mask, chosen = self._begin(seed, options)
        rows = self._show(mask, chosen)
        infos: Info = {"sketch_index": np.where(mask, rows, 0), "_sketch_index": mask}
        if self.preferences is not None and self._tradeoffs is not None:
            keys, episodes = self._keys[mask], self._episodes[mask]
            drawn = sampling.draw_between(keys, episodes, *self.preferences) if weights is None else weights[mask]
            self._tradeoffs[mask] = drawn
            infos.update(tradeoff=np.where(mask, self._tradeoffs, 0.0).astype(np.float64), _tradeoff=mask)
        if chosen is None or (weights is None and self.preferences is not None):
            self._episodes[mask] += 1
        return self._observe(rows), infos

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Observation, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Info]:
        """Choose a canvas for every sketch; every episode ends and the next one begins.

        Args:
            actions: (N,) integers in [0, K).

        Returns:
            Observations of the next sketches, rewards (N,) float64, terminations (all True), truncations (all
            False), and infos (see the class).

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
            ValueError: actions of another shape or kind, or out of range.
        """
        rows = self._rows
        if rows is None:
            raise error.ResetNeeded("call reset() before step(): there are no sketches yet")
        choices = self._check_actions(actions)
        pair = rows * len(self.task.canvases) + choices
        outcomes = self._outcomes
        mask = self._everyone
        final: Info = {"sketch_index": rows}
        final["canvas"] = outcomes.canvases.take(choices)
        final["flops"] = self.task.flops.take(choices)
        final["cost"] = self.task.costs.take(choices)
        final["rank"] = outcomes.ranks.take(pair)
        final["triplet"] = outcomes.triplet.take(pair)
        final["reward_vector"] = outcomes.vectors.take(pair, axis=0)
        if self._tradeoffs is None:
            rewards = outcomes.rewards.take(pair)
            final["oracle_action"], final["regret"] = outcomes.oracle.take(rows), outcomes.regret.take(pair)
        else:
            rewards, final["oracle_action"], final["regret"] = self.task.judge(rows, choices, self._tradeoffs)
            final["tradeoff"] = self._tradeoffs.astype(np.float64)
        final.update({f"_{name}": mask for name in list(final)})
        self._rows = sampling.draw(self._keys, self._episodes, len(self.task))
        if self.preferences is not None:
            self._tradeoffs = sampling.draw_between(self._keys, self._episodes, *self.preferences)
        self._episodes += 1
        infos: Info = {
            "final_info": final,
            "_final_info": mask,
            # A copy, so that no one who keeps or changes an info touches what the next step looks up.
            "sketch_index": self._rows.copy(),
            "_sketch_index": mask,
        }
        if self._tradeoffs is not None:
            infos.update(tradeoff=self._tradeoffs.astype(np.float64), _tradeoff=mask)
        ended = np.ones(self.num_envs, dtype=np.bool_)
        return self._observe(self._rows), rewards, ended, ~ended, infos

    # How it is done.

    def _observe(self, rows: npt.NDArray[np.int64]) -> Observation:
        """The observations of some rows, in fresh arrays or in the buffers whose turn it is."""
        into = self._room()
        for name, source in (("points", self.task.points), ("stats", self.task.stats)):
            # The rows are in range; "clip" spares take() the safety copy that it makes for out= otherwise.
            np.take(source, rows, axis=0, out=into[name], mode="clip")
        if self._tradeoffs is not None:
            into["tradeoff"][:, 0] = self._tradeoffs
        return into

    def _check_tradeoffs(self, tradeoff: object) -> npt.NDArray[np.float32] | None:
        if tradeoff is None:
            return None
        if isinstance(tradeoff, np.ndarray) and tradeoff.ndim:
            if tradeoff.shape != (self.num_envs,) or tradeoff.dtype.kind not in "iuf":
                raise ValueError(
                    f"options['tradeoff'] must be one number or an array of shape ({self.num_envs},), got shape "
                    f"{tradeoff.shape} of {tradeoff.dtype}"
                )
            for extreme in (tradeoff.min(), tradeoff.max()):
                check_preference(extreme, self.preferences)
            return tradeoff.astype(np.float32)
        check_preference(tradeoff, self.preferences)
        return np.full(self.num_envs, tradeoff, dtype=np.float32)

    def _out_of_range(self, action: int) -> str:
        return out_of_range(action, self.task.canvases)


class _Columns:
    """The task's outcomes in the dtypes of info, with (sketch, canvas) pairs along one axis."""

    def __init__(self, task: Task) -> None:
        known = task.lookup
        assert known is not None  # a vector environment has no live mode
        self.canvases = np.array(task.canvases, dtype=np.int64)
        self.oracle = known.oracle
        self.ranks = known.table.ranks.astype(np.int64).ravel()
        self.triplet = known.table.triplet.astype(np.float64).ravel()
        self.rewards = known.rewards.ravel()
        self.regret = known.regret.ravel()
        comp = np.broadcast_to(task.comp, known.acc.shape)
        self.vectors = np.stack([known.acc.ravel(), comp.ravel()], axis=1)
