"""What a comparison may claim: intervals, differences, aggregates over runs, the front as one number.

Two kinds of chance are kept apart.

**Photos** (`resampled_means`, `paired_difference`): would other photos have said the same? Several sketches share one
photo, and an easy photo is easy for all of them, so sketches are no independent draws: the bootstrap resamples
*photos* and takes all their sketches along. Everything that is compared (a selector, each fixed canvas, the oracle)
is computed on the same resample, so differences are paired, and the hull of the fixed canvases is built anew in
each. These are percentile intervals **given the trained selectors**. Of several seeds of one algorithm the mean is
taken within each resample, so the spread between seeds is not part of them: report it beside. The maximum in the hull
picks up noise, so a resample's hull lies a little too high and the interval of the hull gain a little too low: it errs
against the selector. Several sets of photos that have nothing in common are strata: each is resampled by itself, and
`pooled` makes one number of them.

**Runs** (`iqm`, `performance_profile`, `improvements`): would other seeds have said the same? The split of photos stays
as it is. Scores are (runs, tasks), a task being a data set, a trade-off, a student; runs are resampled within each
task, after Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (NeurIPS 2021, arXiv
2108.13264), on SciPy. Whether one algorithm is better than another no bootstrap over a handful of runs can say (of two
equal ones with three runs each it finds one better in a fifth of the cases): that is an exact test, `improvements`.

Many comparisons at once need `holm` (none of the claims false) or `benjamini_hochberg` (few of them false).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 10_000
"""Bootstrap resamples where nothing else is asked for."""

LEVEL = 0.05
"""A claim is made where its p-value, corrected for the others, lies below."""

EXACT_RUNS = 50
"""Up to so many runs of an algorithm are compared exactly: the work grows with their fourth power."""

_BLOCK = 2_000
_ROUNDING = 1e-12


class Interval(NamedTuple):
    """A confidence interval, in the units of what it belongs to; (nan, nan) where that is undefined."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A number and its confidence interval."""

    value: float
    interval: Interval


class Difference(NamedTuple):
    """How much better one policy is than another.

    Attributes:
        value: mean of the first minus mean of the second.
        interval: its interval over photos.
        p_value: of no difference, two-sided, see `p_value`; not corrected for other comparisons.
    """

    value: float
    interval: Interval
    p_value: float


class Gain(NamedTuple):
    """By how much a policy lies above what it must beat.

    Attributes:
        value: the mean.
        interval: its interval over photos.
        p_value: of no gain, see `p_above`; not corrected for other comparisons.
    """

    value: float
    interval: Interval
    p_value: float


class Improvement(NamedTuple):
    """How runs of one algorithm stand beside runs of another.

    Attributes:
        value: the share of pairs of runs in which the first scores higher, ties counted half.
        p_value: of "both come from one distribution", two-sided, exact.
    """

    value: float
    p_value: float

    @property
    def better(self) -> bool:
        """Whether it may be claimed that the first is better; `p_value` must be corrected for all claims."""
        return self.value > 0.5 and self.p_value < LEVEL


class Sampled(NamedTuple):
    """A number, and what it is in each bootstrap resample.

    Attributes:
        value: the number.
        samples: (R,) float64.
    """

    value: float
    samples: FloatArray

    def estimate(self, confidence: float = 0.95) -> Estimate:
        """The number with its interval."""
        return Estimate(self.value, interval(self.samples, confidence))

    def difference(self, confidence: float = 0.95) -> Difference:
        """The number, which is a difference of two policies, with its interval and the p-value of no difference."""
        return Difference(self.value, interval(self.samples, confidence), p_value(self.samples))

    def gain(self, confidence: float = 0.95) -> Gain:
        """The number, which is a gain, with its interval and the p-value of no gain."""
        return Gain(self.value, interval(self.samples, confidence), p_above(self.samples))


class Profile(NamedTuple):
    """Share of scores above each threshold, (T,) float64 in [0, 1], between pointwise limits of confidence."""

    share: FloatArray
    low: FloatArray
    high: FloatArray


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


