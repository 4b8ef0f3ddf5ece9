"""REINFORCE on one-step episodes, batched.

The paper trains its canvas selector with REINFORCE (Williams, 1992) and reports no baseline:

    loss = -mean[(R - b) / s log pi(a | sketch)] - entropy_coef * H(pi)

s is the standard deviation of R - b over the batch, so that the entropy bonus weighs the same whatever the scale of
rewards. The bonus must be large (agents/README.md, "What stops policy gradients"): what a sketch earns
differs more between sketches than between canvases, and a policy that settles before it has told canvases apart sends
every sketch to the one that is best on average.

What b may be:

* `"none"`: b = 0, that bare form.
* `"mean"`, the default: the mean reward of the batch, which leaves the expected gradient as it is (up to a factor
  1 - 1/batch) and takes most of its noise away.
* `"learned"`: what a linear layer on the encoder's features expects of the sketch. It is trained beside the selector
  by squared error, with gradients that stop at the features, and is not a part of what is saved.
* `"self_critical"`: the reward of the canvas that the selector would choose for the same sketch if it had to be sure
  (Rennie et al., "Self-critical sequence training", CVPR 2017). That reward is looked up in the outcome table: it is no
  environment step, so at an equal budget this learner is told two rewards a sketch where the others are told one.

    python -c "from agents.algorithms import reinforce as r; r.train_reinforce(r.ReinforceConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

import torch
from torch import Tensor, nn

from agents.algorithms.common.gradient import GradientConfig, GradientLearner, entropy_of
from agents.algorithms.common.loop import Batch, train
from agents.algorithms.common.training import Run, RunHooks, check_not_negative

SMALLEST = 1e-8
"""Added to the deviation of advantages, as SB3 does."""

BASELINES = ("none", "mean", "learned", "self_critical")


@dataclass(frozen=True)
class ReinforceConfig(GradientConfig):
    """Settings of REINFORCE."""

    algorithm: ClassVar[str] = "reinforce"
    lr: float = 3e-3  # Adam's learning rate at the start
    baseline: str = "mean"  # what is subtracted from the reward, one of `BASELINES`; the module says what they are
    entropy_coef: float = 0.5  # weight of the entropy bonus, which keeps exploration alive

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_not_negative(self, "entropy_coef")
        if self.num_envs < 2:
            raise ValueError("num_envs must be at least 2: advantages are normalised over them")
        if self.baseline not in BASELINES:
            raise ValueError(f"unknown baseline {self.baseline!r}; there are {', '.join(BASELINES)}")


def train_reinforce(config: ReinforceConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a selector with REINFORCE; arguments, result, errors as in `loop.train`."""
    return train(config, _Reinforce, **hooks)


class _Reinforce(GradientLearner[ReinforceConfig]):
    def make_helper(self) -> nn.Module:
        """The critic of the learned baseline."""
        if self.config.baseline != "learned":
            return super().make_helper()
        critic = nn.Linear(self.network.features_dim, 1)
        nn.init.zeros_(critic.weight)
        nn.init.zeros_(critic.bias)
        return critic

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """See the module."""
        features = self.network.encode(batch.obs)
        logits = self.network.head(features)
        log_probs = torch.log_softmax(logits, dim=1)
        actions = torch.multinomial(log_probs.detach().exp(), 1, generator=self.generator)
        returns = batch.choose(actions[:, 0])
        baseline = self._baseline(batch, returns, features, logits)
        entropy = entropy_of(log_probs)
        advantages = returns - baseline.detach()
        advantages = advantages / (advantages.std() + SMALLEST)
        loss = -(advantages * log_probs.gather(1, actions)[:, 0]).mean() - self.config.entropy_coef * entropy
        if self.config.baseline == "learned":
            # Selector and critic share no weights, so one sum trains each by its own loss.
            loss = loss + (returns - baseline).square().mean()
        return loss, {"policy/entropy": entropy.detach(), "policy/baseline": baseline.detach().mean()}

    def _baseline(self, batch: Batch, returns: Tensor, features: Tensor, logits: Tensor) -> Tensor:
        """What is subtracted, one number or (B,)."""
        match self.config.baseline:
            case "mean":
                return returns.mean()
            case "learned":
                expected: Tensor = self.helper(features.detach())
                return expected[:, 0]
            case "self_critical":
                greedy = logits.detach().argmax(dim=1, keepdim=True)
                return batch.all_rewards().gather(1, greedy)[:, 0]
            case _:
                return torch.zeros(())
