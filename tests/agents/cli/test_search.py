"""`sketchcanvas index` and `query` on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import agents
import students
from agents.search import strangers
from agents.search.pipeline import Pipeline
from sketchcanvas_env import load_dataset
from sketchcanvas_env.data.emoji import emoji_names
from sketchcanvas_env.envs import render
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.svg.reader import read_svg
from students.search import index as indexes
from tests.agents.cli.test_cli import run

PHOTOS = 6


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """Load each student and count its FLOPs only once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(students, "load", lru_cache(students.load))
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures (one unreadable), their index, and drawings."""
    folder = tmp_path_factory.mktemp("search")
    dataset = load_dataset("emoji")
    rows = dataset.indices("val")[: 4 * PHOTOS : 4]
    (folder / "pictures" / "some").mkdir(parents=True)
    for row in rows:
        photo = str(dataset.photo_ids[row])
        Image.fromarray(dataset.photo(photo)).save(folder / "pictures" / "some" / f"{photo}.png")
        (folder / f"{photo}.svg").write_text(dataset.sketch(int(row)).to_svg(), encoding="utf-8")
    (folder / "pictures" / "[red]bad.png").write_bytes(b"no picture")
    assert run("index", folder / "pictures", "--out", folder / "my.index") == 0
    return folder


def drawings(place: Path) -> list[Path]:
    return sorted(place.glob("*.svg"))


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run("query", *arguments, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    return list(told["queries"])


def test_an_index_tells_what_it_left_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = indexes.load(place / "my.index")
    assert (len(found), found.student) == (PHOTOS, "emoji-mobilenet_v2")
    assert run("index", place / "pictures", "--out", place / "again", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "index": str(place / "again"),
        "photos": PHOTOS,
        "student": "emoji-mobilenet_v2",
        "skipped": [["[red]bad.png", "neither a PNG nor a JPEG nor a WebP file"]],
    }
    assert "left out: [red]bad.png: neither a PNG" in err
    assert f"{PHOTOS} pictures, 1 files left out" in err
    assert run("index", place / "pictures", "--out", place / "strict", "--strict") == 2
    assert "1 files of" in capsys.readouterr().err
    assert not (place / "strict.json").exists()


def test_a_query_prints_what_the_pipeline_finds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = drawings(place)
    pipeline = Pipeline.load(place / "my.index")
    for file, told in zip(files, ask(capsys, *files, "--index", place / "my.index", "--top", 3), strict=True):
        answer = pipeline.search(read_svg(file), top=3)
        assert told["sketch"] == str(file)
        assert [hit["photo"] for hit in told["hits"]] == [hit.photo for hit in answer.hits]  # type: ignore[attr-defined]
        assert (told["canvas"], told["gflops"]) == (answer.canvas, answer.gflops)
    # The same in tables.
    assert run("query", files[0], files[1], "--index", place / "my.index", "--top", 2) == 0
    out = capsys.readouterr().out
    first = pipeline.search(read_svg(files[0]), top=2)
    for part in (files[0].name, files[1].name, *(f"{place / 'pictures'}/{hit.photo}" for hit in first.hits)):
        assert part in out
    # The photos first, then the cost in one line.
    assert out.index(first.hits[1].photo) < out.index(f"canvas {first.canvas} x {first.canvas}, chosen by emoji: ")
    assert len([line for line in out.splitlines() if "GFLOPs" in line]) == 2
    assert "look 1" not in out
    assert run("query", files[0], "--index", place / "my.index", "--top", 2, "--verbose") == 0
    out = capsys.readouterr().out
    for part in ("look 1", "selector", "together", "0.7833", f"{first.gflops + first.selector_gflops:.4f}"):
        assert part in out


def test_sketches_of_a_data_folder_are_searched_with(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = drawings(place)[0]
    sketch = read_svg(file)
    (place / "sketches").mkdir()
    np.save(place / "sketches" / "a.npy", sketch.to_stroke5(sketch.n_points))
    (place / "sketches" / "a.json").write_text(json.dumps([stroke.tolist() for stroke in sketch.strokes]))
    answers = ask(capsys, file, place / "sketches" / "a.npy", place / "sketches" / "a.json")
    photos = [[hit["photo"] for hit in answer["hits"][:3]] for answer in answers]  # type: ignore[index]
    assert photos[0] == photos[1] == photos[2]


def test_the_format_of_an_ambiguous_drawing_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two strokes of two points, or of Quick, Draw!'s x and y."""
    file = place / "ambiguous.json"
    file.write_text("[[[0, 9], [5, 7]], [[1, 3], [8, 2]]]")
    index = place / "my.index"
    assert run("query", file, "--index", index) == 2
    assert "give the format, points or quickdraw (--format" in capsys.readouterr().err
    hits = []
    for form in ("points", "quickdraw"):
        assert run("query", file, "--index", index, "--format", form, "--json") == 0
        [answer] = json.loads(capsys.readouterr().out)["queries"]
        hits.append([hit["distance"] for hit in answer["hits"]])
    assert hits[0] != hits[1]


