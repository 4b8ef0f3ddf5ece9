"""SB3's PPO and DQN, and sb3-contrib's PPO with masks, on cascades.

They are those of `agents.algorithms.sb3.on_policy` and `agents.algorithms.sb3.off_policy` with settings for episodes
of several steps:
rollouts that hold whole episodes, a target network that is kept up to date, and no discount. PPO and DQN know no masks:
asking for a canvas again is stopping, which they learn.

    python -c "from agents.cascade import sb3 as s; s.train_ppo(s.PPOConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Unpack

from stable_baselines3.common.base_class import BaseAlgorithm

from agents.algorithms.common.loop import Watching
from agents.algorithms.common.training import Run, check_positive, refuse_checkpoint
from agents.algorithms.sb3 import off_policy as sb3_off_policy
from agents.algorithms.sb3 import on_policy as sb3_on_policy
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv
from agents.algorithms.sb3.training import contrib, train_model
from agents.evaluation.setting import CascadeConfig, EnvConfig
from agents.selectors.networks import Selector


@dataclass(frozen=True)
class PPOConfig(sb3_on_policy.PPOConfig):
    """Settings of PPO on a cascade."""

    cascade: ClassVar[bool] = True
    env: EnvConfig = field(default_factory=CascadeConfig)
    selector: str = "looks"
    num_envs: int = 64  # episodes that are under way at once
    n_steps: int = 8  # vector steps of one rollout
    entropy_coef: float = 0.05  # weight of the entropy bonus: to look again must be tried long before it pays
    gamma: float = 1.0  # discount; below 1 later looks are cheaper and later answers worth less


@dataclass(frozen=True)
class MaskablePPOConfig(PPOConfig):
    """Settings of PPO with masks (Huang and Ontanon, FLAIRS 2022, arXiv 2006.14171)."""

    algorithm: ClassVar[str] = "maskable_ppo"
    masked: ClassVar[bool] = True


@dataclass(frozen=True)
class DQNConfig(sb3_off_policy.DQNConfig):
    """Settings of DQN on a cascade."""

    cascade: ClassVar[bool] = True
    env: EnvConfig = field(default_factory=CascadeConfig)
    selector: str = "looks"
    num_envs: int = 64  # episodes that are under way at once
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


def train_ppo(config: PPOConfig, **watching: Unpack[Watching]) -> Run:
    """Train a selector with SB3's PPO; as `loop.train`, but a checkpoint is refused (ValueError)."""
    refuse_checkpoint(config, watching.get("checkpoint"), watching.get("resume", False))
    return train_model(config, sb3_on_policy.make_ppo, log_interval=config.log_every, **watching)


def train_maskable_ppo(config: MaskablePPOConfig, **watching: Unpack[Watching]) -> Run:
    """Train a selector with sb3-contrib's PPO with masks; as `train_ppo`."""
    contrib()
    refuse_checkpoint(config, watching.get("checkpoint"), watching.get("resume", False))
    return train_model(config, _maskable_ppo, log_interval=config.log_every, **watching)


def train_dqn(config: DQNConfig, **watching: Unpack[Watching]) -> Run:
    """Train a selector with SB3's DQN; as `loop.train`, but a checkpoint is refused (ValueError)."""
    return sb3_off_policy.train_dqn(config, **watching)


def _maskable_ppo(config: MaskablePPOConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    model: BaseAlgorithm = contrib().MaskablePPO(
        "MultiInputPolicy", adapter, **sb3_on_policy.ppo_settings(config, selector)
    )
    return model
