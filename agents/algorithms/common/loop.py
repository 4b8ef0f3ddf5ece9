"""The loop of every algorithm that is written here: batches of sketches in, a trained selector out.

An algorithm is a `Learner`: it looks at a batch of sketches, chooses a canvas for each, and changes its selector by
what came of it. The loop does the rest, the same for all: exact budgets, pinned threads, TensorBoard, learning
curves, checkpoints and resuming. SB3 has a loop of its own (`agents.algorithms.sb3.adapter`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, Unpack

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.algorithms.common.tensorboard import Log, batch_scalars
from agents.algorithms.common.training import (
    Run,
    RunHooks,
    TrainConfig,
    checked_hooks,
    first_selector,
    pinned_threads,
    replay,
)
from agents.selectors.base import Selector, as_tensors
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.tasks.canvas import Task
from students.store import checkpoint as checkpoints

C = TypeVar("C", bound=TrainConfig)


class Batch:
    """One vector step: B sketches that wait for a canvas.

    Attributes:
        obs: "points" and "stats", and "tradeoff" where every episode has its own; tensors of B rows.
        rows: (B,) int64, which sketches of the split these are.
        started: (B,) bool, whether an episode has begun before: in a cascade, whether something was looked at.
        ended: (B,) bool, whether an episode ended with the step that `choose` took.
    """

    def __init__(
        self, env: gym.vector.VectorEnv[Any, Any, Any], obs: Mapping[str, npt.NDArray[Any]], info: Any
    ) -> None:
        """Show what the environment last returned."""
        self.obs = as_tensors(obs)
        self.rows: npt.NDArray[np.int64] = info["sketch_index"]
        self.started = torch.from_numpy(info["seen"] > 0) if "seen" in info else torch.zeros(len(self.rows)).bool()
        self.next: Batch | None = None
        self.rewards: npt.NDArray[np.float64] | None = None
        self.ended = torch.zeros(len(self.rows), dtype=torch.bool)
        self.final_info: Mapping[str, npt.NDArray[Any]] = {}
        self._env = env

    def choose(self, actions: Tensor) -> Tensor:
        """Take the environment step, once: a canvas for every sketch, (B,) int64 to (B,) float32 rewards."""
        if self.next is not None:
            raise RuntimeError("a batch of sketches is chosen for once: that is what a step costs")
        obs, self.rewards, ended, _, info = self._env.step(actions.numpy())
        self.ended = torch.from_numpy(ended)
        self.final_info = info.get("final_info", {})
        self.next = Batch(self._env, obs, info)
        return torch.as_tensor(self.rewards, dtype=torch.float32)

    def all_rewards(self) -> Tensor:
        """What every canvas would earn, (B, K) float32: looked up, no environment step."""
        task: Task = self._env.unwrapped.task  # type: ignore[attr-defined]
        tradeoff = self.obs["tradeoff"].double().numpy() if "tradeoff" in self.obs else None
        return torch.as_tensor(all_rewards(task, self.rows, tradeoff), dtype=torch.float32)


def all_rewards(
    task: Task, rows: npt.NDArray[np.int64], tradeoff: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """The reward of every canvas for some sketches of a split, (B, K).

    Args:
        task: the split, with an outcome table.
        rows: (B,) sketches.
        tradeoff: (B, 1) of each episode; None for that of the task.

    Raises:
        ValueError: live mode, where outcomes are not known beforehand.
    """
    if task.lookup is None:
        raise ValueError("this environment has no outcome table: in live mode the other canvases' rewards are unknown")
    if tradeoff is None:
        return task.lookup.rewards.take(rows, axis=0)
    return rules.reward(task.lookup.acc.take(rows, axis=0), task.comp, tradeoff)


class Learner(Generic[C]):
    """An algorithm in the course of a run.

    Attributes:
        config: its settings.
        network: the selector that it trains.
        generator: the only source of chance, seeded by the settings.
    """

    def __init__(self, config: C, selector: Selector) -> None:
        """Start with an untrained selector."""
        self.config = config
        self.generator = torch.Generator().manual_seed(config.seed)
        self.network = selector

    def learn(self, batch: Batch, steps: int) -> dict[str, float | Tensor]:
        """One update: choose a canvas for every sketch, by `batch.choose`, and learn from it.

        Args:
            batch: the sketches.
            steps: environment steps before this one.

        Returns:
            Scalars for TensorBoard.
        """
        raise NotImplementedError

    def selector(self) -> Selector:
        """The selector as it is now."""
        return self.network

    def tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint must hold, the generator apart: by default the network's weights."""
        return checkpoints.module_tensors(self.network)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        checkpoints.restore_module(self.network, tensors)


def train(
    config: C,
    make_learner: Callable[[C, Selector], Learner[C]],
    **hooks: Unpack[RunHooks],
) -> Run:
    """Train a selector. The result depends on `config` and the learner alone.

    Args:
        config: what to train, where, for how long.
        make_learner: from the settings and an untrained selector, the algorithm.
        hooks: see `RunHooks`.

    Returns:
        The run, with the selector in eval mode.

    Raises:
        ValueError: settings of the environment that are out of range, or a checkpoint of other settings; else as
            `checked_hooks`.
    """
    hooks = checked_hooks(hooks)
    checkpoint, curve, on_progress = hooks["checkpoint"], hooks["curve"], hooks["on_progress"]
    start = time.perf_counter()
    env = config.env.make_vec(config.num_envs)
    with pinned_threads(config.threads):
        learner = make_learner(config, first_selector(config, env))
        steps = 0
        if hooks["resume"] and checkpoint is not None:
            tensors, state = checkpoints.load(checkpoint, config.to_json())
            try:
                learner.restore(tensors)
                learner.generator.set_state(tensors["generator"])
                steps = int(state["steps"])
            except (KeyError, TypeError, RuntimeError) as error:
                raise ValueError(f"{checkpoint} is no checkpoint of this algorithm: {error}") from None
        # The environment's place in its stream of sketches is found again by replaying it: no state of it is
        # saved.
        batch = Batch(env, *replay(env, config.seed, steps // config.num_envs))
        saved, evaluating = steps, 0.0
        if curve is not None:
            curve.start(steps)
        with Log(hooks["logdir"], resumed_at=steps) as log:
            while steps < config.total_steps:
                scalars = learner.learn(batch, steps)
                steps += config.num_envs
                if batch.next is None or batch.rewards is None:
                    raise RuntimeError(f"{type(learner).__name__}.learn() chose no canvases: call batch.choose() once")
                if log.on and steps // config.num_envs % config.log_every == 0:
                    told = {name: float(value) for name, value in scalars.items()}
                    log.scalars({**told, **batch_scalars(batch.final_info, batch.rewards)}, steps)
                if checkpoint is not None and steps - saved >= hooks["checkpoint_every"] and steps < config.total_steps:
                    kept = {**learner.tensors(), "generator": learner.generator.get_state()}
                    checkpoints.save(checkpoint, kept, {"config": config.to_json(), "steps": steps})
                    saved = steps
                if curve is not None and curve.due(steps):
                    before = time.perf_counter()
                    curve.add(steps, learner.selector())
                    evaluating += time.perf_counter() - before
                if on_progress is not None:
                    on_progress(steps)
                batch = batch.next
    env.close()
    return Run(config, learner.selector().eval(), steps, time.perf_counter() - start - evaluating)
