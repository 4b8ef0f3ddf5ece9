"""Bootstrap over photos, hull and gap, against plain loops, simulations and another implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from agents import statistics
from agents.statistics import gap_closed, hull_accuracy, interval, resampled_means
from tests.helpers import table_of


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
    monkeypatch.setattr(statistics, "_BLOCK", 7)
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
