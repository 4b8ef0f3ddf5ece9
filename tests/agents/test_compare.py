"""The comparison: which rows, on which split, how much they cost, and that it can be had again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import baselines, compare, policy
from agents.compare import CompareConfig, CompareResult
from agents.environment import EnvConfig
from agents.evaluate import evaluate
from sketchcanvas_env.vector import SketchCanvasVectorEnv
from tests.agents.support import ALGORITHMS, weights
from tests.helpers import Toy


def quick(env: EnvConfig, **changes: Any) -> CompareConfig:
    settings: dict[str, Any] = {"seeds": 2, "total_steps": 512, "selector": "stats", "resamples": 50}
    return CompareConfig(env=env, **{**settings, **changes})


@pytest.fixture
def result(toy_env: EnvConfig) -> CompareResult:
    return compare.compare(quick(toy_env))


def test_the_rows(toy_env: EnvConfig, result: CompareResult) -> None:
    best = int(toy_env.canvases[toy_env.outcomes("test").best_fixed()])
    assert [(row.name, row.kind) for row in result.rows] == [
        *((f"fixed {side}", "fixed") for side in (16, 32, 64, 128)),
        ("random", "random"),
        (f"best fixed ({best})", "best_fixed"),
        ("oracle", "oracle"),
        ("reinforce", "agent"),
        ("hull at reinforce's cost", "hull"),
        ("ppo", "agent"),
        ("hull at ppo's cost", "hull"),
    ]
    for row in result.rows:
        assert len(row.seeds) == len(row.seconds) == (2 if row.kind == "agent" else 0)
    assert result.row("oracle").evaluation.gap_closed == 1.0
    assert result.row(f"best fixed ({best})").evaluation == result.row(f"fixed {best}").evaluation
    with pytest.raises(KeyError, match=r"no row 'dqn'.*fixed 16.*ppo"):
        result.row("dqn")


def test_baselines_are_evaluated_on_the_test_split(toy: Toy, result: CompareResult) -> None:
    # From the table itself, not by the road that the comparison takes.
    rows = toy.table.split == "test"
    for column, side in enumerate((16, 32, 64, 128)):
        found = result.row(f"fixed {side}").evaluation
        assert found.n_sketches == rows.sum() == 36
        assert found.acc1 == pytest.approx(float((toy.table.ranks[rows, column] == 1).mean()))
        assert found.gflops == pytest.approx(float(toy.table.flops[column]) / 1e9)
    random = result.row("random").evaluation
    assert random.acc1 == pytest.approx(float((toy.table.ranks[rows] == 1).mean()))
    np.testing.assert_array_equal(result.hull, toy.table.select("test").hull())
    np.testing.assert_array_equal(result.front, toy.table.select("test").pareto_front())


def test_agents_are_evaluated_on_the_test_split(toy_env: EnvConfig, result: CompareResult) -> None:
    task, table = toy_env.task("test"), toy_env.outcomes("test")
    for name in ALGORITHMS:
        row = result.row(name)
        runs = [run for run in result.trained if run.config.algorithm == name]
        assert [run.config.seed for run in runs] == [0, 1]
        for run, found in zip(runs, row.seeds, strict=True):
            actions, cost = policy.actions_of(run.selector, task), policy.flops_of(run.selector, task)
            assert found == evaluate(table, actions, selector_flops=cost, resamples=50)
            assert found.n_sketches == 36
            # The stats network: 16 numbers, twice 64 units, 4 canvases.
            assert found.selector_gflops == pytest.approx(2 * (16 * 64 + 64 * 64 + 64 * 4) / 1e9)
            assert found.gflops == pytest.approx(found.student_gflops + found.selector_gflops)
        for field in ("acc1", "acc5", "mrr", "gflops", "reward", "regret", "gap_closed"):
            mean = np.mean([getattr(seed, field) for seed in row.seeds])
            assert getattr(row.evaluation, field) == pytest.approx(mean), field


def test_hull_rows_cost_what_their_agent_costs(toy_env: EnvConfig, result: CompareResult) -> None:
    hull = toy_env.outcomes("test").hull()
    for name in ALGORITHMS:
        agent, toss = result.row(name).evaluation, result.row(f"hull at {name}'s cost").evaluation
        cost = float(np.clip(agent.gflops * 1e9, hull[0, 0], hull[-1, 0]))
        assert toss.gflops * 1e9 == pytest.approx(cost)
        assert toss.selector_gflops == 0.0
        assert toss.acc1 == pytest.approx(float(np.interp(cost, hull[:, 0], hull[:, 1])))
        assert toss.hull_gain == pytest.approx(0.0, abs=1e-9)
        # Hence what the agent gains over the hull is what it gains over that row.
        assert agent.hull_gain == pytest.approx(agent.acc1 - toss.acc1)


def test_hull_rows_at_costs_between_the_ends(toy_env: EnvConfig) -> None:
    # Untrained agents choose evenly; here their cost lies between two canvases, where a coin must be tossed.
    found = compare.compare(quick(toy_env, total_steps=256, seeds=3, algorithms=("reinforce",)))
    agent, toss = (found.row(n).evaluation for n in ("reinforce", "hull at reinforce's cost"))
    assert toy_env.outcomes("test").flops[0] < agent.gflops * 1e9 < toy_env.outcomes("test").flops[-1]
    assert toss.gflops == pytest.approx(agent.gflops)


def test_training_sees_the_train_split_only(toy: Toy, toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: set[str] = set()
    step = SketchCanvasVectorEnv.step

    def watching(self: SketchCanvasVectorEnv, actions: Any) -> Any:
        result = step(self, actions)
        shown.update(self.sketch_ids[result[4]["final_info"]["sketch_index"]].tolist())
        return result

    monkeypatch.setattr(SketchCanvasVectorEnv, "step", watching)
    compare.compare(quick(toy_env, seeds=1))
    assert shown == set(toy.dataset.sketch_ids[toy.dataset.split == "train"].tolist())


def test_it_is_json_and_can_be_read_back(toy_env: EnvConfig, result: CompareResult, tmp_path: Path) -> None:
    path = result.save(tmp_path / "new" / "compare.json")
    text = path.read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    fields = json.loads(text)
    config = fields["config"]
    assert CompareConfig(env=EnvConfig(**config.pop("env")), **config) == result.config
    assert [row["name"] for row in fields["rows"]] == [row.name for row in result.rows]
    for row, found in zip(fields["rows"], result.rows, strict=True):
        assert row["acc1"] == found.evaluation.acc1
        assert row["acc1_interval"] == list(found.evaluation.acc1_interval)
        assert row["share"] == {str(side): part for side, part in found.evaluation.share.items()}
        assert [seed["gflops"] for seed in row["seeds"]] == [seed.gflops for seed in found.seeds]
    np.testing.assert_array_equal(fields["hull"], result.hull)
    assert [run["seed"] for run in fields["runs"]] == [0, 1, 0, 1]
    assert fields["provenance"]["split"] == "test"
    assert fields["provenance"]["trained_on_split"] == "train"
    assert fields["provenance"]["table_hash"] == toy_env.outcomes("test").hash


def test_what_is_undefined_is_null(toy_env: EnvConfig, tmp_path: Path) -> None:
    # One canvas on offer: the oracle is no better than it, so no gap can be closed.
    env = EnvConfig(**{**vars(toy_env), "canvases": (32,)})
    found = compare.compare(quick(env, seeds=1, algorithms=("reinforce",)))
    fields = json.loads(found.save(tmp_path / "one.json").read_text())
    assert {row["gap_closed"] for row in fields["rows"]} == {None}


def without_times(result: CompareResult) -> dict[str, Any]:
    fields = result.to_json()
    del fields["seconds"]
    for row in fields["rows"]:
        del row["train_seconds"]
    return fields


def test_it_is_deterministic(toy_env: EnvConfig, result: CompareResult) -> None:
    again = compare.compare(quick(toy_env))
    assert without_times(again) == without_times(result)
    for one, other in zip(again.trained, result.trained, strict=True):
        assert weights(one.selector) == weights(other.selector)


def test_budgets_are_equal_and_each_run_is_reported(toy_env: EnvConfig) -> None:
    bars: list[tuple[str, int, list[int]]] = []

    def start(title: str, total: int) -> Callable[[int], None]:
        bars.append((title, total, []))
        return bars[-1][2].append

    found = compare.compare(quick(toy_env), start)
    assert [bar[:2] for bar in bars] == [(f"{name}, seed {seed}", 512) for name in ALGORITHMS for seed in range(2)]
    assert all(done[-1] == 512 for *_, done in bars)
    assert {run.steps for run in found.trained} == {512}


@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_another_split_and_other_canvases(toy: Toy, cost: str) -> None:
    env = EnvConfig(**{**toy.kwargs, "canvases": (16, 64), "tradeoff": 0.4, "cost": cost})  # type: ignore[arg-type]
    found = compare.compare(quick(env, split="val", seeds=1, algorithms=("ppo",)))
    table = toy.table.select("val", (16, 64))
    choice = baselines.oracle(table, 0.4, cost=cost)
    assert found.row("oracle").evaluation == evaluate(table, choice, tradeoff=0.4, cost=cost, resamples=50)
    # What is plotted stays in FLOPs.
    np.testing.assert_array_equal(found.hull, table.hull("flops"))
    assert set(found.row("ppo").evaluation.share) == {16, 64}
    assert found.row("ppo").evaluation.n_sketches == 21


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithms": ()}, "one or more different names"),
        ({"algorithms": ("ppo", "ppo")}, "different names"),
        ({"algorithms": ("sarsa",)}, "unknown algorithm 'sarsa'; there are ppo, reinforce"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"resamples": 0}, "resamples must be at least 1"),
        ({"total_steps": 1000}, "take 768 or 1024 instead of 1000"),
        ({"selector": "lstm"}, "unknown selector 'lstm'"),
        ({"hidden": -3}, "hidden"),
        ({"threads": 0}, "threads"),
        ({"split": "dev"}, "train, val, test"),
    ],
)
def test_settings_are_refused_before_the_first_run(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr("agents.algorithms.train_run", lambda *_, **__: pytest.fail("a run has started"))
    with pytest.raises(ValueError, match=message):
        compare.compare(quick(toy_env, **changes))
