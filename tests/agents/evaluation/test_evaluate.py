"""Exact evaluation, recomputed by plain loops, and the baselines where they must land."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from agents.evaluation import baselines
from agents.evaluation.bootstrap import interval, p_above
from agents.evaluation.evaluate import evaluate, evaluate_options, evaluate_runs, sampled
from agents.evaluation.options import Options
from sketchcanvas_env.outcomes.table import OutcomeTable
from tests.helpers import TOY_FLOPS, TOY_MILLISECONDS, Toy, table_of, toy_table

WEIGHTS = {"tradeoff": 0.35, "rank_weight": 0.8, "triplet_weight": 0.25}


def concave_table() -> OutcomeTable:
    """Four canvases whose accuracy rises ever more slowly with their cost: all are on the hull."""
    rng = np.random.default_rng(0)
    ranks = np.full((400, 4), 9)
    for column, share in enumerate((0.3, 0.6, 0.75, 0.8)):
        # Exactly that share, and not the same sketches.
        ranks[rng.permutation(400)[: round(share * 400)], column] = 1
    return table_of(ranks)


@pytest.fixture
def table() -> OutcomeTable:
    return toy_table().select("test")


def plain(
    table: OutcomeTable,
    actions: list[int],
    thinking: list[float],
    charged: tuple[float, ...],
    tradeoff: float,
    rank_weight: float,
    triplet_weight: float,
) -> dict[str, Any]:
    """What `evaluate` says, by loops over sketches and the formulas as they are written down."""
    n, flops = len(actions), table.flops.tolist()
    spread = max(charged) - min(charged)

    def reward(i: int, j: int) -> float:
        acc = rank_weight / int(table.ranks[i, j]) - triplet_weight * float(table.triplet[i, j])
        return tradeoff * -charged[j] / spread + (1 - tradeoff) * acc

    columns = range(len(flops))
    ranks = [int(table.ranks[i, actions[i]]) for i in range(n)]
    fixed = [sum(reward(i, j) for i in range(n)) / n for j in columns]
    oracle = sum(max(reward(i, j) for j in columns) for i in range(n)) / n
    mean = sum(reward(i, actions[i]) for i in range(n)) / n
    acc1 = sum(rank == 1 for rank in ranks) / n
    # FLOPs whatever the reward charges.
    spent = sum(flops[actions[i]] + thinking[i] for i in range(n)) / n
    accuracy = [sum(int(table.ranks[i, j]) == 1 for i in range(n)) / n for j in columns]
    # The best canvas, or coin toss between two, that can be paid for.
    hull = accuracy[0]
    for low in columns:
        for high in columns:
            if flops[low] <= spent:
                hull = max(hull, accuracy[low])
            if flops[low] < spent < flops[high]:
                share = (spent - flops[low]) / (flops[high] - flops[low])
                hull = max(hull, (1 - share) * accuracy[low] + share * accuracy[high])
    return {
        "n_sketches": n,
        "acc1": acc1,
        "acc5": sum(rank <= 5 for rank in ranks) / n,
        "acc10": sum(rank <= 10 for rank in ranks) / n,
        "mrr": sum(1 / rank for rank in ranks) / n,
        "gflops": spent / 1e9,
        "student_gflops": sum(flops[a] for a in actions) / n / 1e9,
        "selector_gflops": sum(thinking) / n / 1e9,
        "reward": mean,
        "regret": oracle - mean,
        "gap_closed": (mean - max(fixed)) / (oracle - max(fixed)),
        "hull_gain": acc1 - hull,
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("cost", "charged"), [("flops", TOY_FLOPS), ("latency", TOY_MILLISECONDS)])
def test_every_number_by_plain_loops(table: OutcomeTable, seed: int, cost: str, charged: tuple[float, ...]) -> None:
    rng = np.random.default_rng(seed)
    actions = rng.choice(4, len(table), p=[0.1, 0.2, 0.3, 0.4])
    thinking = rng.uniform(0.0, 3e6, len(table))
    found = evaluate(table, actions, cost=cost, selector_flops=thinking, resamples=20, **WEIGHTS)
    for name, expected in plain(table, actions.tolist(), thinking.tolist(), charged, **WEIGHTS).items():
        assert getattr(found, name) == pytest.approx(expected, rel=1e-9, abs=1e-12), name
    assert found.n_photos == len(set(table.photo_ids.tolist())) == 12
    assert found.share == {
        str(side): pytest.approx(actions.tolist().count(column) / len(table))
        for column, side in enumerate((16, 32, 64, 128))
    }


def test_one_cost_for_all_is_that_cost_for_each(table: OutcomeTable) -> None:
    actions = np.arange(len(table)) % 4
    one = evaluate(table, actions, selector_flops=2e6, resamples=20)
    assert one == evaluate(table, actions, selector_flops=np.full(len(table), 2e6), resamples=20)
    free = evaluate(table, actions, resamples=20)
    assert one.gflops == pytest.approx(free.gflops + 0.002)
    # Thinking is charged where FLOPs count, and the environment's reward knows nothing of it.
    assert one.hull_gain < free.hull_gain
    assert (one.reward, one.regret, one.gap_closed) == (free.reward, free.regret, free.gap_closed)


def test_probabilities_are_expectations(table: OutcomeTable) -> None:
    rng = np.random.default_rng(0)
    policies, options = [rng.integers(0, 4, len(table)) for _ in range(5)], Options.of_table(table)
    mixed = evaluate(table, np.mean([options.probabilities(p) for p in policies], axis=0), resamples=5, **WEIGHTS)
    apart = [evaluate(table, p, resamples=5, **WEIGHTS) for p in policies]
    for name in ("acc1", "acc5", "acc10", "mrr", "gflops", "reward", "regret", "gap_closed"):
        assert getattr(mixed, name) == pytest.approx(np.mean([getattr(e, name) for e in apart])), name
    for side in mixed.share:
        assert mixed.share[side] == pytest.approx(np.mean([e.share[side] for e in apart]))


def test_an_agent_is_the_mean_of_its_seeds(table: OutcomeTable) -> None:
    rng = np.random.default_rng(0)
    options = Options.of_table(table, **WEIGHTS)
    seeds = [(rng.integers(0, 4, len(table)), rng.uniform(0.0, 3e6, len(table))) for _ in range(5)]
    found = evaluate_runs(options, seeds, resamples=30)
    apart = [evaluate_options(options, choice, selector_flops=cost, resamples=30) for choice, cost in seeds]
    for name in ("acc1", "acc5", "acc10", "mrr", "gflops", "selector_gflops", "reward", "gap_closed", "hull_gain"):
        assert getattr(found, name) == pytest.approx(np.mean([getattr(e, name) for e in apart])), name
    # In each resample, too: means of intervals would be wider.
    one_by_one = [sampled(options, [seed], resamples=30) for seed in seeds]
    together = sampled(options, seeds, resamples=30)
    for name, whole in together.items():
        np.testing.assert_allclose(whole.samples, np.mean([one[name].samples for one in one_by_one], axis=0))
    assert found.hull_gain_interval == interval(together["hull_gain"].samples)
    assert found.above_hull_p == p_above(together["hull_gain"].samples)
    assert evaluate_runs(options, seeds[:1], resamples=30) == apart[0]
    with pytest.raises(ValueError, match="no policy"):
        evaluate_runs(options, [])


def test_seeds_on_the_hull_are_on_the_hull_together() -> None:
    # Half of the seeds end at one canvas, half at another. Each lies on the hull; a mixture of the two, which nobody
    # would use, does not: canvases between them are better.
    options = Options.of_table(concave_table())
    cheap, dear = np.zeros(400, dtype=np.int64), np.full(400, 2)
    together = evaluate_runs(options, [(cheap, 0.0), (dear, 0.0)], resamples=50)
    assert together.hull_gain == pytest.approx(0.0, abs=1e-12)
    assert together.above_hull_p == 1.0
    mixture = (options.probabilities(cheap) + options.probabilities(dear)) / 2
    assert evaluate_options(options, mixture, resamples=50).hull_gain < -0.05
    assert list(together.share.values()) == [0.5, 0.0, 0.5, 0.0]


def test_intervals_hold_the_estimate_and_follow_the_seed(table: OutcomeTable) -> None:
    actions = np.arange(len(table)) % 4
    one, two, other = (evaluate(table, actions, resamples=400, seed=seed) for seed in (0, 0, 1))
    assert one == two
    assert one.gap_closed_interval != other.gap_closed_interval
    assert one.gap_closed == other.gap_closed
    for name in ("acc1", "gap_closed", "hull_gain"):
        low, high = getattr(one, f"{name}_interval")
        assert low < getattr(one, name) < high, name


def test_intervals_are_over_photos(table: OutcomeTable) -> None:
    # Three sketches of each photo: copying rows into new sketch ids of the same photos changes no interval.
    actions = np.arange(len(table)) % 4
    rows = np.repeat(np.arange(len(table)), 2)
    doubled = toy_table_rows(table, rows)
    one = evaluate(table, actions, resamples=300)
    two = evaluate(doubled, actions[rows], resamples=300)
    assert two.n_sketches == 2 * one.n_sketches
    for name in ("acc1_interval", "gap_closed_interval", "hull_gain_interval"):
        assert getattr(two, name) == pytest.approx(getattr(one, name)), name


def toy_table_rows(table: OutcomeTable, rows: np.ndarray) -> OutcomeTable:
    """The given rows of a table as sketches of their own."""
    columns = ("ranks", "distances", "triplet", "top", "photo_ids", "split", "level")
    fields = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    fields.update({name: getattr(table, name)[rows] for name in columns})
    fields["sketch_ids"] = np.array([f"{table.sketch_ids[row]}#{i}" for i, row in enumerate(rows)])
    return OutcomeTable(**fields)


# ---------------------------------------------------------------- where baselines must land


def test_fixed_canvases_are_on_or_below_the_hull() -> None:
    table = concave_table()
    for side in table.canvases:
        found = evaluate(table, baselines.fixed(table, int(side)), resamples=10)
        # All four are vertices.
        assert found.hull_gain == pytest.approx(0.0, abs=1e-12)
        assert found.share[str(side)] == 1.0
        assert found.selector_gflops == 0.0


def test_the_best_fixed_canvas_closes_no_gap_and_the_oracle_all_of_it(table: OutcomeTable) -> None:
    for weights in (WEIGHTS, {"tradeoff": 0.0}, {"tradeoff": 0.7}, {"tradeoff": 0.7, "cost": "latency"}):
        best = evaluate(table, baselines.best_fixed(table, **weights), resamples=10, **weights)
        oracle = evaluate(table, baselines.oracle(table, **weights), resamples=10, **weights)
        assert best.gap_closed == 0.0
        assert oracle.gap_closed == 1.0
        assert oracle.regret == 0.0
        assert best.regret == pytest.approx(oracle.reward - best.reward)
        for side in table.canvases:
            fixed = evaluate(table, baselines.fixed(table, int(side)), resamples=10, **weights)
            assert fixed.reward <= best.reward
            assert fixed.gap_closed <= 0.0


def test_gap_closed_is_undefined_where_one_canvas_is_best_for_all() -> None:
    table = table_of(np.tile([1, 2, 3], (5, 1)))
    found = evaluate(table, baselines.oracle(table), resamples=10)
    assert math.isnan(found.gap_closed)
    assert math.isnan(found.gap_closed_interval.low)
    fields = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert fields["gap_closed"] is None
    assert fields["gap_closed_interval"] == [None, None]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_a_coin_toss_on_the_hull_gains_nothing(share: float) -> None:
    for table in (concave_table(), toy_table().select("test"), toy_table(seed=4).select("val")):
        hull = table.hull()
        assert len(hull) > 1
        for low, high in pairwise(hull):
            at = float((1 - share) * low[0] + share * high[0])
            found = evaluate(table, baselines.hull(table, at), resamples=10)
            assert found.gflops * 1e9 == pytest.approx(at)
            assert found.acc1 == pytest.approx((1 - share) * low[1] + share * high[1])
            assert found.hull_gain == pytest.approx(0.0, abs=1e-9)


def test_the_oracle_gains_and_chance_loses_where_the_hull_is_concave() -> None:
    table = concave_table()
    oracle = evaluate(table, baselines.oracle(table), resamples=200)
    assert oracle.hull_gain > 0.05
    assert oracle.hull_gain_interval.low > 0.0
    random = evaluate(table, baselines.random(table), resamples=200)
    assert random.acc1 == pytest.approx((0.3 + 0.6 + 0.75 + 0.8) / 4)
    assert random.gflops * 1e9 == pytest.approx((1 + 4 + 16 + 64) / 4)
    # At 21.25 the hull is at 0.75 + 0.05 * 5.25 / 48.
    assert random.hull_gain == pytest.approx(0.6125 - (0.75 + 0.05 * 5.25 / 48))
    assert random.hull_gain_interval.high < 0.0
    assert random.share == dict.fromkeys(map(str, table.canvases.tolist()), 0.25)


def test_the_hull_outside_its_ends_is_one_canvas() -> None:
    table = concave_table()
    for at, column in ((0.0, 0), (1.0, 0), (64.0, 3), (1e12, 3)):
        np.testing.assert_array_equal(baselines.hull(table, at), np.eye(4)[[column] * len(table)])


def test_the_hull_skips_what_is_not_worth_its_price() -> None:
    # Canvas 16 is below the line from 8 to 32, canvas 64 is worse than 32.
    ranks = np.full((10, 4), 9)
    for column, right in enumerate((2, 3, 9, 8)):
        ranks[:right, column] = 1
    table = table_of(ranks)
    row = baselines.hull(table, 8.5)[0]
    np.testing.assert_allclose(row, [0.5, 0.0, 0.5, 0.0])
    np.testing.assert_allclose(baselines.hull(table, 40.0)[0], [0.0, 0.0, 1.0, 0.0])


def test_the_oracle_is_the_cheapest_of_the_best() -> None:
    table = table_of([[9, 1, 1], [1, 1, 1], [9, 9, 1]])
    assert baselines.oracle(table).tolist() == [1, 0, 2]
    assert baselines.oracle(table, tradeoff=1.0).tolist() == [0, 0, 0]


# ---------------------------------------------------------------- names and misuse


def test_baselines_by_name(toy: Toy) -> None:
    table = toy.table.select("test")
    np.testing.assert_array_equal(baselines.by_name("fixed:64", table), np.full(len(table), 2))
    np.testing.assert_array_equal(baselines.by_name("random", table), np.full((len(table), 4), 0.25))
    for name, function in (("best_fixed", baselines.best_fixed), ("oracle", baselines.oracle)):
        np.testing.assert_array_equal(baselines.by_name(name, table, tradeoff=0.9), function(table, tradeoff=0.9))
    assert not np.array_equal(baselines.by_name("oracle", table, tradeoff=0.9), baselines.oracle(table, 0.0))
    # At full weight on cost, the quickest canvas is not the one of the fewest FLOPs.
    for name in ("best_fixed", "oracle"):
        assert set(baselines.by_name(name, table, tradeoff=1.0)) == {0}
        assert set(baselines.by_name(name, table, tradeoff=1.0, cost="latency")) == {1}
    for name in ("fixed:64", "random", "best_fixed", "oracle"):
        assert baselines.is_name(name)
    assert not baselines.is_name("runs/reinforce")


def test_the_hull_by_name() -> None:
    table = toy_table()
    np.testing.assert_array_equal(baselines.by_name("hull:0.01", table), baselines.hull(table, 0.01e9))
    assert baselines.is_name("hull:0.01")


@pytest.mark.parametrize(
    "name", ["best", "fixed", "fixed:", "fixed:big", "fixed:-16", "", "hull", "hull:", "hull:0", "hull:-1", "hull:inf"]
)
def test_unknown_baselines(name: str) -> None:
    with pytest.raises(
        ValueError, match="there are fixed:16, fixed:32, fixed:64, fixed:128, hull:GFLOPS, random, best"
    ):
        baselines.by_name(name, toy_table())


def test_unknown_canvases() -> None:
    with pytest.raises(ValueError, match=r"no outcomes at canvas 48.*16, 32, 64, 128"):
        baselines.by_name("fixed:48", toy_table())


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (np.zeros(5, dtype=int), "integer choices"),
        (np.zeros(3), "integer choices"),
        (np.array([0, 1, 3]), r"must lie in \[0, 3\).*8, 16, 32"),
        (np.array([0, -1, 2]), "must lie in"),
        (np.full((3, 2), 0.5), r"\(3, 3\) probabilities"),
        (np.eye(3, dtype=int), "probabilities"),
        (np.full((3, 3), 0.5), "add up to 1"),
        (np.array([[1.5, -0.5, 0.0]] * 3), "not negative"),
        (np.array([[np.nan, 0.5, 0.5]] * 3), "finite"),
    ],
)
def test_policies_that_do_not_fit(choice: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(table_of([[1, 2, 3]] * 3), choice)


@pytest.mark.parametrize("cost", [-1.0, math.nan, math.inf, np.zeros(2), np.zeros((3, 1))])
def test_costs_that_do_not_fit(cost: Any) -> None:
    with pytest.raises(ValueError, match="selector_flops"):
        evaluate(table_of([[1, 2, 3]] * 3), np.zeros(3, dtype=int), selector_flops=cost)
