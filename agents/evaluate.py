"""Exact evaluation: every sketch of a split, each choice looked up, nothing sampled.

What is charged where:

* FLOPs and hull gain charge the selector's own FLOPs on top of the student's, always: they are in GFLOPs
  whatever the reward charges, and so are the hull, the front and the plots of a comparison. The hull's coin toss
  looks at nothing and costs nothing.
* Reward, regret and gap closed are the environment's: its reward knows the student's cost only, in FLOPs or in
  milliseconds (`cost`). So do the oracle and the best fixed canvas, which go by reward.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agents import statistics
from agents.statistics import Interval
from sketchcanvas_env.table import OutcomeTable

GIGA = 1e9


@dataclass(frozen=True)
class Evaluation:
    """How a policy does on a split. Accuracies and shares lie in [0, 1]; intervals are 95 % over photos.

    Attributes:
        n_sketches: sketches evaluated.
        n_photos: photos they belong to, the units of the bootstrap.
        acc1: share of sketches whose true photo comes first.
        acc1_interval: its interval.
        acc5: share with the true photo among the first five.
        acc10: share with it among the first ten.
        mrr: mean of 1 / rank.
        gflops: mean GFLOPs (2 x MAC) per query, selector included.
        student_gflops: the student's part.
        selector_gflops: the selector's part.
        share: share of the sketches that each canvas gets, by side in pixels.
        reward: mean reward of the environment.
        regret: mean of oracle reward - reward, >= 0.
        gap_closed: 0 at the best fixed canvas (chosen on this very split), 1 at the oracle; nan if those are
            the same.
        gap_closed_interval: its interval, the best fixed canvas chosen anew in each resample.
        hull_gain: acc@1 above the hull of the fixed canvases at the same mean FLOPs, selector included.
        hull_gain_interval: its interval, the hull built anew in each resample.
        hull_gain_p: p-value of "it lies on the hull", two-sided, not corrected for other comparisons.
    """

    n_sketches: int
    n_photos: int
    acc1: float
    acc1_interval: Interval
    acc5: float
    acc10: float
    mrr: float
    gflops: float
    student_gflops: float
    selector_gflops: float
    share: dict[int, float]
    reward: float
    regret: float
    gap_closed: float
    gap_closed_interval: Interval
    hull_gain: float
    hull_gain_interval: Interval
    hull_gain_p: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values; nan becomes None, which JSON can say."""
        fields = asdict(self)
        fields["share"] = {str(side): part for side, part in self.share.items()}
        return {name: _jsonable(value) for name, value in fields.items()}


