"""SB3's PPO (Schulman et al., 2017, arXiv 1707.06347) with a selector as its actor, and sb3-contrib's with masks.

Masks (Huang and Ontanon, FLAIRS 2022, arXiv 2006.14171) say which actions of a cascade make sense: no canvas twice, no
stopping before the first look.

python -c "from agents.algorithms.sb3 import ppo; ppo.train_ppo(ppo.PPOConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Unpack

from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.algorithms.common.training import Run, RunHooks, check_not_negative, check_positive, refuse_checkpoint
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv
from agents.algorithms.sb3.on_policy import OnPolicyConfig, check_batches, shared_settings
from agents.algorithms.sb3.training import contrib, train_model
from agents.evaluation.setting import CascadeConfig, EnvConfig
from agents.selectors.base import Selector


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Settings of PPO."""

    algorithm: ClassVar[str] = "ppo"
    batch_size: int = 128  # mini-batch of the updates
    n_epochs: int = 3  # passes over each rollout
    clip_range: float = 0.2  # how far the policy may move from the one that acted
    entropy_coef: float = 0.3  # weight of the entropy bonus, which keeps exploration alive
    value_coef: float = 0.5  # weight of the value loss
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm

    def __post_init__(self) -> None:
        """As `TrainConfig`; mini-batches must divide the rollout, or the last one would be small and noisy."""
        super().__post_init__()
        check_positive(self, "n_epochs", "clip_range", "max_grad_norm")
        check_not_negative(self, "entropy_coef", "value_coef")
        check_batches(self, self.batch_size)


@dataclass(frozen=True)
class CascadePPOConfig(PPOConfig):
    """Settings of PPO on a cascade; rollouts hold whole episodes. It knows no masks: it learns not to ask twice."""

    cascade: ClassVar[bool] = True
    env: EnvConfig = field(default_factory=CascadeConfig)
    selector: str = "looks"
    num_envs: int = 64  # episodes that are under way at once
    n_steps: int = 8  # vector steps of one rollout
    entropy_coef: float = 0.05  # weight of the entropy bonus: to look again must be tried long before it pays
    gamma: float = 1.0  # discount; below 1 later looks are cheaper and later answers worth less


@dataclass(frozen=True)
class MaskablePPOConfig(CascadePPOConfig):
    """Settings of PPO with masks."""

    algorithm: ClassVar[str] = "maskable_ppo"
    masked: ClassVar[bool] = True


def train_ppo(config: PPOConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with SB3's PPO; arguments, result, errors as in `loop.train`."""
    return train_model(config, make_ppo, log_interval=config.log_every, **hooks)


def train_cascade_ppo(config: CascadePPOConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with SB3's PPO; as `loop.train`, but a checkpoint is refused (ValueError)."""
    refuse_checkpoint(config, hooks)
    return train_model(config, make_ppo, log_interval=config.log_every, **hooks)


def train_maskable_ppo(config: MaskablePPOConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with sb3-contrib's PPO with masks; as `loop.train`, but a checkpoint is refused (ValueError)."""
    contrib()
    refuse_checkpoint(config, hooks)
    return train_model(config, _maskable_ppo, log_interval=config.log_every, **hooks)


def _maskable_ppo(config: MaskablePPOConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    model: BaseAlgorithm = contrib().MaskablePPO("MultiInputPolicy", adapter, **ppo_settings(config, selector))
    return model


def make_ppo(config: PPOConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    """SB3's PPO, before it has learnt."""
    return PPO("MultiInputPolicy", adapter, **ppo_settings(config, selector))


def ppo_settings(config: PPOConfig, selector: Selector) -> dict[str, Any]:
    """The keyword arguments of SB3's PPO, and of sb3-contrib's with masks."""
    return {
        "batch_size": config.batch_size,
        "n_epochs": config.n_epochs,
        "clip_range": config.clip_range,
        "ent_coef": config.entropy_coef,
        "vf_coef": config.value_coef,
        "max_grad_norm": config.max_grad_norm,
        **shared_settings(config, selector),
    }
