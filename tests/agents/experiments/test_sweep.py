"""The sweep over tradeoffs: which runs, which points, fronts as numbers, and choosing among them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agents
from agents.evaluation.evaluate import evaluate, evaluate_runs
from agents.evaluation.fronts import hypervolume
from agents.evaluation.setting import EnvConfig
from agents.experiments import pack, runs, sweep
from agents.experiments.pick import pick
from agents.experiments.settings import CompareConfig
from agents.experiments.sweep import Candidate, SweepConfig, SweepResult
from agents.reports import sweeps as report
from agents.selectors import policy
from sketchcanvas_env.storage.files import write_json
from sketchcanvas_env.tasks.canvas import Task

TRADEOFFS = (0.1, 0.5)


def config_of(env: EnvConfig, **changes: Any) -> SweepConfig:
    compared = CompareConfig(
        env=env, algorithms=("reinforce",), seeds=2, total_steps=512, selector="stats", split="test", resamples=50
    )
    return SweepConfig(**{"compare": compared, "tradeoffs": TRADEOFFS, "preference": ("reinforce",), **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sweep"


@pytest.fixture
def result(toy_env: EnvConfig, folder: Path) -> SweepResult:
    found = sweep.sweep(config_of(toy_env), folder)
    write_json(folder / sweep.SWEEP_FILE, found.to_json())
    return found


def decided(run: runs.StoredRun, task: Task) -> tuple[Any, Any]:
    network = run.selector.selector
    return policy.actions_of(network, task), policy.flops_of(network, task)


def test_the_points(toy_env: EnvConfig, folder: Path, result: SweepResult) -> None:
    shared = "reinforce, one for all"
    assert {(point.agent, point.tradeoff) for point in result.points} == {
        (agent, tradeoff) for agent in ("reinforce", shared, "oracle") for tradeoff in TRADEOFFS
    }
    # Two seeds at two tradeoffs, and two seeds that serve both with the steps of both.
    stored = list(pack.read(folder).values())
    assert sorted(run.config.total_steps for run in stored) == [512] * 4 + [1024] * 2
    for point in result.points:
        env = replace(toy_env, tradeoff=point.tradeoff)
        table, task = env.outcomes("test"), env.task("test")
        if point.agent == "oracle":
            assert point.evaluation.gap_closed == 1.0
            continue
        mine = [
            run
            for run in stored
            if (run.config.env.preferences is not None) == (point.agent == shared)
            and (point.agent == shared or run.config.env.tradeoff == point.tradeoff)
        ]
        assert len(mine) == 2
        networks = [run.selector.selector for run in sorted(mine, key=lambda run: run.config.seed)]
        seeds = [(policy.actions_of(network, task), policy.flops_of(network, task)) for network in networks]
        assert point.evaluation == evaluate_runs(env.options("test"), seeds, resamples=50)
        apart = [evaluate(table, one, tradeoff=point.tradeoff, selector_flops=cost, resamples=5) for one, cost in seeds]
        for field in ("acc1", "gflops", "reward", "hull_gain"):
            assert getattr(point.evaluation, field) == pytest.approx(np.mean([getattr(e, field) for e in apart]))


def test_the_fronts(toy_env: EnvConfig, folder: Path, result: SweepResult) -> None:
    table, task = toy_env.outcomes("test"), toy_env.task("test")
    stored = list(pack.read(folder).values())

    def seeds_of(agent: str) -> list[list[tuple[float, float]]]:
        """Each seed's points, (FLOPs, acc@1)."""
        found = []
        for seed in range(2):
            mine = [run for run in stored if run.config.seed == seed]
            if agent == "oracle":
                points = [(replace(toy_env, tradeoff=t).options("test").oracle, 0.0) for t in TRADEOFFS]
            elif agent == "reinforce":
                mine = [next(r for r in mine if r.config.env == replace(toy_env, tradeoff=t)) for t in TRADEOFFS]
                points = [decided(run, task) for run in mine]
            else:
                shared = next(run for run in mine if run.config.env.preferences is not None)
                points = [decided(shared, replace(toy_env, tradeoff=t).task("test")) for t in TRADEOFFS]
            rows = np.arange(len(table))
            found.append(
                [
                    (float((table.flops[choice] + cost).mean()), float((table.ranks[rows, choice] == 1).mean()))
                    for choice, cost in points
                ]
            )
        return found

    assert result.reference_flops == table.flops[-1]
    fronts = {front.agent: front for front in result.fronts}
    assert next(iter(fronts)) == "fixed"
    assert fronts["fixed"].hypervolume == pytest.approx(float(hypervolume(table.flops, table.acc(), table.flops[-1])))
    for agent, front in fronts.items():
        if agent != "fixed":
            volumes, over = [], []
            for points in seeds_of(agent):
                flops, acc = (list(column) for column in zip(*points, strict=True))
                tosses = [table.hull_acc(cost) for cost in flops]
                volumes.append(float(hypervolume(flops, acc, table.flops[-1])))
                over.append(volumes[-1] - float(hypervolume(flops, tosses, table.flops[-1])))
            assert front.hypervolume == pytest.approx(np.mean(volumes))
            assert front.over_hull == pytest.approx(np.mean(over))
        assert front.interval.low <= front.interval.high
        assert front.over_hull_interval.low <= front.over_hull_interval.high
    # A fixed canvas is never above the hull of them all.
    assert fronts["fixed"].over_hull_interval.high <= 1e-12


