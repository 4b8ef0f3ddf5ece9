"""Makes any selector take the tradeoff as an input: one network for the whole front of accuracy and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from agents.selectors.base import Selector

WIDTH = 64
"""Units of the layer that joins the tradeoff and the features of the sketch. Our choice."""

SMALLEST_TRADEOFF = 1e-3
"""Scale of the logarithm in `tradeoff_features`: tradeoffs well below this look alike to the network."""


class ConditionedSelector(Selector):
    """Another selector's encoder, a layer that joins its features and the tradeoff, and a linear head.

    The layer has to be nonlinear: a tradeoff that went straight to the linear head would shift the logits of all
    sketches alike, but how much can be saved depends on the sketch.
    """

    def __init__(self, inner: Selector) -> None:
        """Take the encoder of `inner`; the new layers get random weights from torch's global generator.

        Args:
            inner: any selector that is not itself conditioned; its head is removed.
        """
        if inner.conditioned:
            raise ValueError("this selector takes a tradeoff already")
        super().__init__(inner.n_actions, WIDTH, inner.n_stats)
        self.name, self.reads = inner.name, (*inner.reads, "tradeoff")
        del inner.head
        self.inner = inner
        self.mix = nn.Linear(inner.features_dim + TRADEOFF_FEATURES, WIDTH)
        self._make_head()

    def fit_inputs(self, observations: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """As `Selector.fit_inputs`."""
        self.inner.fit_inputs(observations)

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Features of sketch and tradeoff, (B, WIDTH)."""
        seen = torch.cat([self.inner.encode(obs), tradeoff_features(obs["tradeoff"])], dim=1)
        return torch.tanh(self.mix(seen))

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """FLOPs of the inner encoder and of the joining layer, (B,) float64."""
        return self.inner.encoder_flops(obs) + 2.0 * self.mix.in_features * self.mix.out_features

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {**self.inner.settings(), "conditioned": True}


TRADEOFF_FEATURES = 2
"""Length of `tradeoff_features`."""


def tradeoff_features(tradeoff: Tensor) -> Tensor:
    """The tradeoff, and its logarithm scaled to [0, 1], (B, 2) from (B, 1): the best choice changes fastest near 0."""
    span = math.log(1.0 + 1.0 / SMALLEST_TRADEOFF)
    return torch.cat([tradeoff, torch.log1p(tradeoff / SMALLEST_TRADEOFF) / span], dim=1)
