"""Shared by the SB3 algorithms: settings, a run from start to end, logs, curves and checkpoints.

SB3 takes `total_timesteps` as a lower bound and finishes the rollout it is in; settings whose rollouts do not fit the
budget are refused beforehand (`TrainConfig`), so that the budget is spent exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Unpack, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger, filter_excluded_keys

from agents.algorithms.common.tensorboard import Log, batch_scalars
from agents.algorithms.common.training import (
    Run,
    RunHooks,
    TrainConfig,
    check_positive,
    checked_hooks,
    env_seed,
    first_selector,
    pinned_threads,
    preserved_generators,
    replay,
)
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv, selector_of, start_from
from agents.selectors.base import Selector
from students.store import checkpoint as checkpoints


@dataclass(frozen=True)
class SB3Config(TrainConfig):
    """Settings of every SB3 algorithm here."""

    lr: float = 2e-3  # Adam's learning rate at the start
    anneal: bool = True  # let the learning rate fall linearly to zero over the run
    gamma: float = 0.99  # discount; where every episode ends with its first step it changes nothing

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_positive(self, "lr")
        if not 0.0 <= self.gamma <= 1.0:
            raise ValueError(f"gamma must lie in [0, 1], got {self.gamma}")

    @property
    def learning_rate(self) -> float | Callable[[float], float]:
        """The learning rate as SB3 wants it: a number, or a function of the share of the budget that is left."""
        # SB3 asks after a rollout, when the rollout is no longer left: without it the last update would be at zero.
        rollout = self.steps_per_update / self.total_steps
        return (lambda left: self.lr * (left + rollout)) if self.anneal else self.lr


C = TypeVar("C", bound=SB3Config)


def train_model(
    config: C,
    make_model: Callable[[C, SketchCanvasVecEnv, Selector], BaseAlgorithm],
    *,
    log_interval: int,
    **hooks: Unpack[RunHooks],
) -> Run:
    """Train a selector with one of SB3's algorithms.

    Args:
        config: what to train, where, for how long.
        make_model: the model, on the environment and with the selector's encoder as its features extractor.
        log_interval: as in SB3's `learn`, which counts rollouts or episodes.
        hooks: see `RunHooks`; checkpoints for on-policy algorithms only.

    Returns:
        The run, with the selector in eval mode.

    Raises:
        ValueError, FileNotFoundError: as `loop.train`.
    """
    hooks = checked_hooks(hooks)
    start = time.perf_counter()
    env = config.env.make_vec(config.num_envs)
    with pinned_threads(config.threads), preserved_generators():
        selector = first_selector(config, env)
        adapter = SketchCanvasVecEnv(env, selector.reads)
        model = make_model(config, adapter, selector)
        start_from(model, selector)
        adapter.seed(env_seed(config.seed))
        if hooks["resume"] and hooks["checkpoint"] is not None:
            _restore(hooks["checkpoint"], config, model, adapter)
        model.set_logger(_logger(hooks["logdir"], model.num_timesteps))
        watcher = _Watcher(config, hooks)
        with closing(model.logger):
            model.learn(
                config.total_steps - model.num_timesteps,
                callback=watcher,
                log_interval=log_interval,
                reset_num_timesteps=model.num_timesteps == 0,
            )
    env.close()
    return Run(config, selector_of(model), model.num_timesteps, time.perf_counter() - start - watcher.evaluating)


def _logger(logdir: Path | None, resumed_at: int) -> Logger:
    # SB3's own configure() would make a folder for its logs even where none are wanted.
    return Logger(None, []) if logdir is None else Logger(str(logdir), [_Rows(Log(logdir, resumed_at))])


class _Rows(KVWriter):
    """SB3's rows in a `Log`; SB3's own writer cannot hide what a resumed run writes anew."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Numbers are written, but for those that SB3 keeps from TensorBoard."""
        kept = filter_excluded_keys(key_values, key_excluded, "tensorboard")
        numbers = {name: float(value) for name, value in kept.items() if isinstance(value, int | float | np.number)}
        self._log.scalars(numbers, step)

    def close(self) -> None:
        """Flush and close."""
        self._log.close()