def test_the_same_command_goes_on(toy_env: EnvConfig, folder: Path, result: SweepResult) -> None:
    def untimed(found: SweepResult) -> dict[str, Any]:
        return {name: value for name, value in found.to_json().items() if name != "seconds"}

    before = (folder / pack.PACK_FILE).read_bytes()
    again = sweep.sweep(config_of(toy_env), folder)
    assert (folder / pack.PACK_FILE).read_bytes() == before
    assert json.dumps(untimed(sweep.reread(folder))) == json.dumps(untimed(result))
    assert json.dumps(untimed(again)) == json.dumps(untimed(result))


def test_candidates_are_told_on_both_splits(toy_env: EnvConfig, result: SweepResult) -> None:
    val, test = toy_env.outcomes("val"), toy_env.outcomes("test")
    fixed = [one for one in result.candidates if one.canvas is not None]
    assert [(one.canvas, one.val_acc1, one.acc1) for one in fixed] == [
        (side, pytest.approx(float(val.acc()[k])), pytest.approx(float(test.acc()[k])))
        for k, side in enumerate((16, 32, 64, 128))
    ]
    assert len(result.candidates) == 4 + 2 * 2 * 2


def test_without_a_shared_selector(toy_env: EnvConfig, tmp_path: Path) -> None:
    found = sweep.sweep(config_of(toy_env, preference=()), tmp_path)
    assert {point.agent for point in found.points} == {"reinforce", "oracle"}


# ---------------------------------------------------------------- picking


def candidate(name: str, acc: float, gflops: float) -> Candidate:
    return Candidate("reinforce", 0.1, None, 0, name, acc, gflops, acc - 0.05, gflops)


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A sweep's file with four policies."""
    candidates = [
        Candidate("fixed", None, 32, None, None, 0.30, 0.01, 0.29, 0.01),
        candidate("weak", 0.35, 0.10),
        candidate("good", 0.45, 0.10),
        candidate("best", 0.50, 0.40),
    ]
    stored = {"candidates": [vars(one) for one in candidates], "config": {"compare": {"split": "test"}}}
    (tmp_path / sweep.SWEEP_FILE).write_text(json.dumps(stored))
    return tmp_path


@pytest.mark.parametrize(
    ("demand", "name"),
    [
        ({"max_gflops": 1.0}, "best"),
        ({"max_gflops": 0.1}, "good"),
        ({"max_gflops": 0.05}, None),
        ({"min_acc": 0.0}, None),
        ({"min_acc": 0.4}, "good"),
        ({"min_acc": 0.46}, "best"),
        ({"min_acc": 0.32, "max_gflops": 0.2}, "good"),
    ],
)
def test_what_is_picked(made_up: Path, demand: dict[str, float], name: str | None) -> None:
    found = pick(made_up, **demand)
    assert found.candidate.run == name
    assert found.candidate.canvas == (32 if name is None else None)
    assert found.split == "test"


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_picked_policy_stands_once_for_each_split(made_up: Path, split: str) -> None:
    found = pick(made_up, max_gflops=0.1)
    if split == "val":
        found = replace(found, split=split, candidate=replace(found.candidate, acc1=found.candidate.val_acc1))
    table = report.pick_table(found)
    told = list(zip(table.columns, *table.rows, strict=True))[1:-1]
    on_test = [("test acc@1", "40.0"), ("test GFLOPs", "0.1000")] if split == "test" else []
    assert told == [("val acc@1", "45.0"), ("val GFLOPs", "0.1000"), *on_test]


