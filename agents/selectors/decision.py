"""From scores to actions, and selectors that are called with one sketch. Needs no torch.

Evaluation, search and exported graphs all choose by `choose`. Saved networks (`agents.store.saved`) and exported ones
(`agents.onnx.selector`) differ only in what computes the scores; the rest is here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from agents.selectors.observation import Seen, check_tradeoff, counted_points, observe, observe_looks
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.sketches.sketch import VectorSketch

NEAR_TIE = 1e-5
"""Scores less than this below the highest count as equal to it.

Networks are computed in float32, where processors differ by about 1e-6; without a margin they would choose differently
between equal scores.
"""


def choose(scores: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The action with the highest score; near-ties go to the cheaper one.

    Args:
        scores: (..., A) logits or values of actions in order of cost, cheapest first; -inf for one that is not allowed.

    Returns:
        (...) int64: the first action whose score lies within `NEAR_TIE` of the highest.
    """
    table = np.asarray(scores, dtype=np.float64)
    return np.asarray((table >= table.max(axis=-1, keepdims=True) - NEAR_TIE).argmax(axis=-1), dtype=np.int64)


def best_actions(logits: npt.NDArray[np.floating], started: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The action with the highest score of each episode of a cascade, (B,) int64.

    Stopping is not allowed before the first look. Near-ties go to stopping, which costs nothing, then to the smaller
    canvas.

    Args:
        logits: (B, K + 1), of K canvases and of stopping.
        started: (B,) whether a look was taken.
    """
    by_cost = np.roll(logits, 1, axis=1)
    by_cost[~started, 0] = -np.inf
    actions: npt.NDArray[np.int64] = (choose(by_cost) - 1) % logits.shape[1]
    return actions


class SketchSelector(ABC):
    """Chooses a canvas for one sketch.

    One that was trained with preferences is called with a tradeoff beside the sketch.

    Attributes:
        canvases: sides to choose from, pixels, rising.
        max_points: points that a sketch is simplified to before the network sees it.
    """

    looks_again: ClassVar[bool] = False  # whether it may look at a sketch several times

    canvases: tuple[int, ...]
    max_points: int

    @property
    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """The parts of an observation that the network looks at."""

    @abstractmethod
    def scores(self, obs: Mapping[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """The network's logits for a batch of one observation, (K,); in a cascade (K + 1,), the last for stopping."""

    @abstractmethod
    def flops(self, n_points: int) -> float:
        """FLOPs (2 x MAC) of one decision about a drawing with `n_points` points, 1 to `max_points`."""

    def __call__(self, sketch: VectorSketch, tradeoff: float | None = None) -> int:
        """The side, in pixels, on which to draw a sketch; in a cascade the first one.

        Args:
            sketch: the drawing.
            tradeoff: weight of cost against accuracy in [0, 1], for a selector trained with preferences only.

        Raises:
            ValueError: a tradeoff that is missing, not wanted or out of range.
        """
        return self.canvases[int(choose(self.logits(sketch, tradeoff)))]

    def logits(self, sketch: VectorSketch, tradeoff: float | None = None) -> npt.NDArray[np.float32]:
        """The network's logits of each canvas, (K,); arguments and errors as a call."""
        return self.scores(observe(self.reads, sketch, self.max_points, tradeoff))

    def gflops(self, sketch: VectorSketch, tradeoff: float | None = None) -> float:
        """GFLOPs (2 x MAC) of one decision about a sketch; arguments and errors as a call."""
        check_tradeoff("tradeoff" in self.reads, tradeoff)
        return self.flops(counted_points(self.reads, sketch, self.max_points)) / 1e9


class SketchCascade(SketchSelector):
    """Chooses several canvases for one sketch, one look after the other.

    Call `next` with the looks so far until it returns None.

    Attributes:
        costs: cost of a look at each canvas, in FLOPs or milliseconds, as in training.
    """

    looks_again = True

    costs: tuple[float, ...]

    @property
    @abstractmethod
    def ranking(self) -> str:
        """Which ranking is the answer: "last", of the last look, or "fused", of all looks together."""

    def __call__(self, sketch: VectorSketch, tradeoff: float | None = None) -> int:
        """As `SketchSelector.__call__`; a cascade takes no tradeoff."""
        return self.canvases[int(best_actions(self.logits(sketch, tradeoff)[None], np.array([False]))[0])]

    def logits(
        self, sketch: VectorSketch, tradeoff: float | None = None, looks: Sequence[Seen] = ()
    ) -> npt.NDArray[np.float32]:
        """The network's logits after some looks, (K + 1,), the last for stopping; errors as a call and `next`."""
        parts = observe(self.reads, sketch, self.max_points, tradeoff)
        seen = observe_looks(self.canvases, self.costs, looks)
        return self.scores({**parts, **{name: part for name, part in seen.items() if name in self.reads}})

    def next(self, sketch: VectorSketch, looks: Sequence[Seen]) -> int | None:
        """The side, in pixels, on which to look next, or None to stop; asking for a canvas again is stopping.

        Args:
            sketch: the drawing.
            looks: taken so far, in order.

        Raises:
            ValueError: a look at a canvas that the selector does not know, or two looks at one canvas.
        """
        [action] = best_actions(self.logits(sketch, None, looks)[None], np.array([len(looks) > 0]))
        asked = None if action == len(self.canvases) else self.canvases[action]
        return None if asked in [look.canvas for look in looks] else asked


def checked_costs(costs: Any, n: int) -> tuple[float, ...]:
    """The costs of looks on a card, as floats.

    Raises:
        ValueError: not one finite number above zero for each of n canvases.
    """
    if not isinstance(costs, list) or len(costs) != n or not all(isinstance(one, int | float) for one in costs):
        raise ValueError(f"costs must be {n} numbers, one for each canvas")
    try:
        math.fsum(costs)  # shares are of the sum over all canvases
        rules.compute_reward(costs)
    except OverflowError:
        raise ValueError("costs are too large to be added up") from None
    return tuple(float(one) for one in costs)
