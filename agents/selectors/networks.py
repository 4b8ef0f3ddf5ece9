"""Selector networks: from what is cheap to see of a sketch to one logit per canvas.

A selector is an encoder and a linear head. REINFORCE trains the whole; the SB3 agents take the encoder as
their features extractor and bring a linear head of their own, which is copied back afterwards: every
algorithm decides with the same network.

| name | looks at | how | FLOPs at 64 points, 4 canvases |
|---|---|---|---|
| `gru` | points | the paper's recurrent network, 128 units | 6.54 M |
| `transformer` | points | two blocks of attention, 32 wide | 3.17 M |
| `conv` | points | two convolutions along the strokes, 32 channels | 0.76 M |
| `stats` | statistics | a perceptron with two layers of 64 | 0.01 M |
| `linear` | statistics | the head alone | 0.0001 M |
| `looks` | statistics, earlier looks | a perceptron with two layers of 64; for cascades | 0.02 M a decision |

The smallest canvas, 32 px, costs the default student 13.1 M, and choosing it over 64 px saves 36.7 M: a selector that
costs much of that cannot pay for itself (`agents.studies.selector_latency` measures it, milliseconds too).

`PreferenceSelector` lets any of them choose at a tradeoff that it is told: one network for the whole front of accuracy
against cost.

Costs are counted as everywhere in the project: 2 x MAC of the matrix products, per sketch. Element-wise work
is left out. Products between activations (attention) are matrix products and count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.selectors.observation import check_told, observe
from sketchcanvas_env.outcomes.looks import look_feature_names
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.tasks.cascade_making import MAX_CANVASES

POINT_DIM = 5
"""Columns of a stroke-5 row: x, y, p1, p2, p3."""

BUCKET = 128
"""Rows that go through the GRU together. Short drawings share a bucket and skip the padding of the longest."""

MAX_SIZE = 4096
"""The most canvases, statistics or hidden units: far beyond use, and a damaged file cannot ask for all memory."""

HEAD_GAIN = 0.01
"""Gain of the head's orthogonal start: near-uniform choices at first, as in SB3's policies."""

KERNEL = 5
"""Points that a convolution sees at once."""

TYPICAL_POINTS = 64
"""Points of a usual drawing, which scale sums over points to about 1."""

HEADS = 4
"""Attention heads of each block of the transformer."""

BLOCKS = 2
"""Blocks of the transformer."""

WIDENING = 2
"""Width of a block's hidden layer over that of the block."""

PREFERENCE_WIDTH = 64
"""Units of the layer in which a tradeoff meets what was seen of the sketch. Our choice."""

SMALL_MARGIN = 0.01
"""Margins between first and second photo are seen as log(1 + margin / this): the small ones are those that matter."""

FORBIDDEN = -1e8
"""The logit of an action that is out of reach: below all others, finite so that its gradient is."""

SMALLEST_TRADEOFF = 1e-3
"""Tradeoffs well below this are all alike to the logarithm that a conditioned network sees."""

WAVELENGTH = 10_000.0
"""The longest wave of the transformer's positions, in points over 2 pi (Vaswani et al., 2017, section 3.5)."""


