"""What the outcome table makes possible beyond RL: learners that are told the rewards of all K canvases of a sketch.

Both train the same networks as the RL algorithms, with the same budget: one environment step is one sketch looked at.
But where an RL agent is told one reward a step, these are told K. They are what RL agents are held against.

* `exact_pg` climbs the gradient of the expected reward itself, sum_a pi(a | sketch) R(sketch, a), with an entropy
  bonus: what REINFORCE estimates from one sampled canvas, without the sampling and so without its noise.
* `cost_sensitive` is supervised. It reduces cost-sensitive classification to regression, as Tu and Lin ("One-sided
  support vector regression for multiclass cost-sensitive classification", ICML 2010), here with the plain squared
  loss: logit a regresses R(sketch, a) less the sketch's mean reward, and the canvas of the largest is chosen. With the
  conditional means that squared error aims at, that choice is the best one however noisy rewards are, which does not
  hold for learning the best canvas by cross-entropy. How hard a sketch is on every canvas takes no part in the choice,
  so the mean is left out.

    python -c "from agents import exact as e; e.train_exact_pg(e.ExactPGConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from agents.algorithms.common.gradient import GradientConfig, GradientLearner, entropy_of
from agents.algorithms.common.loop import Shown, Watching, train
from agents.algorithms.common.training import Run, check_not_negative


@dataclass(frozen=True)
class ExactPGConfig(GradientConfig):
    """Settings of the exact policy gradient."""

    algorithm: ClassVar[str] = "exact_pg"
    entropy_coef: float = 0.01  # weight of the entropy bonus, which keeps the policy from settling too early

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_not_negative(self, "entropy_coef")


@dataclass(frozen=True)
class CostSensitiveConfig(GradientConfig):
    """Settings of the supervised learner."""

    algorithm: ClassVar[str] = "cost_sensitive"
    lr: float = 1e-3  # Adam's learning rate at the start; told so much, it fits chance sooner than the others do


def train_exact_pg(config: ExactPGConfig, **watching: Unpack[Watching]) -> Run:
    """Train a selector by the exact policy gradient; arguments, result, errors as in `loop.train`."""
    return train(config, _ExactPG, **watching)


def train_cost_sensitive(config: CostSensitiveConfig, **watching: Unpack[Watching]) -> Run:
    """Train a selector by regression of all rewards; arguments, result, errors as in `loop.train`."""
    return train(config, _CostSensitive, **watching)


class _ExactPG(GradientLearner[ExactPGConfig]):
    def loss(self, shown: Shown) -> tuple[Tensor, dict[str, float | Tensor]]:
        """See the module."""
        logits = self.network(shown.obs)
        shown.choose(logits.detach().argmax(dim=1))
        log_probs = torch.log_softmax(logits, dim=1)
        entropy = entropy_of(log_probs)
        expected = (log_probs.exp() * shown.all_rewards()).sum(dim=1).mean()
        scalars = {"policy/entropy": entropy.detach(), "policy/expected_reward": expected.detach()}
        return -expected - self.config.entropy_coef * entropy, dict(scalars)


class _CostSensitive(GradientLearner[CostSensitiveConfig]):
    def loss(self, shown: Shown) -> tuple[Tensor, dict[str, float | Tensor]]:
        """See the module."""
        values = self.network(shown.obs)
        shown.choose(values.detach().argmax(dim=1))
        rewards = shown.all_rewards()
        error = (values - (rewards - rewards.mean(dim=1, keepdim=True))).square().mean()
        return error, {"train/squared_error": error.detach()}
