"""LinUCB: the linear bandit that is optimistic about canvases it knows little of.

It chooses the canvas with the largest theta_a x + alpha sqrt(x^T A_a^-1 x) (Li et al., "A contextual-bandit approach to
personalized news article recommendation", WWW 2010, algorithm 1, disjoint); `common.linear_bandit` has theta and A.

    python -c "from agents.algorithms import linucb as b; b.train_linucb(b.LinUCBConfig())"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from torch import Tensor

from agents.algorithms.common.linear_bandit import BanditConfig, LinearBandit
from agents.algorithms.common.loop import train
from agents.algorithms.common.training import Run, RunHooks, check_not_negative


@dataclass(frozen=True)
class LinUCBConfig(BanditConfig):
    """Settings of LinUCB."""

    algorithm: ClassVar[str] = "linucb"
    alpha: float = 1.0  # standard deviations of optimism

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_not_negative(self, "alpha")


def train_linucb(config: LinUCBConfig, **hooks: Unpack[RunHooks]) -> Run:
    """Train a linear selector with LinUCB; arguments, result, errors as in `loop.train`."""
    return train(config, _LinUCB, **hooks)


class _LinUCB(LinearBandit[LinUCBConfig]):
    def explore(self, means: Tensor, widths: Tensor) -> Tensor:
        """The largest upper confidence bound."""
        return (means + self.config.alpha * widths).argmax(dim=1)