class Selector(nn.Module):
    """An encoder of observations with a linear head over the canvases.

    Attributes:
        name: the network's name in `SELECTORS`.
        reads: the parts of an observation that it looks at, of "points", "stats" and "tradeoff", in a cascade also of
            "looks" and "last".
        n_actions: number of canvases, K; in a cascade one more, for stopping.
        features_dim: width of what `encode` gives.
        n_stats: length of the statistics vector that it reads, F; None for a network that reads none.
    """

    name: str
    reads: tuple[str, ...]
    head: nn.Linear

    def __init__(self, n_actions: int, features_dim: int, n_stats: int | None = None) -> None:
        """Check the sizes; subclasses check their own, build their encoder and then call `_make_head`."""
        super().__init__()
        if not 1 <= n_actions <= MAX_SIZE:
            raise ValueError(f"a selector chooses from 1 to {MAX_SIZE} canvases, not {n_actions}")
        if n_stats is not None and not 1 <= n_stats <= MAX_SIZE:
            raise ValueError(f"selector {self.name!r} reads 1 to {MAX_SIZE} statistics, not {n_stats}")
        self.n_actions = n_actions
        self.features_dim = features_dim
        self.n_stats = n_stats

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
            obs: "points" (B, P * 5) or (B, P, 5) stroke-5 rows, "stats" (B, F) and "tradeoff" (B, 1), float32, as
                the environment gives them; a network reads its own part.
        """
        logits: Tensor = self.head(self.encode(obs))
        return logits

    @property
    def conditioned(self) -> bool:
        """Whether it is told the tradeoff at which to choose."""
        return "tradeoff" in self.reads

    def check_tradeoff(self, tradeoff: float | None) -> None:
        """Raise ValueError unless a conditioned network is given a tradeoff in [0, 1], and another one None."""
        check_told(self.conditioned, tradeoff)

    def observe(self, sketch: VectorSketch, max_points: int, tradeoff: float | None = None) -> dict[str, Tensor]:
        """What the environment would show of one sketch, as a batch of one, without the parts nobody reads.

        Args:
            sketch: the drawing.
            max_points: points that it is bounded to.
            tradeoff: at which a conditioned network is to choose, in [0, 1]; None for the others.

        Raises:
            ValueError: a tradeoff that is missing, not wanted or out of range.
        """
        return as_tensors(observe(self.reads, sketch, max_points, tradeoff))

    def flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """FLOPs (2 x MAC) of deciding about each sketch alone, (B,) float64; always above zero."""
        return self.encoder_flops(obs) + 2.0 * self.features_dim * self.n_actions

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """FLOPs (2 x MAC) of `encode` for each sketch alone, (B,) float64; the head's come on top."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """The keyword arguments of `create` that rebuild this network."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.head.weight.device


class GRUSelector(Selector):
    """The paper's selector: a one-layer GRU over the stroke-5 points, its last state, a linear head.

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
        super().__init__(n_actions, _checked_width(hidden))
        self.gru = nn.GRU(POINT_DIM, hidden, batch_first=True)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The GRU's state after each drawing's last point, (B, hidden)."""
        points = stroke5_rows(obs["points"])
        lengths = true_lengths(points)
        if len(points) == 1:
            return self._last_state(points, lengths)
        # Sorted by length and cut into buckets, each trimmed to its longest drawing: on a CPU the forward and
        # backward passes together are quicker than with packed sequences.
        order = torch.argsort(lengths, stable=True)
        states = [self._last_state(points[rows], lengths[rows]) for rows in torch.split(order, BUCKET)]
        return torch.cat(states)[torch.argsort(order)]

    def _last_state(self, points: Tensor, lengths: Tensor) -> Tensor:
        # No int(): an exported graph would have the length of the example that it was traced with.
        states, _ = self.gru(points[:, : lengths.max()].contiguous())
        last: Tensor = states[torch.arange(len(points), device=points.device), lengths - 1]
        return last

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """2 x 3 x hidden x (5 + hidden) for each point."""
        per_point = 2.0 * 3.0 * self.features_dim * (POINT_DIM + self.features_dim)
        return true_lengths(stroke5_rows(obs["points"])).double() * per_point

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {"name": self.name, "n_actions": self.n_actions, "hidden": self.features_dim}


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
        super().__init__(n_actions, _checked_width(hidden), n_stats)
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
        super().__init__(n_actions, _checked_width(hidden), n_stats)
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


