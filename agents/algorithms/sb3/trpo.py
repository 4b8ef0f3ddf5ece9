"""sb3-contrib's TRPO (Schulman et al., ICML 2015, arXiv 1502.05477) with a selector as its actor.

python -c "from agents.algorithms.sb3 import trpo; trpo.train_trpo(trpo.TRPOConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from stable_baselines3.common.base_class import BaseAlgorithm
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents.algorithms.common.training import Run, RunHooks, check_positive
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv
from agents.algorithms.sb3.on_policy import OnPolicyConfig, check_batches, shared_settings
from agents.algorithms.sb3.training import contrib, train_model
from agents.selectors.base import Selector


@dataclass(frozen=True)
class TRPOConfig(OnPolicyConfig):
    """Settings of TRPO: how far the policy moves is `target_kl`, the learning rate is the critic's alone."""

    algorithm: ClassVar[str] = "trpo"
    batch_size: int = 128  # mini-batch of the critic's updates
    target_kl: float = 0.01  # how far an update may move the policy, mean KL divergence in nats
    n_critic_updates: int = 5  # passes of the critic over each rollout
    cg_steps: int = 5  # iterations of the conjugate gradient, at most; 15, SB3's, take nearly all of a run's time

    def __post_init__(self) -> None:
        """As `TrainConfig`; mini-batches as in `PPOConfig`."""
        super().__post_init__()
        check_positive(self, "target_kl", "n_critic_updates", "cg_steps")
        check_batches(self, self.batch_size)


def train_trpo(config: TRPOConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with sb3-contrib's TRPO; arguments, result, errors as in `loop.train`."""
    contrib()
    # TRPO differentiates twice, which torch's fused attention kernels cannot.
    with sdpa_kernel(SDPBackend.MATH):
        return train_model(config, _trpo, log_interval=config.log_every, **hooks)


def _trpo(config: TRPOConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    model: BaseAlgorithm = contrib().TRPO(
        "MultiInputPolicy",
        adapter,
        batch_size=config.batch_size,
        target_kl=config.target_kl,
        n_critic_updates=config.n_critic_updates,
        cg_max_steps=config.cg_steps,
        **shared_settings(config, selector),
    )
    return model
