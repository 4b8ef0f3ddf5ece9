"""The comparison: which rows, on which split, how much they cost, and that it can be had again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agents
from agents.algorithms import registry as algorithms
from agents.evaluation import baselines
from agents.evaluation.evaluate import Evaluation, evaluate
from agents.evaluation.setting import EnvConfig
from agents.experiments import compare, pack, settings, stored
from agents.experiments.results import PROFILE_THRESHOLDS, CompareResult
from agents.experiments.runs import StoredRun
from agents.experiments.settings import CompareConfig
from agents.reports import comparison as report
from agents.selectors import policy
from sketchcanvas_env.envs.canvas import SketchCanvasVectorEnv
from sketchcanvas_env.storage.files import write_json
from tests.agents.support import weights
from tests.helpers import Toy

AGENTS = ("reinforce", "ppo")


def quick(env: EnvConfig, **changes: Any) -> CompareConfig:
    told: dict[str, Any] = {
        "algorithms": AGENTS,
        "seeds": 2,
        "total_steps": 512,
        "selector": "stats",
        "split": "test",
        "resamples": 50,
    }
    return CompareConfig(env=env, **{**told, **changes})


@pytest.fixture
def result(toy_env: EnvConfig, tmp_path: Path) -> CompareResult:
    return compare.compare(quick(toy_env), tmp_path / "result")


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
        (result.rows[-1].name, "chosen"),
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
    for name in AGENTS:
        row = result.row(name)
        trained = result.trained[name]
        assert [(run.config.algorithm, run.config.seed) for run in trained] == [(name, 0), (name, 1)]
        for run, found in zip(trained, row.seeds, strict=True):
            network = run.selector.selector
            actions, cost = policy.actions_of(network, task), policy.flops_of(network, task)
            assert found == evaluate(table, actions, selector_flops=cost, resamples=50)
            assert found.n_sketches == 36
            # The stats network: 16 numbers, twice 256 units, 4 canvases.
            assert found.selector_gflops == pytest.approx(2 * (16 * 256 + 256 * 256 + 256 * 4) / 1e9)
            assert found.gflops == pytest.approx(found.student_gflops + found.selector_gflops)
        for field in ("acc1", "acc5", "mrr", "gflops", "reward", "regret", "gap_closed", "hull_gain"):
            mean = np.mean([getattr(seed, field) for seed in row.seeds])
            assert getattr(row.evaluation, field) == pytest.approx(mean), field


def test_hull_rows_cost_what_their_agent_costs(toy_env: EnvConfig, result: CompareResult) -> None:
    hull = toy_env.outcomes("test").hull()
    for name in AGENTS:
        agent, toss = result.row(name).evaluation, result.row(f"hull at {name}'s cost").evaluation
        # A toss for each seed, at its cost.
        costs = np.clip([seed.gflops * 1e9 for seed in result.row(name).seeds], hull[0, 0], hull[-1, 0])
        assert toss.gflops * 1e9 == pytest.approx(costs.mean())
        assert toss.selector_gflops == 0.0
        assert toss.acc1 == pytest.approx(float(np.interp(costs, hull[:, 0], hull[:, 1]).mean()))
        assert toss.hull_gain == pytest.approx(0.0, abs=1e-9)
        # Hence what the agent gains over the hull is what it gains over that row.
        assert agent.hull_gain == pytest.approx(agent.acc1 - toss.acc1)


def test_hull_rows_at_costs_between_the_ends(toy_env: EnvConfig, tmp_path: Path) -> None:
    # Untrained agents choose evenly; here their cost lies between two canvases, where a coin must be tossed.
    found = compare.compare(quick(toy_env, total_steps=256, seeds=3, algorithms=("reinforce",)), tmp_path)
    agent, toss = (found.row(n).evaluation for n in ("reinforce", "hull at reinforce's cost"))
    assert toy_env.outcomes("test").flops[0] < agent.gflops * 1e9 < toy_env.outcomes("test").flops[-1]
    assert toss.gflops == pytest.approx(agent.gflops)


def test_training_sees_the_train_split_only(
    toy: Toy, toy_env: EnvConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: set[str] = set()
    step = SketchCanvasVectorEnv.step

    def watching(self: SketchCanvasVectorEnv, actions: Any) -> Any:
        result = step(self, actions)
        shown.update(self.sketch_ids[result[4]["final_info"]["sketch_index"]].tolist())
        return result

    monkeypatch.setattr(SketchCanvasVectorEnv, "step", watching)
    compare.compare(quick(toy_env, seeds=1), tmp_path)
    assert shown == set(toy.dataset.sketch_ids[toy.dataset.split == "train"].tolist())


def test_it_is_json_and_can_be_read_back(toy_env: EnvConfig, result: CompareResult, tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "compare.json", result.to_json())
    text = (tmp_path / "new" / "compare.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    fields = json.loads(text)
    config = fields["config"]
    assert CompareConfig(env=EnvConfig(**config.pop("env")), **config) == result.config
    assert [row["name"] for row in fields["rows"]] == [row.name for row in result.rows]
    for row, found in zip(fields["rows"], result.rows, strict=True):
        assert row["acc1"] == found.evaluation.acc1
        assert row["acc1_interval"] == list(found.evaluation.acc1_interval)
        assert row["share"] == found.evaluation.share
        assert [seed["gflops"] for seed in row["seeds"]] == [seed.gflops for seed in found.seeds]
    np.testing.assert_array_equal(fields["hull"], result.hull)
    assert fields["chosen"] == result.chosen
    assert fields["provenance"]["split"] == "test"
    assert fields["provenance"]["trained_on_split"] == "train"
    assert fields["provenance"]["table_hash"] == toy_env.outcomes("test").hash


def test_what_is_undefined_is_null(toy_env: EnvConfig, tmp_path: Path) -> None:
    # One canvas on offer: the oracle is no better than it, so no gap can be closed.
    env = EnvConfig(**{**vars(toy_env), "canvases": (32,)})
    found = compare.compare(quick(env, seeds=1, algorithms=("reinforce",)), tmp_path)
    fields = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert {row["gap_closed"] for row in fields["rows"]} == {None}


def without_times(result: CompareResult) -> dict[str, Any]:
    fields = result.to_json()
    del fields["seconds"]
    for row in fields["rows"]:
        del row["train_seconds"]
    return fields


def test_it_is_deterministic(toy_env: EnvConfig, result: CompareResult, tmp_path: Path) -> None:
    again = compare.compare(quick(toy_env), tmp_path / "again")
    assert without_times(again) == without_times(result)
    for name in AGENTS:
        for one, other in zip(again.trained[name], result.trained[name], strict=True):
            assert weights(one.selector.selector) == weights(other.selector.selector)


def test_budgets_are_equal_and_each_run_is_reported(toy_env: EnvConfig, tmp_path: Path) -> None:
    bars: list[tuple[str, int, list[int]]] = []

    def start(title: str, total: int) -> Callable[[int], None]:
        bars.append((title, total, []))
        return bars[-1][2].append

    found = compare.compare(quick(toy_env), tmp_path, start_bar=start)
    # One bar counts the splits, one the runs, the others follow one run each.
    assert bars[0] == ("sketches of a split", 3, [1, 2, 3])
    assert bars[1] == ("runs", 4, [0, 1, 2, 3, 4])
    assert [bar[0].rsplit("-", 1)[0] for bar in bars[2:]] == [
        f"{name}-stats-{seed}" for name in ("reinforce", "ppo") for seed in range(2)
    ]
    assert all(total == done[-1] == 512 for _, total, done in bars[2:])
    steps = [run.selector.card["run"]["steps"] for of_agent in found.trained.values() for run in of_agent]
    assert steps == [512] * 4


def test_agents_may_name_their_network(toy_env: EnvConfig) -> None:
    found = quick(toy_env, algorithms=("reinforce", "reinforce/gru", "linucb"), hidden=8, seeds=1).runs()
    told = {agent: [(one.algorithm, one.selector, one.hidden) for one in of_agent] for agent, of_agent in found.items()}
    assert told == {
        "reinforce": [("reinforce", "stats", 8)],
        "reinforce/gru": [("reinforce", "gru", None)],
        "linucb": [("linucb", "clusters", None)],
    }


@pytest.mark.parametrize("name", ["quick", "full"])
def test_presets_can_be_trained(name: str) -> None:
    config = settings.preset(name)
    every = [one for of_agent in config.runs().values() for one in of_agent]
    assert len(every) == len(config.algorithms) * config.seeds
    assert len({one.total_steps for one in every}) == 1
    if name == "full":
        assert {one.algorithm for one in every} == set(algorithms.ALGORITHMS)
        assert {one.selector for one in every} == {"thumb", "clusters", "stats"}
        assert config.seeds >= 10
    with pytest.raises(ValueError, match="unknown preset 'slow'; there are quick, full"):
        settings.preset("slow")


def test_the_chosen_row_is_the_best_of_val(toy_env: EnvConfig, result: CompareResult) -> None:
    val, test = toy_env.outcomes("val"), toy_env.outcomes("test")
    earned = {}
    for name, trained in result.trained.items():
        for run in trained:
            actions = policy.actions_of(run.selector.selector, toy_env.task("val"))
            earned[name, run.config.seed] = float(val.rewards()[np.arange(len(val)), actions].mean())
    name, seed = max(earned, key=lambda one: earned[one])
    row = result.rows[-1]
    assert row.name == f"chosen on val ({name}, seed {seed})"
    network = result.trained[name][seed].selector.selector
    actions = policy.actions_of(network, toy_env.task("test"))
    cost = policy.flops_of(network, toy_env.task("test"))
    assert row.evaluation == evaluate(test, actions, selector_flops=cost, resamples=50)


def price(result: CompareResult) -> float:
    """Reward for a GFLOP, at the tradeoff 0.2."""
    flops = result.config.env.outcomes("test").flops
    return float(0.2 * 1e9 / (flops.max() - flops.min()))


def net_gap(result: CompareResult, one: Evaluation) -> float:
    """Gap closed if the selector is charged, from what a table says without it."""
    fixed = max(row.evaluation.reward for row in result.rows if row.kind == "fixed")
    room = result.row("oracle").evaluation.reward - fixed
    return (one.reward - price(result) * one.selector_gflops - fixed) / room


class Fake:
    """A stored run that sends all sketches to one canvas and thinks for so many FLOPs."""

    def __init__(self, run: StoredRun, canvas: int, thinking: float) -> None:
        self.config, self.curve, self.seconds, self.name = run.config, run.curve, 1.0, run.name
        self.canvas, self.thinking = canvas, thinking

    def decide(self, split: str) -> Any:
        return np.full(len(self.config.env.outcomes(split)), self.canvas, dtype=np.int64)

    def decided(self, split: str) -> tuple[Any, Any]:
        choice = self.decide(split)
        return choice, np.full(len(choice), self.thinking)


@pytest.fixture
def told(toy_env: EnvConfig, result: CompareResult) -> Callable[..., CompareResult]:
    """Evaluates agents of which each seed sends all sketches to one canvas and thinks for so many FLOPs."""
    run = result.trained["reinforce"][0]

    def evaluated(agents: dict[str, list[tuple[int, float]]], split: str = "test") -> CompareResult:
        seeds = len(next(iter(agents.values())))
        config = quick(toy_env, algorithms=tuple(agents), seeds=seeds, split=split)
        fakes: Any = {name: [Fake(run, *one) for one in of_agent] for name, of_agent in agents.items()}
        return compare.evaluate_comparison(config, fakes)

    return evaluated


def test_thinking_for_nothing_is_told_apart(toy_env: EnvConfig, told: Callable[..., CompareResult]) -> None:
    # The same canvas always, but one of the two pays for a selector.
    found = told({"ppo": [(1, 0.0)] * 5, "dqn": [(1, 1e5)] * 5})
    free, paying = found.verdicts
    assert free.improvement["dqn"] == (1.0, pytest.approx(2 / 252))
    assert paying.improvement["ppo"] == (0.0, pytest.approx(2 / 252))
    assert free.scores[0] > paying.scores[0]
    # By the reward of the environment, which knows nothing of it, they are equal.
    assert found.row("ppo").evaluation.gap_closed == found.row("dqn").evaluation.gap_closed
    assert found.row("ppo").evaluation.gap_closed == pytest.approx(free.scores[0])
    options = toy_env.options("test")
    spread = options.flops.max() - options.flops.min()
    assert free.over_fixed.value - paying.over_fixed.value == pytest.approx(0.2 * 1e5 / spread)
    assert [cells[-1] for cells in report.verdict_table(found).rows] == ["dqn", "none"]


def test_three_sentences_say_who_is_best_how_good_and_what_it_saves(told: Callable[..., CompareResult]) -> None:
    found = told({"dqn": [(1, 1e5)] * 5, "ppo": [(1, 0.0)] * 5, "a2c": [(0, 0.0)] * 5})
    first, second, third = report.summary(found)
    assert first == "Best agent: ppo, better than all 2 others."
    own, oracle = found.row("ppo").evaluation, found.row("oracle").evaluation
    assert second.startswith(f"It closes {100 * own.gap_closed:.0f} % of the gap")
    assert f"its acc@1 is {100 * own.acc1:.1f} %, the oracle's {100 * oracle.acc1:.1f} %" in second
    largest = found.row("fixed 128").evaluation
    assert f"{100 * own.gflops / largest.gflops:.0f} % of fixed 128 px ({100 * largest.acc1:.1f} % acc@1)" in third
    same = told({"dqn": [(1, 0.0)] * 5, "ppo": [(1, 0.0)] * 5, "a2c": [(0, 0.0)] * 5})
    assert report.summary(same)[0] == "Best agent: dqn, better than 1 of 2; not told apart from ppo."
    few = told({"dqn": [(1, 0.0)] * 2, "ppo": [(1, 0.0)] * 2})
    assert report.summary(few)[0] == "Best agent: dqn; 2 seeds are too few to tell agents apart."
    assert report.summary(told({"dqn": [(1, 0.0)] * 2}))[0] == "dqn is the only agent."


@pytest.mark.parametrize(("seeds", "cells"), [(2, "-"), (3, "-"), (5, "none")])
def test_too_few_seeds_claim_nothing(told: Callable[..., CompareResult], seeds: int, cells: str) -> None:
    best, worst = [(1, float(i)) for i in range(seeds)], [(1, 1e6 + i) for i in range(seeds)]
    found = told({"ppo": best, "dqn": worst})
    expected = ["dqn", "none"] if seeds == 5 else ["-", "-"]
    assert [row[-1] for row in report.verdict_table(found).rows] == expected
    # Where nothing differs.
    found = told({"ppo": best, "dqn": best})
    assert [row[-1] for row in report.verdict_table(found).rows] == [cells, cells]
    matrix = report.improvement_table(found)
    assert matrix.columns == ("agent", "1", "2")
    assert matrix.rows[0][2] == "0.50"


def test_a_fixed_canvas_is_no_success(told: Callable[..., CompareResult]) -> None:
    found = told({"ppo": [(1, 1e5)] * 3, "dqn": [(0, 0.0), (2, 0.0), (0, 0.0)]})
    for cells in report.verdict_table(found).rows:
        assert cells[report.VERDICT_COLUMNS.index("p: hull")] == "-"
    assert all(verdict.above_hull_p == 1.0 for verdict in found.verdicts)
    first, second = report.finding(found).splitlines()
    assert re.match(r"ppo sends every sketch to 32 px and pays for a selector that decides nothing: -\d", first)
    assert second.startswith("dqn sends every sketch to one canvas, each seed to its own, and pays")


def test_seconds_are_the_median(told: Callable[..., CompareResult]) -> None:
    found = told({"ppo": [(1, 0.0)] * 3})
    rows = tuple(replace(row, seconds=(4.53, 0.22, 0.24)) if row.kind == "agent" else row for row in found.rows)
    (cells,) = report.verdict_table(replace(found, rows=rows)).rows
    assert cells[report.VERDICT_COLUMNS.index("seconds")] == "0.2"


def test_what_was_made_on_a_split_claims_nothing_there(told: Callable[..., CompareResult]) -> None:
    agents = {"ppo": [(1, 0.0)] * 5, "dqn": [(1, 1e5)] * 5}
    for split, shown in (
        ("test", ""),
        ("val", ", chosen on this very split"),
        ("train", ", trained on this very split"),
    ):
        found = told(agents, split)
        rows = {row.name: report.row_cells(found, row) for row in found.rows}
        chosen = rows[found.rows[-1].name]
        assert chosen[0] == f"{found.rows[-1].name}{shown}"
        assert ("[" in chosen[-1]) == (not shown)
        assert chosen[0] in [cells[0] for cells in report.policy_table(found).rows]
        agent = ", trained on this very split" if split == "train" else ""
        assert rows["ppo"][0] == f"ppo{agent}"
        assert "[" in rows["oracle"][-1]
        better = [cells[-1] for cells in report.verdict_table(found).rows]
        assert better == (["-", "-"] if split == "train" else ["dqn", "none"])
        sentences = report.finding(found).splitlines()
        assert ("comes from --split test, once" in sentences[-1]) == (split == "val")
        assert sentences[0].startswith("ppo was trained on this very split: ") == (split == "train")


def test_verdicts(toy_env: EnvConfig, result: CompareResult) -> None:
    test = toy_env.outcomes("test")
    rewards = test.rewards()
    fixed = rewards[:, toy_env.outcomes("val").best_fixed()]
    verdicts = {verdict.name: verdict for verdict in result.verdicts}
    assert list(verdicts) == ["reinforce", "ppo"]
    raw = []
    for name, verdict in verdicts.items():
        chosen = [policy.actions_of(run.selector.selector, toy_env.task("test")) for run in result.trained[name]]
        earned = np.mean([rewards[np.arange(len(rewards)), actions] for actions in chosen], axis=0)
        paid = np.mean([seed.selector_gflops for seed in result.row(name).seeds]) * price(result)
        assert verdict.over_fixed.value == pytest.approx(float((earned - fixed).mean()) - paid)
        closed = [net_gap(result, seed) for seed in result.row(name).seeds]
        assert verdict.scores == pytest.approx(closed)
        assert verdict.gap_closed is not None
        assert verdict.gap_closed.value == pytest.approx(np.mean(closed))  # of two, nothing is trimmed
        assert verdict.profile is not None
        share = [np.mean([value > level for value in closed]) for level in PROFILE_THRESHOLDS]
        np.testing.assert_allclose(verdict.profile.share, share)
        (other,) = set(verdicts) - {name}
        rival = [net_gap(result, seed) for seed in result.row(other).seeds]
        better = np.mean([(a > b) + (a == b) / 2 for a in closed for b in rival])
        assert verdict.improvement[other].value == pytest.approx(better)
        raw.append(verdict.over_fixed.p_value)
    # Holm: twice the smaller, and the larger no less than that.
    low, high = sorted(raw)
    adjusted = sorted(verdict.over_fixed_p for verdict in result.verdicts)
    assert adjusted == pytest.approx([min(1, 2 * low), min(1, max(2 * low, high))])


def test_one_seed_says_nothing_about_seeds(toy_env: EnvConfig, tmp_path: Path) -> None:
    (verdict,) = compare.compare(quick(toy_env, seeds=1, algorithms=("ppo",)), tmp_path).verdicts
    assert (verdict.scores, verdict.gap_closed, verdict.profile, verdict.improvement) == ((), None, None, {})


@pytest.fixture
def folder(result: CompareResult, tmp_path: Path) -> Path:
    """The stored comparison."""
    write_json(tmp_path / "result" / stored.RESULT_FILE, result.to_json())
    return tmp_path / "result"


def test_a_stored_comparison_can_be_validated(result: CompareResult, folder: Path) -> None:
    found = stored.validate(folder)
    assert found.differences == ()
    assert (found.runs, found.weights, found.decisions) == (4, 4, 4 * (21 + 36))
    assert found.numbers > 200
    again = stored.reread(folder)
    assert without_times(again)["rows"] == without_times(result)["rows"]
    # A number that does not follow from the decisions is found, wherever it stands.
    path = folder / stored.RESULT_FILE
    fields = json.loads(path.read_text())
    agent = next(row for row in fields["rows"] if row["kind"] == "agent")
    agent["seeds"][1]["acc1"] += 0.001
    fields["verdicts"][0]["above_hull_p"] = 0.0
    path.write_text(json.dumps(fields))
    lines = stored.validate(folder).differences
    assert len(lines) == 2
    assert lines[0].startswith("rows[7].seeds[1].acc1: stored ")
    assert lines[1].startswith("verdicts[0].above_hull_p: stored ")


def test_decisions_of_other_weights_are_noticed(folder: Path) -> None:
    runs = pack.read(folder)
    one, other = (run for run in runs.values() if run.config.algorithm == "reinforce")
    choice = one.decisions["test"].copy()
    choice[3] = (choice[3] + 1) % 4
    pack.write(folder, {**runs, one.name: replace(one, decisions={**one.decisions, "test": choice})}.values())
    told = stored.validate(folder).differences
    assert f"{one.name}: 1 of 36 decisions on test are not those of its weights" in told
    assert any(line.startswith("rows[7]") for line in told)
    # Without weights nobody can tell, but the numbers are still those of the decisions.
    pack.write(folder, runs.values(), weights_of={one.config.seed})
    found = stored.validate(folder)
    assert (found.differences, found.weights) == ((), 2)
    with pytest.raises(ValueError, match="neither its weights nor its decisions on the split 'train' were kept"):
        pack.read(folder)[other.name].decide("train")
    with pytest.raises(ValueError, match="holds no weights of a run"):
        pack.extract(folder, other.name, folder / "x")
    pack.write(folder, [one])
    with pytest.raises(FileNotFoundError, match="holds no run"):
        stored.validate(folder)
    with pytest.raises(FileNotFoundError, match=r"no comparison in .*: .*result\.json is missing"):
        stored.validate(folder.parent)


def test_the_runs_are_one_file_that_says_all(result: CompareResult, folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == ["chosen.safetensors", "result.json", "runs.safetensors"]
    packed = pack.read(folder)
    every = [run for of_agent in result.trained.values() for run in of_agent]
    assert set(packed) == {run.name for run in every}
    for run in every:
        again = packed[run.name]
        assert (again.config, again.curve, again.seconds) == (run.config, run.curve, run.seconds)
        assert weights(again.selector.selector) == weights(run.selector.selector)
        assert again.selector.card["trained_on"] == run.selector.card["trained_on"]
        np.testing.assert_array_equal(again.decisions["test"], run.config.env.choose(run.selector.selector, "test"))
    chosen = agents.load(folder / compare.CHOSEN_FILE)
    assert weights(chosen.selector) == weights(packed[result.chosen].selector.selector)


def test_more_seeds_and_another_split_go_on_from_the_packed_runs(
    toy_env: EnvConfig, result: CompareResult, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    train = algorithms.train_run

    def watching(config: Any, **more: Any) -> Any:
        trained.append(config.seed)
        return train(config, **more)

    monkeypatch.setattr(algorithms, "train_run", watching)
    compare.compare(quick(toy_env, split="val"), folder)
    assert trained == []
    compare.compare(quick(toy_env, seeds=3), folder)
    assert trained == [2, 2]
    assert len(pack.read(folder)) == 6
    assert not (folder / compare.RUNS_FOLDER).exists()


@pytest.mark.parametrize("size", [0, 10, 1_000, 5_000])
def test_a_damaged_pack_is_told_of(folder: Path, size: int) -> None:
    path = folder / pack.PACK_FILE
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"runs\.safetensors"):
        stored.validate(folder)


@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_another_split_and_other_canvases(toy: Toy, tmp_path: Path, cost: str) -> None:
    env = EnvConfig(**{**toy.kwargs, "canvases": (16, 64), "tradeoff": 0.4, "cost": cost})  # type: ignore[arg-type]
    found = compare.compare(quick(env, split="val", seeds=1, algorithms=("ppo",)), tmp_path)
    table = toy.table.select("val", (16, 64))
    choice = baselines.oracle(table, 0.4, cost=cost)
    assert found.row("oracle").evaluation == evaluate(table, choice, tradeoff=0.4, cost=cost, resamples=50)
    # What is plotted stays in FLOPs.
    np.testing.assert_array_equal(found.hull, table.hull("flops"))
    assert set(found.row("ppo").evaluation.share) == {"16", "64"}
    assert found.row("ppo").evaluation.n_sketches == 21


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithms": ()}, "one or more different names"),
        ({"algorithms": ("ppo", "ppo")}, "different names"),
        ({"algorithms": ("sarsa",)}, "unknown algorithm 'sarsa'; there are a2c, "),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"resamples": 0}, "resamples must be at least 1"),
        ({"total_steps": 1000}, "reinforce: total_steps must be a multiple.*take 768 or 1024 instead of 1000"),
        ({"selector": "lstm"}, "unknown selector 'lstm'"),
        ({"hidden": -3}, "hidden"),
        ({"selector": "linear", "hidden": 8}, "no hidden units"),
        ({"algorithms": ("reinforce", "cost_sensitive/looks")}, "'looks' reads last, looks, which only a cascade"),
        ({"threads": 0}, "threads"),
        ({"split": "dev"}, "train, val, test"),
    ],
)
def test_settings_are_refused_before_the_first_run(
    toy_env: EnvConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr("agents.algorithms.registry.train_run", lambda *_, **__: pytest.fail("a run has started"))
    with pytest.raises(ValueError, match=message):
        compare.compare(quick(toy_env, **changes), tmp_path)
