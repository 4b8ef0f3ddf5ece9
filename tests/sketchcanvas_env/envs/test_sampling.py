"""The counter-based draw, against SplitMix64 in plain Python integers."""

from __future__ import annotations

import doctest
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sketchcanvas_env.envs import sampling

MASK = (1 << 64) - 1


def splitmix64(state: int) -> int:
    """The output function of SplitMix64 (its public-domain C version), on Python integers."""
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def plain_draw(key: int, episode: int, n: int) -> int:
    state = (key + (episode + 1) * 0x9E3779B97F4A7C15) & MASK
    return ((splitmix64(state) >> 32) * n) >> 32


def test_the_reference_is_splitmix64() -> None:
    # First outputs for seed 1234567, as published with implementations in many languages.
    outputs = [splitmix64((1234567 + (i + 1) * 0x9E3779B97F4A7C15) & MASK) for i in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.integers(0, MASK), st.integers(0, 1 << 40), st.integers(1, sampling.MAX_ROWS))
def test_a_draw_is_the_hash_scaled(key: int, episode: int, n: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = sampling.draw(np.uint64(key), episode, n)
    assert int(row) == plain_draw(key, episode, n)
    assert 0 <= int(row) < n


def test_a_batch_equals_single_draws() -> None:
    keys = np.random.default_rng(0).integers(0, 1 << 64, 50, dtype=np.uint64)
    episodes = np.arange(50) * 7
    rows = sampling.draw(keys, episodes, 1400)
    assert rows.dtype == np.int64
    assert rows.tolist() == [int(sampling.draw(k, int(t), 1400)) for k, t in zip(keys, episodes, strict=True)]
    assert sampling.draw(keys[:, None], episodes, 1400).shape == (50, 50)
    assert sampling.draw(keys[0], 0, 1400).shape == ()


def test_draws_equal_recorded_ones() -> None:
    # Stored runs name their seeds: another draw would be another run.
    keys = np.array([[5], [6]], dtype=np.uint64)
    assert sampling.draw(keys, np.arange(8), 1000).tolist() == [
        [386, 752, 232, 99, 187, 380, 985, 511],
        [739, 446, 56, 105, 550, 823, 192, 202],
    ]


@given(st.integers(0, MASK), st.integers(0, 1 << 40), st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_a_number_between_bounds_is_the_hash_of_the_second_stream(key: int, episode: int, a: float, b: float) -> None:
    low, high = sorted((a, b))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        number = sampling.draw_between(np.uint64(key), episode, low, high)
    share = plain_draw(key ^ 0xD1B54A32D192ED03, episode, 1 << 32) / 2**32
    assert number.dtype == np.float32
    assert number.shape == ()
    assert float(number) == float(np.float32(low + (high - low) * share))
    assert low <= float(number) <= high


def test_numbers_of_a_batch_equal_single_draws() -> None:
    keys = np.random.default_rng(0).integers(0, 1 << 64, 50, dtype=np.uint64)
    episodes = np.arange(50) * 7
    numbers = sampling.draw_between(keys, episodes, 0.25, 0.75)
    alone = [float(sampling.draw_between(k, int(t), 0.25, 0.75)) for k, t in zip(keys, episodes, strict=True)]
    assert numbers.tolist() == alone
    assert sampling.draw_between(keys[:, None], episodes, 0.25, 0.75).shape == (50, 50)


def test_numbers_are_uniform_and_independent_of_the_row() -> None:
    numbers = sampling.draw_between(np.uint64(3), np.arange(20_000), 0.0, 1.0)
    assert stats.kstest(numbers, "uniform").pvalue > 1e-4
    rows = sampling.draw(np.uint64(3), np.arange(20_000), 1000)
    for shift in (0, 1):
        assert stats.spearmanr(numbers[shift:], rows[: len(rows) - shift]).pvalue > 1e-4


def test_every_row_is_drawn_equally_often() -> None:
    along = sampling.draw(np.uint64(3), np.arange(200_000), 97)
    across = sampling.draw(np.random.default_rng(1).integers(0, 1 << 64, 200_000, dtype=np.uint64), 0, 97)
    for rows in (along, across):
        assert stats.chisquare(np.bincount(rows, minlength=97)).pvalue > 1e-4


def test_streams_and_episodes_do_not_repeat_each_other() -> None:
    keys = np.array([5, 6], dtype=np.uint64)
    one, two = sampling.draw(keys[:, None], np.arange(1000), 1000)
    assert (one == two).mean() < 0.02
    assert (one[1:] == one[:-1]).mean() < 0.02


@pytest.mark.parametrize("n", [0, -1, sampling.MAX_ROWS + 1])
def test_drawing_from_no_rows_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="n must lie"):
        sampling.draw(np.uint64(0), 0, n)


def test_a_key_comes_from_the_generator() -> None:
    keys = [sampling.stream_key(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2]
    assert isinstance(keys[0], np.uint64)


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(sampling).failed == 0
