"""Exact policy gradient: climbs the expected reward itself, sum_a pi(a | sketch) R(sketch, a), with an entropy bonus.

REINFORCE estimates this gradient from one sampled canvas; here nothing is sampled, because the outcome table knows the
rewards of all K canvases. It trains the same networks as the RL algorithms on the same number of sketches, but is told
K rewards a sketch where they are told one: a reference that RL agents are held against.

    python -c "from agents.algorithms import exact_pg as e; e.train_exact_pg(e.ExactPGConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from agents.algorithms.common.gradient import GradientConfig, GradientLearner, entropy_of
from agents.algorithms.common.loop import Batch, train
from agents.algorithms.common.training import Run, RunHooks, check_not_negative


@dataclass(frozen=True)
class ExactPGConfig(GradientConfig):
    """Settings of the exact policy gradient."""

    algorithm: ClassVar[str] = "exact_pg"
    entropy_coef: float = 0.1  # weight of the entropy bonus, which keeps the policy from settling too early

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_not_negative(self, "entropy_coef")


def train_exact_pg(config: ExactPGConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector by the exact policy gradient; arguments, result, errors as in `loop.train`."""
    return train(config, _ExactPG, **hooks)


class _ExactPG(GradientLearner[ExactPGConfig]):
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """See the module."""
        logits = self.network(batch.obs)
        batch.choose(logits.detach().argmax(dim=1))
        log_probs = torch.log_softmax(logits, dim=1)
        entropy = entropy_of(log_probs)
        expected = (log_probs.exp() * batch.all_rewards()).sum(dim=1).mean()
        scalars = {"policy/entropy": entropy.detach(), "policy/expected_reward": expected.detach()}
        return -expected - self.config.entropy_coef * entropy, dict(scalars)