def p_value(samples: npt.ArrayLike) -> float:
    """Two-sided p-value of "it is zero" from bootstrap samples of a quantity, (R,), in [2 / (R + 1), 1].

    Twice the smaller share of the samples on either side of zero, zero itself on both, one sample added to each
    (Davison & Hinkley, "Bootstrap methods and their application", 1997, section 4.2: so it never is zero). It belongs
    to the percentile interval: below 0.05 if and only if the 95 % interval excludes zero, but for that one sample.

    Raises:
        ValueError: no sample, or an undefined one.
    """
    drawn = _checked_samples(samples)
    # What rounding makes of zero lies on both sides, too.
    fewer = min(int((drawn <= _ROUNDING).sum()), int((drawn >= -_ROUNDING).sum()))
    return min(1.0, 2.0 * (fewer + 1) / (len(drawn) + 1))


def p_above(samples: npt.ArrayLike) -> float:
    """P-value of "it is not above zero" from bootstrap samples of a quantity, (R,), in [2 / (R + 1), 1].

    Twice the share of the samples at zero or below, one sample added as in `p_value`, at most 1: what is never above
    zero has 1, however surely it is below. Doubled, so that it asks no less of a gain than the 95 % interval beside it:
    below 0.05 if and only if that lies above zero, but for that one sample.

    Raises:
        ValueError: no sample, or an undefined one.
    """
    drawn = _checked_samples(samples)
    return min(1.0, 2.0 * (int((drawn <= _ROUNDING).sum()) + 1) / (len(drawn) + 1))


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    photos: npt.ArrayLike,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """How two policies differ in a mean over sketches, both on the same sketches and the same resampled photos.

    Args:
        first: (N,) what the first policy gets on each sketch: its reward, 1 where it is right, its FLOPs.
        second: (N,) the same of the second.
        photos: (N,) label of each sketch's photo.
        confidence: of the interval.
        resamples: number of resamples.
        seed: of the generator.

    Raises:
        ValueError: shapes that do not fit, or numbers that are not finite.
    """
    return paired_samples(first, second, photos, resamples, seed).difference(confidence)


def paired_samples(
    first: npt.ArrayLike, second: npt.ArrayLike, photos: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0
) -> Sampled:
    """What `paired_difference` is made of; its arguments and errors."""
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError(
            f"give two policies' finite numbers on the same sketches, (N,), got {one.shape}, {other.shape}"
        )
    difference = one - other
    # Averages over seeds that all chose alike differ by rounding; that is no difference, however often resampled.
    difference[np.abs(difference) <= _ROUNDING * np.maximum(np.abs(one), np.abs(other))] = 0.0
    return Sampled(float(difference.mean()), resampled_means(difference[:, None], photos, resamples, seed)[:, 0])


def pooled(parts: Sequence[Sampled], weights: npt.ArrayLike) -> Sampled:
    """The weighted mean of one quantity over strata, in each resample too.

    Weights stay as they are in every resample, so this is the stratified bootstrap if each stratum was resampled by
    itself, **with a seed of its own**: with a common one, strata with as many photos are drawn alike, not
    independently.

    Args:
        parts: the quantity in each stratum.
        weights: (strata,) not negative, not all zero; their sum does not matter.

    Raises:
        ValueError: no part, weights that do not fit, or different numbers of resamples.
    """
    share = np.asarray(weights, dtype=np.float64)
    if (
        not parts
        or share.shape != (len(parts),)
        or not np.isfinite(share).all()
        or (share < 0).any()
        or not share.sum()
    ):
        raise ValueError(f"give each of one or more parts a weight that is not negative, got {len(parts)} and {share}")
    if len({part.samples.shape for part in parts}) > 1:
        raise ValueError("the parts have different numbers of resamples")
    share = share / share.sum()
    values, samples = zip(*parts, strict=True)
    return Sampled(float(share @ np.array(values)), np.asarray(share @ np.stack(samples)))


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """P-values of m comparisons, (m,), adjusted: below 0.05 are those that may be claimed *together* at 5 %.

    The probability that even one of these claims is false is at most the level, however the comparisons depend on one
    another. Holm, "A simple sequentially rejective multiple test procedure" (Scandinavian Journal of Statistics,
    1979): the smallest times m, the next times m - 1, ..., never falling, at most 1.

    Raises:
        ValueError: another shape, or numbers outside [0, 1].
    """
    values = _checked_p_values(p_values)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, steps)
    return adjusted


def benjamini_hochberg(p_values: npt.ArrayLike) -> FloatArray:
    """P-values of m comparisons, (m,), adjusted: of those below 0.05, 5 % are expected to be false.

    Benjamini & Hochberg (Journal of the Royal Statistical Society B, 1995), by `scipy.stats.false_discovery_control`.
    Weaker than `holm`: for searching, not for claiming. Valid for comparisons that are independent or positively
    dependent, as those with one common rival are.

    Raises:
        ValueError: another shape, or numbers outside [0, 1].
    """
    values = _checked_p_values(p_values)
    return np.asarray(stats.false_discovery_control(values, method="bh") if len(values) else values)


