"""The base of the selector networks: an encoder of cheap observations and a linear head over the canvases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from agents.selectors.observation import observe
from sketchcanvas_env.sketches.sketch import VectorSketch

MAX_SIZE = 4096
"""Limit on canvases, statistics and hidden units, so that a damaged file cannot ask for all memory."""

HEAD_GAIN = 0.01
"""Gain of the head's orthogonal initialisation: choices are near uniform at first, as in SB3's policies."""


class Selector(nn.Module):
    """An encoder of observations with a linear head over the canvases.

    Attributes:
        name: the network's name in `SELECTORS`.
        reads: the parts of an observation that it looks at: "points", "stats", "thumbnail", "tradeoff" and, in a
            cascade, "looks" and "last".
        n_actions: number of canvases, K; in a cascade one more, for stopping.
        features_dim: width of the features that `encode` returns.
        n_stats: length of the statistics vector, F; None for a network that does not read it.
        hidden: units of the hidden layers, None for a network without any.
    """

    name: str
    reads: tuple[str, ...]
    head: nn.Linear

    def __init__(
        self, n_actions: int, features_dim: int, n_stats: int | None = None, hidden: int | None = None
    ) -> None:
        """Check the sizes; subclasses then build their encoder and call `_make_head`."""
        super().__init__()
        if not 1 <= n_actions <= MAX_SIZE:
            raise ValueError(f"a selector chooses from 1 to {MAX_SIZE} canvases, not {n_actions}")
        if n_stats is not None and not 1 <= n_stats <= MAX_SIZE:
            raise ValueError(f"selector {self.name!r} reads 1 to {MAX_SIZE} statistics, not {n_stats}")
        if hidden is not None and not 1 <= hidden <= MAX_SIZE:
            raise ValueError(f"a selector has 1 to {MAX_SIZE} hidden units, not {hidden}")
        self.n_actions = n_actions
        self.features_dim = features_dim
        self.n_stats = n_stats
        self.hidden = hidden

    def _make_head(self) -> None:
        self.head = nn.Linear(self.features_dim, self.n_actions)
        nn.init.orthogonal_(self.head.weight, gain=HEAD_GAIN)
        nn.init.zeros_(self.head.bias)

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Features of each sketch, (B, features_dim) float32."""
        raise NotImplementedError

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Logits of each canvas, (B, K) float32.

        Args:
            obs: "points" (B, P * 5) or (B, P, 5) stroke-5 rows, "stats" (B, F), "thumbnail" (B, 256) and "tradeoff"
                (B, 1), float32, as the environment gives them; other parts than `reads` are ignored.
        """
        logits: Tensor = self.head(self.encode(obs))
        return logits

    @property
    def conditioned(self) -> bool:
        """Whether the tradeoff is an input."""
        return "tradeoff" in self.reads

    def observe(self, sketch: VectorSketch, max_points: int, tradeoff: float | None = None) -> dict[str, Tensor]:
        """The environment's observation of one sketch, as a batch of one, with only the parts that are read.

        Args:
            sketch: the drawing.
            max_points: points that it is simplified to.
            tradeoff: at which a conditioned network is to choose, in [0, 1]; None for other networks.

        Raises:
            ValueError: a tradeoff that is missing, not wanted or out of range.
        """
        return as_tensors(observe(self.reads, sketch, max_points, tradeoff))

    def fit_inputs(self, observations: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Fit the standardisation of the inputs before training; does nothing in networks without one.

        Args:
            observations: "stats" (n, F) of the training sketches, and "thumbnail" (n, 256) where it is shown.
        """

    def flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """FLOPs (2 x MAC) of deciding about each sketch, (B,) float64, above zero."""
        return self.encoder_flops(obs) + 2.0 * self.features_dim * self.n_actions

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """FLOPs (2 x MAC) of `encode` for each sketch, (B,) float64; those of the head are added in `flops`."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """The keyword arguments of `networks.create` that rebuild this network."""
        sizes = {"n_actions": self.n_actions, "n_stats": self.n_stats, "hidden": self.hidden}
        return {"name": self.name, **{name: size for name, size in sizes.items() if size is not None}}

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.head.weight.device


def as_tensors(obs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    """Observations as tensors that share the arrays' memory."""
    return {name: torch.from_numpy(array) for name, array in obs.items()}
