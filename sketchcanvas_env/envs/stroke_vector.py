"""The environment of drawings that appear stroke by stroke, for many at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import error

from sketchcanvas_env.data import RETRIEVAL, SketchDataset
from sketchcanvas_env.envs.canvas import Observation, check_render_mode
from sketchcanvas_env.envs.stroke import OfStroke, render_drawing
from sketchcanvas_env.envs.vector_base import Info, StreamsVectorEnv, check_num_envs, with_masks
from sketchcanvas_env.outcomes.prefixes import PrefixTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks.canvas import DEFAULT_CANVASES
from sketchcanvas_env.tasks.stroke import STROKE_COST, Drawing, make_stroke_task


class SketchCanvasStrokeVectorEnv(OfStroke, StreamsVectorEnv):
    """N copies of `SketchCanvasStrokeEnv` stepped by array look-ups; `gym.make_vec("SketchCanvasStroke-v0")` makes one.

    With the same seed and actions it gives what `SyncVectorEnv` over N single environments in SAME_STEP mode gives, bit
    for bit. Autoreset, `info`, masks and `copy` are those of `SketchCanvasCascadeVectorEnv`: `info["final_info"]` is
    about the episodes that the step ended and is there only if one did, the other keys are about what is now shown, and
    `final_obs` is left out, since stopping shows nothing new.

    Gymnasium's vector observation wrappers refuse it, as they refuse every environment in SAME_STEP mode;
    `SketchCanvasVectorEnv` says what to do instead.

    Args:
        num_envs: number of sub-environments, N.
        copy: whether observations are fresh arrays in every call.
        dataset: as all that follow, see `SketchCanvasStrokeEnv`.
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
        stroke_cost: see there.
        prefixes: see there.

    Example:
        >>> import gymnasium as gym
        >>> import numpy as np
        >>> import sketchcanvas_env
        >>> envs = gym.make_vec("SketchCanvasStroke-v0", num_envs=3)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([1, 1, 0]))
        >>> infos["seen"].tolist(), terminations.tolist(), "final_info" in infos
        ([2, 2, 1], [False, False, False], False)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([5, 2, 5]))
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
        stroke_cost: float = STROKE_COST,
        prefixes: str | os.PathLike[str] | PrefixTable | None = None,
    ) -> None:
        """Make an environment; the class describes the arguments.

        Raises:
            ValueError: an argument that is out of range or names something that does not exist.
            FileNotFoundError: no file at `table` or `prefixes`, or no prefixes beside the table.
        """
        n = check_num_envs(num_envs)
        check_render_mode(render_mode)
        self.stroke = make_stroke_task(
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
            stroke_cost=stroke_cost,
            prefixes=prefixes,
        )
        self.task = self.stroke.task
        self._set_up(n, copy, render_mode, self.stroke.observation_space(), self.stroke.action_space())
        self.reward_space = self.stroke.reward_space()
        self._drawing: Drawing | None = None
        # Sums of rewards of the episodes that go on; only pictures show them.
        self._earned = np.zeros(n)

    # The Gymnasium interface.

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, Info]:
        """Show the first step of a drawing in every sub-environment.

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
        drawing = self._anew(mask, chosen)
        if chosen is None:
            self._episodes[mask] += 1
        told = self._told_of(self.stroke.going(drawing), mask)
        return self.stroke.observe(drawing, self._room()), told

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Observation, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Info]:
        """Look, wait or stop in every sub-environment; where an episode ends the next one begins.

        Args:
            actions: (N,) integers in [0, K + 2).

        Returns:
            Observations, of the next drawing where an episode ended, rewards (N,) float64, terminations (N,) bool,
            truncations (all False), and infos (see the class).

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
            ValueError: actions of another shape or kind, or out of range.
        """
        if self._drawing is None:
            raise error.ResetNeeded("call reset() before step(): there are no sketches yet")
        found = self.stroke.advance(self._drawing, self._check_actions(actions))
        self._drawing, ended, infos = found.drawing, found.ended, Info()
        self._earned += found.reward
        if ended.any():
            where = np.flatnonzero(ended)
            final = self.stroke.final(Drawing(*(array[where] for array in found.drawing)))
            infos = self._final_infos(final, where, ended)
            self._anew(ended, None)
            self._episodes[where] += 1
        infos.update(with_masks(self.stroke.going(self._drawing), self._everyone))
        observations = self.stroke.observe(self._drawing, self._room())
        return observations, found.reward, ended, np.zeros(self.num_envs, dtype=np.bool_), infos

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(N, K + 2) bool, which actions say something new.

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
        """
        if self._drawing is None:
            raise error.ResetNeeded("call reset() before action_masks(): there are no sketches yet")
        return self.stroke.action_mask(self._drawing).astype(np.bool_)

    # How it is done.

    def _anew(self, mask: npt.NDArray[np.bool_], chosen: npt.NDArray[np.int64] | None) -> Drawing:
        """Begin episodes where the mask says so; where all stand then."""
        drawing = self.stroke.start(self._show(mask, chosen))
        if self._drawing is not None and not mask.all():
            pairs = zip(drawing, self._drawing, strict=True)
            drawing = Drawing(*(np.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old) for new, old in pairs))
        self._drawing = drawing
        self._earned[mask] = 0.0
        return drawing

    def _pictures(self, rows: npt.NDArray[np.int64], render_mode: str) -> list[Any]:
        drawing = self._drawing
        assert drawing is not None  # the base class asked for a reset
        return [render_drawing(self.stroke, drawing, i, float(self._earned[i]), render_mode) for i in range(len(rows))]

    def _out_of_range(self, action: int) -> str:
        return self.stroke.out_of_range(action)
