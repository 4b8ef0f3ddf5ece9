"""Ranks, losses and rewards against plain Python."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchcanvas_env.outcomes import reward as rules

# Few distinct values, so that ties are common.
gallery = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0]), min_size=2, max_size=9)


@given(gallery, st.data())
def test_the_rank_counts_all_photos_that_are_not_farther(distances: list[float], data: st.DataObject) -> None:
    true = data.draw(st.integers(0, len(distances) - 1))
    expected = 1
    for i, distance in enumerate(distances):
        if i != true and not distance > distances[true]:
            expected += 1
    rank = rules.rank_of_true(np.array(distances), true)
    assert rank == expected
    assert isinstance(rank, int)


@given(gallery, st.data(), st.sampled_from([0.0, 0.3, 1.0]))
def test_triplet_loss_is_the_mean_over_all_others(distances: list[float], data: st.DataObject, margin: float) -> None:
    true = data.draw(st.integers(0, len(distances) - 1))
    others = [d for i, d in enumerate(distances) if i != true]
    expected = sum(max(0.0, margin + distances[true] - d) for d in others) / len(others)
    loss = rules.triplet_loss(distances, true, margin)
    assert loss == pytest.approx(expected, abs=1e-12)
    assert 0.0 <= loss <= margin + 2.0


def test_a_collapsed_student_comes_last() -> None:
    assert rules.rank_of_true(np.full(350, 0.1), 0) == 350


def test_photos_closer_than_the_resolution_are_ties() -> None:
    near, far = 0.9 * rules.RESOLUTION, 1.1 * rules.RESOLUTION
    for true, others, rank in ((0.5, [0.5 + near, 0.5 - near], 3), (0.5, [0.5 + far, 0.5 - far], 2)):
        assert rules.rank_of_true(np.array([true, *others]), 0) == rank


def test_batches_equal_single_queries() -> None:
    rng = np.random.default_rng(0)
    distances = rng.uniform(0, 2, (3, 4, 11)).astype(np.float32)
    true = rng.integers(0, 11, (3, 4))
    ranks, losses = rules.rank_of_true(distances, true), rules.triplet_loss(distances, true)
    assert ranks.shape == losses.shape == (3, 4)
    assert ranks.dtype == np.int64
    for i, j in np.ndindex(3, 4):
        assert ranks[i, j] == rules.rank_of_true(distances[i, j], int(true[i, j]))
        assert losses[i, j] == pytest.approx(rules.triplet_loss(distances[i, j], int(true[i, j])), abs=1e-12)


@pytest.mark.parametrize("function", [rules.rank_of_true, rules.triplet_loss])
@pytest.mark.parametrize(
    ("distances", "true", "message"),
    [
        ([0.1, math.nan], 0, "finite"),
        ([math.nan, 0.1], 0, "finite"),
        ([0.1, math.inf], 0, "finite"),
        ([0.1, 0.2], 2, r"\[0, 2\)"),
        ([0.1, 0.2], -1, r"\[0, 2\)"),
        ([0.1, 0.2], 0.5, "integers"),
        (0.1, 0, "last axis"),
    ],
)
def test_bad_distances_are_refused(function: Any, distances: Any, true: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(distances, true)


def test_the_triplet_loss_needs_another_photo_and_a_margin() -> None:
    with pytest.raises(ValueError, match="at least two"):
        rules.triplet_loss([0.1], 0)
    with pytest.raises(ValueError, match="margin"):
        rules.triplet_loss([0.1, 0.2], 0, margin=-0.1)


def test_the_formula() -> None:
    # Rank 4, loss 0.5, costs 2, 6 and 10 of which the second is paid, tradeoff 0.25.
    acc = rules.accuracy_reward(4, 0.5, rank_weight=2.0, triplet_weight=0.1)
    comp = rules.compute_reward([2.0, 6.0, 10.0])
    assert float(acc) == pytest.approx(2.0 / 4 - 0.1 * 0.5)
    assert comp.tolist() == pytest.approx([-2 / 8, -6 / 8, -10 / 8])
    assert float(rules.reward(acc, comp[1], 0.25)) == pytest.approx(0.25 * (-0.75) + 0.75 * 0.45)


@pytest.mark.parametrize("flops", [[3.0], [3.0, 3.0]])
def test_canvases_of_one_cost_give_minus_one(flops: list[float]) -> None:
    assert rules.compute_reward(flops).tolist() == [-1.0] * len(flops)


@pytest.mark.parametrize("flops", [[], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan], [math.inf, 1.0], [[1.0, 2.0]]])
def test_invalid_costs_are_refused(flops: Any) -> None:
    with pytest.raises(ValueError, match="costs"):
        rules.compute_reward(flops)


@pytest.mark.parametrize("cost", ["joules", "", "FLOPs", None, 1, ["flops"]])
def test_the_message_for_an_unknown_cost_lists_the_known_ones(cost: Any) -> None:
    for known in rules.COSTS:
        rules.check_cost(known)
    with pytest.raises(ValueError, match=r"unknown cost .*flops, latency"):
        rules.check_cost(cost)


@given(
    st.lists(st.floats(1.0, 1e12), min_size=1, max_size=5),
    st.integers(1, 1000),
    st.floats(0.0, 1.0),
    st.floats(0.0, 5.0),
    st.floats(0.0, 5.0),
    st.data(),
)
def test_no_reward_leaves_the_range(
    flops: list[float], size: int, tradeoff: float, w_rank: float, w_tri: float, data: st.DataObject
) -> None:
    low, high = rules.reward_range(flops, size, tradeoff, w_rank, w_tri)
    rank = data.draw(st.sampled_from([1, size]) | st.integers(1, size))
    loss = data.draw(st.sampled_from([0.0, 2.3]) | st.floats(0.0, 2.3))
    acc = rules.accuracy_reward(rank, loss, w_rank, w_tri)
    rewards = rules.reward(acc, rules.compute_reward(flops), tradeoff)
    assert (low <= rewards).all()
    assert (rewards <= high).all()


def test_the_range_is_reached() -> None:
    low, high = rules.reward_range([1.0, 3.0], 10, 0.5)
    assert high == pytest.approx(0.5 * -0.5 + 0.5 * 1.0)
    assert low == pytest.approx(0.5 * -1.5 + 0.5 * (0.1 - 0.1 * 2.3), abs=1e-5)


def test_many_tradeoffs_at_once_equal_single_ones() -> None:
    rng = np.random.default_rng(0)
    acc, comp, tradeoffs = rng.normal(size=(3, 50))
    tradeoffs = (tradeoffs - tradeoffs.min()) / (tradeoffs.max() - tradeoffs.min())
    for weights in (tradeoffs, tradeoffs.astype(np.float32)):
        together = rules.reward(acc, comp, weights)
        assert together.tolist() == [
            float(rules.reward(a, c, float(w))) for a, c, w in zip(acc, comp, weights, strict=True)
        ]
        for lone in weights[:3]:
            assert rules.reward(acc[0], comp[0], lone) == rules.reward(acc[0], comp[0], float(lone))


def test_the_range_for_many_tradeoffs_holds_for_each() -> None:
    low, high = rules.reward_range([1.0, 3.0], 10, np.array([0.2, 0.7]))
    alone = [rules.reward_range([1.0, 3.0], 10, tradeoff) for tradeoff in (0.2, 0.45, 0.7)]
    assert low == min(r[0] for r in alone)
    assert high == max(r[1] for r in alone)


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan])
def test_one_tradeoff_out_of_range_among_many_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"tradeoff must be a number in \[0, 1\]"):
        rules.reward(0.0, 0.0, np.array([0.1, bad, 0.9]))


@pytest.mark.parametrize("tradeoff", [-0.01, 1.01, math.nan, math.inf, "0.2", None, True])
def test_a_tradeoff_out_of_range_is_refused(tradeoff: Any) -> None:
    with pytest.raises(ValueError, match=r"tradeoff must be a number in \[0, 1\]"):
        rules.reward(0.0, 0.0, tradeoff)


@pytest.mark.parametrize("name", ["rank_weight", "triplet_weight"])
@pytest.mark.parametrize("weight", [-0.01, math.nan, math.inf, "1", None, True])
def test_a_weight_out_of_range_is_refused(name: str, weight: Any) -> None:
    with pytest.raises(ValueError, match=name):
        rules.accuracy_reward(1, 0.0, **{name: weight})


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(rules).failed == 0
