"""Rules for a cascade that need no training: look at a second canvas where the first look is doubtful.

What tells doubt is the margin of a look, the distance of the second photo minus that of the first, or its confidence,
the share of the nearest photo in a softmax over the gallery (`outcomes.confidence`). Where it is small, another canvas
may well rank another photo first. Canvases and threshold are chosen on `val`, never on the split that is reported: by
the mean return, or by acc@1 within a budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.tasks.cascade import CascadeTask

MARGIN, CONFIDENCE = "margin", "confidence"
"""What may tell doubt."""

BUDGET = 0.15
"""Share of the FLOPs of the largest canvas that the rule with a budget may cost in the mean: our choice."""


@dataclass(frozen=True)
class DoubtRule:
    """Look at one canvas and, if the look is doubtful, at another; the last look is the answer.

    Attributes:
        first: column of the first canvas.
        second: column of the other.
        below: signals below this lead to the second look: 0 never, infinity always.
        signal: `MARGIN` or `CONFIDENCE`.
        budget: share of the largest canvas's FLOPs within which it was chosen by acc@1; None if chosen by return.
    """

    first: int
    second: int
    below: float
    signal: str = MARGIN
    budget: float | None = None

    def nodes(self, cascade: CascadeTask) -> npt.NDArray[np.int64]:
        """The node at which each sketch of a split ends, (n,) int64."""
        stop, go_on = _ends(cascade, self.first, self.second)
        doubtful = signals(cascade, self.first, self.signal) < self.below
        chosen: npt.NDArray[np.int64] = np.where(doubtful, go_on, stop)
        return chosen

    def name(self, cascade: CascadeTask) -> str:
        """The rule's name: its canvases, its threshold if it has one, and its budget."""
        sides = cascade.task.canvases
        pair = f"{sides[self.first]}>{sides[self.second]}"
        name = f"always {pair}" if np.isinf(self.below) else f"{self.signal} {pair} (< {self.below:.3f})"
        return name if self.budget is None else f"{name}, at most {100 * self.budget:.0f} % of {sides[-1]}"


def signals(cascade: CascadeTask, column: int, signal: str = MARGIN) -> npt.NDArray[np.float32]:
    """Margin or confidence of a look at one canvas, (n,).

    Raises:
        ValueError: confidence of a cascade that was made without it.
    """
    if signal == MARGIN:
        return cascade.signals[:, cascade.look_names.index(f"margin_{cascade.task.canvases[column]}")]
    if cascade.sureness is None:
        raise ValueError("this cascade does not show confidence: make it with confidence=True")
    return cascade.sureness[:, cascade.confidence_names.index(f"confidence_{cascade.task.canvases[column]}")]


def best_rule(cascade: CascadeTask, signal: str = MARGIN, budget: float | None = None) -> DoubtRule:
    """The pair of canvases, the smaller first, and the threshold that do best.

    Args:
        cascade: the split to choose on; not the one that is reported.
        signal: what tells doubt.
        budget: highest acc@1 at a mean cost of at most this share of the largest canvas's FLOPs; None for the highest
            mean return at any cost.

    Raises:
        ValueError: fewer than two canvases, or a budget below the cheapest canvas.
    """
    pairs = list(combinations(range(cascade.n_canvases), 2))
    if not pairs:
        raise ValueError("a rule that looks again needs two canvases")
    limit = np.inf if budget is None else budget * float(cascade.task.flops[-1])
    if limit < cascade.task.flops[0]:
        raise ValueError(f"a budget of {budget} of the largest canvas is less than the smallest canvas costs")
    values = cascade.node_rewards if budget is None else (cascade.node_ranks == 1).astype(np.float64)
    found = [_best_threshold(cascade, first, second, signal, values, limit) for first, second in pairs]
    place = int(np.argmax([value for value, _ in found]))
    return DoubtRule(*pairs[place], found[place][1], signal, budget)


def _best_threshold(
    cascade: CascadeTask, first: int, second: int, signal: str, values: npt.NDArray[np.float64], limit: float
) -> tuple[float, float]:
    """Mean value and threshold of the best one whose mean FLOPs are within the limit; ties go to the lowest."""
    stop, go_on = _ends(cascade, first, second)
    seen = signals(cascade, first, signal).astype(np.float64)
    order = np.argsort(seen, kind="stable")
    # Entry i: the i most doubtful sketches are looked at again. Equal signals go together.
    gained = np.concatenate([[0.0], np.cumsum((values[:, go_on] - values[:, stop])[order])])
    edges = np.concatenate([[-np.inf], seen[order], [np.inf]])
    share = np.arange(len(seen) + 1) / len(seen)
    cost = cascade.node_flops[stop] + share * (cascade.node_flops[go_on] - cascade.node_flops[stop])
    possible = (edges[:-1] < edges[1:]) & (cost <= limit)
    if not possible.any():
        return -np.inf, 0.0
    place = int(np.argmax(np.where(possible, gained, -np.inf)))
    low, high = edges[place], edges[place + 1]
    below = 0.0 if place == 0 else float(high) if np.isinf(high) else float((low + high) / 2)
    return float(values[:, stop].mean() + gained[place] / len(seen)), below


def _ends(cascade: CascadeTask, first: int, second: int) -> npt.NDArray[np.int64]:
    """Nodes of the first look alone and of both looks, (2,)."""
    return cascade.node_of(np.array([1 << first, 1 << first | 1 << second]), np.array([first, second]))


def rules_of(val: CascadeTask, cascade: CascadeTask) -> dict[str, npt.NDArray[np.int64]]:
    """The rules chosen on `val`, as nodes of a split.

    These are the margin rule; the rule that always looks at both of its canvases; and, in a cascade that shows
    confidence, the confidence rule and the one with the budget `BUDGET`.

    Args:
        val: the split to choose on.
        cascade: the split to judge on.

    Returns:
        (n,) nodes by name; empty with a single canvas on offer.
    """
    if cascade.n_canvases < 2:
        return {}
    rule = best_rule(val)
    rules = [rule, DoubtRule(rule.first, rule.second, np.inf)]
    if val.sureness is not None:
        rules.append(best_rule(val, CONFIDENCE))
        if BUDGET * val.task.flops[-1] >= val.task.flops[0]:
            rules.append(best_rule(val, CONFIDENCE, BUDGET))
    return {one.name(cascade): one.nodes(cascade) for one in rules}