def interquartile_mean(scores: npt.ArrayLike) -> float:
    """Mean of the middle half of all scores, whatever their shape: runs and tasks in one pool.

    Of n scores, floor(n / 4) are left out at either end (`scipy.stats.trim_mean`). Unlike the median it uses half
    of the runs, unlike the mean no single run can move it far. Scores of all tasks must be on one scale (gap
    closed, say).

    Raises:
        ValueError: no score, or one that is not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError("the interquartile mean needs at least one score, and finite ones")
    return float(_pooled_iqm(values.ravel()))


def iqm(scores: npt.ArrayLike, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Interquartile mean over runs and tasks, with a stratified bootstrap interval over runs.

    Args:
        scores: (runs, tasks), or (runs,) for a single task; at least two runs.
        confidence: of the interval.
        resamples: number of resamples.
        seed: of the generator.

    Raises:
        ValueError: fewer than two runs, or scores that are not finite.
    """
    table = _checked_scores(scores)

    def pooled(*tasks: FloatArray, axis: int = -1) -> FloatArray:
        return _pooled_iqm(np.concatenate(tasks, axis=axis))

    low, high = _stratified(list(table.T), pooled, confidence, resamples, seed)
    return Estimate(float(_pooled_iqm(table.ravel())), Interval(float(low), float(high)))


