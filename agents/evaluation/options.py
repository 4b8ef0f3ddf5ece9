"""What a policy can end with, sketch by sketch: the outcomes that an evaluation chooses among.

In `SketchCanvas-v0` these are the canvases. In a cascade they are all the ways to look and to stop, of which the single
canvases come first: those make the hull, and the best of them is what every policy must beat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.hull import best_columns
from sketchcanvas_env.outcomes.table import OutcomeTable


@dataclass(frozen=True, eq=False)
class Options:
    """Outcomes of N sketches under each of M ways to be answered.

    Attributes:
        names: (M,) what to call them; a single canvas bears its side in pixels.
        n_fixed: how many of them, the first ones, are single canvases.
        ranks: (N, M) integers, rank of the true photo in the answer, from 1.
        flops: (M,) float64, FLOPs (2 x MAC) of the student, all looks together.
        costs: (M,) float64, what the reward charges for them, in FLOPs or milliseconds.
        rewards: (N, M) float64.
        photo_ids: (N,) true photo of each sketch.
        charge: what a FLOP of deciding takes from the reward where it is charged, see `charge_of`.
    """

    names: tuple[str, ...]
    n_fixed: int
    ranks: npt.NDArray[np.integer]
    flops: npt.NDArray[np.float64]
    costs: npt.NDArray[np.float64]
    rewards: npt.NDArray[np.float64]
    photo_ids: npt.NDArray[np.str_]
    charge: float

    @classmethod
    def of_table(
        cls,
        table: OutcomeTable,
        tradeoff: float = 0.2,
        rank_weight: float = 1.0,
        triplet_weight: float = 0.1,
        cost: str = "flops",
    ) -> Options:
        """The canvases of a table, nothing else.

        Args:
            table: outcomes of one split on the canvases on offer (`OutcomeTable.select`).
            tradeoff: weight of cost in the reward.
            rank_weight: weight of 1 / rank in it.
            triplet_weight: weight of the triplet loss in it.
            cost: what it charges, "flops" or "latency".

        Raises:
            ValueError: a weight out of its range, or latency that the table does not have.
        """
        return cls(
            names=tuple(str(side) for side in table.canvases.tolist()),
            n_fixed=table.n_canvases,
            ranks=table.ranks,
            flops=table.flops,
            costs=table.costs(cost),
            rewards=table.rewards(tradeoff, rank_weight, triplet_weight, cost),
            photo_ids=table.photo_ids,
            charge=charge_of(table, tradeoff, cost),
        )

    def of_rows(self, rows: npt.NDArray[np.bool_]) -> Options:
        """The options of some sketches, chosen by (N,) bool."""
        return replace(self, ranks=self.ranks[rows], rewards=self.rewards[rows], photo_ids=self.photo_ids[rows])

    def __len__(self) -> int:
        """Number of sketches, N."""
        return len(self.ranks)

    @cached_property
    def oracle(self) -> npt.NDArray[np.int64]:
        """(N,) the option with the highest reward of each sketch, the cheapest of equals."""
        return best_columns(self.rewards, self.costs)

    @cached_property
    def regret(self) -> npt.NDArray[np.float64]:
        """(N, M) reward of the oracle less that of the option."""
        return np.asarray(np.take_along_axis(self.rewards, self.oracle[:, None], axis=1) - self.rewards)

    def best_fixed(self) -> int:
        """The single canvas with the highest mean reward, the cheapest of equals."""
        means = self.rewards[:, : self.n_fixed].mean(axis=0)
        return int(best_columns(means, self.costs[: self.n_fixed]))

    def rewards_of(self, choice: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(N,) what one option for each sketch, (N,), earns."""
        return self.rewards[np.arange(len(self)), choice]

    def earned(self, choice: npt.NDArray[np.int64], thinking: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(N,) what one option for each sketch earns, less the charge for the FLOPs of deciding, (N,)."""
        return np.asarray(self.rewards_of(choice) - self.charge * thinking)

    def probabilities(self, choice: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """A policy as (N, M) probabilities.

        Args:
            choice: (N,) integer options, or (N, M) probabilities; (N, n_fixed) of those that toss between canvases.

        Raises:
            ValueError: another shape, options out of range, rows that are no probabilities.
        """
        array = np.asarray(choice)
        n, m = self.ranks.shape
        if array.shape == (n,) and array.dtype.kind in "iu":
            if n and (array.min() < 0 or array.max() >= m):
                raise ValueError(f"choices must lie in [0, {m}), the options are {', '.join(self.names)}")
            return np.asarray(np.eye(m)[array])
        if array.shape in ((n, m), (n, self.n_fixed)) and array.dtype.kind == "f":
            if not np.isfinite(array).all() or (array < 0).any() or not np.allclose(array.sum(axis=1), 1.0):
                raise ValueError("each row of probabilities must be finite, not negative, and add up to 1")
            return np.pad(array.astype(np.float64), ((0, 0), (0, m - array.shape[1])))
        raise ValueError(
            f"a policy on these outcomes is ({n},) integer choices or ({n}, {m}) probabilities, got {array.shape} "
            f"{array.dtype}"
        )


def charge_of(table: OutcomeTable, tradeoff: float, cost: str) -> float:
    """What a FLOP (2 x MAC) of deciding takes from the reward if it is charged like the student's.

    The environment's reward knows the student's cost only, so by it a selector might think for nothing. Where it
    charges milliseconds this is 0: no table says how many a selector takes.

    Args:
        table: outcomes on the canvases on offer.
        tradeoff: weight of cost in the reward.
        cost: what the reward charges, "flops" or "latency".
    """
    if cost != "flops":
        return 0.0
    # R_comp is proportional to cost.
    return float(-tradeoff * rules.compute_reward(table.flops)[0] / table.flops[0])
