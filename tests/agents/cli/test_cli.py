"""The command line: help, JSON, tables, files, and one line for each mistake."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sketchcanvas_env
import students
from agents import cli
from agents.cli.commands import data as data_commands
from agents.cli.commands.compare import compare as compare_command
from agents.cli.locks import alone
from agents.cli.output import sentence_of, telling_what_is_left_out
from agents.cli.shared_options import environment, typed_command
from agents.evaluation.setting import CascadeConfig, EnvConfig
from agents.experiments import pack
from agents.experiments.settings import CompareConfig, preset
from agents.store import saved
from sketchcanvas_env import data, load_table
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from students.network.config import Head, StudentConfig
from students.network.embedder import Student
from students.search import index as indexes
from students.store.weights import load_card, save_student
from students.tables.evaluation import read_row
from students.training.config import TrainConfig, configs
from tests.helpers import Toy


def run(*arguments: object) -> int:
    """The exit code of `sketchcanvas ARGUMENTS`."""
    before = sys.argv
    sys.argv = ["sketchcanvas", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0


def toy_options(toy: Toy) -> list[str]:
    return ["--dataset", "toy", "--table", str(toy.kwargs["table"]), "--canvases", "16,32,64,128"]


@pytest.mark.parametrize(
    "command",
    [
        *("compare", "sweep", "pick", "train", "evaluate", "tabulate", "latency", "distill", "index", "query", "demo"),
        "list",
        *(
            "report",
            "report students",
            "report pilot",
            "report pooled",
            "report ceiling",
            "report selectors",
            "data",
            "data info",
            "data show",
        ),
    ],
)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*command.split(), "--help") == 0
    text = capsys.readouterr().out
    assert "Usage:" in text
    # Groups of commands have no example.
    assert command == "data" or f"Example: sketchcanvas {command}" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"sketchcanvas {sketchcanvas_env.__version__}\n"


def test_help_loads_nothing_but_typer() -> None:
    code = """
import sys
from agents.cli import main
try:
    main()
except SystemExit:
    pass