class ConvSelector(Selector):
    """Two convolutions along the points with ReLU, pooled over the drawing's own points, a linear head.

    Pooled are the maximum (is there such a place?) and the sum over `TYPICAL_POINTS` (how many are there?): a mean
    would not tell a short drawing from a long one.
    """

    name = "conv"
    reads = ("points",)

    def __init__(self, n_actions: int, hidden: int = 32) -> None:
        """Random weights from torch's global generator.

        Args:
            n_actions: number of canvases, K.
            hidden: channels of each convolution.
        """
        super().__init__(n_actions, 2 * _checked_width(hidden))
        self.hidden = hidden
        self.first = nn.Conv1d(POINT_DIM, hidden, KERNEL, padding=KERNEL // 2)
        self.second = nn.Conv1d(hidden, hidden, KERNEL, padding=KERNEL // 2)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Maximum and scaled sum of each channel, (B, 2 * hidden)."""
        points, real = _trimmed(obs["points"])
        padding = ~real[:, None]
        # After every layer, too: its bias stands on padding, from where the next kernel would read it.
        x = points.transpose(1, 2).masked_fill(padding, 0.0)
        x = torch.relu(self.first(x)).masked_fill(padding, 0.0)
        x = torch.relu(self.second(x)).masked_fill(padding, 0.0)
        # Nothing is below zero, so the zeros on padding never are a maximum of their own.
        return torch.cat([x.amax(dim=2), x.sum(dim=2) / TYPICAL_POINTS], dim=1)

    def encoder_flops(self, obs: Mapping[str, Tensor]) -> Tensor:
        """2 x kernel x hidden x (5 + hidden) for each point."""
        per_point = 2.0 * KERNEL * self.hidden * (POINT_DIM + self.hidden)
        return true_lengths(stroke5_rows(obs["points"])).double() * per_point

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {"name": self.name, "n_actions": self.n_actions, "hidden": self.hidden}


class TransformerSelector(Selector):
    """`BLOCKS` blocks of attention over the points, their mean over the drawing's own points, a linear head.

    Vaswani et al., "Attention is all you need" (NeurIPS 2017, arXiv 1706.03762), encoder only, with sinusoidal
    positions (so that no length is out of reach) and the norms before the layers (Xiong et al., ICML 2020, arXiv
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
        super().__init__(n_actions, _checked_width(hidden))
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

    def settings(self) -> dict[str, Any]:
        """As `Selector.settings`."""
        return {"name": self.name, "n_actions": self.n_actions, "hidden": self.features_dim}


class _Block(nn.Module):
    """Attention and a two-layer perceptron, each on normed inputs and added to them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(width)
        # Queries, keys and values. No name of a weight may have "value" in it: TRPO takes such for the critic's.
        self.projections = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.before_layers = nn.LayerNorm(width)
        self.up = nn.Linear(width, WIDENING * width)
        self.down = nn.Linear(WIDENING * width, width)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """(B, P, width) from the same; `real` (B, P) bool says which points are no padding."""
        batch, length, width = x.shape
        apart = self.projections(self.before_attention(x)).reshape(batch, length, 3, HEADS, width // HEADS)
        queries, keys, values = apart.permute(2, 0, 3, 1, 4)
        seen = _attend(queries, keys, values, real)
        x = x + self.mixed(seen.transpose(1, 2).reshape(batch, length, width))
        added: Tensor = self.down(torch.relu(self.up(self.before_layers(x))))
        return x + added


def _attend(queries: Tensor, keys: Tensor, values: Tensor, real: Tensor) -> Tensor:
    """Every point looks at the drawing's own points, (B, HEADS, P, width / HEADS)."""
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=real[:, None, None])


def _positions(length: int, width: int, device: torch.device) -> Tensor:
    """Sines and cosines of each place, (length, width) float32."""
    waves = WAVELENGTH ** -(torch.arange(0, width, 2, device=device) / width)
    angles = torch.arange(length, device=device)[:, None] * waves
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class PreferenceSelector(Selector):
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
        super().__init__(inner.n_actions, PREFERENCE_WIDTH, inner.n_stats)
        self.name, self.reads = inner.name, (*inner.reads, "tradeoff")
        del inner.head
        self.inner = inner
        self.mix = nn.Linear(inner.features_dim + TRADEOFF_FEATURES, PREFERENCE_WIDTH)
        self._make_head()

    def encode(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Sketch and tradeoff together, (B, PREFERENCE_WIDTH)."""
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


SELECTORS: dict[str, type[Selector]] = {
    kind.name: kind for kind in (GRUSelector, StatsSelector, ConvSelector, TransformerSelector, LinearSelector)
}
"""Selector networks by name."""

CASCADE_SELECTORS: dict[str, type[Selector]] = {LooksSelector.name: LooksSelector}
"""Those that only a cascade shows enough, by name."""


def create(
    name: str,
    n_actions: int,
    n_stats: int | None = None,
    hidden: int | None = None,
    conditioned: bool = False,
    masked: bool = False,
) -> Selector:
    """Make a selector with random weights.

    Args:
        name: a key of `SELECTORS` or `CASCADE_SELECTORS`.
        n_actions: number of canvases, K; in a cascade one more, for stopping.
        n_stats: length of obs["stats"]; only networks that read it need it.
        hidden: width, None for the network's own default; "linear" has none.
        conditioned: make a `PreferenceSelector` of it, which is told the tradeoff.
        masked: see `LooksSelector`; other networks know nothing of it.

    Raises:
        ValueError: an unknown name (the message lists what exists), a size below 1, or a width that the network
            cannot have.
    """
    check_name(name)
    kind = {**SELECTORS, **CASCADE_SELECTORS}[name]
    sizes: dict[str, int] = {}
    if "stats" in kind.reads:
        if n_stats is None:
            raise ValueError(f"selector {name!r} needs n_stats, the length of obs['stats']")
        sizes["n_stats"] = n_stats
    if hidden is not None:
        if kind is LinearSelector:
            raise ValueError("selector 'linear' has no hidden units: leave hidden out")
        sizes["hidden"] = hidden
    if kind is LooksSelector:
        if conditioned:
            raise ValueError("selector 'looks' is for cascades, which have one tradeoff: it cannot be told one")
        return LooksSelector(n_actions, masked=masked, **sizes)
    plain = kind(n_actions, **sizes)
    return PreferenceSelector(plain) if conditioned else plain


def check_name(name: str) -> None:
    """Raise ValueError unless there is a network of that name; the message lists what exists."""
    names = sorted({*SELECTORS, *CASCADE_SELECTORS})
    if name not in names:
        raise ValueError(f"unknown selector {name!r}; there are {', '.join(names)}")


def check_reads(selector: Selector, cascade: bool) -> None:
    """Raise ValueError if a network reads what earlier looks showed where there are none: outside of cascades."""
    unseen = sorted({"last", "looks"} & set(selector.reads))
    if unseen and not cascade:
        raise ValueError(f"selector {selector.name!r} reads {', '.join(unseen)}, which only a cascade shows")


def as_tensors(obs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    """Observations as tensors that share the arrays' memory."""
    return {name: torch.from_numpy(array) for name, array in obs.items()}


def stroke5_rows(points: Tensor) -> Tensor:
    """Observed points as (B, P, 5), whether they came so or flattened to (B, P * 5)."""
    return points if points.ndim == 3 else points.reshape(len(points), points.shape[1] // POINT_DIM, POINT_DIM)


def true_lengths(points: Tensor) -> Tensor:
    """Number of points of each drawing without its padding (rows with p3 = 1), at least 1; (B,) int64."""
    return (points[..., 4] < 0.5).sum(dim=1).clamp(min=1)


def _trimmed(points: Tensor) -> tuple[Tensor, Tensor]:
    """Rows up to the end of the longest drawing, (B, P, 5), and which of them are no padding, (B, P) bool."""
    rows = stroke5_rows(points)
    lengths = true_lengths(rows)
    rows = rows[:, : lengths.max()]
    return rows, torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]


def _perceptron(inputs: int, hidden: int) -> nn.Sequential:
    """Two hidden layers of one width."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())


def _perceptron_flops(shape: tuple[int, ...], hidden: int) -> Tensor:
    """FLOPs (2 x MAC) of `_perceptron` for each of (B, inputs) rows of that shape, (B,) float64."""
    rows, inputs = shape
    return torch.full((rows,), 2.0 * hidden * (inputs + hidden), dtype=torch.float64)


def _checked_width(hidden: int) -> int:
    if not 1 <= hidden <= MAX_SIZE:
        raise ValueError(f"a selector has 1 to {MAX_SIZE} hidden units, not {hidden}")
    return hidden
