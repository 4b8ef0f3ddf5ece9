"""Learners that descend a gradient: Adam on a loss, with an annealed learning rate and clipped gradients.

An algorithm of this kind is a loss (`GradientLearner.loss`) and its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from agents.algorithms.common.loop import Batch, Learner
from agents.algorithms.common.training import TrainConfig, check_positive
from agents.selectors.base import Selector
from students.store import checkpoint as checkpoints


@dataclass(frozen=True)
class GradientConfig(TrainConfig):
    """Settings of the descent; every update uses one vector step, so the batch is `num_envs`."""

    lr: float = 2e-3  # Adam's learning rate at the start
    anneal: bool = True  # let the learning rate fall linearly to zero over the run
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm

    def __post_init__(self) -> None:
        """As `TrainConfig`."""
        super().__post_init__()
        check_positive(self, "lr", "max_grad_norm")


G = TypeVar("G", bound=GradientConfig)


class GradientLearner(Learner[G]):
    """Descends `loss`, which subclasses define.

    Attributes:
        helper: a module that learns beside the selector and is thrown away after the run, such as a critic.
    """

    helper: nn.Module

    def __init__(self, config: G, selector: Selector) -> None:
        """As `Learner`."""
        super().__init__(config, selector)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.helper = self.make_helper()
        learnt = [*selector.parameters(), *self.helper.parameters()]
        self._optimiser = torch.optim.Adam(learnt, lr=config.lr, fused=True)

    def make_helper(self) -> nn.Module:
        """A module to learn beside the selector; by default an empty one."""
        return nn.Module()

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Choose canvases and say what is to be made smaller.

        Returns:
            A scalar, and scalars for TensorBoard.
        """
        raise NotImplementedError

    def learn(self, batch: Batch, steps: int) -> dict[str, float | Tensor]:
        """One step downhill."""
        return self.descend(*self.loss(batch), steps)

    def descend(self, loss: Tensor, scalars: dict[str, float | Tensor], steps: int) -> dict[str, float | Tensor]:
        """Make a loss smaller, at the learning rate that belongs after so many environment steps."""
        left = 1.0 - steps / self.config.total_steps if self.config.anneal else 1.0
        for group in self._optimiser.param_groups:
            group["lr"] = self.config.lr * left
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_grad_norm)
        self._optimiser.step()
        return {**scalars, "train/gradient_norm": norm}

    def tensors(self) -> dict[str, Tensor]:
        """Weights and moments."""
        return {
            **super().tensors(),
            **checkpoints.module_tensors(self.helper, "helper"),
            **checkpoints.optimiser_tensors(self._optimiser),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Learner.restore`."""
        super().restore(tensors)
        checkpoints.restore_module(self.helper, tensors, "helper")
        checkpoints.restore_optimiser(self._optimiser, tensors)


def entropy_of(log_probs: Tensor) -> Tensor:
    """Mean entropy of B distributions over K canvases, in nats; from (B, K) to a scalar."""
    return -(log_probs.exp() * log_probs).sum(dim=1).mean()