slow = {"torch", "numpy", "matplotlib", "gymnasium", "scipy", "onnxruntime", "students", "sketchcanvas_env"}
print(sorted(slow & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    assert "compare" in done.stdout


@pytest.mark.parametrize("module", ["agents", "agents.cli"])
def test_the_package_runs_as_a_program_too(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "pick", "nowhere", "--min-acc", "1"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("sketchcanvas: ") and "nowhere" in done.stderr


def test_defaults_are_those_of_the_configurations() -> None:
    options = {name: p.default for name, p in inspect.signature(compare_command).parameters.items()}
    env, compare = EnvConfig(), CompareConfig()
    assert options["canvases"] == ",".join(map(str, env.canvases))
    # The preset sets the first three, the environment the last.
    assert options["steps"] is options["selector"] is options["preset"] is options["dataset"] is None
    assert environment() == env and environment(cascade=True) == CascadeConfig()
    assert (preset("quick").total_steps, preset("quick").selector) == (compare.total_steps, compare.selector)
    for config, names in (
        (env, ("student", "table", "tradeoff", "max_points")),
        (compare, ("threads", "split")),
    ):
        for name in names:
            assert options[name] == getattr(config, name), name
    assert {f.name for f in fields(CompareConfig)} >= {"seeds", "selector"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "fixed:99"], "99 is not among --canvases 16,32,64,128$"),
        (["evaluate", "fixed:32", "--canvases", "16,64"], "32 is not among --canvases 16,64$"),
        (["evaluate", "clairvoyant"], "clairvoyant.*missing"),
        (["evaluate", "random", "--split", "dev"], "unknown split 'dev'"),
        (["evaluate", "random", "--tradeoff", "2"], "tradeoff"),
        (["evaluate", "random", "--canvases", "64,32"], "rise"),
        (["evaluate", "random", "--canvases", "big"], "sides in pixels"),
        (["train", "sarsa"], "unknown algorithm 'sarsa'; there are a2c, "),
        (["train", "ppo", "--steps", "1000"], "ppo: total_steps must be a multiple of"),
        (["train", "--resume", "--out", "nowhere/x"], "nothing to resume"),
        (["compare", "--seeds", "0"], "seeds must be at least 1"),
        (["compare", "--selector", "oracle"], "unknown selector"),
        (["compare", "--preset", "slow"], "unknown preset 'slow'; there are quick, full, cascade"),
        (["compare", "--jobs", "0"], "jobs must be at least 1"),
        (["compare", "--engine", "slurm"], "unknown engine 'slurm'"),
        (["sweep", "--tradeoffs", "0.3,0.2"], "rising"),
        (["sweep", "--tradeoffs", "0.3,x"], "--tradeoffs are numbers separated by commas.*'0.3,x'"),
    ],
)
def test_mistakes_end_with_one_line(
    arguments: list[str], message: str, toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    # The options of the case come last and win.
    assert run(arguments[0], *toy_options(toy), *arguments[1:]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line = captured.err.strip().splitlines()
    assert line[-1].startswith("sketchcanvas: ")
    assert re.search(message, line[-1]), line[-1]
    assert "Traceback" not in captured.err


def test_canvases_of_tabulate_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tabulate", "--student", "hog", "--canvases", "32,big") == 2
    assert "sides in pixels separated by commas" in capsys.readouterr().err


def test_unknown_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "random", "--dataset", "shoes") == 2
    assert "shoes" in capsys.readouterr().err
    assert run("data", "info", "shoes") == 2
    assert "there are emoji" in capsys.readouterr().err


def test_train_evaluate_resume(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine"
    options = [*toy_options(toy), "--selector", "stats", "--steps", 512, "--out", out, "--logdir", tmp_path / "tb"]
    assert run("train", "reinforce", *options, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["saved"]) == out.with_suffix(".safetensors")
    assert list((tmp_path / "tb").iterdir())
    assert run("evaluate", *toy_options(toy), out, "oracle", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    groups = again[str(out)].pop("groups")
    assert again[str(out)] == told["val"]
    assert list(groups) == list(toy.table.select("val").group_names.values())
    assert sum(part["n_sketches"] for part in groups.values()) == told["val"]["n_sketches"]
    assert again["oracle"]["regret"] == 0.0
    assert again["oracle"]["reward"] > again[str(out)]["reward"]
    assert run("evaluate", *toy_options(toy), "--canvases", "16,32", out) == 2
    assert "--canvases 16,32,64,128" in capsys.readouterr().err


def test_train_overwrites_nothing(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, checkpoint = tmp_path / "mine", tmp_path / "mine.checkpoint.safetensors"
    asked = ["train", "reinforce", *toy_options(toy), "--selector", "stats", "--out", out, "--steps"]
    save = saved.save
    monkeypatch.setattr(saved, "save", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        run(*asked, 15_360)
    monkeypatch.setattr(saved, "save", save)
    left = checkpoint.read_bytes()
    capsys.readouterr()
    assert run(*asked, 512) == 2
    assert "go on with --resume" in capsys.readouterr().err
    assert checkpoint.read_bytes() == left
    assert run(*asked, 15_360, "--resume") == 0
    assert not checkpoint.exists()
    finished = out.with_suffix(".safetensors").read_bytes()
    assert run(*asked, 512, "--seed", 1) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert out.with_suffix(".safetensors").read_bytes() == finished
    # Stopped after saving: the report is made up for.
    assert run(*asked, 15_360, "--resume") == 0
    assert "after 15,360 steps" in " ".join(capsys.readouterr().out.split())
    assert out.with_suffix(".safetensors").read_bytes() == finished
    assert run("train", "ppo", *asked[2:], 15_360, "--resume") == 2
    assert "was trained in another setting" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "distill"])
def test_a_second_run_in_the_same_place_is_refused(
    command: str, toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    lock = out / ".lock" if command == "distill" else tmp_path / "out.lock"
    asked = {
        "train": ["train", "reinforce", *toy_options(toy), "--steps", 512, "--out", out],
        "distill": ["distill", "emoji-mobilenet_v2", "--out", out],
    }[command]
    hold = "import sys, pathlib; from agents.cli.locks import alone\n"
    hold += f"with alone(pathlib.Path({str(lock)!r}), pathlib.Path('x')): print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert run(*asked) == 2
        assert f"another run writes to {out} now" in capsys.readouterr().err
        other.kill()
    with alone(lock, out):  # a killed run holds nothing
        assert lock.exists()
    assert not lock.exists()


@pytest.mark.parametrize("algorithm", ["dqn", "linucb"])
def test_algorithms_with_ways_of_their_own_train_too(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    options = [*toy_options(toy), "--steps", 512, "--out", tmp_path / "mine"]
    assert run("train", algorithm, *options) == 0
    assert (tmp_path / "mine.safetensors").is_file()
    capsys.readouterr()
    if algorithm == "dqn":
        (tmp_path / "other.checkpoint.safetensors").touch()
        assert run("train", algorithm, *options[:-1], tmp_path / "other", "--resume") == 2
        assert "replay buffer is not saved" in capsys.readouterr().err


def test_evaluate_prints_a_table(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", *toy_options(toy), "fixed:32", "random") == 0
    text = capsys.readouterr().out
    accuracy = 100 * float((toy.table.select("val").ranks[:, 1] == 1).mean())
    assert f"{accuracy:.1f}" in text
    assert "hull gain" in text
    assert "by condition" in text and "level 1" in text


def test_compare_report_and_validate(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--selector", "stats", "--seeds", 2, "--steps", 512, "--algorithms", "reinforce,ppo"]
    options += ["--out", tmp_path, "--logdir", tmp_path / "tb"]
    # Results on val and on test come from the same training.
    assert run("compare", *toy_options(toy), *options, "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["config"]["split"] == json.loads(captured.out)["provenance"]["split"] == "val"
    assert "what to report comes from --split test" in captured.err
    options += ["--split", "test"]
    assert run("compare", *toy_options(toy), *options, "--json") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told == json.loads((tmp_path / "result.json").read_text())
    names = [row["name"] for row in told["rows"]]
    assert names[:6] == ["fixed 16", "fixed 32", "fixed 64", "fixed 128", "random", names[5]]
    assert {"reinforce", "ppo", "oracle", "hull at ppo's cost"} <= set(names)
    assert captured.err.count("hull of the fixed canvases") == 2
    for name in ("accuracy-gflops.png", "learning-curves.png"):
        picture = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        assert picture.shape[0] > 400
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50
    assert not (tmp_path / "runs").exists()
    rows = sorted(pack.read(tmp_path))
    wanted = [f"{name}-stats-{seed}" for name in ("ppo", "reinforce") for seed in range(2)]
    assert [row.rsplit("-", 1)[0] for row in rows] == wanted
    for row in rows:
        assert list((tmp_path / "tb" / row).glob("events.out.tfevents*"))
    markdown = (tmp_path / "result.md").read_text()
    row = next(row for row in told["rows"] if row["name"] == "ppo")
    assert f"| ppo | {100 * row['acc1']:.1f} [" in markdown
    assert run("report", "--compare", tmp_path, "--validate") == 0
    assert "follow from the weights of 4 of them, none differs" in capsys.readouterr().err
    assert run("report", "--compare", tmp_path) == 0
    assert "reinforce" in (tmp_path / "report.html").read_text(encoding="utf-8")
    told["rows"][0]["acc1"] += 0.01
    (tmp_path / "result.json").write_text(json.dumps(told))
    assert run("report", "--compare", tmp_path, "--validate") == 2
    assert re.search(r"does not follow.*\nrows\[0\]\.acc1: stored", capsys.readouterr().err)


def test_compare_by_the_table_of_ones_own_student(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`distill` names a student after its network, as a shipped student of the data set is."""
    table = replace(load_table("emoji"), student_hash="0" * 64).save(tmp_path / "own.npz")
    options = ("--dataset", "emoji", "--table", table, "--algorithms", "cost_sensitive", "--seeds", 1)
    options += ("--steps", 256, "--json")
    assert run("compare", *options, "--out", tmp_path / "mine") == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["student_hash"] == "0" * 64
    assert run("report", "--compare", tmp_path / "mine", "--validate") == 0
    assert saved.load(tmp_path / "mine" / "chosen").card["trained_on"]["student_hash"] == "0" * 64


def test_sweep_and_pick(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--algorithms", "reinforce", "--preference", "", "--tradeoffs", "0.1,0.6", "--seeds", 1, "--steps", 512]
    assert run("sweep", *toy_options(toy), *options, "--out", tmp_path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "sweep.json").read_text())
    assert told["config"]["compare"]["split"] == "val"
    assert run("pick", tmp_path, "--max-gflops", 1.0) == 0
    assert capsys.readouterr().out.count("acc@1") == 1
    options += ["--split", "test"]
    assert run("sweep", *toy_options(toy), *options, "--out", tmp_path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["config"]["compare"]["split"] == "test"
    assert np.asarray(Image.open(tmp_path / "pareto.png")).shape[0] > 400
    assert "| agent | hypervolume |" in (tmp_path / "sweep.md").read_text()
    assert run("sweep", *toy_options(toy), *options, "--out", tmp_path) == 0
    assert "hypervolume" in capsys.readouterr().out
    assert run("pick", tmp_path, "--max-gflops", 1.0, "--json") == 0
    chosen = json.loads(capsys.readouterr().out)
    assert chosen["val_acc1"] == max(one["val_acc1"] for one in told["candidates"])
    assert run("pick", tmp_path, "--min-acc", 1, "--max-gflops", 1.0, "--out", tmp_path / "picked") == 0
    captured = capsys.readouterr()
    assert "chosen on val" in captured.out
    assert (tmp_path / "picked.safetensors").exists() == ("wrote" in captured.err) == (chosen["run"] is not None)
    assert run("pick", tmp_path, "--min-acc", 100) == 2
    assert "no policy of this sweep" in capsys.readouterr().err
    assert run("pick", tmp_path) == 2
    assert "give --max-gflops, --min-acc or both" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_ctrl_c_says_how_to_go_on(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"agents.experiments.{command}.{command}", press)
    assert run(command, "--out", tmp_path) == 130
    assert capsys.readouterr().err.strip().splitlines()[-1] == "interrupted; run the same command again to continue"


def test_ctrl_c_ends_workers_without_a_traceback(tmp_path: Path) -> None:
    """SIGINT reaches every process of the command, as in a terminal, while more runs wait than joblib queues."""
    settings = ["--dataset", "emoji", "--algorithms", "reinforce", "--seeds", 12, "--steps", 30_720_000, "--jobs", 2]
    folders = ["--out", tmp_path / "out", "--logdir", tmp_path / "events"]
    command = [sys.executable, "-m", "agents.cli", "compare", *map(str, [*settings, *folders])]
    # A file, because a pipe would fill up.
    with (tmp_path / "err").open("w+") as told:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told, start_new_session=True)
        while running.poll() is None and not list(tmp_path.glob("events/*/*")):
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(timeout=120) == 130
        told.seek(0)
        text = told.read()
    assert "Traceback" not in text
    assert text.strip().splitlines()[-1] == "interrupted; run the same command again to continue"


def test_report_selectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "selectors", "--sketches", 2, "--out", tmp_path) == 0
    text = capsys.readouterr().out
    stored = json.loads((tmp_path / "selectors.json").read_text())
    assert stored["sketches"] == 2
    for one in stored["selectors"]:
        assert re.search(rf"{one['name']} .*{one['params']:,} .*{one['flops'] / 1e6:.4f}", text)


def test_data_info(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "info", "toy", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["splits"]["test"] == {
        "photos": 12,
        "gallery": 12,
        "sketches": 36,
        "median points": told["splits"]["test"]["median points"],
        "p95 points": told["splits"]["test"]["p95 points"],
    }
    assert run("data", "info", "toy") == 0
    assert "none needed" in capsys.readouterr().out


def test_data_show_pages_large_sheets_and_prints_which_photos_they_show(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data_commands, "_PAGE", 4)
    assert run("data", "show", "toy", "--photos", 5, "--out", tmp_path / "sheet.png") == 0
    names = capsys.readouterr().out.split()
    rows = toy.dataset.indices("train")
    assert len(set(names)) == 5 and set(names) <= set(toy.dataset.photo_ids[rows].tolist())
    pages = [np.asarray(Image.open(tmp_path / f"sheet-{number}.png")) for number in (1, 2)]
    assert pages[0].std() > 10 and pages[0].shape[0] > pages[1].shape[0]
    assert run("data", "show", "toy", "--photos", 3, "--out", tmp_path / "sheet.png") == 0
    assert np.asarray(Image.open(tmp_path / "sheet.png")).std() > 10
    assert capsys.readouterr().out.split() == names[:3]


def test_a_policy_that_does_not_fit_is_named_and_the_others_are_evaluated(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = ["fixed:32", "fixed:99", "nowhere", "emoji", "random"]
    assert run("evaluate", *toy_options(toy), *policies, "--json") == 2
    out, err = capsys.readouterr()
    assert list(json.loads(out)) == ["fixed:32", "random"]
    lines = [line for line in err.splitlines() if "is left out" in line]
    assert [line.split()[1] for line in lines] == ["fixed:99", "nowhere", "emoji"]
    assert "--canvases 32,64,128,256" in lines[2]


def test_list_names_what_comes_with_the_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["student"]) == list(students.available())
    assert list(told["selector"]) == list(saved.shipped())
    assert told["index"] == {name: f"{len(indexes.load(name)):,} photos" for name in indexes.shipped()}
    assert list(told["configuration"]) == list(configs())
    assert set(told["data set"]) == {*data.DATASETS, *data.FOLDER_DATASETS}
    for teacher, of in told["teacher"].items():
        taught = load_card(students.find(of.removeprefix("of ").split(", ")[0]))
        assert load_card(students.find(teacher))["sha256"] == taught["teacher"]["sha256"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert run("list") == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    for name in (name for names in told.values() for name in names):
        assert any(f" {name} " in line for line in lines), name


def test_a_package_inside_a_zip_file_says_that_it_must_be_installed(tmp_path: Path) -> None:
    root = Path(sketchcanvas_env.__file__).parents[1]
    with zipfile.ZipFile(tmp_path / "sketchcanvas.whl", "w") as wheel:
        for name in ("sketchcanvas_env", "students", "agents"):
            for file in (root / name).rglob("*.py"):
                wheel.write(file, file.relative_to(root))
    code = "import sys; sys.path.insert(0, 'sketchcanvas.whl'); from agents.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "list"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot run from inside" in done.stderr and "sketchcanvas.whl: install it" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_system_errors_are_shown_without_their_numbers() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Path("nowhere/at all").read_bytes()
    assert sentence_of(caught.value) == "nowhere/at all: no such file or directory"
    assert sentence_of(KeyError("no photo 'x'")) == "no photo 'x'"


def test_tabulate_with_hog(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "hog.npz"
    assert run("tabulate", "--student", "hog", "--dataset", "toy", "--canvases", "32,64", "--out", out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    table = OutcomeTable.load(out)
    assert told["hash"] == table.hash
    assert table.canvases.tolist() == [32, 64]
    assert told["scores"]["test"]["64"]["acc@5"] == pytest.approx(float((table.select("test").ranks[:, 1] <= 5).mean()))
    assert run("tabulate", "--student", "resnet", "--out", out) == 2
    assert "unknown student 'resnet'" in capsys.readouterr().err


def test_tabulate_with_looks(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "hog.npz"
    asked = ("tabulate", "--student", "hog", "--dataset", "toy", "--canvases", "32,64", "--out", out)
    assert run(*asked) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["hog.npz"]
    assert run(*asked, "--looks") == 0
    assert "hog.looks.npz" in capsys.readouterr().err
    looks = LookTable.load_beside(OutcomeTable.load(out), tmp_path / "hog.looks.npz")
    assert looks.fused_of.tolist() == [3]


def test_evaluate_needs_something(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in {
        ("--dataset", "toy"): "name policies to evaluate",
        ("--dataset", "toy", "--student", "hog", "--table", "x.npz"): "--table is for policies",
        (*toy_options(toy), "random", "--out", "x.json"): "are for students: leave them or the policies out",
        (*toy_options(toy), "random", "--strict"): "are for students: leave them or the policies out",
        ("--dataset", "toy", "--student", "resnet"): "unknown student 'resnet'",
        ("--dataset", "toy", "--student", "hog", "--canvases", "20"): "canvases must be some of",
        ("--dataset", "toy", "--student", "hog", "--role", "genius", "--canvases", "32"): "role must be one of",
        ("--dataset", "toy", "--student", "hog", "--root", "folder"): "needs no root",
        ("--dataset", "chairv2", "--student", "hog"): "name it as chairv2:DIR",
    }.items():
        assert run("evaluate", *arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("sketchcanvas: ")
        assert message in error


def test_evaluate_a_student_and_report(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, out = tmp_path / "rows", tmp_path / "out"
    options = ["--student", "hog", "--dataset", "toy", "--split", "test", "--canvases", "32,64"]
    assert run("evaluate", *options, "--out", rows / "hog.json", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    row = read_row(rows / "hog.json")
    assert (row.role, row.split, row.canvases, len(row.sketch_ids)) == ("baseline", "test", (32, 64), 36)
    assert told["scores"]["64"]["acc1"] == float(row.right(64).mean())
    assert row.command.startswith("sketchcanvas evaluate --student hog --dataset toy --split test")
    # The printed result is stored, and the stored command gives the same ranks again.
    assert run(*(word for word in shlex.split(row.command)[1:] if word != "--json")) == 0
    assert f"{100 * row.right(64).mean():.1f} [" in capsys.readouterr().out
    assert read_row(rows / "hog.json").ranks == row.ranks

    assert run("report", "students", "--rows", rows, "--out", out, "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads((out / "students.json").read_text())
    assert "| no learning | hog |" in (out / "students.md").read_text()
    assert "wrote" in captured.err
    assert run("report", "students", "--rows", rows, "--out", out) == 0
    assert "no learning" in capsys.readouterr().out
    assert run("report", "students", "--rows", tmp_path / "nowhere") == 2
    assert "no rows under" in capsys.readouterr().err


def test_where_data_lie_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for typed in (["--root", "/home/me/data"], ["--root=/home/me/data"]):
        monkeypatch.setattr(sys, "argv", ["/usr/bin/sketchcanvas", "evaluate", *typed, "--split", "val"])
        assert "/home/me" not in typed_command()
        assert typed_command().replace("=", " ") == "sketchcanvas evaluate --root ROOT --split val"


@pytest.mark.filterwarnings("default::sketchcanvas_env.data.SkippedDataWarning")  # as outside of tests
def test_what_is_left_out_of_a_data_set_is_told(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loader(root: str | Path | None, strict: bool) -> SketchDataset:
        if strict:
            raise ValueError("a sketch cannot be used")
        warnings.warn("1 of 2 sketches are left out", data.SkippedDataWarning, stacklevel=2)
        return replace(toy.dataset, skipped=(("/train/1_1", "empty"),), citation="cite me")

    monkeypatch.setitem(data.FOLDER_DATASETS, "toy-folder", loader)
    assert run("data", "info", "toy-folder", "--root", "folder", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["skipped"] == [["/train/1_1", "empty"]]
    assert captured.err == "sketchcanvas: 1 of 2 sketches are left out\n"
    assert run("data", "info", "toy-folder", "--root", "folder") == 0
    assert "cite me" in capsys.readouterr().out
    assert run("evaluate", "--student", "hog", "--dataset", "toy-folder", "--root", "folder", "--strict") == 2
    assert "a sketch cannot be used" in capsys.readouterr().err
    # Loaded inside a command.
    capsys.readouterr()
    options = ["--table", toy.kwargs["table"], "--canvases", "16,32,64,128"]
    assert run("evaluate", "fixed:16", "--dataset", "toy-folder", "--root", "folder", *options) == 0
    assert capsys.readouterr().err.startswith("sketchcanvas: 1 of 2 sketches are left out\n")


@pytest.mark.filterwarnings("default::sketchcanvas_env.data.SkippedDataWarning")
def test_what_is_left_out_is_told_once_wherever_it_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with telling_what_is_left_out():
        for line in (1, 2):
            warnings.warn_explicit("1 of 2 sketches are left out", data.SkippedDataWarning, "train.py", line)
    assert capsys.readouterr().err == "sketchcanvas: 1 of 2 sketches are left out\n"


def test_other_warnings_stay_what_they_are(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loader(root: str | Path | None, strict: bool) -> SketchDataset:
        warnings.warn("beware", UserWarning, stacklevel=1)
        return toy.dataset

    monkeypatch.setitem(data.FOLDER_DATASETS, "toy-folder", loader)
    with pytest.warns(UserWarning, match="beware"):
        assert run("data", "info", "toy-folder", "--root", "folder") == 0


def test_report_pilot(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = StudentConfig(heads=(Head(8, 2, 4, 1.0),), canvases=(16, 32), photo_side=32)
    path = save_student(Student(config), tmp_path / "tiny.safetensors", {"recipe": {}})
    options = ["--student", path, "--dataset", "toy", "--out", tmp_path]
    assert run("report", "pilot", *options, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "pilot.json").read_text())
    assert [curve["queries"] for curve in told["curves"]][-1] == "photos"
    assert (tmp_path / "pilot.md").is_file()
    assert np.asarray(Image.open(tmp_path / "pilot.png")).std() > 10
    assert run("report", "pilot", "--student", "hog", "--dataset", "toy") == 2
    assert "'hog' is none" in capsys.readouterr().err


def test_latency_is_measured_and_then_a_cost(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("students.tables.latency.SKETCHES", 2)
    config = StudentConfig(heads=(Head(8, 2, 4, 1.0),), canvases=(16, 32), photo_side=32)
    student = save_student(Student(config), tmp_path / "tiny.safetensors", {})
    table = tmp_path / "table.npz"
    assert run("tabulate", "--student", student, "--dataset", "toy", "--out", table) == 0
    options = ["fixed:32", "--dataset", "toy", "--table", table, "--canvases", "16,32", "--cost", "latency"]
    assert run("evaluate", *options) == 2
    assert "sketchcanvas latency" in capsys.readouterr().err
    assert run("latency", table, "--student", student, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert OutcomeTable.load(table).meta["latency"] == told
    assert run("evaluate", *options, "--json") == 0
    by_latency = json.loads(capsys.readouterr().out)["fixed:32"]
    assert run("evaluate", *options[:-1], "flops", "--json") == 0
    by_flops = json.loads(capsys.readouterr().out)["fixed:32"]
    assert by_latency["acc1"] == by_flops["acc1"]
    assert run("evaluate", *options[:-1], "watts") == 2
    assert "unknown cost 'watts'" in capsys.readouterr().err


def test_distill_hands_over_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the arguments of the training are tested here."""
    from students.training import train
    from students.training.config import TrainConfig

    seen: list[tuple[TrainConfig, Path, Path | None, str]] = []

    def stand_in(config: TrainConfig, out: Path, save: Path | None, command: str) -> Path:
        seen.append((config, out, save, command))
        return save or out / "student.safetensors"

    monkeypatch.setattr(train, "run", stand_in)
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"steps": 70, "seed": 4, "teacher": "mine.safetensors"}))
    assert run("distill", file, "--out", tmp_path) == 0
    plain = TrainConfig.read(file)
    assert seen.pop() == (plain, tmp_path, None, f"sketchcanvas distill {file} --out {tmp_path}")
    hint = capsys.readouterr().err.splitlines()[-1]
    student = str(tmp_path / "student.safetensors")
    assert shlex.split(hint) == ["sketchcanvas", "evaluate", "--student", student, "--dataset", "emoji"]
    asked = ["--dataset", "chairv2", "--root", "/home/my chairs", "--teacher", "big", "--steps", 9, "--seed", 0]
    assert run("distill", file, *asked, "--save", tmp_path / "my x.safetensors") == 0
    config, out, save, command = seen.pop()
    assert config == replace(plain, dataset="chairv2", root="/home/my chairs", teacher="big", steps=9, seed=0)
    assert (out, save) == (Path("runs/distill"), tmp_path / "my x.safetensors")
    assert "--root ROOT" in command
    # The command on the terminal can be pasted: it has the folder, quoted where necessary.
    hint = shlex.split(capsys.readouterr().err.splitlines()[-1])
    data_set = ["--dataset", "chairv2", "--root", "/home/my chairs"]
    assert hint == ["sketchcanvas", "evaluate", "--student", str(save), *data_set]
    assert run("distill", "folder-mobilenet_v2", "--root", "mine") == 0
    assert seen.pop()[0] == replace(TrainConfig.read("folder-mobilenet_v2"), root="mine")
    for arguments, message in {
        (tmp_path / "none.json",): "none.json",
        ("nothing",): "unknown configuration 'nothing'; shipped: ",
        (file, "--steps", "0"): "Invalid value",
    }.items():
        assert run("distill", *arguments) == 2
        assert message in capsys.readouterr().err
    assert not seen
