"""The epsilon-greedy linear bandit: the largest theta_a x, but with probability epsilon any canvas.

`common.linear_bandit` has theta.

    python -c "from agents.algorithms import epsilon_greedy as b; b.train_epsilon_greedy(b.EpsilonGreedyConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from agents.algorithms.common.linear_bandit import BanditConfig, LinearBandit
from agents.algorithms.common.loop import train
from agents.algorithms.common.training import Run, RunHooks


@dataclass(frozen=True)
class EpsilonGreedyConfig(BanditConfig):
    """Settings of the epsilon-greedy bandit."""

    algorithm: ClassVar[str] = "epsilon_greedy"
    epsilon: float = 0.6  # share of the sketches that get a canvas at random

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        if not 0.0 <= self.epsilon <= 1.0:
            raise ValueError(f"epsilon must lie in [0, 1], got {self.epsilon}")


def train_epsilon_greedy(config: EpsilonGreedyConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a linear selector, epsilon-greedy; arguments, result, errors as in `loop.train`."""
    return train(config, _EpsilonGreedy, **hooks)


class _EpsilonGreedy(LinearBandit[EpsilonGreedyConfig]):
    def explore(self, means: Tensor, widths: Tensor) -> Tensor:
        """The best canvas so far, or any."""
        n, canvases = means.shape
        random = torch.randint(canvases, (n,), generator=self.generator)
        return torch.where(torch.rand(n, generator=self.generator) < self.config.epsilon, random, means.argmax(dim=1))
