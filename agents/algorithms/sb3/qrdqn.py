"""sb3-contrib's QR-DQN (Dabney et al., AAAI 2018, arXiv 1710.10044) with a selector as its network of quantiles.

python -c "from agents.algorithms.sb3 import qrdqn; qrdqn.train_qrdqn(qrdqn.QRDQNConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from stable_baselines3.common.base_class import BaseAlgorithm

from agents.algorithms.common.training import Run, RunHooks, check_positive
from agents.algorithms.sb3.adapter import SketchCanvasVecEnv, policy_settings
from agents.algorithms.sb3.off_policy import OffPolicyConfig, shared_settings, train_values
from agents.algorithms.sb3.training import contrib
from agents.selectors.base import Selector


@dataclass(frozen=True)
class QRDQNConfig(OffPolicyConfig):
    """Settings of QR-DQN."""

    algorithm: ClassVar[str] = "qrdqn"
    n_quantiles: int = 16  # of the reward's distribution, for each canvas

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_positive(self, "n_quantiles")


def train_qrdqn(config: QRDQNConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with sb3-contrib's QR-DQN; as `loop.train`, but a checkpoint is refused (ValueError)."""
    contrib()
    return train_values(config, _qrdqn, hooks)


def _qrdqn(config: QRDQNConfig, adapter: SketchCanvasVecEnv, selector: Selector) -> BaseAlgorithm:
    settings = {**policy_settings(selector), "n_quantiles": config.n_quantiles}
    model: BaseAlgorithm = contrib().QRDQN(
        "MultiInputPolicy", adapter, policy_kwargs=settings, **shared_settings(config)
    )
    return model
