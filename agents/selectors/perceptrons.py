"""Networks that read fixed-length summaries: stroke statistics, a thumbnail, and what earlier looks have shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from agents.selectors.base import Selector, checked_width
from sketchcanvas_env.outcomes.looks import look_feature_names
from sketchcanvas_env.sketches.thumbnail import SIZE
from sketchcanvas_env.tasks.cascade_making import MAX_CANVASES

SMALL_MARGIN = 0.01
"""Margins between first and second photo are seen as log(1 + margin / this): the small ones are those that matter."""

_CONSTANT = 1e-3  # inputs that vary by less are not scaled up

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


class Standardise(nn.Module):
    """Inputs less their mean, over their standard deviation; before `fit` the inputs as they are.

    The statistics lie in [0, 1] and differ between sketches by 0.04 to 0.3. A perceptron that is shown them so, with
    Adam's usual step sizes, learns little but their mean (agents/README.md has the figures).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: int) -> None:
        """For that many inputs."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    def fit(self, rows: npt.NDArray[np.float32]) -> None:
        """Take mean and deviation of (n, size) observations; an input that never changes is only centred."""
        spread = rows.std(axis=0, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(rows.mean(axis=0, dtype=np.float64)))
        self.deviation.copy_(torch.from_numpy(np.where(spread > _CONSTANT, spread, 1.0)))

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, size) from the same."""
        return (inputs - self.mean) / self.deviation


class StatsSelector(Selector):
    """A two-layer perceptron on the hand-made stroke statistics (`sketchcanvas_env.sketches.features`)."""

    name = "stats"
    reads = ("stats",)

    def __init__(self, n_actions: int, n_stats: int, hidden: int = 256, standardised: bool = False) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            n_stats: length of the statistics vector, F.
            hidden: units of each hidden layer.
            standardised: standardise the inputs, and use ReLU; else they are read as they are, and tanh is used.
        """
        super().__init__(n_actions, checked_width(hidden), n_stats)
        self.standardised = standardised
        self.body = _standardised_perceptron(n_stats, hidden) if standardised else _perceptron(n_stats, hidden)
        self._make_head()

    def fit_inputs(self, observations: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """As `Selector.fit_inputs`."""
        if self.standardised:
            cast("Standardise", self.body[0]).fit(observations["stats"])

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
            "standardised": self.standardised,
        }


class ThumbSelector(Selector):
    """A two-layer perceptron on the stroke statistics and a 16 x 16 thumbnail (`sketchcanvas_env.sketches.thumbnail`).

    The thumbnail tells which photo is meant, at least roughly; which canvas a sketch needs depends on that.
    """

    name = "thumb"
    reads = ("stats", "thumbnail")

    def __init__(self, n_actions: int, n_stats: int, hidden: int = 256) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            n_stats: length of the statistics vector, F.
            hidden: units of each hidden layer.
        """
        super().__init__(n_actions, checked_width(hidden), n_stats)
        self.body = _standardised_perceptron(n_stats + SIZE, hidden)
        self._make_head()

    def fit_inputs(self, observations: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """As `Selector.fit_inputs`."""
        seen = np.concatenate([observations["stats"], observations["thumbnail"]], axis=1)
        cast("Standardise", self.body[0]).fit(seen)

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The second hidden layer, (B, hidden)."""
        features: Tensor = self.body(torch.cat([obs["stats"], obs["thumbnail"]], dim=1))
        return features

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The two matrix products; taking the statistics and drawing the thumbnail is not counted."""
        rows, inputs = obs["stats"].shape
        return _perceptron_flops((rows, inputs + SIZE), self.features_dim)

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {"name": self.name, "n_actions": self.n_actions, "n_stats": self.n_stats, "hidden": self.features_dim}


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


def _standardised_perceptron(inputs: int, hidden: int) -> nn.Sequential:
    """As `_perceptron`, on standardised inputs and with ReLU."""
    return nn.Sequential(
        Standardise(inputs), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
    )


def _perceptron_flops(shape: tuple[int, ...], hidden: int) -> Tensor:
    """FLOPs (2 x MAC) of `_perceptron` for each of (B, inputs) rows of that shape, (B,) float64."""
    rows, inputs = shape
    return torch.full((rows,), 2.0 * hidden * (inputs + hidden), dtype=torch.float64)
