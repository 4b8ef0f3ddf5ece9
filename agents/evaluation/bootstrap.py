"""Bootstrap over photos: would other photos have said the same?

Several sketches share one
photo, and an easy photo is easy for all of them, so sketches are no independent draws: the bootstrap resamples
*photos* and takes all their sketches along. Everything that is compared (a selector, each fixed canvas, the oracle)
is computed on the same resample, so differences are paired, and the hull of the fixed canvases is built anew in
each. These are percentile intervals **given the trained selectors**. Of several seeds of one algorithm the mean is
taken within each resample, so the spread between seeds is not part of them: report it beside. The maximum in the hull
picks up noise, so a resample's hull lies a little too high and the interval of the hull gain a little too low: it errs
against the selector. Several sets of photos that have nothing in common are strata: each is resampled by itself, and
`pooled` makes one number of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 10_000
"""Bootstrap resamples where nothing else is asked for."""

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


def _checked_samples(samples: npt.ArrayLike) -> FloatArray:
    drawn = np.asarray(samples, dtype=np.float64)
    if drawn.ndim != 1 or not len(drawn) or np.isnan(drawn).any():
        raise ValueError(f"a p-value needs bootstrap samples (R,), R >= 1, none of them nan, got {drawn.shape}")
    return drawn


def _cluster_sums(values: FloatArray, labels: npt.NDArray[np.generic]) -> FloatArray:
    names, rows = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, rows, values)
    return sums


def _draw_counts(generator: np.random.Generator, resamples: int, clusters: int) -> FloatArray:
    """How often each cluster is drawn in each resample, (resamples, clusters): multinomial counts."""
    drawn = generator.integers(0, clusters, (resamples, clusters)) + clusters * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * clusters).reshape(resamples, clusters).astype(np.float64)