class _Watcher(BaseCallback):
    """Reports progress, logs what the episodes told, draws the curve, and saves checkpoints between updates."""

    def __init__(self, config: SB3Config, hooks: RunHooks) -> None:
        super().__init__()
        self.evaluating = 0.0  # seconds
        self._config = config
        self._report = hooks["on_progress"]
        self._path = hooks["checkpoint"]
        self._every = hooks["checkpoint_every"]
        self._curve = hooks["curve"]
        self._saved = 0

    def _on_training_start(self) -> None:
        self._saved = self.num_timesteps
        if self._curve is not None:
            self._curve.start(self.num_timesteps)

    def _on_rollout_start(self) -> None:
        # The update on the last rollout is over by now, and the next one has not begun.
        self._after_update()
        if self._path is not None and self.num_timesteps - self._saved >= self._every:
            _save(self._path, self._config, self.model)
            self._saved = self.num_timesteps

    def _on_step(self) -> bool:
        if self.logger.output_formats:
            adapter = cast("SketchCanvasVecEnv", self.training_env)
            for name, value in batch_scalars(adapter.final_info, self.locals["rewards"]).items():
                self.logger.record(name, value)
        if self._report is not None:
            self._report(self.num_timesteps)
        return True

    def _on_training_end(self) -> None:
        self._after_update()

    def _after_update(self) -> None:
        if self._curve is not None and self._curve.due(self.num_timesteps):
            before = time.perf_counter()
            self._curve.add(self.num_timesteps, selector_of(self.model))
            self.evaluating += time.perf_counter() - before


def _save(path: Path, config: SB3Config, model: BaseAlgorithm) -> None:
    words, rest = _numpy_state()
    tensors = {
        **checkpoints.module_tensors(model.policy),
        **checkpoints.optimiser_tensors(model.policy.optimizer),
        "generator": torch.get_rng_state(),
        "numpy": words,
    }
    checkpoints.save(path, tensors, {"config": config.to_json(), "steps": model.num_timesteps, "numpy": rest})


def _restore(path: Path, config: SB3Config, model: BaseAlgorithm, adapter: SketchCanvasVecEnv) -> None:
    tensors, state = checkpoints.load(path, config.to_json())
    checkpoints.restore_module(model.policy, tensors)
    checkpoints.restore_optimiser(model.policy.optimizer, tensors)
    model.num_timesteps = int(state["steps"])
    # As after SB3's own reset, but further on in the stream of sketches.
    obs, _ = replay(adapter.env, config.seed, model.num_timesteps // config.num_envs)
    model._last_obs = adapter.hand_over(obs)  # type: ignore[assignment]
    model._last_episode_starts = np.ones(config.num_envs, dtype=bool)
    model._update_current_progress_remaining(model.num_timesteps, config.total_steps)
    # Last, because making the model has drawn from the generators.
    torch.set_rng_state(tensors["generator"])
    _restore_numpy(tensors["numpy"], state["numpy"])


def _numpy_state() -> tuple[torch.Tensor, dict[str, Any]]:
    """NumPy's global generator, with which SB3 shuffles mini-batches, as a tensor and JSON-able numbers."""
    kind, words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    rest = {"kind": kind, "position": int(position), "has_gauss": int(has_gauss), "gauss": float(gauss)}
    return torch.from_numpy(np.asarray(words, dtype=np.int64)), rest


def _restore_numpy(words: torch.Tensor, rest: Mapping[str, Any]) -> None:
    """Put what `numpy_state` gave back into NumPy's global generator."""
    state = words.numpy().astype(np.uint32)
    np.random.set_state((rest["kind"], state, rest["position"], rest["has_gauss"], rest["gauss"]))


def contrib() -> Any:
    """The package sb3_contrib.

    Raises:
        ImportError: it is not installed; the message says what to do.
    """
    try:
        import sb3_contrib
    except ImportError as error:
        raise ImportError(
            "trpo, qrdqn and maskable_ppo come from sb3-contrib, which is missing: pip install sb3-contrib"
        ) from error
    return sb3_contrib
