"""SB3's actor-critics on the selectors: PPO, A2C, and sb3-contrib's TRPO.

python -c "from agents import sb3_on_policy as s; s.train_ppo(s.PPOConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents.algorithms.common.loop import Watching
from agents.algorithms.common.training import Run, check_not_negative, check_positive
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv, policy_settings
from agents.algorithms.sb3.training import SB3Config, contrib, train_model
from agents.selectors.networks import Selector


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


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Settings of PPO."""

    algorithm: ClassVar[str] = "ppo"
    batch_size: int = 128  # mini-batch of the updates
    n_epochs: int = 3  # passes over each rollout
    clip_range: float = 0.2  # how far the policy may move from the one that acted
    entropy_coef: float = 0.01  # weight of the entropy bonus
    value_coef: float = 0.5  # weight of the value loss
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm

    def __post_init__(self) -> None:
        """As `TrainConfig`; mini-batches must divide the rollout, or the last one would be small and noisy."""
        super().__post_init__()
        check_positive(self, "n_epochs", "clip_range", "max_grad_norm")
        check_not_negative(self, "entropy_coef", "value_coef")
        _check_batches(self, self.batch_size)


@dataclass(frozen=True)
class A2CConfig(OnPolicyConfig):
    """Settings of A2C: one step on the whole rollout, with Adam like all the others (SB3's own default is RMSprop)."""

    algorithm: ClassVar[str] = "a2c"
    entropy_coef: float = 0.01  # weight of the entropy bonus
    value_coef: float = 0.5  # weight of the value loss
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_positive(self, "max_grad_norm")
        check_not_negative(self, "entropy_coef", "value_coef")


@dataclass(frozen=True)
class TRPOConfig(OnPolicyConfig):
    """Settings of TRPO: how far the policy moves is `target_kl`, the learning rate is the critic's alone."""

    algorithm: ClassVar[str] = "trpo"
    batch_size: int = 128  # mini-batch of the critic's updates
    target_kl: float = 0.01  # how far an update may move the policy, mean KL divergence in nats
    n_critic_updates: int = 5  # passes of the critic over each rollout

    def __post_init__(self) -> None:
        """As `TrainConfig`; mini-batches as in `PPOConfig`."""
        super().__post_init__()
        check_positive(self, "target_kl", "n_critic_updates")
        _check_batches(self, self.batch_size)


def train_ppo(config: PPOConfig, **watching: Unpack[Watching]) -> Run:
    """Train a selector with SB3's PPO; arguments, result, errors as in `loop.train`."""
    return train_model(config, make_ppo, log_interval=config.log_every, **watching)


def train_a2c(config: A2CConfig, **watching: Unpack[Watching]) -> Run:
    """Train a selector with SB3's A2C; arguments, result, errors as in `loop.train`."""
    return train_model(config, _a2c, log_interval=config.log_every, **watching)


def train_trpo(config: TRPOConfig, **watching: Unpack[Watching]) -> Run:
    """Train a selector with sb3-contrib's TRPO; arguments, result, errors as in `loop.train`."""
    contrib()
    # TRPO differentiates twice, which torch's fused attention kernels cannot.
    with sdpa_kernel(SDPBackend.MATH):
        return train_model(config, _trpo, log_interval=config.log_every, **watching)


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
        **_shared(config, selector),
    }


def _a2c(config: A2CConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    return A2C(
        "MultiInputPolicy",
        adapter,
        ent_coef=config.entropy_coef,
        vf_coef=config.value_coef,
        max_grad_norm=config.max_grad_norm,
        use_rms_prop=False,
        **_shared(config, selector),
    )


def _trpo(config: TRPOConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    model: BaseAlgorithm = contrib().TRPO(
        "MultiInputPolicy",
        adapter,
        batch_size=config.batch_size,
        target_kl=config.target_kl,
        n_critic_updates=config.n_critic_updates,
        **_shared(config, selector),
    )
    return model


def _shared(config: OnPolicyConfig, selector: Selector) -> dict[str, Any]:
    return {
        "learning_rate": config.learning_rate,
        "n_steps": config.n_steps,
        "gamma": config.gamma,
        "policy_kwargs": {**policy_settings(selector), "ortho_init": False},
        "seed": config.seed,
        "device": "cpu",
    }


def _check_batches(config: OnPolicyConfig, batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if config.steps_per_update < 2:
        raise ValueError("num_envs * n_steps must be at least 2: advantages are normalised over them")
    if config.steps_per_update % batch_size:
        raise ValueError(f"batch_size {batch_size} must divide num_envs * n_steps = {config.steps_per_update}")
