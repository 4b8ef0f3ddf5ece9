"""Bootstraps, aggregates, hull, gap and area, against plain loops, simulations, closed forms and other software."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agents.evaluation import bootstrap
from agents.evaluation.bootstrap import (
    Sampled,
    interval,
    p_above,
    p_value,
    paired_difference,
    paired_samples,
    pooled,
    resampled_means,
)
from agents.evaluation.fronts import gap_closed, hull_accuracy, hypervolume
from agents.evaluation.seeds import can_differ, holm, improvements, iqm, performance_profile, probability_of_improvement
from tests.helpers import table_of


def test_rounding_is_no_difference() -> None:
    assert bootstrap.p_value([1e-17, -1e-17, 0.0, 1e-16]) == 1.0
    assert bootstrap.p_value([0.1, 0.2, 1e-16]) == pytest.approx(2 * 2 / 4)
    one = np.random.default_rng(0).random(60)
    other = np.mean([one] * 7, axis=0)
    assert (one != other).any()
    found = bootstrap.paired_difference(other, one, np.arange(60), resamples=100)
    assert found == (0.0, (0.0, 0.0), 1.0)


def test_resampled_means_by_plain_loops() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(11, 2))
    clusters = np.array(list("aabbbcddddd"))
    found = resampled_means(values, clusters, resamples=50, seed=3)
    # The same draws, spelled out: which photos, then all their rows.
    drawn = np.random.default_rng(3).integers(0, 4, (50, 4))
    for row, photos in enumerate(drawn):
        pool = [values[i] for photo in photos for i in range(11) if clusters[i] == "abcd"[photo]]
        np.testing.assert_allclose(found[row], np.mean(pool, axis=0), rtol=1e-12)


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    values, clusters = rng.normal(size=(30, 3)), rng.integers(0, 8, 30)
    order = rng.permutation(30)
    np.testing.assert_allclose(
        resampled_means(values, clusters, 100), resampled_means(values[order], clusters[order], 100)
    )


def test_photos_are_resampled_and_not_sketches() -> None:
    rng = np.random.default_rng(1)
    values, photos = rng.random((60, 1)), np.repeat(np.arange(20), 3)
    plain = interval(resampled_means(values, photos, 2_000)[:, 0])
    doubled = interval(
        resampled_means(np.repeat(values, 2, axis=0), np.repeat(photos, 2), 2_000)[:, 0],
    )
    # A second copy of every sketch tells nothing new, so it narrows nothing.
    np.testing.assert_allclose(plain, doubled, rtol=1e-12)
    # If sketches were what is drawn, it would: by the root of two.
    naive = [
        interval(resampled_means(v, np.arange(len(v)), 2_000)[:, 0]) for v in (values, np.repeat(values, 2, axis=0))
    ]
    widths = [high - low for low, high in naive]
    assert widths[1] < 0.8 * widths[0]


def test_sketches_of_a_photo_that_are_alike_widen_the_interval() -> None:
    photos = np.repeat(np.arange(50), 4)
    alike = np.repeat(np.random.default_rng(2).random(50) < 0.5, 4).astype(float)[:, None]
    by_photo = interval(resampled_means(alike, photos, 2_000)[:, 0])
    by_sketch = interval(resampled_means(alike, np.arange(200), 2_000)[:, 0])
    ratio = (by_photo.high - by_photo.low) / (by_sketch.high - by_sketch.low)
    # Four alike sketches are worth one: sqrt(4).
    assert 1.7 < ratio < 2.3


def test_equal_seeds_pair_the_resamples() -> None:
    photos = np.repeat(np.arange(15), 2)
    values = np.random.default_rng(0).random((30, 1))
    one, two = (resampled_means(v, photos, 500, seed=9) for v in (values, values + 0.25))
    np.testing.assert_allclose(two - one, 0.25, rtol=1e-9)
    assert not np.array_equal(one, resampled_means(values, photos, 500, seed=10))


def test_it_agrees_with_scipy() -> None:
    values = np.random.default_rng(4).exponential(size=40)
    ours = interval(resampled_means(values[:, None], np.arange(40), 20_000)[:, 0])
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    covered, worlds = 0, 300
    for world in range(worlds):
        # 60 photos, each easy or hard, five sketches each; the truth is 0.5.
        easy = rng.beta(1.0, 1.0, 60)
        right = (rng.random((60, 5)) < easy[:, None]).astype(float).ravel()
        low, high = interval(resampled_means(right[:, None], np.repeat(np.arange(60), 5), 400, world)[:, 0])
        covered += low <= 0.5 <= high
    # 95 % asked for; 300 worlds give a standard error of 1.3 points.
    assert 0.90 <= covered / worlds <= 0.985


def test_interval_is_of_percentiles() -> None:
    samples = np.random.default_rng(0).permutation(np.arange(1001))
    assert interval(samples) == pytest.approx((25.0, 975.0))
    assert interval(samples, confidence=0.5) == pytest.approx((250.0, 750.0))
    assert all(math.isnan(end) for end in interval([0.0, math.nan, 1.0]))


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidences_that_cannot_be(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        interval([0.0, 1.0], confidence)


@pytest.mark.parametrize(
    ("values", "clusters", "resamples", "message"),
    [
        (np.zeros(3), np.zeros(3), 10, r"\(N, M\)"),
        (np.zeros((3, 1)), np.zeros(2), 10, r"clusters \(N,\)"),
        (np.zeros((0, 1)), np.zeros(0), 10, "N >= 1"),
        (np.zeros((3, 1)), np.zeros(3), 0, "resamples must be at least 1"),
    ],
)
def test_values_that_cannot_be_resampled(
    values: np.ndarray, clusters: np.ndarray, resamples: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        resampled_means(values, clusters, resamples)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    values, photos = np.random.default_rng(0).random((20, 2)), np.arange(20) // 2
    whole = resampled_means(values, photos, 30)
    monkeypatch.setattr(bootstrap, "_BLOCK", 7)
    np.testing.assert_array_equal(resampled_means(values, photos, 30), whole)


# ---------------------------------------------------------------- hull and gap


def test_the_hull_is_that_of_the_table() -> None:
    # Two roads to one function: a monotone chain in the table, all pairs here.
    rng = np.random.default_rng(0)
    for _ in range(60):
        k = int(rng.integers(1, 7))
        table = table_of(
            np.where(rng.random((40, k)) < rng.random(k), 1, 7), flops=np.sort(rng.integers(1, 12, k)) * 1.0
        )
        at = np.concatenate([rng.uniform(0.0, 14.0, 50), table.flops])
        ours = hull_accuracy(table.flops, np.tile(table.acc(), (len(at), 1)), at)
        np.testing.assert_allclose(ours, table.hull_acc(at), atol=1e-12)


def test_hull_by_hand() -> None:
    flops, acc = [1.0, 2.0, 5.0], [0.2, 0.6, 0.8]
    # Half-way between the first two, a third between the last two, beyond both ends.
    for at, expected in ((1.5, 0.4), (3.0, 0.6 + 0.2 / 3), (9.0, 0.8), (0.1, 0.2)):
        assert float(hull_accuracy(flops, acc, at)) == pytest.approx(expected)
    # A canvas below the line from its neighbours is passed over; one that is worse than a cheaper one, too.
    assert float(hull_accuracy(flops, [0.2, 0.3, 0.8], 2.0)) == pytest.approx(0.35)
    assert float(hull_accuracy(flops, [0.2, 0.6, 0.5], 5.0)) == pytest.approx(0.6)


def test_gap_closed_by_hand() -> None:
    fixed = [[0.1, 0.4, 0.3]]
    assert gap_closed([0.4], fixed, [0.8])[0] == 0.0
    assert gap_closed([0.8], fixed, [0.8])[0] == pytest.approx(1.0)
    assert gap_closed([0.5], fixed, [0.8])[0] == pytest.approx(0.25)
    assert gap_closed([0.2], fixed, [0.8])[0] == pytest.approx(-0.5)
    assert math.isnan(gap_closed([0.4], fixed, [0.4])[0])


# ---------------------------------------------------------------- differences over photos


def test_p_value_by_counting() -> None:
    samples = [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    # Three are not above zero; one more, of ten, twice.
    assert p_value(samples) == p_value(np.negative(samples)) == pytest.approx(0.8)
    assert p_value(np.ones(999)) == pytest.approx(2 / 1000)
    assert p_value(np.zeros(10)) == 1.0
    assert p_value([-1.0, 1.0]) == 1.0


@pytest.mark.parametrize("samples", [[], [0.1, math.nan], [[0.1, 0.2]]])
def test_samples_without_a_p_value(samples: Any) -> None:
    with pytest.raises(ValueError, match="a p-value needs bootstrap samples"):
        p_value(samples)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_p_values_are_probabilities_and_have_two_sides(samples: list[float]) -> None:
    found = p_value(samples)
    assert 2 / (len(samples) + 1) <= found <= 1.0
    assert found == p_value(np.negative(samples))
    assert p_value(np.abs(samples) + 1e-9) <= found


def test_p_values_of_lying_above_by_counting() -> None:
    assert p_above([-1.0, 1.0, 2.0, 3.0]) == pytest.approx(2 * 2 / 5)
    assert p_above([-1.0, -1.0, 2.0, 3.0]) == 1.0
    assert p_above(np.ones(999)) == p_value(np.ones(999)) == pytest.approx(2 / 1000)
    # What is never above zero, but for rounding, says nothing for a gain, however surely it is below.
    assert p_above(np.zeros(10)) == p_above(np.full(10, -1.0)) == p_above(np.full(10, 1e-16)) == 1.0
    found = Sampled(2.0, np.array([-1.0, 1.0, 2.0, 3.0])).gain()
    assert found == (2.0, interval([-1.0, 1.0, 2.0, 3.0]), p_above([-1.0, 1.0, 2.0, 3.0]))
    rng = np.random.default_rng(3)
    for _ in range(50):
        samples = rng.normal(rng.uniform(1.0, 3.0), 1.0, 999)
        low, _ = interval(samples)
        assert (p_above(samples) < 0.05 - 2e-3) <= (low > 0) <= (p_above(samples) <= 0.05 + 2e-3)
    with pytest.raises(ValueError, match="p-value needs bootstrap samples"):
        p_above([math.nan])


def test_the_p_value_belongs_to_the_interval() -> None:
    rng = np.random.default_rng(0)
    for shift in np.linspace(0.0, 4.0, 81):
        samples = rng.normal(shift, 1.0, 4_001)
        low, high = interval(samples)
        assert (p_value(samples) < 0.05 - 1e-3) <= (low > 0 or high < 0) <= (p_value(samples) <= 0.05 + 1e-3)


def test_paired_difference_by_hand() -> None:
    # Every photo gains exactly a quarter: nothing left to chance.
    photos = np.repeat(np.arange(10), 2)
    base = np.random.default_rng(0).integers(0, 4, 20) / 4
    found = paired_difference(base + 0.25, base, photos, resamples=999)
    assert found.value == 0.25
    assert found.interval == (0.25, 0.25)
    assert found.p_value == pytest.approx(0.002)
    nothing = paired_difference(base, base, photos, resamples=99)
    assert nothing == (0.0, (0.0, 0.0), 1.0)


def test_paired_difference_pairs_and_has_a_sign() -> None:
    rng = np.random.default_rng(0)
    photos = np.repeat(np.arange(40), 3)
    easy = np.repeat(rng.random(40), 3)
    first, second = easy + 0.05 + rng.normal(0, 0.02, 120), easy + rng.normal(0, 0.02, 120)
    found, turned = paired_difference(first, second, photos), paired_difference(second, first, photos)
    assert found.value == pytest.approx(first.mean() - second.mean())
    assert found.interval == pytest.approx([-end for end in turned.interval[::-1]])
    assert found.p_value == turned.p_value < 0.001
    # Unpaired, the easiness of the photos would drown it.
    alone = [interval(resampled_means(x[:, None], photos)[:, 0]) for x in (first, second)]
    assert found.interval.high - found.interval.low < 0.2 * (alone[0].high - alone[0].low)
    # The same resamples as everywhere else.
    samples = resampled_means((first - second)[:, None], photos)[:, 0]
    assert found.interval == interval(samples)
    assert found.p_value == p_value(samples)


def test_p_values_are_uniform_where_nothing_is_to_be_found() -> None:
    rng = np.random.default_rng(1)
    found = [
        paired_difference(*rng.normal(size=(2, 60)), np.arange(60), resamples=199, seed=world).p_value
        for world in range(300)
    ]
    # 5 % asked for; 300 worlds give a standard error of 1.3 points, and a percentile interval errs a little.
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.10
    assert 0.40 <= np.median(found) <= 0.60


@pytest.mark.parametrize(
    ("first", "second"),
    [(np.zeros(3), np.zeros(2)), (np.zeros((3, 1)), np.zeros((3, 1))), ([0, math.nan, 1], [0, 0, 0])],
)
def test_policies_that_cannot_be_paired(first: Any, second: Any) -> None:
    with pytest.raises(ValueError, match="on the same sketches"):
        paired_difference(first, second, np.arange(3))


# ---------------------------------------------------------------- strata


def test_pooled_by_hand() -> None:
    one, other = Sampled(1.0, np.array([0.0, 2.0])), Sampled(4.0, np.array([4.0, 5.0]))
    found = pooled([one, other], [200, 100])
    assert found.value == pytest.approx(2.0)
    assert found.samples == pytest.approx([4 / 3, 3.0])
    assert pooled([other], [7]).estimate() == other.estimate()
    assert found.difference() == (found.value, interval(found.samples), p_value(found.samples))


def test_pooled_intervals_cover_the_truth() -> None:
    # Strata of different sizes, means and spreads; the truth is the weighted mean of theirs.
    rng = np.random.default_rng(4)
    sizes, means, spread = (30, 60, 90), (0.0, 1.0, -2.0), (1.0, 0.5, 2.0)
    truth = float(np.average(means, weights=sizes))
    covered = []
    for world in range(300):
        parts = []
        for stratum, (n, mean, width) in enumerate(zip(sizes, means, spread, strict=True)):
            values = np.repeat(rng.normal(mean, width, n // 3), 3)
            nothing, photos = np.zeros(n), np.repeat(np.arange(n // 3), 3)
            parts.append(paired_samples(values, nothing, photos, resamples=199, seed=3 * world + stratum))
        low, high = pooled(parts, sizes).estimate().interval
        covered.append(low <= truth <= high)
    # 95 % asked for; 300 worlds give a standard error of 1.3 points, and strata of 10 photos are few.
    assert 0.89 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("weights", [[], [1.0], [1.0, -1.0], [0.0, 0.0], [1.0, math.nan], [[1.0, 1.0]]])
def test_weights_that_do_not_fit(weights: Any) -> None:
    with pytest.raises(ValueError, match="a weight that is not negative"):
        pooled([Sampled(0.0, np.zeros(2))] * 2, weights)


def test_strata_that_cannot_be_pooled() -> None:
    with pytest.raises(ValueError, match="different numbers of resamples"):
        pooled([Sampled(0.0, np.zeros(2)), Sampled(0.0, np.zeros(3))], [1, 1])
    with pytest.raises(ValueError, match="one or more parts"):
        pooled([], [])


# ---------------------------------------------------------------- many comparisons


def test_holm_by_hand() -> None:
    # Holm's rule spelled out: 4 x 0.01, 3 x 0.02, 2 x 0.03 = 0.06 as before it, 1 x 0.04 < 0.06.
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]).shape == (0,)


def test_holm_rejects_what_the_procedure_rejects() -> None:
    # Step down: from the smallest on, as long as p <= level / (number left).
    rng = np.random.default_rng(0)
    for _ in range(200):
        p, level = rng.random(int(rng.integers(1, 9))) ** 3, float(rng.random())
        rejected = np.zeros(len(p), dtype=bool)
        for left, which in zip(range(len(p), 0, -1), np.argsort(p), strict=True):
            if p[which] > level / left:
                break
            rejected[which] = True
        assert np.array_equal(holm(p) <= level, rejected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_corrections_raise_keep_the_order_and_stay_probabilities(p: list[float]) -> None:
    given_, order = np.array(p), np.argsort(p, kind="stable")
    adjusted = holm(p)
    assert (adjusted >= given_ - 1e-15).all()
    assert (adjusted <= 1.0).all()
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted <= np.minimum(1.0, len(p) * given_)).all()
    if len(p) == 1:
        assert adjusted[0] == p[0]


@pytest.mark.parametrize("p", [[0.1, 1.2], [-0.1], [math.nan], [[0.1]]])
def test_numbers_that_are_no_p_values(p: Any) -> None:
    with pytest.raises(ValueError, match="p-values must be"):
        holm(p)


# ---------------------------------------------------------------- runs


def test_the_interquartile_mean_of_runs_and_tasks_by_plain_loops() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, 3)) + 3 * np.arange(3)
    found = iqm(scores, resamples=4_000)
    assert found.value == stats.trim_mean(scores, 0.25, axis=None)
    # Every task draws its own runs, as many as it has; the pool is cut by hand.
    drawn = np.random.default_rng(1)
    samples = []
    for _ in range(4_000):
        pool = sorted(scores[run, task] for task in range(3) for run in drawn.integers(0, 5, 5))
        samples.append(np.mean(pool[3:12]))
    np.testing.assert_allclose(found.interval, np.quantile(samples, [0.025, 0.975]), atol=0.06)
    # Drawing runs from all tasks at once would be far wider.
    loose = [stats.trim_mean(drawn.choice(scores.ravel(), 15), 0.25) for _ in range(1_000)]
    assert found.interval.high - found.interval.low < 0.6 * np.diff(np.quantile(loose, [0.025, 0.975]))[0]


def test_constants_have_no_spread() -> None:
    scores = np.tile([0.25, 0.5, 0.75, 1.0], (3, 1))
    assert iqm(scores, resamples=50) == (0.625, (0.625, 0.625))
    profile = performance_profile(scores, [0.5], resamples=50)
    assert [part.tolist() for part in profile] == [[0.5], [0.5], [0.5]]
    assert probability_of_improvement(scores[:, 0], scores[:, 0]) == (0.5, 1.0)


def test_a_single_task_may_be_flat() -> None:
    scores = np.random.default_rng(0).random(6)
    assert iqm(scores, resamples=99) == iqm(scores[:, None], resamples=99)
    assert iqm(scores, resamples=99, seed=1) != iqm(scores, resamples=99, seed=2)
    wide, narrow = (iqm(scores, confidence, 999).interval for confidence in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_an_improvement_by_hand() -> None:
    # Of the 6 ways to give ranks 1 to 4 to two and two, one has the sum 7 and one the sum 3.
    assert probability_of_improvement([3.0, 4.0], [1.0, 2.0]) == (1.0, pytest.approx(2 / 6))
    assert probability_of_improvement([1.0, 4.0], [2.0, 3.0]) == (0.5, 1.0)
    # With a tie: mean ranks 1, 2.5, 2.5, 4. Sums 3.5 twice, 5 twice, 6.5 twice.
    assert probability_of_improvement([2.0, 3.0], [1.0, 2.0]) == (7 / 8, pytest.approx(4 / 6))
    # Ten above ten.
    runs = np.arange(10.0)
    assert probability_of_improvement(runs + 10, runs) == (1.0, pytest.approx(2 / math.comb(20, 10)))
    assert probability_of_improvement([1.0], [1.0]) == (0.5, 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_an_improvement_is_the_exact_test_of_mann_and_whitney(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=int(rng.integers(2, 12))) + 0.5, rng.normal(size=int(rng.integers(2, 12)))
    expected = stats.mannwhitneyu(first, second, method="exact")
    found = probability_of_improvement(first, second)
    assert found.value == pytest.approx(expected.statistic / (len(first) * len(second)))
    assert found.p_value == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("seed", range(8))
def test_an_improvement_is_exact_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 7, 2).tolist()
    first, second = rng.integers(0, 4, n) * 1.0, rng.integers(1, 5, m) * 1.0
    pairs = [(x > y) + 0.5 * (x == y) for x in first for y in second]

    def statistic(rows: Any) -> float:
        chosen = [ranks[row] for row in rows]
        return float(sum(chosen))

    ranks = stats.rankdata(np.concatenate([first, second]))
    drawn = np.array([statistic(rows) for rows in itertools.combinations(range(n + m), n)])
    seen = statistic(range(n))
    expected = min(1.0, 2 * min(np.mean(drawn <= seen + 1e-9), np.mean(drawn >= seen - 1e-9)))
    assert probability_of_improvement(first, second) == (pytest.approx(np.mean(pairs)), pytest.approx(expected))


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_one_improves_where_the_other_does_not(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 4, n), rng.integers(0, 4, m)
    found, turned = probability_of_improvement(first, second), probability_of_improvement(second, first)
    assert found.value + turned.value == pytest.approx(1.0)
    assert found.p_value == pytest.approx(turned.p_value)
    assert 0.0 < found.p_value <= 1.0
    # Only the order of scores counts.
    assert probability_of_improvement(np.exp(first), np.exp(second)) == found


def test_many_runs_are_compared_by_the_normal_approximation() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.3, 0.6):
        first, second = rng.normal(size=50) + shift, rng.normal(size=50)
        exact = stats.mannwhitneyu(first, second, method="exact").pvalue
        assert probability_of_improvement(first, second).p_value == pytest.approx(exact)
        more = np.append(first, 0.0)
        near = stats.mannwhitneyu(more, second, method="asymptotic").pvalue
        assert probability_of_improvement(more, second).p_value == near == pytest.approx(exact, abs=0.02)
    assert probability_of_improvement(np.zeros(51), np.zeros(51)) == (0.5, 1.0)


def false_claims(runs: int, draw: Any, worlds: int = 400, algorithms: int = 4) -> float:
    """In which share of tables of equal algorithms at least one is called better than another."""
    rng = np.random.default_rng(runs)
    wrong = 0
    for _ in range(worlds):
        table = improvements({str(name): draw(rng, runs) for name in range(algorithms)})
        wrong += any(found.better for row in table.values() for found in row.values())
    return wrong / worlds


@pytest.mark.parametrize("runs", [3, 5, 10])
@pytest.mark.parametrize("ties", [False, True])
def test_equal_algorithms_are_seldom_told_apart(runs: int, ties: bool) -> None:
    def draw(rng: np.random.Generator, n: int) -> Any:
        return rng.integers(0, 3, n) if ties else rng.normal(size=n)

    # At most 5 % of the tables, whatever the number of runs; the standard error of 400 tables is 1.1 points.
    assert false_claims(runs, draw) <= 0.06


def test_two_equal_algorithms_are_told_apart_as_often_as_the_level_says() -> None:
    # One pair and ten runs: the test is not merely timid. Its sizes are discrete, so a little below 5 %.
    rate = false_claims(10, lambda rng, n: rng.normal(size=n), worlds=2_000, algorithms=2)
    assert 0.03 <= rate <= 0.06


def test_a_clear_difference_is_claimed_with_ten_runs_and_none_with_three() -> None:
    rng = np.random.default_rng(0)
    equal = {str(name): rng.normal(size=10) for name in range(15)}
    table = improvements({**equal, "best": rng.normal(size=10) + 6.0})
    assert all(found.better for found in table["best"].values())
    assert not any(table[name]["best"].better for name in equal)
    assert {name: found.p_value for name, found in table["best"].items()} == {
        name: table[name]["best"].p_value for name in equal
    }
    few = improvements({"low": [0.0, 1.0, 2.0], "high": [10.0, 11.0, 12.0]})
    assert few["high"]["low"] == (1.0, pytest.approx(0.1))
    assert not few["high"]["low"].better


def test_p_values_of_a_table_are_corrected_over_its_pairs() -> None:
    rng = np.random.default_rng(1)
    scores = {name: rng.normal(size=6) + shift for name, shift in (("a", 0.0), ("b", 1.0), ("c", 2.0))}
    table = improvements(scores)
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    raw = [stats.mannwhitneyu(scores[x], scores[y], method="exact").pvalue for x, y in pairs]
    np.testing.assert_allclose([table[x][y].p_value for x, y in pairs], holm(raw))
    assert improvements({"a": [1.0, 2.0]}) == {"a": {}}


def test_how_many_runs_can_tell_algorithms_apart() -> None:
    # The clearest result of n against n has p = 2 / C(2n, n); it is taken times the number of pairs.
    for runs, algorithms in itertools.product((1, 2, 3, 4, 5, 6, 10), (2, 3, 4, 7, 16)):
        expected = 2 / math.comb(2 * runs, runs) * math.comb(algorithms, 2) < 0.05
        assert can_differ(runs, algorithms) == expected, (runs, algorithms)
    assert not can_differ(3, 2)
    assert can_differ(10, 16)


def test_performance_profile_by_plain_loops() -> None:
    rng = np.random.default_rng(0)
    scores, thresholds = rng.integers(0, 10, (6, 2)) / 10, np.array([-1.0, 0.0, 0.3, 0.5, 0.9, 2.0])
    found = performance_profile(scores, thresholds, resamples=2_000)
    by_loops = [np.mean([score > level for score in scores.ravel()]) for level in thresholds]
    np.testing.assert_allclose(found.share, by_loops)
    assert (np.diff(found.share) <= 0).all()
    assert (found.low <= found.share).all() and (found.share <= found.high).all()
    assert (found.low[[0, -1]] == found.high[[0, -1]]).all()
    # Of six runs with four above: the number drawn above is binomial.
    one = performance_profile([1.0, 1.0, 1.0, 1.0, 0.0, 0.0], [0.5], resamples=4_000)
    expected = stats.binom(6, 4 / 6).ppf([0.025, 0.975]) / 6
    np.testing.assert_allclose([one.low[0], one.high[0]], expected, atol=1e-9)


@pytest.mark.parametrize("scores", [[1.0], np.ones((1, 4)), np.ones((3, 0)), [1.0, math.nan], np.ones((2, 2, 2))])
def test_scores_without_an_interval(scores: Any) -> None:
    for call in (
        lambda: iqm(scores),
        lambda: performance_profile(scores, [0.0]),
    ):
        with pytest.raises(ValueError, match="two runs or more"):
            call()


def test_arguments_that_cannot_be() -> None:
    for wrong in ([], [math.nan], np.ones((4, 2))):
        for pair in ((wrong, [1.0]), ([1.0], wrong)):
            with pytest.raises(ValueError, match="finite scores of one run or more"):
                probability_of_improvement(*pair)
    with pytest.raises(ValueError, match="thresholds"):
        performance_profile([1.0, 2.0], [])
    with pytest.raises(ValueError, match="confidence"):
        iqm([1.0, 2.0], confidence=95)
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        iqm([1.0, 2.0], resamples=0)


def test_intervals_over_runs_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    covered, worlds = 0, 200
    for world in range(worlds):
        # The middle half of a symmetric distribution has the mean that it is symmetric about.
        low, high = iqm(rng.normal(0.5, 0.1, (10, 4)), resamples=200, seed=world).interval
        covered += low <= 0.5 <= high
    # 95 % asked for; ten runs are few, and the bootstrap is known to fall a little short of it then.
    assert 0.85 <= covered / worlds <= 0.99


# ---------------------------------------------------------------- the front as one number


def test_hypervolume_of_a_staircase_by_hand() -> None:
    # 0.2 for one doubling, 0.5 for two more, 0.9 for the last.
    assert hypervolume([1.0, 2.0, 8.0], [0.2, 0.5, 0.9], 16.0) == pytest.approx(0.2 + 2 * 0.5 + 0.9)
    assert hypervolume([4.0], [0.5], 16.0) == pytest.approx(1.0)
    # Order, dominated points, twins and points beyond the reference change nothing.
    messy = hypervolume([8.0, 2.0, 4.0, 1.0, 2.0, 16.0, 99.0], [0.9, 0.5, 0.4, 0.2, 0.5, 1.0, 1.0], 16.0)
    assert messy == pytest.approx(2.1)
    assert hypervolume([], [], 16.0) == 0.0
    # Only ratios of FLOPs count.
    assert hypervolume([1e9, 2e9, 8e9], [0.2, 0.5, 0.9], 16e9) == pytest.approx(2.1)


POINTS = st.lists(st.tuples(st.floats(0.5, 40.0), st.floats(0.0, 1.0)), min_size=1, max_size=8)


@given(POINTS)
@settings(max_examples=60, deadline=None)
def test_hypervolume_is_the_mean_of_what_budgets_afford(points: list[tuple[float, float]]) -> None:
    cost, acc = np.array(points).T
    # Boxes under the reference, counted once each by inclusion and exclusion: an intersection is a box again.
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in itertools.combinations(range(len(points)), size):
            rows = list(chosen)
            width = max(0.0, math.log2(32.0 / cost[rows].max()))
            total += (-1) ** (size + 1) * width * acc[rows].min()
    assert float(hypervolume(cost, acc, 32.0)) == pytest.approx(total, abs=1e-9)


@given(POINTS, st.floats(0.5, 40.0), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_hypervolume_grows_with_every_point(points: list[tuple[float, float]], cost: float, acc: float) -> None:
    before, more = np.array(points).T, np.array([*points, (cost, acc)]).T
    grown = float(hypervolume(*more, 32.0)) - float(hypervolume(*before, 32.0))
    assert grown >= -1e-12
    affordable = before[1][before[0] <= cost]
    if cost < 31.0 and acc > (affordable.max() if len(affordable) else 0.0) + 1e-3:
        # Nothing as cheap is as good, but what is a little dearer may be: it grows up to there at least.
        dearer = before[0][before[0] > cost]
        assert grown >= 1e-3 * math.log2(min([32.0, *dearer]) / cost) * 0.99
    # Cheaper, or better, is never worse.
    assert float(hypervolume(before[0] / 1.1, before[1], 32.0)) >= float(hypervolume(*before, 32.0)) - 1e-12


def test_hypervolumes_of_many_resamples_at_once() -> None:
    rng = np.random.default_rng(0)
    cost, acc = rng.uniform(1, 20, (4, 3, 5)), rng.random((4, 3, 5))
    found = hypervolume(cost, acc, 16.0)
    assert found.shape == (4, 3)
    for place in np.ndindex(4, 3):
        assert found[place] == pytest.approx(float(hypervolume(cost[place], acc[place], 16.0)))
    assert hypervolume(cost[0, 0], acc, 16.0).shape == (4, 3)


@pytest.mark.parametrize(
    ("flops", "accuracy", "reference", "message"),
    [
        ([0.0], [0.5], 1.0, "above zero"),
        ([1.0], [0.5], 0.0, "above zero"),
        ([math.inf], [0.5], 1.0, "finite"),
        ([1.0], [1.5], 2.0, r"lie in \[0, 1\]"),
        ([1.0], [math.nan], 2.0, r"lie in \[0, 1\]"),
        (1.0, 0.5, 2.0, "a number for each point"),
    ],
)
def test_points_without_a_hypervolume(flops: Any, accuracy: Any, reference: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hypervolume(flops, accuracy, reference)
