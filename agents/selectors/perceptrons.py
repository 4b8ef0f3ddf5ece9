"""Networks on inputs of fixed length: stroke statistics, a thumbnail, features of earlier looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from agents.selectors.base import Selector
from sketchcanvas_env.outcomes.looks import look_feature_names
from sketchcanvas_env.sketches.thumbnail import SIZE
from sketchcanvas_env.tasks.cascade import MAX_CANVASES

SMALL_MARGIN = 0.01
"""Margins between first and second photo enter as log(1 + margin / this), which spreads out small ones."""

_CONSTANT = 1e-3  # inputs with a smaller standard deviation are not scaled

_SOFTNESS = 0.05  # of memberships in clusters, as a share of the mean squared distance; 0.02 and 0.1 were worse on val
_ROUNDS = 10  # of k-means
_MOST_ROWS = 16_384  # thumbnails that k-means looks at

FORBIDDEN = -1e8
"""Logit of an action that is not allowed: far below all others, but finite, so that gradients are."""


class LinearSelector(Selector):
    """One linear layer on the stroke statistics: what linear bandits can learn, and a baseline for the others."""

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
        """The statistics themselves, (B, F)."""
        return obs["stats"]

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Zeros: there is only the head."""
        return torch.zeros(len(obs["stats"]), dtype=torch.float64)


class ClusterSelector(Selector):
    """A linear layer on how near a thumbnail is to each of many typical ones, so that a linear rule can be a fine one.

    The typical thumbnails c are the centres of k-means on the sketches to learn from, without their rewards. Features
    are memberships that sum to 1, softmax(-|x - c|^2 / t), with t a share of the mean squared distance.
    """

    name = "clusters"
    reads = ("thumbnail",)
    centres: Tensor
    softness: Tensor

    def __init__(self, n_actions: int, hidden: int = 256) -> None:
        """Random centres, until `fit_inputs`, and weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            hidden: number of clusters.
        """
        super().__init__(n_actions, hidden, hidden=hidden)
        self.register_buffer("centres", torch.rand(hidden, SIZE))
        self.register_buffer("softness", torch.tensor(_SOFTNESS * SIZE / 6.0))  # of uniform noise
        self._make_head()

    def fit_inputs(self, observations: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """k-means (Lloyd) from thumbnails at even distances in their order, which spreads them over the photos."""
        rows = observations["thumbnail"]
        seen = torch.from_numpy(rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_ROWS)).astype(np.int64)])
        centres = seen[torch.linspace(0, len(seen) - 1, self.features_dim).long()]
        for _ in range(_ROUNDS):
            nearest = _squared_distances(seen, centres).argmin(dim=1)
            sums = torch.zeros_like(centres).index_add_(0, nearest, seen)
            counts = torch.bincount(nearest, minlength=len(centres))[:, None]
            centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        self.centres.copy_(centres)
        self.softness.copy_((_SOFTNESS * _squared_distances(seen, centres).mean()).clamp(min=_CONSTANT))

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Memberships, (B, hidden)."""
        return torch.softmax(-_squared_distances(obs["thumbnail"], self.centres) / self.softness, dim=1)

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The products of the thumbnail with the centres; drawing the thumbnail is not counted."""
        return torch.full((len(obs["thumbnail"]),), 2.0 * SIZE * self.features_dim, dtype=torch.float64)


def _squared_distances(rows: Tensor, centres: Tensor) -> Tensor:
    """(B, C) from (B, D) and (C, D)."""
    return rows.square().sum(dim=1, keepdim=True) - 2.0 * rows @ centres.T + centres.square().sum(dim=1)


