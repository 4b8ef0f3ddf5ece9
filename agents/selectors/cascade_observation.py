"""What a cascade is shown of one sketch and its looks so far, and what its answer means; without torch.

Networks of torch and exported ones are asked alike, so that what they are told and what they mean is said once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.selectors.choice import choose
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.looks import look_features
from sketchcanvas_env.sketches.sketch import VectorSketch


class Seen(Protocol):
    """What a cascade reads of a look: `SeenLook` has it, and so has `agents.search.answers.Look`."""

    @property
    def canvas(self) -> int:
        """Side in pixels."""

    @property
    def top(self) -> Sequence[Hashable]:
        """The nearest photos there, nearest first, by any names; the first `TOP` count."""

    @property
    def distances(self) -> Sequence[float]:
        """Their Euclidean distances, as many."""


@dataclass(frozen=True)
class SeenLook:
    """A look at a sketch that was taken.

    Attributes:
        canvas: side in pixels.
        top: the nearest photos there, nearest first, by any names.
        distances: their Euclidean distances, as many.
    """

    canvas: int
    top: Sequence[Hashable]
    distances: Sequence[float]


def observe_looks(
    canvases: Sequence[int], costs: Sequence[float], looks: Sequence[Seen]
) -> dict[str, NDArray[np.float32]]:
    """What the environment would show of the looks, as a batch of one.

    Args:
        canvases: (K,) sides on offer.
        costs: (K,) what a look at each costs, in any unit.
        looks: what was seen of the sketch so far, in order.

    Returns:
        "looks" (1, L), named in `sketchcanvas_env.outcomes.looks.look_feature_names`, and "last" (1, K), float32.

    Raises:
        ValueError: a look at a canvas that is not on offer, or two at one.
    """
    k = len(canvases)
    columns = [_column(canvases, look) for look in looks]
    if len(set(columns)) != len(columns):
        raise ValueError(f"a canvas was looked at twice: {[look.canvas for look in looks]}")
    top = np.full((1, k, TOP), -1, dtype=np.int64)
    distances = np.full((1, k, TOP), rules.MAX_DISTANCE)
    numbers: dict[Hashable, int] = {}
    for column, look in zip(columns, looks, strict=True):
        names = list(look.top)[:TOP]
        top[0, column, : len(names)] = [numbers.setdefault(name, len(numbers)) for name in names]
        distances[0, column, : len(names)] = list(look.distances)[:TOP]
    seen, last = np.zeros((1, k), dtype=np.bool_), np.zeros((1, k), dtype=np.float32)
    seen[0, columns] = True
    last[0, columns[-1:]] = 1.0
    return {"looks": look_features(top, distances, seen, costs), "last": last}


def _column(canvases: Sequence[int], look: Seen) -> int:
    if look.canvas not in canvases:
        raise ValueError(f"the selector knows the canvases {list(canvases)}, not {look.canvas}")
    return canvases.index(look.canvas)


def best_actions(logits: NDArray[np.floating], started: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The action with the highest score of each episode, (B,) int64; nothing is sampled.

    An episode begins with a look: stopping before it would leave no answer. Near-ties go to stopping, which costs
    nothing, then to the smaller canvas (`choice.choose`).

    Args:
        logits: (B, K + 1), of K canvases and of stopping.
        started: (B,) whether something was looked at.
    """
    by_cost = np.roll(logits, 1, axis=1)
    by_cost[~started, 0] = -np.inf
    actions: NDArray[np.int64] = (choose(by_cost) - 1) % logits.shape[1]
    return actions


def next_canvas(logits: NDArray[np.float32], canvases: Sequence[int], looks: Sequence[Seen]) -> int | None:
    """The side, in pixels, on which to look next, or None to stop: to ask for a canvas again is to stop.

    Args:
        logits: (K + 1,), after these looks.
        canvases: (K,) sides on offer.
        looks: taken so far.
    """
    [action] = best_actions(logits[None], np.array([len(looks) > 0]))
    asked = None if action == len(canvases) else canvases[action]
    return None if asked in [look.canvas for look in looks] else asked


class Cascade(ABC):
    """A selector that may look at a sketch several times, whatever computes its answers."""

    canvases: tuple[int, ...]

    @abstractmethod
    def logits(
        self, sketch: VectorSketch, tradeoff: float | None = None, looks: Sequence[Seen] = ()
    ) -> NDArray[np.float32]:
        """The network's answer after some looks, (K + 1,) float32, the last of stopping.

        Arguments and errors are those of a call and of `next`.
        """

    def __call__(self, sketch: VectorSketch, tradeoff: float | None = None) -> int:
        """The side, in pixels, on which to look first.

        Raises:
            ValueError: a tradeoff, which it cannot be told.
        """
        first = next_canvas(self.logits(sketch, tradeoff), self.canvases, ())
        assert first is not None  # nobody stops before the first look
        return first

    def next(self, sketch: VectorSketch, looks: Sequence[Seen]) -> int | None:
        """The side, in pixels, on which to look next, or None to stop.

        Args:
            sketch: the drawing.
            looks: what was seen of it so far, in order.

        Raises:
            ValueError: a look at a canvas that the selector does not know, or two at one.
        """
        return next_canvas(self.logits(sketch, None, looks), self.canvases, looks)


def checked_costs(costs: Any, n: int) -> tuple[float, ...]:
    """What a look at each canvas costs, out of a card.

    Raises:
        ValueError: not one finite number above zero for each of n canvases.
    """
    if not isinstance(costs, list) or len(costs) != n or not all(isinstance(one, int | float) for one in costs):
        raise ValueError(f"costs must be {n} numbers, one for each canvas")
    try:
        math.fsum(costs)  # shares are of what all canvases cost together
        rules.compute_reward(costs)
    except OverflowError:
        raise ValueError("costs are too large to be added up") from None
    return tuple(float(one) for one in costs)
