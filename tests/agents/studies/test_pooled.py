"""Several comparisons as one: what it says, what it refuses, and that a single one stays what it was."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from agents import cli
from agents.evaluation import seeds
from agents.evaluation.options import Options
from agents.evaluation.setting import CascadeConfig
from agents.experiments import compare
from agents.experiments.results import CHOSEN, CompareResult
from agents.experiments.settings import CompareConfig
from agents.experiments.stored import RESULT_FILE
from agents.reports import comparison as report
from agents.studies import pooled
from agents.studies.pooled import Member, Pooled
from sketchcanvas_env import data
from sketchcanvas_env.data.folds import FOLDS, crossfitted
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.storage.files import write_json
from tests.helpers import TOY_CANVASES, toy_dataset, toy_looks, toy_table

AGENTS = ("one_shot:cost_sensitive/stats", "maskable_ppo")
RESAMPLES = 60
TRADEOFF = 0.2


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Path], list[CompareResult]]]:
    """The three rotations of a cross-fit on made-up data, as stored comparisons."""
    whole = toy_dataset()
    folders, results = [], []
    with pytest.MonkeyPatch.context() as patch:
        for rotation in range(FOLDS):
            dataset = crossfitted(whole, rotation)
            patch.setitem(data.DATASETS, dataset.name, partial(crossfitted, whole, rotation))
            table = toy_table(dataset, seed=rotation)
            folder = tmp_path_factory.mktemp(f"rotation{rotation}")
            path = table.save(folder / "table.npz")
            toy_looks(table, dataset, seed=rotation).save(LookTable.path_beside(path))
            env = CascadeConfig(dataset=dataset.name, table=str(path), canvases=TOY_CANVASES, max_points=12)
            config = CompareConfig(
                env=env,
                algorithms=AGENTS,
                seeds=2,
                total_steps=1_024,
                selector="looks",
                split="test",
                resamples=RESAMPLES,
            )
            result = compare.compare(config, folder)
            write_json(folder / RESULT_FILE, result.to_json())
            folders.append(folder)
            results.append(result)
        yield folders, results


@pytest.fixture(scope="module")
def members(stored: tuple[list[Path], list[CompareResult]]) -> list[Member]:
    return [pooled.read(folder) for folder in stored[0]]


@pytest.fixture(scope="module")
def found(members: list[Member]) -> Pooled:
    return pooled.pool(members)


def test_one_comparison_stays_what_it_was(
    stored: tuple[list[Path], list[CompareResult]], members: list[Member]
) -> None:
    for result, member in zip(stored[1], members, strict=True):
        alone = pooled.pool([member])
        verdicts = {verdict.name: verdict for verdict in result.verdicts}
        rules = [row for row in result.rows if row.kind == "rule" and "always" not in row.name]
        by_kind = {
            **dict(zip(pooled.RULES, rules, strict=True)),
            CHOSEN: next(row for row in result.rows if row.kind == "chosen"),
        }
        assert [row.name for row in alone.rows] == [*pooled.RULES, *AGENTS, CHOSEN]
        for row in alone.rows:
            of_row = by_kind.get(row.name) or result.row(row.name)
            one = of_row.evaluation
            assert row.names[0] in of_row.name
            assert row.acc1 == (one.acc1, one.acc1_interval)
            assert row.gflops == one.gflops
            assert row.hull_gain == (one.hull_gain, one.hull_gain_interval, one.above_hull_p)
            if row.name in verdicts:
                assert row.over_fixed == verdicts[row.name].over_fixed
        fixed = result.row(f"fixed {alone.comparisons[0]['best_fixed']}").evaluation
        assert alone.best_fixed_acc1 == (fixed.acc1, fixed.acc1_interval)
        assert alone.best_fixed_gflops == fixed.gflops
    # The comparisons do differ, and so do their policies.
    assert len({pooled.pool([member]).row(name).hull_gain.value for member in members for name in AGENTS}) == 6


def hull_by_programming(flops: np.ndarray, acc: np.ndarray, at: float) -> float:
    """The best mixture of canvases that costs no more."""
    best = linprog(
        -acc, A_ub=flops[None], b_ub=[max(at, flops.min())], A_eq=np.ones((1, len(acc))), b_eq=[1.0], bounds=(0, 1)
    )
    return -float(best.fun)


def plainly(options: Options, policy: pooled.Policy, best_fixed: int, rows: Sequence[int]) -> list[float]:
    """acc@1, mean FLOPs, hull gain and reward above the fixed canvas on some rows of one comparison."""
    canvases = options.flops[: options.n_fixed]
    charge = TRADEOFF / (canvases.max() - canvases.min())
    fixed = np.array([[options.ranks[row, k] == 1 for k in range(options.n_fixed)] for row in rows]).mean(axis=0)
    one_fixed = float(np.mean([options.rewards[row, best_fixed] for row in rows]))
    every = []
    for choice, thinking in policy.decided:
        acc = float(np.mean([options.ranks[row, choice[row]] == 1 for row in rows]))
        cost = float(np.mean([options.flops[choice[row]] + thinking[row] for row in rows]))
        earned = float(np.mean([options.rewards[row, choice[row]] - charge * thinking[row] for row in rows]))
        every.append([acc, cost, acc - hull_by_programming(canvases, fixed, cost), earned - one_fixed])
    return [float(mean) for mean in np.mean(every, axis=0)]


def test_it_is_what_a_plain_computation_finds(members: list[Member], found: Pooled) -> None:
    total = sum(len(member.options) for member in members)
    for row in found.rows:
        value, drawn = np.zeros(4), np.zeros((RESAMPLES, 4))
        for seed, member in enumerate(members):
            options, policy = member.options, member.policies[row.name]
            weight = len(options) / total
            value += weight * np.array(plainly(options, policy, member.best_fixed, range(len(options))))
            photos = sorted(set(options.photo_ids.tolist()))
            draws = np.random.default_rng(seed).integers(0, len(photos), (RESAMPLES, len(photos)))
            for i, draw in enumerate(draws):
                rows = [r for one in draw for r in np.flatnonzero(options.photo_ids == photos[one]).tolist()]
                drawn[i] += weight * np.array(plainly(options, policy, member.best_fixed, rows))
        limits = np.quantile(drawn, [0.025, 0.975], axis=0)
        assert row.acc1.value == pytest.approx(value[0])
        assert row.acc1.interval == pytest.approx(limits[:, 0])
        assert row.gflops * 1e9 == pytest.approx(value[1])
        assert row.hull_gain.value == pytest.approx(value[2], abs=1e-9)
        assert row.hull_gain.interval == pytest.approx(limits[:, 2], abs=1e-9)
        assert row.over_fixed.value == pytest.approx(value[3])
        assert row.over_fixed.interval == pytest.approx(limits[:, 3])
        each = [plainly(m.options, m.policies[row.name], m.best_fixed, range(len(m.options)))[2] for m in members]
        assert row.hull_gains == pytest.approx(each, abs=1e-9)
    gains = seeds.holm([row.hull_gain.p_value for row in found.rows])
    assert [row.above_hull_p for row in found.rows] == gains.tolist()
    overs = seeds.holm([row.over_fixed.p_value for row in found.rows])
    assert [row.over_fixed_p for row in found.rows] == overs.tolist()


def twin(member: Member, number: int) -> Member:
    """The same outcomes of other photos."""
    names = np.array([f"{photo} of {number}" for photo in member.options.photo_ids.tolist()])
    return replace(
        member,
        options=replace(member.options, photo_ids=names),
        settings={**member.settings, "resamples": 4_000},
    )


def test_pooling_narrows_the_interval(members: list[Member]) -> None:
    alone = pooled.pool([twin(members[0], 0)])
    # As many photos four times over: half as wide, if each comparison is drawn by itself; as wide as ever, if not.
    four = pooled.pool([twin(members[0], number) for number in range(4)])
    for name in (pooled.RULE, *AGENTS):
        one, all_four = alone.row(name), four.row(name)
        assert all_four.hull_gain.value == pytest.approx(one.hull_gain.value)
        for of_one, of_four in ((one.acc1, all_four.acc1), (one.over_fixed, all_four.over_fixed)):
            width = of_one.interval.high - of_one.interval.low
            assert 0.4 * width < of_four.interval.high - of_four.interval.low < 0.6 * width
        width = one.hull_gain.interval.high - one.hull_gain.interval.low
        assert all_four.hull_gain.interval.high - all_four.hull_gain.interval.low < 0.7 * width


def test_comparisons_weigh_as_many_sketches_as_they_have(members: list[Member]) -> None:
    parts = [pooled.pool([member]).row("maskable_ppo").acc1.value for member in members]
    sizes = [len(member.options) for member in members]
    assert len(set(sizes)) > 1
    both = pooled.pool(members).row("maskable_ppo").acc1.value
    assert both == pytest.approx(np.average(parts, weights=sizes))
    assert both != pytest.approx(np.mean(parts), abs=1e-6)


def test_settings_that_differ_are_refused(members: list[Member]) -> None:
    for name, other in (("tradeoff", 0.4), ("canvases", [16, 32]), ("algorithms", ["dqn"]), ("student", "vgg16")):
        assert name in members[1].settings
        changed = replace(members[1], settings={**members[1].settings, name: other})
        with pytest.raises(ValueError, match=f"share all settings, but {name} is "):
            pooled.pool([members[0], changed])
    with pytest.raises(ValueError, match="no comparison to pool"):
        pooled.pool([])


def test_photos_reported_on_twice_are_refused(members: list[Member]) -> None:
    with pytest.raises(ValueError, match="toy_crossfit0 and toy_crossfit0 both report on 8 photos"):
        pooled.pool([members[0], members[1], members[0]])
    one = members[0].options.photo_ids.tolist()
    names = members[1].options.photo_ids.tolist()
    shared = np.array([one[0] if name == names[0] else name for name in names])
    moved = replace(members[1], options=replace(members[1].options, photo_ids=shared))
    with pytest.raises(ValueError, match=f"both report on 1 photos .{one[0]} is one"):
        pooled.pool([members[0], moved])


def run(*arguments: object, patch: pytest.MonkeyPatch) -> int:
    patch.setattr(sys, "argv", ["sketchcanvas", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_line(
    stored: tuple[list[Path], list[CompareResult]],
    found: Pooled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders, _ = stored
    assert run("report", "pooled", *folders, "--out", tmp_path, "--json", patch=monkeypatch) == 0
    told = json.loads(capsys.readouterr().out)
    text = (tmp_path / "pooled.json").read_text()
    assert json.loads(text) == told
    for name in ("settings", "comparisons", "best_fixed_acc1", "best_fixed_gflops", "rows"):
        assert told[name] == json.loads(json.dumps(found.to_json()[name])), name
    # Where a user keeps things is nobody else's business.
    assert str(folders[0].parent) not in text
    assert [one["dataset"] for one in told["comparisons"]] == [f"toy_crossfit{i}" for i in range(FOLDS)]
    assert all(len(one["looks_hash"]) == len(one["table_hash"]) == 64 for one in told["comparisons"])
    table = (tmp_path / "pooled.md").read_text()
    row = found.row("maskable_ppo")
    low, high = row.hull_gain.interval
    assert f"| {100 * row.hull_gain.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] |" in table
    sketches = sum(len(crossfitted(toy_dataset(), i).indices("test")) for i in range(FOLDS))
    assert f"split test: {sketches} sketches of 25 photos" in table
    assert run("report", "pooled", folders[0], folders[0], "--out", tmp_path, patch=monkeypatch) == 2
    assert "both report on" in capsys.readouterr().err
    assert run("report", "pooled", tmp_path / "none", patch=monkeypatch) == 2
    assert "no comparison in" in capsys.readouterr().err


def test_what_was_chosen_on_val_claims_nothing_there(found: Pooled) -> None:
    there = replace(found, settings={**found.settings, "split": "val"})
    for result, made in ((found, ""), (there, ", chosen on this very split")):
        cells = {row[0]: row for row in report.pooled_table(result).rows}
        for name in (pooled.RULE, CHOSEN):
            _, _, _, gain, p, over, over_p, *_ = cells[f"{name}{made}"]
            assert ("[" in gain, "[" in over) == (not made, not made)
            assert (p, over_p) == ("-", "-") if made else "-" not in (p, over_p)
        # Agents were not chosen.
        assert "[" in cells["maskable_ppo"][3]