def test_who_picks_the_canvas(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = drawings(place)[0]
    sketch = read_svg(file)
    told = agents.load("emoji-preference")
    for options, canvas in (
        ([], agents.load("emoji")(sketch)),
        (["--canvas", 96], 96),
        (["--selector", "fixed:48"], 48),
        (["--tradeoff", 0.02], told(sketch, 0.02)),
        (["--tradeoff", 1], told(sketch, 1.0)),
        (["--selector", "emoji-preference", "--tradeoff", 1], told(sketch, 1.0)),
    ):
        [answer] = ask(capsys, file, *options)
        assert answer["canvas"] == canvas
    assert told(sketch, 0.02) != told(sketch, 1.0)


def test_the_shipped_index_is_the_default(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [answer] = ask(capsys, drawings(place)[0])
    assert len(answer["hits"]) == 10  # type: ignore[arg-type]
    names = emoji_names()
    for hit in answer["hits"]:  # type: ignore[attr-defined]
        assert (hit["name"], hit["file"]) == (names[hit["photo"]], None)
        assert "-".join(f"{ord(character):04X}" for character in hit["emoji"]) == hit["photo"]
    assert run("query", drawings(place)[0], "--top", 1) == 0
    out, err = capsys.readouterr()
    first = answer["hits"][0]  # type: ignore[index]
    assert f"{first['emoji']} {first['name']}" in out
    # Once, and with the right numbers: what the student was trained on.
    assert err.count("trained on") == 1
    dataset = load_dataset("emoji")
    trained, everything = len(dataset.gallery("student")), len(indexes.load())
    assert f"trained on {trained} of these {everything:,} emoji;" in err
    assert f"emoji-test has {len(dataset.gallery('test'))} that are new" in err


NO_TORCH = """
import sys
from agents.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
assert not {'torch', 'stable_baselines3', 'scipy', 'matplotlib', 'onnx'} & set(sys.modules)
"""


@pytest.mark.parametrize("command", ["query", "query --tradeoff 0.5", "query --selector fixed:32", "index"])
def test_searching_loads_no_torch(place: Path, tmp_path: Path, command: str) -> None:
    about = [str(place / "pictures"), "--out", str(tmp_path / "x")] if command == "index" else [str(drawings(place)[0])]
    asked = [sys.executable, "-c", NO_TORCH, *command.split(), *about]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_torch_finds_what_onnxruntime_finds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = drawings(place)[0]
    for options in ([], ["--tradeoff", 0.5]):
        ours, theirs = (ask(capsys, file, *options, "--engine", engine)[0] for engine in ("onnx", "torch"))
        assert ours["canvas"] == theirs["canvas"]
        for mine, other in zip(ours["hits"], theirs["hits"], strict=True):  # type: ignore[call-overload]
            assert mine["photo"] == other["photo"]
            assert mine["distance"] == pytest.approx(other["distance"], abs=1e-4)


def test_without_onnxruntime_the_way_out_is_told_in_the_words_of_the_command_line(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert run("query", drawings(place)[0]) == 2
    err = capsys.readouterr().err
    assert "onnxruntime is not installed" in err and "--engine torch" in err
    assert len(err.splitlines()) == 1


def test_a_sketch_of_nothing_in_the_index_is_told_so(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = drawings(place)[0]
    [answer] = ask(capsys, file, "--canvas", 64)
    nearest = answer["hits"][0]["distance"]  # type: ignore[index]
    for limit, nothing in ((nearest + 0.01, False), (nearest - 0.01, True)):
        monkeypatch.setattr(strangers, "limits", lambda _, limit=limit: {64: limit})
        assert ask(capsys, file, "--canvas", 64)[0]["nothing_near"] is nothing
        assert run("query", file, "--canvas", 64) == 0
        assert ("nothing near" in capsys.readouterr().out) is nothing
        assert ask(capsys, file, "--canvas", 32)[0]["nothing_near"] is None, "not measured there"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_any_code_page_will_do(place: Path, encoding: str) -> None:
    command = [sys.executable, "-m", "agents.cli", "query", str(drawings(place)[0]), "--top", "3"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    assert b"distance" in done.stdout


def test_a_picture_shows_strokes_canvas_and_photos(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = drawings(place)[:2]
    options = ["--index", place / "my.index", "--canvas", 32, "--top", 5, "--show", place / "new" / "found.png"]
    told = ask(capsys, *files, *options)
    page = np.asarray(Image.open(place / "new" / "found.png"))
    assert page.shape == (2 * render.HEIGHT, 3 * render._MARGIN + 2 * render.PANEL + 3 * 88 - 8 + render._MARGIN, 3)
    index = indexes.load(place / "my.index")
    for row, (file, answer) in enumerate(zip(files, told, strict=True)):
        top = row * render.HEIGHT + render._HEAD
        left, middle, right = (render.panel_x(i) for i in range(3))
        sketch = read_svg(file)
        assert np.array_equal(page[top : top + 256, left : left + 256, 0], rasterise(sketch, 256))
        true_pixels = np.kron(rasterise(sketch, 32), np.ones((8, 8), dtype=np.uint8))
        assert np.array_equal(page[top : top + 256, middle : middle + 256, 0], true_pixels)
        for number, hit in enumerate(answer["hits"]):  # type: ignore[arg-type, var-annotated]
            photo = Image.fromarray(index.photo(hit["photo"])).resize((80, 80), Image.Resampling.BICUBIC)
            x, y = right + number % 3 * 88, top + number // 3 * 124
            assert np.array_equal(page[y : y + 80, x : x + 80], np.asarray(photo))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--canvas", "33"], "the student has no canvas 33; it has 32"),
        (["--canvas", "64", "--tradeoff", "0.1"], "--canvas excludes --selector and --tradeoff"),
        (["--canvas", "64", "--selector", "emoji"], "--canvas excludes --selector and --tradeoff"),
        (["--index", "nowhere/my.index"], "no index nowhere/my.index.safetensors"),
        (["--selector", "nowhere"], "no saved selector: nowhere.safetensors is missing"),
        (["--student", "chairv2"], "with other weights than this student's"),
        (["--engine", "abacus"], "unknown engine 'abacus'"),
        (["--tradeoff", "0.1", "--selector", "emoji"], "was trained for one tradeoff"),
    ],
)
def test_a_mistake_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run("query", drawings(place)[0], *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_drawing_that_is_none(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = place / "other" / "bad.svg"
    bad.parent.mkdir()
    bad.write_text("<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/hostname'/></svg>")
    assert run("query", drawings(place)[0], bad) == 2
    assert "bad.svg: <image> is not read" in capsys.readouterr().err
    assert run("query", bad.rename(bad.with_suffix(".jpg"))) == 2
    assert "bad.jpg is no drawing that can be read: there are .svg, .json" in capsys.readouterr().err
    assert run("query", place / "nothing.svg") == 2
    assert "nothing.svg" in capsys.readouterr().err
    assert run("index", place / "nothing", "--out", place / "x") == 2
    assert "is no folder of pictures" in capsys.readouterr().err


def test_pictures_that_are_gone_are_missed_only_where_they_are_shown(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = indexes.load(place / "my.index")
    gone = indexes.PhotoIndex(
        moved.ids, moved.embeddings, moved.student, moved.student_hash, "folder", str(tmp_path / "gone")
    )
    gone.save(tmp_path / "my")
    file = drawings(place)[0]
    assert run("query", file, "--index", tmp_path / "my") == 0
    assert run("query", file, "--index", tmp_path / "my", "--show", tmp_path / "found.png") == 2
    assert f"{tmp_path / 'gone'}: the folder with the pictures" in capsys.readouterr().err
    assert not (tmp_path / "found.png").exists()


def test_all_looks_are_shown(tmp_path: Path) -> None:
    from agents.cli.commands.search import _cost_table
    from agents.search.picture import draw
    from tests.agents.search.test_pipeline import SKETCHES, Cascade, Cells, photo_index

    gallery = load_dataset("emoji").gallery("test")[:12].tolist()
    index = photo_index(ids=tuple(gallery), kind="dataset", source="emoji:test")
    answers = [Pipeline(index, Cells(), Cascade(*sides)).search(SKETCHES[0], top=1) for sides in ((16, 64), (32,))]
    costs = _cost_table(answers[0])
    columns = {head: cells for head, *cells in zip(costs.columns, *costs.rows, strict=True)}
    assert columns["of"] == ["look 1", "look 2", "selector", "together", "fixed"]
    assert columns["px"] == ["16", "64", "", "", "64"]
    gflops = [1e-3 * 16**2, 1e-3 * 64**2, 0.03, 1e-3 * (16**2 + 64**2) + 0.03, 1e-3 * 64**2]
    assert [float(cell) for cell in columns["GFLOPs"]] == pytest.approx(gflops)
    page = np.asarray(Image.open(draw(["a", "b"], SKETCHES[:1] * 2, answers, index, tmp_path / "x.png")))
    assert page.shape == (2 * render.HEIGHT, 3 * (render.PANEL + 14) + 80 + 2 * 14, 3)
    for row, place, side in ((0, 1, 16), (0, 2, 64), (1, 1, 32)):
        x, y = render.panel_x(place), row * render.HEIGHT + render._HEAD
        expected = np.kron(rasterise(SKETCHES[0], side), np.ones((256 // side,) * 2, dtype=np.uint8))
        assert np.array_equal(page[y : y + 256, x : x + 256, 0], expected)
