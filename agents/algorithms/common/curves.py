"""Learning curves: what a selector earns on a split, exactly, after so many steps and so many seconds of training.

Evaluating costs time that an algorithm should not be charged for: the clock of a curve stands still meanwhile.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np

from agents.evaluation.evaluate import GIGA
from agents.evaluation.setting import EnvConfig
from agents.selectors.base import Selector

SPLIT = "val"
"""Curves are for looking at while choosing: never of the split that is reported."""


@dataclass(frozen=True)
class CurvePoint:
    """A selector in the middle of its training, evaluated on every sketch of `SPLIT`; nothing is sampled.

    Attributes:
        steps: environment steps so far.
        seconds: wall-clock seconds of training so far, evaluations left out.
        reward: mean reward of the environment.
        acc1: share of sketches whose true photo comes first, in [0, 1].
        gflops: mean GFLOPs (2 x MAC) per query, selector included.
    """

    steps: int
    seconds: float
    reward: float
    acc1: float
    gflops: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)


class Curve:
    """Records one run.

    An algorithm calls `start` when training begins and, after every update, `add` if `due`.

    Attributes:
        points: what was recorded.
        spent: seconds that evaluating took.
    """

    def __init__(self, env: EnvConfig, every: int) -> None:
        """Make ready to record.

        Args:
            env: where the selector learns; it is evaluated on its split `SPLIT`, with preferences at their middle.
            every: steps between two points, at least 1. A point comes with the first update that reaches a multiple.
        """
        if every < 1:
            raise ValueError(f"a learning curve needs at least 1 step between two points, got {every}")
        self.points: list[CurvePoint] = []
        self.spent = 0.0
        self._every = every
        # One number a point: a selector for many tradeoffs is looked at in the middle of them.
        self._env = env if env.preferences is None else env.at(sum(env.preferences) / 2)
        self._options = self._env.options(SPLIT)
        self._next = every
        self._clock = perf_counter()

    def start(self, steps: int = 0) -> None:
        """Start the clock; a resumed run has done `steps` before."""
        self._next = (steps // self._every + 1) * self._every
        self._clock = perf_counter()

    def due(self, steps: int) -> bool:
        """Whether a point belongs after so many steps."""
        return steps >= self._next

    def add(self, steps: int, selector: Selector) -> None:
        """Evaluate the selector as it is now; its mode (training or not) is put back."""
        now = perf_counter()
        options, training = self._options, selector.training
        chosen, thinking = self._env.decide(selector.eval(), SPLIT)
        selector.train(training)
        self.points.append(
            CurvePoint(
                steps=steps,
                seconds=now - self._clock,
                reward=float(options.rewards_of(chosen).mean()),
                acc1=float((options.ranks[np.arange(len(chosen)), chosen] == 1).mean()),
                gflops=float((options.flops[chosen] + thinking).mean()) / GIGA,
            )
        )
        self._next = (steps // self._every + 1) * self._every
        taken = perf_counter() - now
        self.spent += taken
        self._clock += taken
