"""Statistics over runs with different seeds: would other seeds have said the same?

The split of photos stays
as it is. Scores are (runs, tasks), a task being a data set, a trade-off, a student; runs are resampled within each
task, after Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (NeurIPS 2021, arXiv
2108.13264), on SciPy. Whether one algorithm is better than another no bootstrap over a handful of runs can say (of two
equal ones with three runs each it finds one better in a fifth of the cases): that is an exact test, `improvements`.

Many comparisons at once need `holm`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from agents.evaluation.bootstrap import RESAMPLES, Estimate, FloatArray, Interval

LEVEL = 0.05
"""A claim is made where its p-value, corrected for the others, lies below."""

EXACT_RUNS = 50
"""Up to so many runs of an algorithm are compared exactly: the work grows with their fourth power."""

_BLOCK = 2_000


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


class Profile(NamedTuple):
    """Share of scores above each threshold, (T,) float64 in [0, 1], between pointwise limits of confidence."""

    share: FloatArray
    low: FloatArray
    high: FloatArray


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


def _checked_p_values(p_values: npt.ArrayLike) -> FloatArray:
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values must be (m,) numbers in [0, 1], got shape {values.shape}")
    return values
