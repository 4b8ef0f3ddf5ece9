"""SB3's A2C (Mnih et al., ICML 2016, arXiv 1602.01783, without its threads) with a selector as its actor.

python -c "from agents.algorithms.sb3 import a2c; a2c.train_a2c(a2c.A2CConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from stable_baselines3 import A2C
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.algorithms.common.training import Run, RunHooks, check_not_negative, check_positive
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv
from agents.algorithms.sb3.on_policy import OnPolicyConfig, shared_settings
from agents.algorithms.sb3.training import train_model
from agents.selectors.base import Selector


@dataclass(frozen=True)
class A2CConfig(OnPolicyConfig):
    """Settings of A2C: one step on the whole rollout, with Adam like all the others (SB3's own default is RMSprop)."""

    algorithm: ClassVar[str] = "a2c"
    lr: float = 3e-3  # Adam's learning rate at the start
    entropy_coef: float = 0.5  # weight of the entropy bonus, which keeps exploration alive
    value_coef: float = 0.5  # weight of the value loss
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_positive(self, "max_grad_norm")
        check_not_negative(self, "entropy_coef", "value_coef")


def train_a2c(config: A2CConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with SB3's A2C; arguments, result, errors as in `loop.train`."""
    return train_model(config, _a2c, log_interval=config.log_every, **hooks)


def _a2c(config: A2CConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    return A2C(
        "MultiInputPolicy",
        adapter,
        ent_coef=config.entropy_coef,
        vf_coef=config.value_coef,
        max_grad_norm=config.max_grad_norm,
        use_rms_prop=False,
        normalize_advantage=True,
        **shared_settings(config, selector),
    )
