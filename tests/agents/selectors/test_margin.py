"""Rules that look again in doubt: compared with brute force, chosen on one split and applied to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from agents.evaluation.evaluate import evaluate_options
from agents.evaluation.setting import CascadeConfig
from agents.selectors.margin import BUDGET, CONFIDENCE, DoubtRule, best_rule, rules_of, signals
from sketchcanvas_env import load_table
from sketchcanvas_env.outcomes.looks import LookTable
from tests.agents.support import is_easy

MakeEnv = Callable[..., CascadeConfig]


def plain_return(env: CascadeConfig, split: str, first: int, second: int, below: float) -> float:
    """Mean return of a margin rule, by loops over the outcomes."""
    cascade, table = env.cascade(split), env.outcomes(split)
    spread = float(table.flops[-1] - table.flops[0])
    total = 0.0
    for row in range(len(table)):
        again = float(signals(cascade, first)[row]) < below
        looks = [first, second] if again else [first]
        acc = 1 / int(table.ranks[row, looks[-1]]) - 0.1 * float(table.triplet[row, looks[-1]])
        total += 0.8 * acc - 0.2 * sum(float(table.flops[k]) for k in looks) / spread
    return total / len(table)


def test_the_best_rule_by_brute_force(doubt_env: MakeEnv) -> None:
    env = doubt_env()
    cascade = env.cascade("train")
    rule = best_rule(cascade)
    found = plain_return(env, "train", rule.first, rule.second, rule.below)
    assert (rule.first, rule.second) == (0, 2)
    assert 0.05 < rule.below < 0.1  # between the margins of doubt and those of certainty
    assert cascade.node_rewards[np.arange(len(cascade)), rule.nodes(cascade)].mean() == pytest.approx(found)
    for first, second in combinations(range(4), 2):
        for below in (0.0, *np.quantile(signals(cascade, first), np.linspace(0, 1, 9)).tolist(), np.inf):
            assert plain_return(env, "train", first, second, below) <= found + 1e-12


def test_it_looks_again_where_the_margin_is_small(doubt_env: MakeEnv) -> None:
    env = doubt_env()
    nodes = DoubtRule(0, 2, 0.07).nodes(env.cascade("test"))
    names = np.array(env.options("test").names)[nodes]
    easy = is_easy(len(env.cascade("test").task.dataset))[env.cascade("test").task.index]
    assert names.tolist() == ["16" if one else "16>64" for one in easy]
    judged = evaluate_options(env.options("test"), nodes, resamples=10)
    assert judged.acc1 == 1.0
    assert judged.gap_closed > 0.99


def test_never_and_always(doubt_env: MakeEnv) -> None:
    cascade = doubt_env().cascade("val")
    assert set(DoubtRule(1, 3, 0.0).nodes(cascade)) == {1}
    always = DoubtRule(1, 3, np.inf)
    assert {cascade.nodes[node] for node in always.nodes(cascade)} == {"32>128"}
    assert always.name(cascade) == "always 32>128"
    assert DoubtRule(1, 3, 0.03).name(cascade) == "margin 32>128 (< 0.030)"


def test_equal_margins_go_together(doubt_env: MakeEnv) -> None:
    # If looking again never helps, the rule never does; if it always helps, the rule always does.
    cost_only = doubt_env(tradeoff=1.0)
    rule = best_rule(cost_only.cascade("train"))
    assert (rule.first, rule.below) == (0, 0.0)
    two = doubt_env(canvases=(16, 64), tradeoff=0.0).cascade("train")
    chosen = best_rule(two)
    assert 0.05 < chosen.below < 0.1


def test_the_confidence_rule_within_a_budget_by_brute_force(tmp_path: Path) -> None:
    shipped = LookTable.load_beside(load_table("emoji"))
    shares = np.exp(-(shipped.distances**2) / 0.1)
    sure = shares[..., 0] / shares.sum(axis=-1)
    looks = replace(
        shipped, confidence=sure, entropy=1 - sure, apart=sure, temperatures=np.full(sure.shape[1], 0.1)
    ).save(tmp_path / "sure.looks.npz")
    env = CascadeConfig(confidence=True, looks=str(looks))
    val, table = env.cascade("val"), env.outcomes("val")
    rule = best_rule(val, CONFIDENCE, BUDGET)
    limit = BUDGET * table.flops[-1]

    def judged(first: int, second: int, below: float) -> tuple[float, float]:
        again = signals(val, first, CONFIDENCE) < below
        right = np.where(again, table.ranks[:, second], table.ranks[:, first]) == 1
        return float(right.mean()), float((table.flops[first] + again * table.flops[second]).mean())

    best, cost = judged(rule.first, rule.second, rule.below)
    assert cost <= limit
    for first, second in combinations(range(4), 2):
        for below in (0.0, *np.quantile(signals(val, first, CONFIDENCE), np.linspace(0, 1, 41)).tolist(), np.inf):
            acc, other = judged(first, second, below)
            assert other > limit or acc <= best + 1e-12
    assert rule.name(val).startswith("confidence ") and rule.name(val).endswith(", at most 15 % of 256")
    assert len(env.rules("val")) == 4
    with pytest.raises(ValueError, match="less than the smallest canvas costs"):
        best_rule(val, CONFIDENCE, 0.001)
    with pytest.raises(ValueError, match="make it with confidence=True"):
        signals(replace(env, confidence=False).cascade("val"), 0, CONFIDENCE)


def test_one_canvas_leaves_no_rule(doubt_env: MakeEnv) -> None:
    env = doubt_env(canvases=(64,))
    assert env.rules("test") == {}
    with pytest.raises(ValueError, match="needs two canvases"):
        best_rule(env.cascade("val"))


def test_it_is_chosen_on_val_and_judged_elsewhere(doubt_env: MakeEnv) -> None:
    env = doubt_env()
    val, test = env.cascade("val"), env.cascade("test")
    rule = best_rule(val)
    found = rules_of(val, test)
    assert list(found) == [rule.name(val), f"always {val.task.canvases[rule.first]}>{val.task.canvases[rule.second]}"]
    np.testing.assert_array_equal(found[rule.name(val)], rule.nodes(test))
    np.testing.assert_array_equal(env.rules("test")[rule.name(val)], rule.nodes(test))


def test_margins_are_those_of_the_stored_distances() -> None:
    table = load_table("emoji")
    looks = LookTable.load_beside(table)
    rows = table.split == "val"
    cascade = CascadeConfig().cascade("val")
    column = table.columns([64])[0]
    stored = looks.distances[rows, column]
    np.testing.assert_array_equal(signals(cascade, 1), stored[:, 1] - stored[:, 0])
