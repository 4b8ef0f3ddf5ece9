"""Intervals for what a split can tell: a paired bootstrap over photos, hull gain and gap closed.

Several sketches share one photo, and an easy photo is easy for all of them, so sketches are no independent
draws: the bootstrap resamples *photos* and takes all their sketches along. Everything that is compared (a
selector, each fixed canvas, the oracle) is computed on the same resample, so differences are paired, and the
hull of the fixed canvases is built anew in each.

Intervals are percentile intervals over photos **given the trained selectors**. Several seeds of one algorithm
are averaged for each sketch before resampling (the policy "pick one of the trained seeds by lot"), so the
spread between seeds is not part of them: report it beside.

The maximum in the hull picks up noise, so a resample's hull lies a little too high and the interval of the
hull gain a little too low: it errs against the selector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 10_000
"""Bootstrap resamples where nothing else is asked for."""

_BLOCK = 2_000


class Interval(NamedTuple):
    """A confidence interval, in the units of what it belongs to; (nan, nan) where that is undefined."""

    low: float
    high: float


def resampled_means(
    values: npt.ArrayLike, clusters: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0
) -> FloatArray:
    """Means over sketches in bootstrap resamples of whole clusters.

    Each resample draws as many clusters as there are, with replacement, and averages over all rows of those
    drawn. A resample is a row of cluster counts, so all of them are one matrix product. Equal `clusters`,
    `resamples` and `seed` give the same resamples, whatever the values: results of two calls are paired.

    Args:
        values: (N, M) numbers, a column for each quantity.
        clusters: (N,) label of each row's cluster (the photo id).
        resamples: number of resamples, R.
        seed: of the generator.

    Returns:
        (R, M) float64.

    Raises:
        ValueError: shapes that do not fit, no row, or fewer than one resample.
    """
    table = np.asarray(values, dtype=np.float64)
    labels = np.asarray(clusters)
    if table.ndim != 2 or labels.shape != table.shape[:1] or not len(table):
        raise ValueError(f"values must be (N, M) with N >= 1 and clusters (N,), got {table.shape} and {labels.shape}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    sums = _cluster_sums(np.column_stack([table, np.ones(len(table))]), labels)
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, table.shape[1]))
    for start in range(0, resamples, _BLOCK):
        block = means[start : start + _BLOCK]
        totals = _draw_counts(generator, len(block), len(sums)) @ sums
        np.divide(totals[:, :-1], totals[:, -1:], out=block)
    return means


def interval(samples: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Percentile interval of bootstrap samples, (R,); (nan, nan) if any of them is undefined."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.asarray(samples, dtype=np.float64), [tail, 1.0 - tail])
    return Interval(float(low), float(high))


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


def _cluster_sums(values: FloatArray, labels: npt.NDArray[np.generic]) -> FloatArray:
    names, rows = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, rows, values)
    return sums


def _draw_counts(generator: np.random.Generator, resamples: int, clusters: int) -> FloatArray:
    """How often each cluster is drawn in each resample, (resamples, clusters): multinomial counts."""
    drawn = generator.integers(0, clusters, (resamples, clusters)) + clusters * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * clusters).reshape(resamples, clusters).astype(np.float64)
