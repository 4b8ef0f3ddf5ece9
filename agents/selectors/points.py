"""Networks that read the strokes point by point: recurrent, convolutional and with attention."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.selectors.base import Selector
from agents.selectors.observation import POINT_DIM

BUCKET = 128
"""Drawings that go through the GRU together, sorted by length: short ones are not padded to the longest of all."""

KERNEL = 5
"""Points that a convolution sees at once."""

TYPICAL_POINTS = 64
"""Points of a typical drawing; divides sums over points, so that they are about 1."""

HEADS = 4
"""Attention heads of each block of the transformer."""

BLOCKS = 2
"""Blocks of the transformer."""

WIDENING = 2
"""Width of a block's hidden layer over that of the block."""

WAVELENGTH = 10_000.0
"""Longest wavelength of the positional encoding, in points over 2 pi (Vaswani et al., 2017, section 3.5)."""


class GRUSelector(Selector):
    """The paper's selector: a one-layer GRU over the stroke-5 points, its last state, and a linear head.

    Sain et al., "Sketch Down the FLOPs" (CVPR 2025, arXiv 2505.23763), with about 128 units.
    """

    name = "gru"
    reads = ("points",)

    def __init__(self, n_actions: int, hidden: int = 128) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            hidden: units of the GRU.
        """
        super().__init__(n_actions, hidden, hidden=hidden)
        self.gru = nn.GRU(POINT_DIM, hidden, batch_first=True)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The GRU's state after each drawing's last point, (B, hidden)."""
        points = stroke5_rows(obs["points"])
        lengths = true_lengths(points)
        if len(points) == 1:
            return self._last_state(points, lengths)
        # Buckets of similar length: on a CPU forward and backward passes are faster than with packed sequences.
        order = torch.argsort(lengths, stable=True)
        states = [self._last_state(points[rows], lengths[rows]) for rows in torch.split(order, BUCKET)]
        return torch.cat(states)[torch.argsort(order)]

    def _last_state(self, points: Tensor, lengths: Tensor) -> Tensor:
        # No int(): an exported graph would keep the length of the example that it was traced with.
        states, _ = self.gru(points[:, : lengths.max()].contiguous())
        last: Tensor = states[torch.arange(len(points), device=points.device), lengths - 1]
        return last

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """2 x 3 x hidden x (5 + hidden) for each point."""
        per_point = 2.0 * 3.0 * self.features_dim * (POINT_DIM + self.features_dim)
        return true_lengths(stroke5_rows(obs["points"])).double() * per_point


class ConvSelector(Selector):
    """Two convolutions along the points with ReLU, pooled over the drawing's own points, a linear head.

    The maximum says whether a pattern occurs, the sum over points how often; a mean would not tell a short drawing
    from a long one.
    """

    name = "conv"
    reads = ("points",)

    def __init__(self, n_actions: int, hidden: int = 32) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            hidden: channels of each convolution.
        """
        super().__init__(n_actions, 2 * hidden, hidden=hidden)
        self.first = nn.Conv1d(POINT_DIM, hidden, KERNEL, padding=KERNEL // 2)
        self.second = nn.Conv1d(hidden, hidden, KERNEL, padding=KERNEL // 2)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Maximum and scaled sum of each channel, (B, 2 * hidden)."""
        points, real = _trimmed(obs["points"])
        padding = ~real[:, None]
        # Mask after every layer: its bias makes padding nonzero, and the next kernel would read that.
        x = points.transpose(1, 2).masked_fill(padding, 0.0)
        x = torch.relu(self.first(x)).masked_fill(padding, 0.0)
        x = torch.relu(self.second(x)).masked_fill(padding, 0.0)
        # After ReLU nothing is below zero, so the zeros on padding never raise a maximum.
        return torch.cat([x.amax(dim=2), x.sum(dim=2) / TYPICAL_POINTS], dim=1)

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """2 x kernel x hidden x (5 + hidden) for each point."""
        per_point = KERNEL * self.features_dim * (POINT_DIM + self.features_dim / 2)
        return true_lengths(stroke5_rows(obs["points"])).double() * per_point


