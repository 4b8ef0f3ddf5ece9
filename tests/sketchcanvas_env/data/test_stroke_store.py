"""Parsed sketches on the disk: found again, never believed when damaged, bounded, and out of memory's way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sketchcanvas_env.data.stroke_store import Strokes, Writer, stored
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage import names
from sketchcanvas_env.storage.cache import key_of
from sketchcanvas_env.storage.npz import write_mapped
from tests.helpers import toy_sketch

ROOT = Path(__file__).parents[3]
N = 40
KEY = key_of("toy", 1, "a")


class Parser:
    """Adds the toy drawings and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, writer: Writer) -> dict[str, Any]:
        self.calls += 1
        for row in range(N):
            writer.add(toy_sketch(row), ids=f"zwölf/{row}", kinds="ü" * (row % 5))
        return {"skipped": [["a", "b"]]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKETCHCANVAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(names, "BLOCK", 7)
    return tmp_path / "cache"


def get(parser: Callable[[Writer], Any], key: str = KEY) -> Strokes:
    return stored(key, ("ids", "kinds"), parser)


def check(found: Strokes) -> None:
    assert len(found) == N and found.note == {"skipped": [["a", "b"]]}
    assert found.texts["ids"].tolist() == [f"zwölf/{row}" for row in range(N)]
    assert found.texts["kinds"].tolist() == ["ü" * (row % 5) for row in range(N)]
    for row in range(N):
        drawn, expected = found.sketch(row).strokes, toy_sketch(row).strokes
        assert len(drawn) == len(expected)
        for one, other in zip(drawn, expected, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == np.float32 and not one.flags.writeable


def test_what_was_parsed_is_found_again(folder: Path) -> None:
    parser = Parser()
    check(get(parser))
    check(get(parser))
    assert parser.calls == 1
    assert [path.name for path in folder.iterdir()] == [f"{KEY}.npz"]
    check(get(parser, key_of("toy", 2, "a")))
    assert parser.calls == 2


def test_a_parser_that_fails_leaves_nothing(folder: Path) -> None:
    def fails(writer: Writer) -> None:
        writer.add(toy_sketch(0), ids="a", kinds="")
        raise ValueError("cat.csv is damaged")

    with pytest.raises(ValueError, match=r"cat\.csv is damaged"):
        get(fails)
    assert not list(folder.iterdir())


def test_a_text_that_would_not_come_back_is_refused_whole() -> None:
    def parse(writer: Writer) -> list[str]:
        told = []
        for text in ("a\nb", "a\0"):
            with pytest.raises(ValueError, match="no text of one line") as caught:
                writer.add(toy_sketch(1), ids="fine", kinds=text)
            told.append(str(caught.value))
        writer.add(toy_sketch(0), ids="b", kinds="c")
        return told

    found = get(parse)
    assert (len(found), found.texts["ids"].tolist(), found.texts["kinds"].tolist()) == (1, ["b"], ["c"])
    assert len(found.sketch(0).strokes) == len(toy_sketch(0).strokes)


def test_nothing_at_all() -> None:
    for _ in range(2):
        assert len(get(lambda writer: None)) == 0


def test_a_damaged_file_is_written_anew(folder: Path) -> None:
    get(Parser())
    path = folder / f"{KEY}.npz"
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    bad = [b"", good[:-1], good[: len(good) // 2], b"PK" + good[2:]]
    bad += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in rng.integers(0, len(good), 40).tolist()]
    for content in bad:
        path.write_bytes(content)
        check(get(Parser()))
    assert path.read_bytes() == good


@pytest.mark.parametrize(
    "changes",
    [
        {"points": np.full((3, 2), 1.5, np.float32)},
        {"points": np.full((3, 2), np.nan, np.float32)},
        {"points": np.zeros((3, 2))},
        {"points": np.zeros((3, 3), np.float32)},
        {"stroke_ends": np.array([1, 1, 3])},
        {"stroke_ends": np.array([2, 1, 3])},
        {"stroke_ends": np.array([-1, 2, 3])},
        {"stroke_ends": np.array([1, 2, 9])},
        {"stroke_ends": np.array([1, 2])},
        {"sketch_ends": np.array([3])},
        {"sketch_ends": np.array([0, 3])},
        {"text_kinds": np.array(["a", "b", "c"])},
        {"header": np.array("{")},
    ],
)
def test_a_file_that_cannot_be_is_not_believed(folder: Path, changes: dict[str, np.ndarray]) -> None:
    arrays = {
        "header": np.array("null"),
        "points": np.zeros((3, 2), np.float32),
        "stroke_ends": np.array([1, 2, 3]),
        "sketch_ends": np.array([1, 3]),
        "text_ids": np.array(["a", "b"]),
        "text_kinds": np.array(["", ""]),
    }
    write_mapped(folder / f"{KEY}.npz", arrays)
    parser = Parser()
    assert len(get(parser)) == 2 and parser.calls == 0
    write_mapped(folder / f"{KEY}.npz", arrays | changes)
    check(get(parser))
    assert parser.calls == 1


# ---------------------------------------------------------------- memory

LOAD = """
import resource, sys
from sketchcanvas_env.data import load

def used():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData"))

load("quickdraw", sys.argv[1])
limit = used() + (6 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
dataset = load("quickdraw", sys.argv[2])
kept = [[stroke.tolist() for stroke in dataset.sketch(row).strokes] for row in range(0, len(dataset), int(sys.argv[3]))]
print(len(dataset))
"""
FILES, LINES = 6, 1000


def _write(folder: Path, files: int) -> None:
    folder.mkdir()
    strokes = [[list(range(10)), list(range(k, k + 10))] for k in range(3)]
    for name in range(files):
        entries = ({"word": f"w{name}", "key_id": f"{name}-{key}", "drawing": strokes} for key in range(LINES))
        (folder / f"{name}.ndjson").write_text("\n".join(map(json.dumps, entries)))


@pytest.mark.skipif(sys.platform != "linux", reason="limits on private memory are Linux's")
def test_many_drawings_load_where_they_would_not_fit_as_objects(tmp_path: Path) -> None:
    """6 MiB for 6,000 drawings: parsing them and mapping them again fits, keeping them as objects does not."""
    _write(tmp_path / "few", 1)
    _write(tmp_path / "many", FILES)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def load(step: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", LOAD, str(tmp_path / "few"), str(tmp_path / "many"), str(step)]
        return subprocess.run(command, env=environment, cwd=ROOT, check=False, capture_output=True, text=True)

    for _ in ("parsed", "found again"):
        ended = load(step=100)
        assert ended.stdout.split() == [str(FILES * LINES)], ended.stderr[-2000:]
    ended = load(step=1)
    assert ended.returncode != 0 and "MemoryError" in ended.stderr


def test_a_sketch_is_a_view() -> None:
    found = get(Parser())
    assert all(np.shares_memory(stroke, found.points) for stroke in found.sketch(3).strokes)
    assert isinstance(found.sketch(3), VectorSketch)
