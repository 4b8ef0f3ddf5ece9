"""Data sets that mean harm: each is refused by name and reason, in half a second of the processor and in 150 MB."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.data_sets import CASES


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of reading all of them in a process of their own."""
    folder = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, "-m", "tests.hostile.data_sets", str(folder), str(folder / "report.json")]
    cache = {"SKETCHCANVAS_CACHE": str(folder / "cache")}
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], env=os.environ | cache
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: dict[str, dict[str, Any]] = json.loads((folder / "report.json").read_text())
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_data_set_is_refused_before_it_costs_much(report: dict[str, dict[str, Any]], name: str) -> None:
    told = report[name]
    assert told["error"] is not None and re.search(CASES[name][1], told["error"]), told["error"]
    assert told["folder"] in told["error"]
    assert len(told["error"]) < 1_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", told["error"]), "a terminal would obey"
    assert told["seconds"] < 0.5
    assert told["memory"] is None or told["memory"] < 150e6
