"""Evaluations by condition: each is that of the condition's sketches alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.evaluation.evaluate import evaluate_groups
from agents.evaluation.options import Options
from agents.reports.tables import group_table
from sketchcanvas_env.outcomes.table import TableError
from tests.helpers import toy_table

NAMES = ["by mouse", "hasty", "slow"]


def test_a_policy_is_evaluated_on_the_sketches_of_each_condition() -> None:
    whole = toy_table()
    table = replace(whole, meta={**whole.meta, "conditions": NAMES}).select("val")
    choice = np.arange(len(table)) % 4
    own = np.linspace(1e6, 2e6, len(table))
    found = evaluate_groups(Options.of_table(table), choice, own, table)
    assert list(found) == [NAMES[number] for number in np.unique(table.level)]
    for name, part in found.items():
        rows = np.flatnonzero(table.level == NAMES.index(name))
        assert part.n_sketches == len(rows)
        assert part.acc1 == pytest.approx((table.ranks[rows, choice[rows]] == 1).mean())
        assert part.gflops == pytest.approx((table.flops[choice[rows]] + own[rows]).mean() / 1e9)
    shown = group_table({"mine": found, "other": found})
    assert [row[0] for row in shown.rows] == [name for name in found for _ in range(2)]


def test_one_group_is_not_split() -> None:
    table = replace(toy_table(), level=np.zeros(len(toy_table()), np.int8)).select("val")
    assert evaluate_groups(Options.of_table(table), np.zeros(len(table), int), 0.0, table) == {}


@pytest.mark.parametrize("conditions", [NAMES[:2], "hasty", [1, 2, 3], ["a", "b", "\x1b[31m"]])
def test_conditions_that_do_not_fit_the_numbers_are_refused(conditions: object) -> None:
    table = toy_table()
    assert table.level.max() == 2
    with pytest.raises(TableError, match="conditions"):
        replace(table, meta={**table.meta, "conditions": conditions})
