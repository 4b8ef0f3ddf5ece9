"""Hostile files: each is refused quickly, in little memory, by name and reason, and nothing else happens."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.attacks import ATTACKS
from tests.hostile.readers import READERS

NAMED_BY_CALLER = ("png", "jpeg", "pickle")
"""Readers of bytes: the data set that calls them adds the file's name (`test_qmul.py`, `test_folder.py`)."""

Report = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What came of reading everything in a process with an audit hook (`watch.py`)."""
    folder = tmp_path_factory.mktemp("hostile")
    out = folder / "report.json"
    (folder / "files").mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "tests.hostile.watch", str(folder / "files"), str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if ended.returncode:
        pytest.fail(f"the reader died at {ended.stdout.splitlines()[-1:]}:\n{ended.stderr[-2000:]}")
    assert ended.stdout.splitlines() == list(ATTACKS) and not ended.stderr, "a reader prints something"
    found: Report = json.loads(out.read_text())
    by_time = sorted(found, key=lambda name: -found[name]["seconds"])
    print("slowest:", *(f"{name}: {1e3 * found[name]['seconds']:.0f} ms" for name in by_time[:5]), sep="\n  ")
    return found


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_nothing_else_happens(report: Report, name: str) -> None:
    attack, told = ATTACKS[name], report[name]
    assert told["seen"] == []
    assert told["seconds"] < attack.seconds
    # What is refused at once takes less than what is decoded.
    assert told["memory"] is None or told["memory"] < (150e6 if attack.reason is None else 100e6)
    if attack.reason is None:
        assert told["error"] is None or READERS[attack.reader].errors.__name__ in told["kinds"]
        return
    assert READERS[attack.reader].errors.__name__ in told["kinds"], told["error"]
    assert re.search(attack.reason, told["error"]), told["error"]
    assert told["length"] < 1_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", told["error"]), "a terminal would obey"
    if attack.reader not in NAMED_BY_CALLER:
        names = f"({READERS[attack.reader].name}|{READERS[attack.reader].card})"
        assert re.search(rf"{names}\.(svg|npz|safetensors|json|onnx)", told["error"]), told["error"]


@pytest.mark.parametrize("name", READERS)
def test_good_files_are_read_under_the_same_watch(report: Report, name: str) -> None:
    assert report[f"good {name}"]["error"] is None


def test_the_watch_sees_what_it_should(report: Report) -> None:
    [opened] = report["a control that reads outside"]["seen"]
    assert "outside.txt" in opened
    [ran] = report["a control that runs something"]["seen"]
    assert ran.startswith("os.system")