def evaluate(
    table: OutcomeTable,
    choice: npt.ArrayLike,
    *,
    tradeoff: float = 0.2,
    rank_weight: float = 1.0,
    triplet_weight: float = 0.1,
    cost: str = "flops",
    selector_flops: npt.ArrayLike = 0.0,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a policy on all rows of a table.

    Args:
        table: outcomes of one split on the canvases on offer (`OutcomeTable.select`).
        choice: (N,) column chosen for each sketch, or (N, K) probability of each column (several seeds
            averaged, a random policy).
        tradeoff: weight of cost in the reward.
        rank_weight: weight of 1 / rank in the reward.
        triplet_weight: weight of the triplet loss in the reward.
        cost: what the reward charges, "flops" or "latency" (`OutcomeTable.costs`).
        selector_flops: FLOPs (2 x MAC) of deciding, one number or (N,).
        resamples: bootstrap resamples for the intervals.
        seed: of the bootstrap; policies evaluated with one seed on one split are paired.

    Returns:
        Exact means with intervals.

    Raises:
        ValueError: choices or costs that do not fit the table, or latency that it does not have.
    """
    probabilities = as_probabilities(table, choice)
    thinking = _check_cost(selector_flops, len(table))
    rewards = table.rewards(tradeoff, rank_weight, triplet_weight, cost)
    right = (table.ranks == 1).astype(np.float64)
    n = table.n_canvases
    # One column for each mean that an interval needs; a resample averages them all at once.
    columns = np.column_stack(
        [
            (probabilities * right).sum(axis=1),
            probabilities @ table.flops + thinking,
            (probabilities * rewards).sum(axis=1),
            rewards.max(axis=1),
            right,
            rewards,
        ]
    )
    derived = _derive(columns.mean(axis=0)[None], table.flops, n)
    sampled = _derive(statistics.resampled_means(columns, table.photo_ids, resamples, seed), table.flops, n)
    acc1, flops, reward, best = (float(column.mean()) for column in columns.T[:4])

    def expect(values: npt.NDArray[Any]) -> float:
        return float((probabilities * values).sum(axis=1).mean())

    share = probabilities.mean(axis=0)
    return Evaluation(
        n_sketches=len(table),
        n_photos=len(np.unique(table.photo_ids)),
        acc1=acc1,
        acc1_interval=statistics.interval(sampled["acc1"]),
        acc5=expect(table.ranks <= 5),
        acc10=expect(table.ranks <= 10),
        mrr=expect(1.0 / table.ranks),
        gflops=flops / GIGA,
        student_gflops=float((probabilities @ table.flops).mean()) / GIGA,
        selector_gflops=float(thinking.mean()) / GIGA,
        share={int(side): float(part) for side, part in zip(table.canvases, share, strict=True)},
        reward=reward,
        regret=max(0.0, best - reward),
        gap_closed=float(derived["gap_closed"][0]),
        gap_closed_interval=statistics.interval(sampled["gap_closed"]),
        hull_gain=float(derived["hull_gain"][0]),
        hull_gain_interval=statistics.interval(sampled["hull_gain"]),
        hull_gain_p=statistics.p_value(sampled["hull_gain"]),
    )


def as_probabilities(table: OutcomeTable, choice: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A policy as (N, K) probabilities.

    Args:
        table: outcomes.
        choice: (N,) integer columns, or (N, K) probabilities.

    Raises:
        ValueError: another shape, columns out of range, rows that are no probabilities.
    """
    array = np.asarray(choice)
    n, k = len(table), table.n_canvases
    if array.shape == (n,) and array.dtype.kind in "iu":
        if n and (array.min() < 0 or array.max() >= k):
            raise ValueError(f"actions must lie in [0, {k}), the canvases are {table.canvases.tolist()}")
        return np.asarray(np.eye(k)[array])
    if array.shape == (n, k) and array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array < 0).any() or not np.allclose(array.sum(axis=1), 1.0):
            raise ValueError("each row of probabilities must be finite, not negative, and add up to 1")
        return array.astype(np.float64)
    raise ValueError(
        f"a policy on this table is ({n},) integer actions or ({n}, {k}) probabilities, got {array.shape} {array.dtype}"
    )


def _derive(means: npt.NDArray[np.float64], flops: npt.NDArray[np.float64], n: int) -> Mapping[str, Any]:
    """What follows from the means of `evaluate`'s columns, for each resample; (R,) each."""
    acc1, cost, reward, oracle = means[:, 0], means[:, 1], means[:, 2], means[:, 3]
    canvas_acc, canvas_reward = means[:, 4 : 4 + n], means[:, 4 + n :]
    return {
        "acc1": acc1,
        "gap_closed": statistics.gap_closed(reward, canvas_reward, oracle),
        "hull_gain": acc1 - statistics.hull_accuracy(flops, canvas_acc, cost),
    }


def _check_cost(selector_flops: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    cost = np.asarray(selector_flops, dtype=np.float64)
    if cost.shape not in ((), (n,)) or not np.isfinite(cost).all() or (cost < 0).any():
        raise ValueError(f"selector_flops must be one number or ({n},), finite and not negative, got {cost.shape}")
    return np.broadcast_to(cost, (n,))


def _jsonable(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
