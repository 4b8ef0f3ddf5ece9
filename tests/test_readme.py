"""The README keeps its word: its code runs, its tables are the stored results, its lines are those CI runs."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

from agents import report
from sketchcanvas_env import load_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "agents" / "results" / "emoji-quick"


def test_python_blocks_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert len(blocks) >= 2
    for block in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block, "README.md", "exec"), {})
        assert out.getvalue().strip()


def test_compare_table_is_the_stored_result() -> None:
    assert (RESULTS / "result.md").read_text(encoding="utf-8") in README
    stored = json.loads((RESULTS / "result.json").read_text(encoding="utf-8"))
    for row in stored["rows"]:
        assert f"| {row['name']} | {100 * row['acc1']:.1f} [" in README


def test_stored_result_is_of_the_shipped_table() -> None:
    stored = json.loads((RESULTS / "result.json").read_text(encoding="utf-8"))
    table = load_table("emoji")
    assert stored["provenance"]["student_hash"] == table.student_hash
    assert stored["provenance"]["dataset_hash"] == table.dataset_hash
    fixed = {row["name"]: row["acc1"] for row in stored["rows"] if row["kind"] == "fixed"}
    test = table.select("test")
    assert fixed == {
        f"fixed {side}": pytest.approx(float(test.acc()[test.columns([side])[0]])) for side in (32, 64, 128, 256)
    }


def test_student_table_is_the_shipped_tables() -> None:
    ours, hog = load_table("emoji").select("test"), load_table("emoji", "hog").select("test")
    for mine, dumb in zip(report.score_cells(ours), report.score_cells(hog), strict=True):
        assert f"| {mine[1]} | {mine[2]} | {mine[3]} | {mine[4]} | {mine[5]} | {dumb[3]} |" in README


def test_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert len(pictures) >= 2
    assert all((ROOT / picture).is_file() for picture in pictures)


def test_ci_runs_the_test_line() -> None:
    line = re.search(r"<!-- test line -->\n```bash\n(.*)\n```", README)
    assert line is not None
    assert line.group(1).endswith(".venv/bin/python -m pytest")
    assert "test line" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_folders_named_are_there() -> None:
    for name in re.findall(r"`((?:sketchcanvas_env|students|agents|tests|examples)/[\w./-]+)`", README):
        assert (ROOT / name).exists(), name
