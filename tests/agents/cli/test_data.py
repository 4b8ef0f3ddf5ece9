"""Data sets on the command line, and a folder of files as a data set up to a trained agent."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import agents
from agents.cli.shared_options import typed_command
from agents.evaluation.setting import EnvConfig
from agents.experiments import sweep
from agents.experiments.compare import compare
from agents.experiments.settings import CompareConfig
from sketchcanvas_env import data
from sketchcanvas_env.data import load
from sketchcanvas_env.data.formats.folder import SCALED_SVG
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.svg.reader import read_svg
from tests.agents.cli.test_cli import run
from tests.helpers import Toy, qmul_arrays, toy_dataset, write_qmul

CANVASES = (32, 64)


def write_own(folder: Path) -> Path:
    """A folder with pictures, SVGs named after them, and a licence."""
    toy = toy_dataset()
    (folder / "photos").mkdir(parents=True)
    (folder / "sketches").mkdir()
    for photo in sorted(set(toy.photo_ids.tolist())):
        Image.fromarray(toy.photo(photo)).save(folder / "photos" / f"{photo}.jpg")
    for row, name in enumerate(toy.sketch_ids.tolist()):
        text = toy.sketch(row).to_svg()
        (folder / "sketches" / f"{name.replace('/', '__')}.svg").write_text(text, encoding="utf-8")
    (folder / "LICENCE.txt").write_text("made up\n")
    return folder


def test_ones_own_data_set_to_an_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, table, out = write_own(tmp_path / "mine"), tmp_path / "mine.npz", tmp_path / "result"
    assert run("data", "check", folder) == 0
    assert "is in order" in capsys.readouterr().err
    named = ["--dataset", f"folder:{folder}", "--canvases", "32,64"]
    assert run("tabulate", "--student", "hog", *named, "--out", table) == 0
    assert OutcomeTable.load(table).dataset_hash == load("folder", folder).hash
    options = ["--table", table, "--algorithms", "reinforce", "--seeds", 1, "--steps", 512, "--split", "val"]
    assert run("compare", *named, *options, "--out", out) == 0
    capsys.readouterr()
    weights = out / "chosen.safetensors"
    selector = agents.load(weights)
    assert selector.env.dataset == f"folder:{folder}"
    assert {selector(read_svg(path)) for path in sorted((folder / "sketches").iterdir())} <= set(CANVASES)
    # The same by --root, and once more from the selector's own card.
    located = ["--dataset", "folder", "--root", folder, "--canvases", "32,64"]
    for asked in (named, located):
        assert run("evaluate", *asked, "--table", table, weights, "fixed:32", "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told[str(weights)]["n_sketches"] == len(load("folder", folder).indices("val"))
    assert run("report", "--compare", out, "--validate") == 0


def test_a_result_read_from_elsewhere_says_from_where_its_paths_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_own(tmp_path / "here" / "mine")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    named = ["--dataset", "folder:mine", "--canvases", "32,64"]
    assert run("tabulate", "--student", "hog", *named, "--out", "own.npz") == 0
    few = ["--table", "own.npz", "--algorithms", "cost_sensitive", "--seeds", 1, "--steps", 256]
    assert run("compare", *named, *few, "--out", "result") == 0
    assert run("sweep", *named, *few, "--preference", "", "--tradeoffs", "0.1,0.4", "--out", "swept") == 0
    assert run("report", "--compare", "result", "--sweep", "swept") == 0
    told = " names own.npz and mine as seen from where it was made: run this command there"
    monkeypatch.chdir(tmp_path / "there")
    for lacking in ("mine", "own.npz"):
        capsys.readouterr()
        assert run("report", "--compare", "../here/result", "--validate") == 2
        message = capsys.readouterr().err
        assert lacking in message.partition(";")[0] and message.endswith(f"; ../here/result{told}\n")
        shutil.copytree("../here/mine", "mine", dirs_exist_ok=True)
    with pytest.raises(FileNotFoundError, match=f"; ../here/swept{told}"):
        sweep.reread("../here/swept")


def test_the_same_in_python(tmp_path: Path) -> None:
    from students.network.hog import HogRetriever
    from students.tables.tabulate import tabulate

    folder = write_own(tmp_path / "mine")
    table = tabulate(HogRetriever(), load("folder", folder), CANVASES).save(tmp_path / "mine.npz")
    env = EnvConfig(dataset=f"folder:{folder}", table=str(table), canvases=CANVASES)
    config = CompareConfig(env=env, algorithms=("cost_sensitive",), seeds=1, total_steps=512, split="val")
    result = compare(config, tmp_path / "result")
    assert {"fixed 32", "cost_sensitive", "oracle"} <= {row.name for row in result.rows}


def test_train_and_sweep_find_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, table = write_own(tmp_path / "mine"), tmp_path / "mine.npz"
    located = ["--dataset", "folder", "--root", folder, "--canvases", "32,64"]
    assert run("tabulate", "--student", "hog", *located, "--out", table) == 0
    own = [*located, "--table", table, "--steps", 512]
    assert run("train", "reinforce", *own, "--out", tmp_path / "one") == 0
    assert agents.load(tmp_path / "one").env.dataset == f"folder:{folder}"
    sweep = ["--algorithms", "cost_sensitive", "--preference", "", "--tradeoffs", "0.1,0.4", "--seeds", 1]
    assert run("sweep", *own, *sweep, "--split", "val", "--out", tmp_path / "sweep") == 0
    capsys.readouterr()
    assert run("train", "--dataset", "folder", "--table", table) == 2
    assert "which folder? Name it as folder:DIR" in capsys.readouterr().err


def test_info_and_show_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_own(tmp_path / "mine")
    for asked in (["folder", "--root", folder], [f"folder:{folder}"]):
        assert run("data", "info", *asked, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["name"], told["licence"], told["skipped"]) == ("folder", "made up", [])
        assert {split: row["photos"] for split, row in told["splits"].items()} == {
            "student": 16,
            "train": 7,
            "val": 7,
            "test": 7,
        }
        assert run("data", "show", *asked, "--photos", 3, "--out", tmp_path / "sheet.png") == 0
        assert len(capsys.readouterr().out.splitlines()) == 3  # the ids shown
        assert np.asarray(Image.open(tmp_path / "sheet.png")).std() > 10
        (tmp_path / "sheet.png").unlink()


def test_show_of_a_split_without_sketches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_qmul(tmp_path / "root", qmul_arrays())
    assert run("data", "show", f"chairv2:{root}", "--out", tmp_path / "sheet.png") == 0
    assert "of split val" in capsys.readouterr().err, "the first that has sketches"
    assert run("data", "show", f"chairv2:{root}", "--split", "train", "--out", tmp_path / "sheet.png") == 2
    message = "sketchcanvas: data set 'chairv2' has no sketch in split 'train', only in student, val, test\n"
    assert capsys.readouterr().err == message
    assert run("data", "show", f"chairv2:{root}", "--split", "val", "--out", tmp_path / "sheet.png") == 0


def test_check_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_own(tmp_path / "mine")
    (folder / "sketches" / "val-0__9.json").write_text("[[[0, NaN]]]")
    (folder / "sketches" / "[bold]\n.txt").write_text("")
    (folder / "photos" / "test-0.jpg").write_text("no picture")
    assert run("data", "check", folder) == 2
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert "sketches/val-0__9.json: not JSON: NaN is no number there" in lines
    assert "photos/test-0.jpg: neither a PNG nor a JPEG nor a WebP file" in lines
    assert any(line.startswith(r"sketches/[bold]\n.txt: its ending is none of") for line in lines)
    assert captured.err.strip().splitlines()[-1] == f"sketchcanvas: {folder}: 3 problems; --json lists all"
    assert run("data", "check", folder, "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert len(told["wrong"]) == 3
    assert sum(row["photos"] for row in told["splits"].values()) == 36
    (folder / "splits.json").write_text("{")
    assert run("data", "check", folder) == 2
    assert "splits.json: not JSON" in capsys.readouterr().out
    assert run("data", "check", tmp_path / "nowhere") == 2
    assert "there must be photos/" in capsys.readouterr().err


def test_check_says_what_selectors_lack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_own(tmp_path / "mine")
    assert run("data", "check", folder) == 0
    assert capsys.readouterr().err == f"{SCALED_SVG}\n{folder} is in order\n"
    photos = [path.stem for path in (folder / "photos").iterdir()]
    (folder / "splits.json").write_text(json.dumps({"student": photos[3:], "test": photos[:3]}))
    assert run("data", "check", folder) == 0
    assert capsys.readouterr().err.splitlines() == [
        SCALED_SVG,
        f"{folder} is in order",
        "no selector can be trained without sketches in 'train': list photos that have some under 'train' in "
        "splits.json",
        "no selector can be chosen without sketches in 'val': list photos that have some under 'val' in splits.json",
    ]


@pytest.mark.filterwarnings("default::sketchcanvas_env.data.SkippedDataWarning")  # as outside of tests
def test_import(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_qmul(tmp_path / "root", qmul_arrays() | {"/train/c1_v1_1": np.zeros((0, 3))})
    assert run("data", "import", "chairv2", root, tmp_path / "chairs", "--strict") == 2
    assert "/train/c1_v1_1: empty" in capsys.readouterr().err and not (tmp_path / "chairs").exists()
    for _ in range(2):  # the second time there is nothing left to do
        assert run("data", "import", "chairv2", root, tmp_path / "chairs") == 0
        told = capsys.readouterr().err
        assert "27 of 28 sketches" in told and "wrote 27 sketches" in told and "not kept" not in told
    copy = load("folder", tmp_path / "chairs", strict=True)
    assert run("data", "import", "chairv2", root, tmp_path / "my chairs") == 0
    hint = shlex.split(capsys.readouterr().err.splitlines()[-1])
    assert hint == ["--dataset", f"folder:{tmp_path / 'my chairs'}"]
    assert len(copy) == 27 and "Sketch Me That Shoe" in copy.citation
    assert run("data", "check", tmp_path / "chairs") == 0
    assert run("data", "import", "toy", tmp_path / "toys") == 0
    assert "not kept" not in capsys.readouterr().err
    assert len(load("folder", tmp_path / "toys")) == len(data.load("toy"))
    assert run("data", "import", "toy", tmp_path / "chairs") == 2
    assert "holds another data set" in capsys.readouterr().err
    assert run("data", "import", "toy", "a", "b", "c") == 2
    assert "not 3 folders" in capsys.readouterr().err


def test_import_of_what_has_no_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "q").mkdir()
    line = json.dumps({"key_id": "1", "word": "cat", "drawing": [[[0, 9], [0, 9]]]})
    (tmp_path / "q" / "cat.ndjson").write_text(line)
    assert run("data", "info", f"quickdraw:{tmp_path / 'q'}") == 0
    assert run("data", "import", "quickdraw", tmp_path / "q", tmp_path / "out") == 2
    assert "quickdraw has no photos, only categories" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["check", "import"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", command, "--help") == 0
    assert f"Example: sketchcanvas data {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--dataset", "folder:/home/me/x"], "--dataset folder:ROOT"),
        (["--dataset=chairv2:/home/me/x"], "--dataset=chairv2:ROOT"),
        (["--dataset", "folder", "--root", "/home/me/x"], "--dataset folder --root ROOT"),
        (["--dataset", "emoji", "hull:0.2"], "--dataset emoji hull:0.2"),
        (["--gallery=folder:/home/me=you/x"], "--gallery=folder:ROOT"),
        (["--gallery", "chairv2_fold0:/home/me/x", "--root=/home/me"], "--gallery chairv2_fold0:ROOT --root=ROOT"),
        (["folder:/home/me/x", "--root", "--strict"], "folder:ROOT --root ROOT"),
        (["--out=runs/a=b.json", "--root="], "--out=runs/a=b.json --root=ROOT"),
    ],
)
def test_provenance_keeps_a_users_folders_to_itself(
    words: list[str], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["sketchcanvas", "evaluate", *words])
    assert typed_command() == f"sketchcanvas evaluate {wanted}"
