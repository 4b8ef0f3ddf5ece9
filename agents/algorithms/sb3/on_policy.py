"""What SB3's actor-critics share here: their settings, and how these are passed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.algorithms.common.training import check_positive
from agents.algorithms.sb3.adapter import policy_settings
from agents.algorithms.sb3.training import SB3Config
from agents.selectors.base import Selector


@dataclass(frozen=True)
class OnPolicyConfig(SB3Config):
    """Settings of the actor-critics; every update uses num_envs * n_steps episodes."""

    n_steps: int = 1  # vector steps of one rollout; an episode is one step, so a rollout is just a batch

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        check_positive(self, "n_steps")
        super().__post_init__()

    @property
    def steps_per_update(self) -> int:
        """Environment steps between two updates."""
        return self.num_envs * self.n_steps


def shared_settings(config: OnPolicyConfig, selector: Selector) -> dict[str, Any]:
    """The keyword arguments that all of SB3's on-policy algorithms take."""
    return {
        "learning_rate": config.learning_rate,
        "n_steps": config.n_steps,
        "gamma": config.gamma,
        "policy_kwargs": {**policy_settings(selector), "ortho_init": False},
        "seed": config.seed,
        "device": "cpu",
    }


def check_batches(config: OnPolicyConfig, batch_size: int) -> None:
    """Raise ValueError unless mini-batches divide the rollout: the last one would be small and noisy."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if config.steps_per_update < 2:
        raise ValueError("num_envs * n_steps must be at least 2: advantages are normalised over them")
    if config.steps_per_update % batch_size:
        raise ValueError(f"batch_size {batch_size} must divide num_envs * n_steps = {config.steps_per_update}")
