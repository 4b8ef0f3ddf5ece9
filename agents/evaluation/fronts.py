"""Fixed canvases, policies and the oracle in the plane of cost and accuracy: hull, hypervolume, gap closed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agents.evaluation.bootstrap import FloatArray


def hypervolume(flops: npt.ArrayLike, accuracy: npt.ArrayLike, reference_flops: float) -> FloatArray:
    """How much of the plane of cost and accuracy a set of operating points dominates; exact, by a sweep.

    The reference point is accuracy 0 at `reference_flops`: take the FLOPs of the largest canvas, 256 px, always, for
    numbers are comparable only under one reference. The axis of FLOPs is **logarithmic, in doublings** (base 2),
    because canvases lie evenly on it: on a linear axis three quarters of the area belong to budgets between 128 and
    256 px, and a point at a tenth of the FLOPs is hardly told from one at a hundredth. So the unit is accuracy x
    doublings, and the number is the integral, over log2 of the budget up to the reference, of the best accuracy that
    the budget affords (0 where it affords none).

    It counts points, not mixtures of them, and more points never dominate less: compare sets made alike, one
    point for each of the same trade-offs. A point that costs the reference or more adds nothing.

    Args:
        flops: (..., n) mean FLOPs per query of each point, above zero.
        accuracy: (..., n) accuracy of each, in [0, 1].
        reference_flops: cost of the reference point.

    Returns:
        (...) float64, 0 for no point.

    Raises:
        ValueError: shapes that do not fit, costs that are not above zero, accuracies outside [0, 1].
    """
    cost, acc = np.broadcast_arrays(np.asarray(flops, dtype=np.float64), np.asarray(accuracy, dtype=np.float64))
    if cost.ndim < 1:
        raise ValueError("flops and accuracy must be (..., n): a number for each point")
    if not (np.isfinite(cost).all() and (cost > 0).all() and np.isfinite(reference_flops) and reference_flops > 0):
        raise ValueError("FLOPs must be finite and above zero, the reference too: their logarithm is taken")
    if not ((acc >= 0) & (acc <= 1)).all():
        raise ValueError("accuracies must lie in [0, 1]")
    order = np.argsort(cost, axis=-1)
    # How many doublings each point lies below the reference, falling along the last axis.
    room = np.maximum(0.0, np.log2(reference_flops) - np.log2(np.take_along_axis(cost, order, axis=-1)))
    best = np.maximum.accumulate(np.take_along_axis(acc, order, axis=-1), axis=-1)
    widths = room - np.concatenate([room[..., 1:], np.zeros_like(room[..., :1])], axis=-1)
    return np.asarray((best * widths).sum(axis=-1))


def hull_accuracy(flops: npt.ArrayLike, accuracy: npt.ArrayLike, at: npt.ArrayLike) -> FloatArray:
    """What mixing fixed canvases reaches at a mean cost, for many sets of accuracies at once.

    The same function as `OutcomeTable.hull_acc`, by another road that vectorises over resamples: the upper
    concave hull at a cost is the best of all coin tosses between a canvas that costs no more and one that
    costs no less; a mixture may also cost less than allowed. Below the cheapest canvas it is the cheapest's
    accuracy.

    Args:
        flops: (K,) cost of each canvas.
        accuracy: (..., K) accuracy of each canvas.
        at: (...) mean cost.

    Returns:
        (...) float64.
    """
    cost = np.asarray(flops, dtype=np.float64)
    acc = np.asarray(accuracy, dtype=np.float64)
    # Below the cheapest canvas no mixture is that cheap: see OutcomeTable.hull_acc.
    target = np.maximum(np.asarray(at, dtype=np.float64), cost.min())
    affordable = np.where(cost <= target[..., None], acc, -np.inf)
    best = affordable.max(axis=-1)
    for low in range(len(cost)):
        for high in range(len(cost)):
            if cost[low] < cost[high]:
                share = (target - cost[low]) / (cost[high] - cost[low])
                mixed = (1.0 - share) * acc[..., low] + share * acc[..., high]
                best = np.where((share >= 0.0) & (share <= 1.0), np.maximum(best, mixed), best)
    return np.asarray(best, dtype=np.float64)


def gap_closed(reward: npt.ArrayLike, fixed: npt.ArrayLike, oracle: npt.ArrayLike) -> FloatArray:
    """How far a policy gets from the best fixed canvas (0) to the per-sketch oracle (1), in mean reward.

    Args:
        reward: (...) mean reward of the policy.
        fixed: (..., K) mean reward of each fixed canvas; the best is chosen here, in hindsight.
        oracle: (...) mean reward of the oracle.

    Returns:
        (...) float64; nan where the oracle is no better than the best fixed canvas, below 0 for a policy
        worse than it.
    """
    best = np.asarray(fixed, dtype=np.float64).max(axis=-1)
    room = np.asarray(oracle, dtype=np.float64) - best
    open_gap = room > 1e-12
    return np.asarray(np.where(open_gap, (np.asarray(reward) - best) / np.where(open_gap, room, 1.0), np.nan))
