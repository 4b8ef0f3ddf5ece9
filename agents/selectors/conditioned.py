"""Any selector as one that is told the tradeoff at which to choose: one network for the whole front."""

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
"""Units of the layer in which a tradeoff meets what was seen of the sketch. Our choice."""

SMALLEST_TRADEOFF = 1e-3
"""Tradeoffs well below this are all alike to the logarithm that the network sees."""


class ConditionedSelector(Selector):
    """Another selector's encoder, a layer in which its features meet the tradeoff, a linear head.

    The layer has to be there, and curved: a tradeoff that went straight to the linear head would move the logits of
    all sketches alike, but how far one may save depends on the sketch.
    """

    def __init__(self, inner: Selector) -> None:
        """Take over the encoder of `inner`; random weights from torch's global generator.

        Args:
            inner: any selector that is not itself conditioned; its head is taken away.
        """
        if inner.conditioned:
            raise ValueError("this selector is told the tradeoff already")
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
        """Sketch and tradeoff together, (B, WIDTH)."""
        seen = torch.cat([self.inner.encode(obs), tradeoff_features(obs["tradeoff"])], dim=1)
        return torch.tanh(self.mix(seen))

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Those of the inner encoder and of the layer."""
        return self.inner.encoder_flops(obs) + 2.0 * self.mix.in_features * self.mix.out_features

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {**self.inner.settings(), "conditioned": True}


TRADEOFF_FEATURES = 2
"""Length of `tradeoff_features`."""


def tradeoff_features(tradeoff: Tensor) -> Tensor:
    """The tradeoff, and its logarithm scaled to [0, 1]: what is best changes fastest near zero; (B, 2) from (B, 1)."""
    span = math.log(1.0 + 1.0 / SMALLEST_TRADEOFF)
    return torch.cat([tradeoff, torch.log1p(tradeoff / SMALLEST_TRADEOFF) / span], dim=1)