class TransformerSelector(Selector):
    """`BLOCKS` blocks of attention over the points, their mean over the drawing's own points, a linear head.

    Vaswani et al., "Attention is all you need" (NeurIPS 2017, arXiv 1706.03762), encoder only, with sinusoidal
    positions, which need no maximum length, and the norms before the layers (Xiong et al., ICML 2020, arXiv
    2002.04745), which trains without a warm-up.
    """

    name = "transformer"
    reads = ("points",)

    def __init__(self, n_actions: int, hidden: int = 32) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            hidden: width, a multiple of `HEADS`.
        """
        super().__init__(n_actions, hidden, hidden=hidden)
        if hidden % HEADS:
            raise ValueError(f"the width of a transformer must be a multiple of its {HEADS} heads, not {hidden}")
        self.embed = nn.Linear(POINT_DIM, hidden)
        self.blocks = nn.ModuleList(_Block(hidden) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(hidden)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The mean over each drawing's points, (B, hidden)."""
        points, real = _trimmed(obs["points"])
        x = self.embed(points) + _positions(points.shape[1], self.features_dim, points.device)
        for block in self.blocks:
            x = block(x, real)
        total: Tensor = self.norm(x).masked_fill(~real[..., None], 0.0).sum(dim=1)
        return total / real.sum(dim=1, keepdim=True)

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Linear layers and attention products, (B,) float64.

        For each point 2 x 5 x hidden and, in each block, 2 x (4 + 2 x `WIDENING`) x hidden^2; for each of the P x P
        pairs of points 2 x 2 x hidden in each block (queries by keys, weights by values).
        """
        n, d = true_lengths(stroke5_rows(obs["points"])).double(), self.features_dim
        per_point = 2.0 * POINT_DIM * d + BLOCKS * 2.0 * (4 + 2 * WIDENING) * d**2
        per_pair = BLOCKS * 2.0 * 2.0 * d
        return n * per_point + n.square() * per_pair


class _Block(nn.Module):
    """Attention and a two-layer perceptron, each on normed inputs and added to them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(width)
        # Queries, keys and values. TRPO of sb3-contrib takes weights with "value" in their name for the critic's.
        self.projections = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.before_layers = nn.LayerNorm(width)
        self.up = nn.Linear(width, WIDENING * width)
        self.down = nn.Linear(WIDENING * width, width)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """(B, P, width) from the same shape; `real` (B, P) bool is False on padding."""
        batch, length, width = x.shape
        apart = self.projections(self.before_attention(x)).reshape(batch, length, 3, HEADS, width // HEADS)
        queries, keys, values = apart.permute(2, 0, 3, 1, 4)
        seen = _attend(queries, keys, values, real)
        x = x + self.mixed(seen.transpose(1, 2).reshape(batch, length, width))
        added: Tensor = self.down(torch.relu(self.up(self.before_layers(x))))
        return x + added


def _attend(queries: Tensor, keys: Tensor, values: Tensor, real: Tensor) -> Tensor:
    """Attention over the drawing's own points, (B, HEADS, P, width / HEADS)."""
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=real[:, None, None])


def _positions(length: int, width: int, device: torch.device) -> Tensor:
    """Sines and cosines of each place, (length, width) float32."""
    waves = WAVELENGTH ** -(torch.arange(0, width, 2, device=device) / width)
    angles = torch.arange(length, device=device)[:, None] * waves
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def stroke5_rows(points: Tensor) -> Tensor:
    """Observed points as (B, P, 5), from that shape or from (B, P * 5)."""
    return points if points.ndim == 3 else points.reshape(len(points), points.shape[1] // POINT_DIM, POINT_DIM)


def true_lengths(points: Tensor) -> Tensor:
    """Number of points of each drawing without its padding (rows with p3 = 1), at least 1; (B,) int64."""
    return (points[..., 4] < 0.5).sum(dim=1).clamp(min=1)


def _trimmed(points: Tensor) -> tuple[Tensor, Tensor]:
    """Points up to the end of the longest drawing, (B, P, 5), and a mask that is False on padding, (B, P) bool."""
    rows = stroke5_rows(points)
    lengths = true_lengths(rows)
    rows = rows[:, : lengths.max()]
    return rows, torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
