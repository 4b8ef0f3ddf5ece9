"""The selector networks by name: from what is cheap to see of a sketch to one logit per canvas.

A selector is an encoder and a linear head. REINFORCE trains the whole; the SB3 agents take the encoder as
their features extractor and bring a linear head of their own, which is copied back afterwards: every
algorithm decides with the same network.

| name | looks at | how | FLOPs at 64 points, 4 canvases |
|---|---|---|---|
| `gru` | points | the paper's recurrent network, 128 units | 6.54 M |
| `transformer` | points | two blocks of attention, 32 wide | 3.17 M |
| `conv` | points | two convolutions along the strokes, 32 channels | 0.76 M |
| `stats` | statistics | a perceptron with two layers of 256 | 0.14 M |
| `thumb` | statistics, thumbnail | a perceptron with two layers of 256 | 0.27 M |
| `linear` | statistics | the head alone | 0.0001 M |
| `looks` | statistics, earlier looks | a perceptron with two layers of 64; for cascades | 0.02 M a decision |

The smallest canvas, 32 px, costs the default student 13.1 M, and choosing it over 64 px saves 36.7 M: a selector that
costs much of that cannot pay for itself (`agents.studies.selector_latency` measures it, milliseconds too).

`ConditionedSelector` lets any of them choose at a tradeoff that it is told: one network for the whole front of accuracy
against cost.

Costs are counted as everywhere in the project: 2 x MAC of the matrix products, per sketch. Element-wise work
is left out. Products between activations (attention) are matrix products and count.
"""

from __future__ import annotations

from agents.selectors.base import Selector
from agents.selectors.conditioned import ConditionedSelector
from agents.selectors.perceptrons import LinearSelector, LooksSelector, StatsSelector, ThumbSelector
from agents.selectors.points import ConvSelector, GRUSelector, TransformerSelector

SELECTORS: dict[str, type[Selector]] = {
    kind.name: kind
    for kind in (GRUSelector, StatsSelector, ThumbSelector, ConvSelector, TransformerSelector, LinearSelector)
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
    standardised: bool = False,
) -> Selector:
    """Make a selector with random weights.

    Args:
        name: a key of `SELECTORS` or `CASCADE_SELECTORS`.
        n_actions: number of canvases, K; in a cascade one more, for stopping.
        n_stats: length of obs["stats"]; only networks that read it need it.
        hidden: width, None for the network's own default; "linear" has none.
        conditioned: make a `ConditionedSelector` of it, which is told the tradeoff.
        masked: see `LooksSelector`; other networks know nothing of it.
        standardised: see `StatsSelector`; other networks know nothing of it.

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
    if kind is StatsSelector:
        plain: Selector = StatsSelector(n_actions, standardised=standardised, **sizes)
    else:
        plain = kind(n_actions, **sizes)
    return ConditionedSelector(plain) if conditioned else plain


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
