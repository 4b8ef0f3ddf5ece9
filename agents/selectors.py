"""Selector networks: from what is cheap to see of a sketch to one logit per canvas.

A selector is an encoder and a linear head. REINFORCE trains the whole; the SB3 agents take the encoder as
their features extractor and bring a linear head of their own, which is copied back afterwards: every
algorithm decides with the same network.

Costs are counted as everywhere in the project: 2 x MAC of the matrix products, per sketch. Element-wise work
is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

POINT_DIM = 5
"""Columns of a stroke-5 row: x, y, p1, p2, p3."""

BUCKET = 128
"""Rows that go through the GRU together. Short drawings share a bucket and skip the padding of the longest."""

MAX_SIZE = 4096
"""The most canvases, statistics or hidden units: far beyond use, and a damaged file cannot ask for all memory."""

HEAD_GAIN = 0.01
"""Gain of the head's orthogonal start: near-uniform choices at first, as in SB3's policies."""


class Selector(nn.Module):
    """An encoder of observations with a linear head over the canvases.

    Attributes:
        name: the network's name in `SELECTORS`.
        n_actions: number of canvases, K.
        features_dim: width of what `encode` gives.
    """

    name: str
    head: nn.Linear

    def __init__(self, n_actions: int, features_dim: int) -> None:
        """Check the sizes; subclasses build their encoder first and then call `_make_head`."""
        super().__init__()
        if not 1 <= n_actions <= MAX_SIZE:
            raise ValueError(f"a selector chooses from 1 to {MAX_SIZE} canvases, not {n_actions}")
        if not 1 <= features_dim <= MAX_SIZE:
            raise ValueError(f"a selector has 1 to {MAX_SIZE} hidden units, not {features_dim}")
        self.n_actions = n_actions
        self.features_dim = features_dim

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
            obs: "points" (B, P * 5) or (B, P, 5) stroke-5 rows and "stats" (B, F), float32, as the
                environment gives them; a network reads its own part.
        """
        logits: Tensor = self.head(self.encode(obs))
        return logits

    def flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """FLOPs (2 x MAC) of deciding about each sketch alone, (B,) float64; always above zero."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """The keyword arguments of `create` that rebuild this network."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.head.weight.device

    def _head_flops(self) -> float:
        return 2.0 * self.features_dim * self.n_actions


class GRUSelector(Selector):
    """The paper's selector: a one-layer GRU over the stroke-5 points, its last state, a linear head.

    Sain et al., "Sketch Down the FLOPs" (CVPR 2025, arXiv 2505.23763), with about 128 units.
    """

    name = "gru"

    def __init__(self, n_actions: int, hidden: int = 128) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            hidden: units of the GRU.
        """
        super().__init__(n_actions, hidden)
        self.gru = nn.GRU(POINT_DIM, hidden, batch_first=True)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The GRU's state after each drawing's last point, (B, hidden)."""
        points = stroke5_rows(obs["points"])
        lengths = true_lengths(points)
        # Sorted by length and cut into buckets, each trimmed to its longest drawing: on a CPU the forward and
        # backward passes together are quicker than with packed sequences.
        order = torch.argsort(lengths, stable=True)
        states = [self._last_state(points[rows], lengths[rows]) for rows in torch.split(order, BUCKET)]
        return torch.cat(states)[torch.argsort(order)]

    def _last_state(self, points: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.gru(points[:, : int(lengths.max())].contiguous())
        last: Tensor = states[torch.arange(len(points), device=points.device), lengths - 1]
        return last

    def flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """2 x 3 x hidden x (5 + hidden) for each point, plus the head."""
        per_point = 2.0 * 3.0 * self.features_dim * (POINT_DIM + self.features_dim)
        return true_lengths(stroke5_rows(obs["points"])).double() * per_point + self._head_flops()

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {"name": self.name, "n_actions": self.n_actions, "hidden": self.features_dim}


class StatsSelector(Selector):
    """A two-layer perceptron on the hand-made stroke statistics (`sketchcanvas_env.features`)."""

    name = "stats"

    def __init__(self, n_actions: int, n_stats: int, hidden: int = 64) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            n_stats: length of the statistics vector, F.
            hidden: units of each hidden layer.
        """
        super().__init__(n_actions, hidden)
        if not 1 <= n_stats <= MAX_SIZE:
            raise ValueError(f"a stats selector reads 1 to {MAX_SIZE} statistics, not {n_stats}")
        self.n_stats = n_stats
        self.body = nn.Sequential(nn.Linear(n_stats, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The second hidden layer, (B, hidden)."""
        features: Tensor = self.body(obs["stats"])
        return features

    def flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The three matrix products; taking the statistics (a few operations a point) is not counted."""
        cost = 2.0 * self.features_dim * (self.n_stats + self.features_dim) + self._head_flops()
        return torch.full((len(obs["stats"]),), cost, dtype=torch.float64)

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {
            "name": self.name,
            "n_actions": self.n_actions,
            "n_stats": self.n_stats,
            "hidden": self.features_dim,
        }


SELECTORS: dict[str, type[Selector]] = {"gru": GRUSelector, "stats": StatsSelector}
"""Selector networks by name."""


def create(name: str, n_actions: int, n_stats: int | None = None, hidden: int | None = None) -> Selector:
    """Make a selector with random weights.

    Args:
        name: a key of `SELECTORS`.
        n_actions: number of canvases, K.
        n_stats: length of obs["stats"]; only "stats" needs it.
        hidden: width, None for the network's own default.

    Raises:
        ValueError: an unknown name (the message lists what exists) or a size below 1.
    """
    if name not in SELECTORS:
        raise ValueError(f"unknown selector {name!r}; there are {', '.join(sorted(SELECTORS))}")
    width = {} if hidden is None else {"hidden": hidden}
    if name == "stats":
        if n_stats is None:
            raise ValueError("selector 'stats' needs n_stats, the length of obs['stats']")
        return StatsSelector(n_actions, n_stats, **width)
    return SELECTORS[name](n_actions, **width)


def stroke5_rows(points: Tensor) -> Tensor:
    """Observed points as (B, P, 5), whether they came so or flattened to (B, P * 5)."""
    return points if points.ndim == 3 else points.reshape(len(points), points.shape[1] // POINT_DIM, POINT_DIM)


def true_lengths(points: Tensor) -> Tensor:
    """Number of points of each drawing without its padding (rows with p3 = 1), at least 1; (B,) int64."""
    return (points[..., 4] < 0.5).sum(dim=1).clamp(min=1)
