"""Time a sketch and memory of tabulating 1, 10 and 100 times the embedded sketches, and of using the table.

Nothing is asserted: whether memory stays bounded is a test (`tests/students/tables/test_scale.py`). Run it with

    python -m pytest -s tests/benchmarks/bench_tabulate.py

and see the printed table; `python tests/benchmarks/bench_tabulate.py 295 FILE` is a million sketches, and takes twenty
minutes or more. The sketches outside the `student` split, 3,400, are repeated under other names (a synthetic
repetition: nothing else is new about them) and looked for among the embedded photos. The student averages the raster's
ink in 16 x 16 cells, which takes next to no time, so that drawing, ranking and storing are what is measured; a real
student adds its own milliseconds to each sketch. Two canvases, one thread, a process for each size.

Stages: "stream" until the last sketch is embedded, "table" until the table is put together and saved, "load" reads or
maps it again with all checks, "env" makes the vector environment of the `train` split, "epoch" shows it every sketch of
the split once on average, in steps of 1,024. Memory is the most that was private to the process in a stage (Linux's
RssAnon, looked at every 5 ms) above that before all of them, in MiB. What is mapped from files comes on top where there
is room, and goes when there is none: "resident" is the most with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sketchcanvas_env.data import SketchDataset, load
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch

ENVS = 1024
TIMES = (1, 10, 100)
ROOT = Path(__file__).parents[2]


class Watch(threading.Thread):
    """Looks at the private memory of this process all the time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = self.before = _status("RssAnon")
        self.found: dict[str, float] = {}
        self.start()

    def run(self) -> None:
        while True:
            self.look()
            time.sleep(0.005)

    def look(self) -> None:
        self.most = max(self.most, _status("RssAnon"))

    def end(self, stage: str) -> None:
        """Note the most in the stage that ends here."""
        self.look()
        self.found[f"{stage}_mib"] = self.most - self.before
        self.most = _status("RssAnon")


def _status(name: str) -> float:
    """A figure of /proc/self/status in MiB; 0 where there is none."""
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)


class Cells:
    """Ink in 16 x 16 cells of sketch and photo. It also notes when it first saw a sketch, and calls at the last."""

    name = "cells"
    weights_hash = "none: it has no weights"
    canvases = (32, 64)
    began: tuple[float, float] | None = None

    def __init__(self, sketches: int, at_the_last: Callable[[], None]) -> None:
        self.left = sketches * len(self.canvases)
        self.at_the_last = at_the_last

    def flops(self, canvas: int) -> float:
        return float(canvas**2)

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        self.began = self.began or _clocks()
        batches = (sketches[start : start + batch_size] for start in range(0, len(sketches), batch_size))
        found = np.concatenate([_cells(rasterise_batch(batch, canvas)) for batch in batches])
        self.left -= len(sketches)
        if not self.left:
            self.at_the_last()
        return found

    def embed_photos(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        return np.concatenate([_cells(image[None].mean(axis=3)) for image in images])


def _cells(pages: np.ndarray) -> np.ndarray:
    n, side = pages.shape[:2]
    ink = 256.0 - pages.reshape(n, 16, side // 16, 16, side // 16).mean(axis=(2, 4)).reshape(n, -1)
    return (ink / np.linalg.norm(ink, axis=1, keepdims=True)).astype(np.float32)


def _clocks() -> tuple[float, float]:
    """Seconds on the wall, and seconds that this process had a processor."""
    return time.perf_counter(), time.process_time()


def repeated(dataset: SketchDataset, times: int) -> SketchDataset:
    """The data set's sketches outside `student`, each so many times under names of its own."""
    once = np.flatnonzero(dataset.split != "student")
    rows = np.tile(once, times)
    return replace(
        dataset,
        sketch_ids=np.char.add("s", np.arange(len(rows)).astype(np.str_)),
        photo_ids=dataset.photo_ids[rows],
        split=dataset.split[rows],
        level=dataset.level[rows],
        read_sketch=lambda row: dataset.read_sketch(int(rows[row])),
    )


def measure(times: int, path: Path) -> dict[str, float]:
    """Build one table in this process, load it, and look through it in an environment."""
    from sketchcanvas_env.envs.canvas import SketchCanvasVectorEnv
    from students.tables.tabulate import build_table

    # What is imported late is no memory of the table's.
    build_table(Cells(0, lambda: None), load("emoji"), path.with_name("first.npz"), (32,))
    dataset = repeated(load("emoji"), times)
    watch = Watch()
    student = Cells(len(dataset), lambda: watch.end("stream"))
    start = _clocks()
    build_table(student, dataset, path)
    watch.end("table")
    wall, cpu = _clocks()
    began_wall, began_cpu = student.began or start
    begun = time.perf_counter()
    table = OutcomeTable.load(path)
    watch.end("load")
    load_s = time.perf_counter() - begun
    begun = time.perf_counter()
    envs = SketchCanvasVectorEnv(ENVS, copy=False, dataset=dataset, table=table, canvases=student.canvases)
    watch.end("env")
    env_s = time.perf_counter() - begun
    envs.reset(seed=0)
    rng = np.random.default_rng(0)
    steps = -(-len(envs.task) // ENVS)
    actions = rng.integers(0, len(envs.canvases), (steps, ENVS))
    begun = time.perf_counter()
    for chosen in actions:
        envs.step(chosen)
    watch.end("epoch")
    return {
        "sketches": len(dataset),
        "photos_s": began_wall - start[0],
        "ms_a_sketch": 1e3 * (wall - began_wall) / len(dataset),
        "cpu_ms_a_sketch": 1e3 * (cpu - began_cpu) / len(dataset),
        "load_s": load_s,
        "env_s": env_s,
        "steps_per_s": steps * ENVS / (time.perf_counter() - begun),
        "before_mib": watch.before,
        **watch.found,
        "resident_mib": _status("VmHWM"),
        "file_mb": path.stat().st_size / 1e6,
    }


@pytest.mark.parametrize("times", TIMES)
def test_tabulate(benchmark: Any, tmp_path: Path, times: int) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["SKETCHCANVAS_CACHE"] = str(tmp_path / "cache")
    command = [sys.executable, str(Path(__file__)), str(times), str(tmp_path / "table.npz")]

    def build() -> dict[str, float]:
        output = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        return dict(json.loads(output))

    row = benchmark.pedantic(build, rounds=1)
    benchmark.extra_info |= row
    print(
        f"\n{times} x: {row['sketches']:,} sketches, {row['ms_a_sketch']:.3f} ms a sketch "
        f"({row['cpu_ms_a_sketch']:.3f} of a processor); MiB before {row['before_mib']:.0f}, "
        + ", ".join(f"{stage} +{row[f'{stage}_mib']:.0f}" for stage in ("stream", "table", "load", "env", "epoch"))
        + f", resident {row['resident_mib']:.0f}; file {row['file_mb']:.1f} MB, loaded in {row['load_s']:.2f} s; "
        f"env {row['env_s']:.1f} s, {row['steps_per_s']:,.0f} steps/s; photos {row['photos_s']:.1f} s"
    )


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), Path(sys.argv[2]))))
