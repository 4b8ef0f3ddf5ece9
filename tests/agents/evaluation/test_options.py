"""What a policy can end with: the canvases of a table, and probabilities over options of which some are no canvas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.evaluation.evaluate import evaluate, evaluate_options
from agents.evaluation.options import Options
from tests.helpers import toy_table

WEIGHTS = {"tradeoff": 0.35, "rank_weight": 0.8, "triplet_weight": 0.25}


def more_options() -> Options:
    """The canvases of the toy table, and one that costs as much as the two cheapest and is right where the last is."""
    plain = Options.of_table(toy_table().select("test"), **WEIGHTS)
    extra = plain.rewards[:, 3:] + 5.0
    return replace(
        plain,
        names=(*plain.names, "16>128"),
        ranks=np.column_stack([plain.ranks, plain.ranks[:, 3]]),
        flops=np.append(plain.flops, plain.flops[0] + plain.flops[1]),
        costs=np.append(plain.costs, plain.costs[0] + plain.costs[1]),
        rewards=np.column_stack([plain.rewards, extra]),
    )


def test_a_table_offers_its_canvases() -> None:
    table = toy_table().select("test")
    options = Options.of_table(table, **WEIGHTS)
    assert (options.names, options.n_fixed, len(options)) == (("16", "32", "64", "128"), 4, len(table))
    np.testing.assert_array_equal(options.rewards, table.rewards(**WEIGHTS))
    np.testing.assert_array_equal(options.oracle, table.oracle(**WEIGHTS))
    assert options.best_fixed() == table.best_fixed(**WEIGHTS)
    np.testing.assert_allclose(options.regret.min(axis=1), 0.0)
    choice = np.arange(len(table)) % 4
    one = evaluate(table, choice, resamples=20, **WEIGHTS)
    assert evaluate_options(options, choice, resamples=20) == one


def test_more_than_canvases_can_be_chosen_but_the_hull_and_the_best_fixed_are_of_canvases() -> None:
    options = more_options()
    plain = Options.of_table(toy_table().select("test"), **WEIGHTS)
    # The new one earns most everywhere, and is no canvas.
    assert set(options.oracle.tolist()) == {4}
    assert options.best_fixed() == plain.best_fixed() < 4
    found = evaluate_options(options, np.full(len(options), 4), selector_flops=1e6, resamples=50)
    assert found.share == {"16": 0.0, "32": 0.0, "64": 0.0, "128": 0.0, "16>128": 1.0}
    assert found.gap_closed == 1.0
    assert found.regret == 0.0
    assert found.gflops == pytest.approx((1e6 + 4e6 + 1e6) / 1e9)
    # As accurate as canvas 128 at the cost of a mixture of two others: the gain is over the hull of the canvases.
    same = evaluate(toy_table().select("test"), np.full(len(options), 3), resamples=50, **WEIGHTS)
    assert found.acc1 == same.acc1
    table = toy_table().select("test")
    assert found.hull_gain == pytest.approx(found.acc1 - table.hull_acc(6e6))
    fixed = evaluate_options(options, np.full(len(options), options.best_fixed()), resamples=50)
    assert fixed.gap_closed == 0.0
    assert fixed.regret > 0.5


@pytest.mark.parametrize("canvases", [(16, 32, 64, 128), (32,)])
def test_deciding_is_charged_like_the_student(canvases: tuple[int, ...]) -> None:
    table = toy_table().select("test", canvases)
    options = Options.of_table(table, **WEIGHTS)
    choice = np.arange(len(table)) % len(canvases)
    thinking = np.linspace(0.0, 3e6, len(table))
    flops = table.flops.tolist()
    # With one canvas on offer the reward charges its whole cost as 1.
    unit = max(flops) - min(flops) or flops[0]
    for row, column in enumerate(choice.tolist()):
        acc = WEIGHTS["rank_weight"] / int(table.ranks[row, column])
        acc -= WEIGHTS["triplet_weight"] * float(table.triplet[row, column])
        spent = flops[column] + thinking[row]
        expected = (1 - WEIGHTS["tradeoff"]) * acc - WEIGHTS["tradeoff"] * spent / unit
        assert options.earned(choice, thinking)[row] == pytest.approx(expected)
    # Milliseconds of deciding are in no table.
    timed = Options.of_table(toy_table().select("test"), cost="latency")
    assert timed.charge == 0.0


def test_tossing_between_canvases_needs_no_word_about_the_others() -> None:
    options = more_options()
    narrow = np.full((len(options), 4), 0.25)
    wide = np.column_stack([narrow, np.zeros(len(options))])
    np.testing.assert_array_equal(options.probabilities(narrow), wide)
    assert evaluate_options(options, narrow, resamples=5) == evaluate_options(options, wide, resamples=5)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (np.full(36, 5), r"must lie in \[0, 5\).*16>128"),
        (np.full((36, 3), 1 / 3), r"\(36,\) integer choices or \(36, 5\) probabilities"),
        (np.full((36, 5), 0.25), "add up to 1"),
    ],
)
def test_choices_that_do_not_fit(choice: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        more_options().probabilities(choice)