@pytest.mark.parametrize(
    ("demand", "message"),
    [
        ({}, "say what is wanted"),
        ({"max_gflops": 0.001}, r"start at 0\.0100 GFLOPs and reach 50\.0 %"),
        ({"min_acc": 0.6}, r"reach 50\.0 %"),
        ({"min_acc": 60.0}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_picked(made_up: Path, demand: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pick(made_up, **demand)


def test_files_that_are_no_sweep(tmp_path: Path, made_up: Path) -> None:
    with pytest.raises(FileNotFoundError, match="'sketchcanvas sweep' makes one"):
        pick(tmp_path / "none", 1.0)
    path = made_up / sweep.SWEEP_FILE
    for text in ("[]", "{", json.dumps({**json.loads(path.read_text()), "candidates": []})):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"sweep\.json is no result of a sweep"):
            pick(made_up, 1.0)


def test_a_picked_selector_can_be_loaded(folder: Path, result: SweepResult) -> None:
    found = pick(folder, min_acc=0.0, max_gflops=10.0)
    assert found.candidate in result.candidates
    for one in result.candidates:
        chosen = replace(found, candidate=one)
        if one.run is None:
            with pytest.raises(ValueError, match="there is no selector to save"):
                chosen.save_selector(folder / "picked")
        else:
            file = chosen.save_selector(folder / "picked")
            assert file == folder / "picked.safetensors"
            assert agents.load(file).card["config"]["seed"] == one.seed


def test_fixed_canvases_one_shot_agents_and_cascades_are_picked_from_alike(doubt_env: Any, folder: Path) -> None:
    env = doubt_env()
    compared = CompareConfig(
        env=env,
        algorithms=("one_shot:reinforce/stats", "reinforce"),
        seeds=1,
        total_steps=2_560,
        selector="looks",
        split="test",
        resamples=20,
    )
    with pytest.raises(ValueError, match="a cascade has no preferences"):
        SweepConfig(compare=compared, tradeoffs=TRADEOFFS, preference=("reinforce",))
    found = sweep.sweep(SweepConfig(compare=compared, tradeoffs=TRADEOFFS, preference=()), folder)
    write_json(folder / sweep.SWEEP_FILE, found.to_json())
    assert {one.agent for one in found.candidates} == {"fixed", "one_shot:reinforce/stats", "reinforce"}
    assert len(found.candidates) == 4 + 2 * 2
    for one in found.candidates:
        # The cheapest that is as good, and the best that is as cheap, are never worse than any candidate.
        assert pick(folder, min_acc=one.val_acc1).candidate.val_gflops <= one.val_gflops
        assert pick(folder, max_gflops=one.val_gflops).candidate.val_acc1 >= one.val_acc1
    cascade = next(one for one in found.candidates if one.agent == "reinforce")
    run = pack.read(folder)[cascade.run]
    choice, thinking = env.decide(run.selector.selector, "test")
    options = env.options("test")
    assert cascade.acc1 == pytest.approx(float((options.ranks[np.arange(len(choice)), choice] == 1).mean()))
    assert cascade.gflops == pytest.approx(float((options.flops[choice] + thinking).mean()) / 1e9)
    assert {front.agent for front in found.fronts} == {"fixed", "one_shot:reinforce/stats", "reinforce", "oracle"}


@pytest.mark.parametrize("tradeoffs", [(), (0.2, 0.1), (0.1, 0.1), (-0.1,), (1.1,)])
def test_tradeoffs_that_are_refused(toy_env: EnvConfig, tradeoffs: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="tradeoffs must be"):
        config_of(toy_env, tradeoffs=tradeoffs)