def probability_of_improvement(first: npt.ArrayLike, second: npt.ArrayLike) -> Improvement:
    """How probable it is that a run of the first algorithm scores higher than a run of the second, and an exact test.

    The Mann-Whitney statistic over the number of pairs, P(X > Y) + P(X = Y) / 2. Its p-value is that of the permutation
    test: of all ways to give the runs to the two algorithms, the share whose rank sum is as far out, the smaller tail
    doubled. Ties have mean ranks, so it is exact with ties, too, which are many where runs end in one and the same
    policy; without ties it is `scipy.stats.mannwhitneyu(method="exact")`, which with ties is not exact. All ways are
    counted by rank sum (Streitberg & Roehmel, 1986), not listed one by one: for ten runs each there are 184,756. Above
    `EXACT_RUNS` runs the normal approximation does.

    Args:
        first: (n,) scores of runs, at least one.
        second: (m,) the other's; runs are not paired.

    Raises:
        ValueError: no score, another shape, or scores that are not finite.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    for scores in (one, other):
        if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
            raise ValueError(f"give finite scores of one run or more, (n,), got shape {scores.shape}")
    value = float((1.0 + np.sign(one[:, None] - other[None, :]).mean()) / 2.0)
    if max(len(one), len(other)) > EXACT_RUNS:
        # Of runs that are all alike it has nothing to say.
        p = float(stats.mannwhitneyu(one, other, method="asymptotic").pvalue)
        return Improvement(value, 1.0 if math.isnan(p) else p)
    # Mean ranks are halves at worst: doubled they are integers, and so are their sums.
    ranks = np.rint(2.0 * stats.rankdata(np.concatenate([one, other]))).astype(np.int64)
    share = _rank_sum_shares(ranks, len(one))
    found = int(ranks[: len(one)].sum())
    return Improvement(value, float(min(1.0, 2.0 * min(share[: found + 1].sum(), share[found:].sum()))))


def improvements(scores: Mapping[str, npt.ArrayLike]) -> dict[str, dict[str, Improvement]]:
    """Every algorithm against every other, p-values corrected over all pairs (Holm).

    So the probability that even one algorithm of the table is called better than one that is as good is at most 5 %,
    whatever the number of runs and of algorithms. Runs of two algorithms that share a seed see the same sketches and
    may rise and fall together; as for two samples that are not paired, this errs against a claim.

    Args:
        scores: (runs,) of each algorithm, higher is better.

    Raises:
        ValueError: as `probability_of_improvement`.
    """
    pairs = {pair: probability_of_improvement(*(scores[name] for name in pair)) for pair in combinations(scores, 2)}
    corrected = holm([found.p_value for found in pairs.values()])
    table: dict[str, dict[str, Improvement]] = {name: {} for name in scores}
    for ((one, other), found), p in zip(pairs.items(), corrected.tolist(), strict=True):
        table[one][other] = Improvement(found.value, p)
        table[other][one] = Improvement(1.0 - found.value, p)
    return table


def can_differ(runs: int, algorithms: int) -> bool:
    """Whether `improvements` could call one of so many algorithms better than another, with so many runs of each.

    With three runs each it cannot: were all of the first above all of the second, every tenth deal of two equal
    algorithms would be as far out.
    """
    clearest = probability_of_improvement(np.arange(runs) + runs, np.arange(runs))
    return clearest.p_value * (algorithms * (algorithms - 1) // 2) < LEVEL


def performance_profile(
    scores: npt.ArrayLike,
    thresholds: npt.ArrayLike,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Profile:
    """Share of runs, pooled over tasks, that score above each threshold (Agarwal et al., 2021, section 4.2).

    Where one algorithm's profile lies above another's everywhere, its scores are stochastically larger.

    Args:
        scores: (runs, tasks) or (runs,); at least two runs.
        thresholds: (T,) numbers.
        confidence: of the limits, which hold for each threshold by itself.
        resamples: number of resamples.
        seed: of the generator.

    Raises:
        ValueError: fewer than two runs, thresholds of another shape, or numbers that are not finite.
    """
    table, levels = _checked_scores(scores), np.asarray(thresholds, dtype=np.float64)
    if levels.ndim != 1 or not len(levels) or not np.isfinite(levels).all():
        raise ValueError(f"thresholds must be finite numbers (T,), T >= 1, got {levels.shape}")
    above = [(task > levels[:, None]).astype(np.float64) for task in table.T]  # a (T, runs) array for each task

    def share(*tasks: FloatArray, axis: int = -1) -> FloatArray:
        return np.asarray(np.mean([task.mean(axis=axis) for task in tasks], axis=0))

    low, high = _stratified(above, share, confidence, resamples, seed)
    return Profile(share(*above), low, high)


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


def _pooled_iqm(values: FloatArray) -> FloatArray:
    """Along the last axis."""
    return np.asarray(stats.trim_mean(values, 0.25, axis=-1), dtype=np.float64)


def _rank_sum_shares(ranks: npt.NDArray[np.int64], n: int) -> FloatArray:
    """Of all choices of n of these ranks, integers above zero, the share with each sum, from 0 up to the largest."""
    ways = np.zeros((n + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1.0
    for rank in ranks.tolist():
        # Each choice of k so far stays one, or takes this rank and is one of k + 1.
        ways[1:, rank:] += ways[:-1, :-rank]
    return np.asarray(ways[n] / ways[n].sum())


def _stratified(
    strata: list[FloatArray], statistic: Callable[..., FloatArray], confidence: float, resamples: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Percentile limits of a statistic of (..., runs) samples, each resampled by itself along its last axis."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    found = stats.bootstrap(
        tuple(strata),
        statistic,
        vectorized=True,
        axis=-1,
        n_resamples=resamples,
        batch=_BLOCK,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return np.asarray(found.low), np.asarray(found.high)


def _checked_scores(scores: npt.ArrayLike) -> FloatArray:
    table = np.asarray(scores, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) < 2 or not table.shape[1] or not np.isfinite(table).all():
        raise ValueError(
            f"scores must be finite and (runs, tasks), with two runs or more to draw from, got shape {table.shape}"
        )
    return table


def _checked_samples(samples: npt.ArrayLike) -> FloatArray:
    drawn = np.asarray(samples, dtype=np.float64)
    if drawn.ndim != 1 or not len(drawn) or np.isnan(drawn).any():
        raise ValueError(f"a p-value needs bootstrap samples (R,), R >= 1, none of them nan, got {drawn.shape}")
    return drawn


def _checked_p_values(p_values: npt.ArrayLike) -> FloatArray:
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values must be (m,) numbers in [0, 1], got shape {values.shape}")
    return values


def _cluster_sums(values: FloatArray, labels: npt.NDArray[np.generic]) -> FloatArray:
    names, rows = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, rows, values)
    return sums


def _draw_counts(generator: np.random.Generator, resamples: int, clusters: int) -> FloatArray:
    """How often each cluster is drawn in each resample, (resamples, clusters): multinomial counts."""
    drawn = generator.integers(0, clusters, (resamples, clusters)) + clusters * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * clusters).reshape(resamples, clusters).astype(np.float64)
