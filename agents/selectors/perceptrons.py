"""Networks that read fixed-length summaries: stroke statistics, and what earlier looks have shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from agents.selectors.base import Selector, checked_width
from sketchcanvas_env.outcomes.looks import look_feature_names
from sketchcanvas_env.tasks.cascade_making import MAX_CANVASES

SMALL_MARGIN = 0.01
"""Margins between first and second photo are seen as log(1 + margin / this): the small ones are those that matter."""

FORBIDDEN = -1e8
"""The logit of an action that is out of reach: below all others, finite so that its gradient is."""


class LinearSelector(Selector):
    """One linear layer on the hand-made stroke statistics: what linear bandits can learn, and a floor for the rest."""

    name = "linear"
    reads = ("stats",)

    def __init__(self, n_actions: int, n_stats: int) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            n_stats: length of the statistics vector, F.
        """
        super().__init__(n_actions, n_stats, n_stats)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The statistics as they are, (B, F)."""
        return obs["stats"]

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """None: there is the head alone."""
        return torch.zeros(len(obs["stats"]), dtype=torch.float64)

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {"name": self.name, "n_actions": self.n_actions, "n_stats": self.n_stats}


class StatsSelector(Selector):
    """A two-layer perceptron on the hand-made stroke statistics (`sketchcanvas_env.sketches.features`)."""

    name = "stats"
    reads = ("stats",)

    def __init__(self, n_actions: int, n_stats: int, hidden: int = 64) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            n_stats: length of the statistics vector, F.
            hidden: units of each hidden layer.
        """
        super().__init__(n_actions, checked_width(hidden), n_stats)
        self.body = _perceptron(n_stats, hidden)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The second hidden layer, (B, hidden)."""
        features: Tensor = self.body(obs["stats"])
        return features

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The two matrix products; taking the statistics (a few operations a point) is not counted."""
        return _perceptron_flops(obs["stats"].shape, self.features_dim)

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {
            "name": self.name,
            "n_actions": self.n_actions,
            "n_stats": self.n_stats,
            "hidden": self.features_dim,
        }


class LooksSelector(Selector):
    """A two-layer perceptron on the stroke statistics and on what earlier looks at the sketch have shown.

    It is for `SketchCanvasCascade-v0`. What it sees of looks is `sketchcanvas_env.outcomes.looks.look_features`.
    """

    name = "looks"
    reads = ("stats", "looks", "last")

    def __init__(self, n_actions: int, n_stats: int, hidden: int = 64, masked: bool = False) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K, and one for stopping.
            n_stats: length of the statistics vector, F.
            hidden: units of each hidden layer.
            masked: never choose a canvas that was looked at already, nor stop before the first look. Else these are
                left to the rules, by which asking for a canvas again is stopping.
        """
        super().__init__(n_actions, checked_width(hidden), n_stats)
        if not 2 <= n_actions <= MAX_CANVASES + 1:
            raise ValueError(f"a cascade has 1 to {MAX_CANVASES} canvases and stopping, not {n_actions} actions")
        self.masked = masked
        names = look_feature_names(range(1, n_actions))
        self._seen = [place for place, name in enumerate(names) if name.startswith("seen_")]
        self._margins = [place for place, name in enumerate(names) if name.startswith("margin_")]
        inputs = n_stats + len(names) + n_actions - 1
        self.body = _perceptron(inputs, hidden)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The second hidden layer, (B, hidden)."""
        looks = obs["looks"].clone()
        looks[:, self._margins] = torch.log1p(looks[:, self._margins] / SMALL_MARGIN)
        features: Tensor = self.body(torch.cat([obs["stats"], looks, obs["last"]], dim=1))
        return features

    def forward(self, obs: Mapping[str, Tensor]) -> Tensor:
        """As `Selector.forward`, with the logits of what is forbidden, if it is `masked`, out of reach."""
        logits = super().forward(obs)
        return logits.masked_fill(~self.allowed(obs), FORBIDDEN) if self.masked else logits

    def allowed(self, obs: Mapping[str, Tensor]) -> Tensor:
        """(B, K + 1) bool: canvases not looked at and, after a look, stopping; what the environment's masks say."""
        seen = obs["looks"][:, self._seen] > 0.5
        return torch.cat([~seen, seen.any(dim=1, keepdim=True)], dim=1)

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The two matrix products; taking the statistics and comparing looks is not counted."""
        inputs = obs["stats"].shape[1] + obs["looks"].shape[1] + obs["last"].shape[1]
        return _perceptron_flops((len(obs["stats"]), inputs), self.features_dim)

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {
            "name": self.name,
            "n_actions": self.n_actions,
            "n_stats": self.n_stats,
            "hidden": self.features_dim,
            "masked": self.masked,
        }


def _perceptron(inputs: int, hidden: int) -> nn.Sequential:
    """Two hidden layers of one width."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())


def _perceptron_flops(shape: tuple[int, ...], hidden: int) -> Tensor:
    """FLOPs (2 x MAC) of `_perceptron` for each of (B, inputs) rows of that shape, (B,) float64."""
    rows, inputs = shape
    return torch.full((rows,), 2.0 * hidden * (inputs + hidden), dtype=torch.float64)
