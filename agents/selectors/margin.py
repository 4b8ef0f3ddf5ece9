"""Rules for a cascade that need no training: look at a second canvas where the margin at the first is small.

The margin of a look is the distance of the second photo minus that of the first. Where it is small, another canvas may
well rank another photo first. The threshold is the one with the highest mean return on `val`, never on the split that
is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.tasks.cascade import CascadeTask


@dataclass(frozen=True)
class MarginRule:
    """Look at one canvas and, if the margin there is below a threshold, at another; the last look is the answer.

    Attributes:
        first: column of the first canvas.
        second: column of the other.
        below: margins below this lead to the second look: 0 never, infinity always.
    """

    first: int
    second: int
    below: float

    def nodes(self, cascade: CascadeTask) -> npt.NDArray[np.int64]:
        """The node at which each sketch of a split ends, (n,) int64."""
        stop, go_on = _ends(cascade, self.first, self.second)
        chosen: npt.NDArray[np.int64] = np.where(margins(cascade, self.first) < self.below, go_on, stop)
        return chosen

    def name(self, cascade: CascadeTask) -> str:
        """The rule's name: its canvases, and its threshold if it has one."""
        pair = f"{cascade.task.canvases[self.first]}>{cascade.task.canvases[self.second]}"
        return f"always {pair}" if np.isinf(self.below) else f"margin {pair} (< {self.below:.3f})"


def margins(cascade: CascadeTask, column: int) -> npt.NDArray[np.float32]:
    """Distance of the second photo minus that of the first at a look at one canvas, (n,)."""
    place = cascade.look_names.index(f"margin_{cascade.task.canvases[column]}")
    return cascade.signals[:, place]


def best_rule(cascade: CascadeTask) -> MarginRule:
    """The pair of canvases, the smaller first, and the threshold with the highest mean return.

    Args:
        cascade: the split to choose on; not the one that is reported.

    Raises:
        ValueError: fewer than two canvases.
    """
    pairs = list(combinations(range(cascade.n_canvases), 2))
    if not pairs:
        raise ValueError("a margin rule needs two canvases")
    return max((_best_threshold(cascade, *pair) for pair in pairs), key=lambda found: found[0])[1]


def _best_threshold(cascade: CascadeTask, first: int, second: int) -> tuple[float, MarginRule]:
    """Mean return and rule of the best threshold; ties go to the lowest."""
    stop, go_on = (cascade.node_rewards[:, node] for node in _ends(cascade, first, second))
    seen = margins(cascade, first).astype(np.float64)
    order = np.argsort(seen, kind="stable")
    # Entry i: the i smallest margins are looked at again. Equal margins go together.
    gained = np.concatenate([[0.0], np.cumsum((go_on - stop)[order])])
    edges = np.concatenate([[-np.inf], seen[order], [np.inf]])
    possible = edges[:-1] < edges[1:]
    place = int(np.argmax(np.where(possible, gained, -np.inf)))
    low, high = edges[place], edges[place + 1]
    below = 0.0 if place == 0 else float(high) if np.isinf(high) else float((low + high) / 2)
    return float((stop.sum() + gained[place]) / len(seen)), MarginRule(first, second, below)


def _ends(cascade: CascadeTask, first: int, second: int) -> npt.NDArray[np.int64]:
    """Nodes of the first look alone and of both looks, (2,)."""
    return cascade.node_of(np.array([1 << first, 1 << first | 1 << second]), np.array([first, second]))


def rules_of(val: CascadeTask, cascade: CascadeTask) -> dict[str, npt.NDArray[np.int64]]:
    """The margin rule chosen on `val`, and the rule that always looks at both of its canvases, as nodes of a split.

    Args:
        val: the split to choose on.
        cascade: the split to judge on.

    Returns:
        (n,) nodes by name; empty with a single canvas on offer.
    """
    if cascade.n_canvases < 2:
        return {}
    rule = best_rule(val)
    always = MarginRule(rule.first, rule.second, np.inf)
    return {one.name(cascade): one.nodes(cascade) for one in (rule, always)}
