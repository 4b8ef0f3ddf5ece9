"""A named pipe where a file should be: every reader refuses it by name, and none waits for somebody to write to it.

The reading is done by `python -m tests.hostile.test_pipes FOLDER`: only a process can be ended while it waits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.store import saved
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.prefixes import PrefixTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.files import read_json
from sketchcanvas_env.svg.reader import read_svg
from students.store import checkpoint
from students.store.pretrained import read_state_dict
from students.store.weights import load_student
from students.tables.evaluation import read_row
from students.training.config import TrainConfig
from students.training.pool import renderings

if not hasattr(os, "mkfifo"):
    pytest.skip("no named pipes here", allow_module_level=True)

PATIENCE = 100.0
"""Seconds for all of it, imports included, after which a reader is taken to wait for ever."""

CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a sketch": (read_svg, ".svg"),
    "a table": (OutcomeTable.load, ".npz"),
    "looks": (LookTable.load, ".npz"),
    "prefixes": (PrefixTable.load, ".npz"),
    "JSON": (lambda path: read_json(path, 100), ".json"),
    "a student": (load_student, ".safetensors"),
    "a selector": (saved.load, ".safetensors"),
    "a checkpoint": (lambda path: checkpoint.load(path, {}), ".safetensors"),
    "published weights": (read_state_dict, ".safetensors"),
    "renderings": (renderings.read, ".npz"),
    "a config": (TrainConfig.read, ".json"),
    "a row": (read_row, ".json"),
}
"""What the pipe stands in place of, its reader, and the ending of the pipe's name."""


def main(root: Path) -> None:
    """Give every reader a pipe, and print before each which one it is and afterwards what it said."""
    for name, (read, suffix) in CASES.items():
        folder = root / name
        folder.mkdir()
        path = folder / f"hostile{suffix}"
        os.mkfifo(path)
        print(name, flush=True)
        try:
            read(path)
            told = "read it"
        except (ValueError, FileNotFoundError) as error:
            told = str(error)
        print(json.dumps(told), flush=True)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each reader said."""
    command = [sys.executable, "-m", "tests.hostile.test_pipes", str(tmp_path_factory.mktemp("pipes"))]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, cwd=Path(__file__).parents[2])
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"waits for ever: {(error.stdout or b'').splitlines()[-1:]}")
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    return {name: json.loads(told) for name, told in zip(lines[::2], lines[1::2], strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_a_pipe_in_place_of(name: str, said: dict[str, str]) -> None:
    assert f"{name}/hostile{CASES[name][1]}" in said[name]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
