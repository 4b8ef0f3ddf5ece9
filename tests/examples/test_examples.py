"""Every example runs, as a user would run it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LIBRARIES = {"torchrl_loop": "torchrl", "tianshou_loop": "tianshou"}
"""Examples with libraries of the extra `interop`, which need not be installed and may warn on their own account."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_runs(example: Path, tmp_path: Path) -> None:
    library = LIBRARIES.get(example.stem)
    if library is not None and find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    result = subprocess.run(
        [sys.executable, "-W", "error" if library is None else "default", str(example)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) >= 4


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4
