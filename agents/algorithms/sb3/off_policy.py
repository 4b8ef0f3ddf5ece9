"""What SB3's learners of values share here: their settings, and how these are passed on.

In episodes of one step every transition is terminal, so the target is the reward itself: the target network is never
looked at, and what is left of Q-learning is regression of the reward of the canvas that was tried. Exploration is
SB3's: a whole batch of sketches gets random canvases, or none does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from stable_baselines3.common.base_class import BaseAlgorithm

from agents.algorithms.common.training import Run, RunHooks, check_positive, refuse_checkpoint
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv
from agents.algorithms.sb3.training import SB3Config, train_model
from agents.selectors.base import Selector


@dataclass(frozen=True)
class OffPolicyConfig(SB3Config):
    """Settings of the two. The first vector step is random, and learning begins after the second."""

    lr: float = 2e-3  # Adam's learning rate at the start
    batch_size: int = 256  # transitions of one gradient step
    gradient_steps: int = 1  # gradient steps after each vector step
    buffer_size: int = 102_400  # transitions kept; older ones are forgotten
    exploration_fraction: float = 0.5  # share of the budget over which exploration falls from 1 to its final value
    exploration_final: float = 0.05  # probability of a random batch from there on
    max_grad_norm: float = 10.0  # gradients are scaled down to this norm

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_positive(self, "batch_size", "gradient_steps", "max_grad_norm", "exploration_fraction")
        if not self.buffer_size >= self.num_envs:
            raise ValueError(f"buffer_size must be at least num_envs = {self.num_envs}, got {self.buffer_size}")
        if not self.exploration_fraction <= 1.0:
            raise ValueError(f"exploration_fraction must lie in (0, 1], got {self.exploration_fraction}")
        if not 0.0 <= self.exploration_final <= 1.0:
            raise ValueError(f"exploration_final must lie in [0, 1], got {self.exploration_final}")

    @property
    def target_interval(self) -> int:
        """Environment steps between two updates of the target network: in episodes of one step it is never asked."""
        return self.total_steps


C = TypeVar("C", bound=OffPolicyConfig)


def train_values(
    config: C, make_model: Callable[[C, SketchCanvasVecEnv, Selector], BaseAlgorithm], hooks: RunHooks
) -> Run:
    """Train a selector; as `loop.train`, but a checkpoint is refused (ValueError)."""
    refuse_checkpoint(config, hooks)
    # SB3 counts episodes here.
    return train_model(config, make_model, log_interval=config.log_every * config.num_envs, **hooks)


def shared_settings(config: OffPolicyConfig) -> dict[str, Any]:
    """The keyword arguments that all of SB3's off-policy algorithms take."""
    return {
        "learning_rate": config.learning_rate,
        "buffer_size": config.buffer_size,
        "learning_starts": config.num_envs,
        "batch_size": config.batch_size,
        "gamma": config.gamma,
        "train_freq": 1,
        "gradient_steps": config.gradient_steps,
        "target_update_interval": config.target_interval,
        "exploration_fraction": config.exploration_fraction,
        "exploration_final_eps": config.exploration_final,
        "max_grad_norm": config.max_grad_norm,
        "seed": config.seed,
        "device": "cpu",
    }