class Standardise(nn.Module):
    """Inputs minus their mean, divided by their standard deviation; the identity before `fit`.

    The statistics lie in [0, 1] and differ between sketches by 0.04 to 0.3. On the raw values a perceptron with Adam's
    usual step sizes learns little (figures in agents/README.md).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: int) -> None:
        """Mean 0 and deviation 1 for `size` inputs."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    def fit(self, rows: npt.NDArray[np.float32]) -> None:
        """Take mean and deviation of (n, size) observations; an input that hardly varies is only centred."""
        spread = rows.std(axis=0, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(rows.mean(axis=0, dtype=np.float64)))
        self.deviation.copy_(torch.from_numpy(np.where(spread > _CONSTANT, spread, 1.0)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Standardised inputs, (B, size)."""
        return (inputs - self.mean) / self.deviation


class StatsSelector(Selector):
    """A two-layer perceptron on the stroke statistics (`sketchcanvas_env.sketches.features`)."""

    name = "stats"
    reads = ("stats",)

    def __init__(self, n_actions: int, n_stats: int, hidden: int = 256, standardised: bool = False) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            n_stats: length of the statistics vector, F.
            hidden: units of each hidden layer.
            standardised: standardise the inputs and use ReLU; else raw inputs and tanh.
        """
        super().__init__(n_actions, hidden, n_stats, hidden)
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
        """FLOPs of the two matrix products; computing the statistics (a few operations a point) is not counted."""
        return _perceptron_flops(obs["stats"].shape, self.features_dim)

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {**super().settings(), "standardised": self.standardised}


class ThumbSelector(Selector):
    """A two-layer perceptron on the stroke statistics and a 16 x 16 thumbnail (`sketchcanvas_env.sketches.thumbnail`).

    The thumbnail shows roughly which photo is meant, and the canvas that a sketch needs depends on the photo.
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
        super().__init__(n_actions, hidden, n_stats, hidden)
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
        """FLOPs of the two matrix products; computing statistics and thumbnail is not counted."""
        rows, inputs = obs["stats"].shape
        return _perceptron_flops((rows, inputs + SIZE), self.features_dim)


class LooksSelector(Selector):
    """A two-layer perceptron on the stroke statistics and `look_features` of earlier looks.

    For `SketchCanvasCascade-v0`; the features are in `sketchcanvas_env.outcomes.looks`.
    """

    name = "looks"
    reads = ("stats", "looks", "last")

    def __init__(self, n_actions: int, n_stats: int, hidden: int = 64, masked: bool = False) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K, and one for stopping.
            n_stats: length of the statistics vector, F.
            hidden: units of each hidden layer.
            masked: never choose a canvas that was looked at already, nor stop before the first look. Else the
                environment decides: asking for a canvas again is stopping.
        """
        super().__init__(n_actions, hidden, n_stats, hidden)
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
        """As `Selector.forward`; if `masked`, actions that are not allowed get the logit `FORBIDDEN`."""
        logits = super().forward(obs)
        return logits.masked_fill(~self.allowed(obs), FORBIDDEN) if self.masked else logits

    def allowed(self, obs: Mapping[str, Tensor]) -> Tensor:
        """(B, K + 1) bool: canvases not looked at and, after a look, stopping; as the environment's action masks."""
        seen = obs["looks"][:, self._seen] > 0.5
        return torch.cat([~seen, seen.any(dim=1, keepdim=True)], dim=1)

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """FLOPs of the two matrix products; computing statistics and look features is not counted."""
        inputs = obs["stats"].shape[1] + obs["looks"].shape[1] + obs["last"].shape[1]
        return _perceptron_flops((len(obs["stats"]), inputs), self.features_dim)

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {**super().settings(), "masked": self.masked}


def _perceptron(inputs: int, hidden: int) -> nn.Sequential:
    """Two hidden layers of one width, with tanh."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())


def _standardised_perceptron(inputs: int, hidden: int) -> nn.Sequential:
    """Standardised inputs and two hidden layers of one width, with ReLU."""
    return nn.Sequential(
        Standardise(inputs), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
    )


def _perceptron_flops(shape: tuple[int, ...], hidden: int) -> Tensor:
    """FLOPs (2 x MAC) of `_perceptron` for each of (B, inputs) rows of that shape, (B,) float64."""
    rows, inputs = shape
    return torch.full((rows,), 2.0 * hidden * (inputs + hidden), dtype=torch.float64)
