"""Cost-sensitive classification by regression: each logit predicts the reward of its canvas, less the sketch's mean.

It is supervised: the outcome table knows the rewards of all K canvases of a sketch. Logit a regresses R(sketch, a) less
the sketch's mean reward with the plain squared error, and the canvas of the largest is chosen (Tu and Lin, "One-sided
support vector regression for multiclass cost-sensitive classification", ICML 2010, with another loss). With the
conditional means that squared error aims at, that choice is the best one however noisy rewards are, which does not hold
for learning the best canvas by cross-entropy. How hard a sketch is on every canvas takes no part in the choice, so the
mean is left out.

It trains the same networks as the RL algorithms on the same number of sketches, but is told K rewards a sketch where
they are told one: a reference that RL agents are held against.

    python -c "from agents.algorithms import cost_sensitive as c; c.train_cost_sensitive(c.CostSensitiveConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from torch import Tensor

from agents.algorithms.common.gradient import GradientConfig, GradientLearner
from agents.algorithms.common.loop import Batch, train
from agents.algorithms.common.training import Run, RunHooks


@dataclass(frozen=True)
class CostSensitiveConfig(GradientConfig):
    """Settings of the supervised learner."""

    algorithm: ClassVar[str] = "cost_sensitive"
    lr: float = 3e-3  # Adam's learning rate at the start


def train_cost_sensitive(config: CostSensitiveConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector by regression of all rewards; arguments, result, errors as in `loop.train`."""
    return train(config, _CostSensitive, **hooks)


class _CostSensitive(GradientLearner[CostSensitiveConfig]):
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """See the module."""
        values = self.network(batch.obs)
        batch.choose(values.detach().argmax(dim=1))
        rewards = batch.all_rewards()
        error = (values - (rewards - rewards.mean(dim=1, keepdim=True))).square().mean()
        return error, {"train/squared_error": error.detach()}
