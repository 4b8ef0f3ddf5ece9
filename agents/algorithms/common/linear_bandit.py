"""What the linear bandits share: a ridge regression of the reward for each canvas, on the features of a fixed encoder.

Every canvas a has a ridge regression of its own from x, the features with a 1 behind them, to the reward:

    A_a = P + sum x x^T,    b_a = sum x R,    theta_a = A_a^-1 b_a

over the sketches for which a was chosen. P is diagonal, `ridge` for each feature and 1 for the intercept: how good a
canvas is at all is known after few sketches, how it depends on the sketch is not. The bandits differ in how they
explore: `linucb`, `linear_ts`, `epsilon_greedy`.

Where every episode has a tradeoff of its own, x is what the conditioned selector's mixing layer makes of features and
tradeoff. That layer keeps its random weights: a bandit learns linear heads only.

A batch is chosen for with the statistics as they were before it: one factorisation of A a batch. What is kept of a run
is theta: its greedy choice is the argmax of `LinearSelector`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from agents.algorithms.common.loop import Batch, Learner
from agents.algorithms.common.training import TrainConfig, check_positive
from agents.selectors.base import Selector

NETWORKS = ("clusters", "linear")
"""Selectors whose encoder has nothing to learn from rewards."""


@dataclass(frozen=True)
class BanditConfig(TrainConfig):
    """Settings of every bandit here."""

    selector: str = "clusters"  # one of `NETWORKS`
    ridge: float = 0.3  # weight of the penalty |theta|^2; that of the intercept has weight 1

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        if self.selector not in NETWORKS:
            raise ValueError(
                f"{self.algorithm} learns a linear head on features that stay as they are: selector must be "
                f"{' or '.join(map(repr, NETWORKS))}, not {self.selector!r}"
            )
        check_positive(self, "ridge")


B = TypeVar("B", bound=BanditConfig)


class LinearBandit(Learner[B]):
    """A ridge regression for each canvas, in double precision: d = F + 1 numbers a sketch."""

    def __init__(self, config: B, selector: Selector) -> None:
        """Start from the penalty alone."""
        super().__init__(config, selector)
        d = selector.features_dim + 1
        penalty = torch.full((d,), config.ridge, dtype=torch.float64)
        penalty[-1] = 1.0
        self._a = torch.diag(penalty).repeat(selector.n_actions, 1, 1)  # (K, d, d)
        self._b = torch.zeros(selector.n_actions, d, dtype=torch.float64)

    def explore(self, means: Tensor, widths: Tensor) -> Tensor:
        """Choose a canvas for each sketch, (B,) int64.

        Args:
            means: (B, K) theta_a x.
            widths: (B, K) sqrt(x^T A_a^-1 x), how little is known in this direction.
        """
        raise NotImplementedError

    def learn(self, batch: Batch, steps: int) -> dict[str, float | Tensor]:
        """Choose for a batch and add it to the regressions."""
        with torch.no_grad():
            features = self.network.encode(batch.obs).double()
            x = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
            factors = torch.linalg.cholesky(self._a)
            # x^T A^-1 x = |L^-1 x|^2 with A = L L^T.
            widths = torch.linalg.solve_triangular(factors, x.T, upper=False).square().sum(dim=1).sqrt().T
            actions = self.explore(x @ self._theta(factors).T, widths)
            rewards = batch.choose(actions).double()
            for arm in range(len(self._a)):
                chosen = x[actions == arm]
                self._a[arm] += chosen.T @ chosen
                self._b[arm] += chosen.T @ rewards[actions == arm]
        return {"policy/width": widths.mean()}

    def selector(self) -> Selector:
        """A linear layer with theta in it."""
        theta = self._theta(torch.linalg.cholesky(self._a))
        with torch.no_grad():
            self.network.head.weight.copy_(theta[:, :-1])
            self.network.head.bias.copy_(theta[:, -1])
        return self.network

    def tensors(self) -> dict[str, Tensor]:
        """The sums."""
        return {"a": self._a, "b": self._b}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Learner.restore`."""
        self._a, self._b = tensors["a"], tensors["b"]

    def _theta(self, factors: Tensor) -> Tensor:
        """(K, d) from the Cholesky factors of A."""
        return torch.cholesky_solve(self._b[..., None], factors)[..., 0]
