"""Linear Thompson sampling: the linear bandit that chooses each canvas as often as it may be the best one.

It chooses the canvas with the largest of draws from N(theta_a x, scale^2 x^T A_a^-1 x), that is theta x for theta drawn
from the posterior (Agrawal and Goyal, "Thompson sampling for contextual bandits with linear payoffs", ICML 2013);
`common.linear_bandit` has theta and A.

    python -c "from agents.algorithms import linear_ts as b; b.train_linear_ts(b.LinearTSConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from agents.algorithms.common.linear_bandit import BanditConfig, LinearBandit
from agents.algorithms.common.loop import train
from agents.algorithms.common.training import Run, RunHooks, check_not_negative


@dataclass(frozen=True)
class LinearTSConfig(BanditConfig):
    """Settings of linear Thompson sampling."""

    algorithm: ClassVar[str] = "linear_ts"
    scale: float = 1.0  # standard deviation of the posterior in units of that of a reward, v of the paper

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_not_negative(self, "scale")


def train_linear_ts(config: LinearTSConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a linear selector by Thompson sampling; arguments, result, errors as in `loop.train`."""
    return train(config, _LinearTS, **hooks)


class _LinearTS(LinearBandit[LinearTSConfig]):
    def explore(self, means: Tensor, widths: Tensor) -> Tensor:
        """The largest of draws from the posterior."""
        noise = torch.randn(means.shape, dtype=means.dtype, generator=self.generator)
        return (means + self.config.scale * widths * noise).argmax(dim=1)
