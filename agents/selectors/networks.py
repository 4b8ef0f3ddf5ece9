"""The selector networks by name: from cheap observations of a sketch to one logit per canvas.

A selector is an encoder and a linear head. REINFORCE trains both; SB3's agents use the encoder as their features
extractor with a linear head of their own, which is copied back after training.

| name | looks at | how | FLOPs at 64 points, 4 canvases |
|---|---|---|---|
| `gru` | points | the paper's recurrent network, 128 units | 6.54 M |
| `transformer` | points | two blocks of attention, 32 wide | 3.17 M |
| `conv` | points | two convolutions along the strokes, 32 channels | 0.76 M |
| `stats` | statistics | a perceptron with two layers of 256 | 0.14 M |
| `thumb` | statistics, thumbnail | a perceptron with two layers of 256 | 0.27 M |
| `clusters` | thumbnail | nearness to 256 typical thumbnails, and the head: what bandits learn | 0.13 M |
| `linear` | statistics | the head alone | 0.0001 M |
| `looks` | statistics, earlier looks | a perceptron with two layers of 64; for cascades | 0.02 M a decision |

The default student spends 13.1 M on the smallest canvas, 32 px, and choosing it over 64 px saves 36.7 M: a selector
must cost well below that (`agents.studies.selector_latency` measures FLOPs and milliseconds).

`ConditionedSelector` makes any of them take the tradeoff as an input.

FLOPs are 2 x MAC of the matrix products, per sketch, products between activations (attention) included; element-wise
work is not counted.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

from agents.selectors.base import Selector
from agents.selectors.conditioned import ConditionedSelector
from agents.selectors.perceptrons import ClusterSelector, LinearSelector, LooksSelector, StatsSelector, ThumbSelector
from agents.selectors.points import ConvSelector, GRUSelector, TransformerSelector

SELECTORS: dict[str, type[Selector]] = {
    kind.name: kind
    for kind in (
        GRUSelector,
        StatsSelector,
        ThumbSelector,
        ClusterSelector,
        ConvSelector,
        TransformerSelector,
        LinearSelector,
    )
}
"""Selector networks by name."""

CASCADE_SELECTORS: dict[str, type[Selector]] = {LooksSelector.name: LooksSelector}
"""Networks that read earlier looks, which only cascades show, by name."""


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
        hidden: width, None for the network's default; "linear" has none.
        conditioned: make a `ConditionedSelector` of it, which takes the tradeoff as an input.
        masked: see `LooksSelector`; ignored by other networks.
        standardised: see `StatsSelector`; ignored by other networks.

    Raises:
        ValueError: an unknown name (the message lists them), a size below 1, or a width that the network cannot
            have.
    """
    check_name(name)
    kind = {**SELECTORS, **CASCADE_SELECTORS}[name]
    takes = signature(kind).parameters
    if "n_stats" in takes and n_stats is None:
        raise ValueError(f"selector {name!r} needs n_stats, the length of obs['stats']")
    if "hidden" not in takes and hidden is not None:
        raise ValueError(f"selector {name!r} has no hidden units: leave hidden out")
    if conditioned and name in CASCADE_SELECTORS:
        raise ValueError(f"selector {name!r} is for cascades, which have one tradeoff: it cannot be told one")
    asked: dict[str, Any] = {"n_stats": n_stats, "hidden": hidden, "masked": masked, "standardised": standardised}
    plain: Selector = kind(n_actions, **{one: asked[one] for one in takes if asked.get(one) is not None})
    return ConditionedSelector(plain) if conditioned else plain


def check_name(name: str) -> None:
    """Raise ValueError, which lists the names, unless there is a network of that name."""
    names = sorted({*SELECTORS, *CASCADE_SELECTORS})
    if name not in names:
        raise ValueError(f"unknown selector {name!r}; there are {', '.join(names)}")


def check_reads(selector: Selector, cascade: bool) -> None:
    """Raise ValueError if a network reads earlier looks outside of a cascade."""
    unseen = sorted({"last", "looks"} & set(selector.reads))
    if unseen and not cascade:
        raise ValueError(f"selector {selector.name!r} reads {', '.join(unseen)}, which only a cascade shows")
