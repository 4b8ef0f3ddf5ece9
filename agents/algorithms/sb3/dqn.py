"""SB3's DQN (Mnih et al., Nature 2015) with a selector as its Q-network.

python -c "from agents.algorithms.sb3 import dqn; dqn.train_dqn(dqn.DQNConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Unpack

from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.algorithms.common.training import Run, RunHooks, check_positive
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv, policy_settings
from agents.algorithms.sb3.off_policy import OffPolicyConfig, shared_settings, train_values
from agents.evaluation.setting import CascadeConfig, EnvConfig
from agents.selectors.base import Selector


@dataclass(frozen=True)
class DQNConfig(OffPolicyConfig):
    """Settings of DQN."""

    algorithm: ClassVar[str] = "dqn"


@dataclass(frozen=True)
class CascadeDQNConfig(DQNConfig):
    """Settings of DQN on a cascade, whose target network is kept up to date. It knows no masks."""

    cascade: ClassVar[bool] = True
    env: EnvConfig = field(default_factory=CascadeConfig)
    selector: str = "looks"
    lr: float = 5e-4  # Adam's learning rate at the start
    num_envs: int = 64  # episodes that are under way at once
    gradient_steps: int = 2  # gradient steps after each vector step
    buffer_size: int = 30_720  # transitions kept; older ones are forgotten
    gamma: float = 1.0  # discount; below 1 later looks are cheaper and later answers worth less
    target_steps: int = 1_280  # environment steps between two updates of the target network

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_positive(self, "target_steps")

    @property
    def target_interval(self) -> int:
        """As `OffPolicyConfig.target_interval`."""
        return self.target_steps


def train_dqn(config: DQNConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with SB3's DQN; as `loop.train`, but a checkpoint is refused (ValueError)."""
    return train_values(config, _dqn, hooks)


def _dqn(config: DQNConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    return DQN("MultiInputPolicy", adapter, policy_kwargs=policy_settings(selector), **shared_settings(config))
