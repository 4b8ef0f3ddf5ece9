"""Processor time of cold commands, as ratios to `import torch` in the same run.

Nothing is asserted about time. Run it with

    OMP_NUM_THREADS=1 python -m pytest -s tests/benchmarks/bench_cold.py

and see the printed lines. Programs take turns, and the least of `ROUNDS` counts: other work on the machine only adds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sketchcanvas_env import load_dataset

ROUNDS = 3


def spent(arguments: list[str]) -> float:
    """Seconds of processor time, user and system, of a Python program."""
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as program:
        _, status, usage = os.wait4(program.pid, 0)
        program.returncode = os.waitstatus_to_exitcode(status)
    assert program.returncode == 0, arguments
    return usage.ru_utime + usage.ru_stime


def test_cold_commands_beside_import_torch(tmp_path: Path) -> None:
    drawing = tmp_path / "drawing.svg"
    drawing.write_text(load_dataset("emoji").sketch(0).to_svg(), encoding="utf-8")
    programs = {
        "import torch": ["-c", "import torch"],
        "import sketchcanvas_env": ["-c", "import sketchcanvas_env"],
        "sketchcanvas --help": ["-m", "agents", "--help"],
        "sketchcanvas query": ["-m", "agents", "query", str(drawing)],
        "sketchcanvas query --engine torch": ["-m", "agents", "query", str(drawing), "--engine", "torch"],
    }
    found = dict.fromkeys(programs, float("inf"))
    for _ in range(ROUNDS):
        for name, arguments in programs.items():
            found[name] = min(found[name], spent(arguments))
    for name, seconds in found.items():
        print(f"{name:36s} {seconds:6.2f} s {seconds / found['import torch']:6.2f} of import torch")
