"""The comparison of cascades: who looks once beside who may look again, the same tables, reports and checks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agents
from agents import cli
from agents.evaluation.evaluate import evaluate, evaluate_options
from agents.evaluation.setting import CascadeConfig, EnvConfig, env_from_json
from agents.experiments import compare, pack, runs, settings, stored
from agents.experiments.results import CompareResult
from agents.experiments.settings import CompareConfig
from agents.reports import comparison as report
from agents.reports import page
from agents.reports.saving import report_of
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.files import write_json

MakeEnv = Callable[..., CascadeConfig]
AGENTS = ("one_shot:cost_sensitive/stats", "reinforce", "maskable_ppo")


def quick(env: EnvConfig, **changes: Any) -> CompareConfig:
    told: dict[str, Any] = {
        "algorithms": AGENTS,
        "seeds": 2,
        "total_steps": 5_120,
        "selector": "looks",
        "split": "test",
        "resamples": 50,
    }
    return CompareConfig(env=env, **{**told, **changes})


def run(*arguments: object) -> int:
    before = sys.argv
    sys.argv = ["sketchcanvas", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0


@pytest.fixture
def compared(doubt_env: MakeEnv, tmp_path: Path) -> tuple[CompareResult, Path]:
    folder = tmp_path / "result"
    result = compare.compare(quick(doubt_env()), folder)
    write_json(folder / stored.RESULT_FILE, result.to_json())
    return result, folder


def test_the_rows(compared: tuple[CompareResult, Path]) -> None:
    result, _ = compared
    env = result.config.env
    names = [row.name for row in result.rows]
    assert names[:4] == ["fixed 16", "fixed 32", "fixed 64", "fixed 128"]
    assert [row.kind for row in result.rows[4:9]] == ["random", "best_fixed", "oracle", "rule", "rule"]
    assert re.fullmatch(r"margin 16>64 \(< 0\.\d+\)", names[7])
    assert names[8] == "always 16>64"
    assert result.row(names[7]).evaluation.share["16>64"] > 0.3
    assert result.row("always 16>64").evaluation.share["16>64"] == 1.0
    assert {row.name for row in result.rows if row.kind == "agent"} == set(AGENTS)
    # Baselines are those of one look: same numbers, over the same hull.
    plain = env.one_shot()
    for column, name in enumerate(names[:4]):
        here = result.row(name).evaluation
        there = evaluate(plain.outcomes("test"), np.full(160, column), resamples=50)
        assert (here.acc1, here.gflops, here.hull_gain) == (there.acc1, there.gflops, there.hull_gain)
        assert here.reward == pytest.approx(there.reward)
    assert result.row("oracle").evaluation.gap_closed == 1.0


def test_agents_are_judged_where_they_learnt_and_over_all_options(compared: tuple[CompareResult, Path]) -> None:
    result, _ = compared
    env = result.config.env
    options = env.options("test")
    for agent, of_agent in result.trained.items():
        for one, found in zip(of_agent, result.row(agent).seeds, strict=True):
            assert isinstance(one.config.env, CascadeConfig) == (not agent.startswith("one_shot:"))
            choice, thinking = one.config.env.decide(one.selector.selector, "test")
            assert found == evaluate_options(options, choice, selector_flops=thinking, resamples=50)
            if agent.startswith("one_shot:"):
                assert choice.max() < 4
            assert len(one.curve) >= 10
    # Two looks tell what strokes do not.
    assert result.rows[-1].evaluation.gap_closed > 0.4  # after a short run
    assert result.row(AGENTS[0]).evaluation.gap_closed < 0.3
    assert result.rows[-1].kind == "chosen"
    assert "one_shot" not in result.rows[-1].name


def test_each_decision_is_made_once(compared: tuple[CompareResult, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    result, folder = compared
    monkeypatch.setattr(EnvConfig, "choose", None)
    monkeypatch.setattr(CascadeConfig, "choose", None)
    # The packed runs know what they decided.
    assert [row.name for row in stored.reread(folder).rows] == [row.name for row in result.rows]


def test_it_is_read_back_and_validated(compared: tuple[CompareResult, Path], doubt_env: MakeEnv) -> None:
    result, folder = compared
    assert stored.read_config(folder) == result.config
    assert stored.validate(folder).differences == ()
    # What deciding costs follows from sizes alone.
    pack.write(folder, pack.read(folder).values(), weights_of=())
    assert stored.validate(folder).differences == ()
    fields = json.loads((folder / stored.RESULT_FILE).read_text())
    assert fields["provenance"]["looks_hash"] == doubt_env().cascade("val").looks.hash
    row = next(row for row in fields["rows"] if row["name"] == "reinforce")
    row["share"]["16>64"] += 0.01
    (folder / stored.RESULT_FILE).write_text(json.dumps(fields))
    assert next(line.split(":")[0] for line in stored.validate(folder).differences).endswith("share.16>64")


def test_other_looks_are_other_runs(doubt_env: MakeEnv, tmp_path: Path) -> None:
    env = doubt_env()
    assert env.table is not None
    table, looks = OutcomeTable.load(env.table), LookTable.load(LookTable.path_beside(env.table))
    moved = replace(looks, fused_triplet=looks.fused_triplet + 0.1)
    other = replace(env, looks=str(moved.save(tmp_path / "moved.looks.npz")))
    config = quick(env).runs()["reinforce"][0]
    names = {runs.name_of(replace(config, env=one), table, 10) for one in (env, replace(env), other)}
    assert len(names) == 2
    assert env.extra_hashes() != other.extra_hashes()
    assert env.one_shot().extra_hashes() == {}


def test_the_page_and_the_tables(compared: tuple[CompareResult, Path], tmp_path: Path) -> None:
    result, folder = compared
    files = page.write(folder, None, tmp_path / "page.html")
    text = files[0].read_text(encoding="utf-8")
    assert "16&gt;64" in text
    assert "looks_hash" in text
    assert "margin 16&gt;64" in text
    cells = report_of(result).markdown
    assert "| always 16>64 |" in cells
    assert re.search(r"\| maskable_ppo \|.*16:\d\d 16>64:\d\d", cells)
    assert "any number; the ranking that counts is the last look" in text
    first, *_ = report.finding(result).splitlines()
    assert re.match(r"margin 16>64 \(< 0\.\d+\) lies above the hull", first)
    assert "always" not in report.finding(result)
    shown = {cells[0] for cells in report.policy_table(result).rows}
    # The rule's threshold was chosen on val: there it proves nothing.
    there = replace(result, config=replace(result.config, split="val"))
    first, *_ = report.finding(there).splitlines()
    assert re.match(r"margin 16>64 \(< 0\.\d+\) was chosen on this very split: its .* are no finding\.", first)
    assert re.search(r"\| margin 16>64 \(< 0\.\d+\), chosen on this very split \|", report_of(there).markdown)
    assert {"always 16>64", "oracle", "reinforce"} <= shown


def test_presets_and_names(doubt_env: MakeEnv) -> None:
    env = doubt_env()
    ready = settings.preset("cascade", env)
    assert (ready.env, ready.seeds, ready.selector) == (env, 10, "looks")
    for of_agent in ready.runs().values():
        assert len(of_agent) == 10
        assert {one.total_steps for one in of_agent} == {ready.total_steps}
    assert settings.preset("cascade").env == CascadeConfig()
    for name, where in (("quick", env), ("full", env), ("cascade", env.one_shot())):
        with pytest.raises(ValueError, match=f"preset '{name}' is not for this environment"):
            settings.preset(name, where)
    with pytest.raises(ValueError, match="one_shot: is for cascades"):
        quick(env.one_shot(), algorithms=("one_shot:ppo/stats",), selector="stats").runs()
    for one in (env, env.one_shot(), CascadeConfig(ranking="fused", canvases=(32, 64))):
        assert env_from_json(json.loads(json.dumps(asdict(one)))) == one


def test_the_command_line(doubt_env: MakeEnv, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env = doubt_env()
    where = ["--dataset", env.dataset, "--table", env.table, "--canvases", "16,32,64,128", "--max-points", 12]
    asked = ["--algorithms", "one_shot:reinforce/stats,reinforce", "--seeds", 1, "--steps", 5_120, "--split", "test"]
    out = tmp_path / "out"
    assert run("compare", "--cascade", "--ranking", "fused", *where, *asked, "--out", out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["config"]["env"]["ranking"] == "fused"
    assert told["config"]["selector"] == "looks"
    assert any(row["share"].get("16+64", 0) > 0.1 for row in told["rows"] if row["kind"] == "rule")
    assert run("report", "--compare", out, "--validate") == 0
    assert run("report", "--compare", out) == 0
    assert (out / "report.html").is_file()
    name = next(name for name in pack.read(out) if name.startswith("reinforce-looks-0-"))
    selector = pack.extract(out, name, tmp_path / "selector")
    capsys.readouterr()
    assert run("evaluate", selector, "fixed:64", *where[:6], "--split", "test", "--json") == 0
    judged = json.loads(capsys.readouterr().out)[str(selector)]
    row = next(row for row in told["rows"] if row["name"] == "reinforce")
    for name in ("acc1", "gflops", "reward", "share"):
        assert judged[name] == row["seeds"][0][name], name
    capsys.readouterr()
    for wrong, message in (
        (["--ranking", "fused"], "--ranking needs --cascade"),
        (["--cascade", "--ranking", "best"], "unknown ranking 'best'"),
        (["--cascade", "--algorithms", "a2c"], "unknown algorithm 'a2c' for a cascade"),
        (["--cascade", "--preset", "full"], "preset 'full' is not for this environment"),
    ):
        assert run("compare", *where, *wrong, "--out", tmp_path / "none") == 2
        assert message in capsys.readouterr().err


def test_the_stored_comparison_follows_from_its_selectors() -> None:
    assert stored.validate(Path(agents.__file__).parent / "results" / "emoji-cascade").differences == ()
