"""Time a sketch and memory of tabulating 1, 10 and 100 times the embedded sketches, each in a process of its own.

Nothing is asserted: whether memory stays bounded is a test (`tests/students/test_scale.py`). Run it with

    python -m pytest -s tests/benchmarks/bench_tabulate.py

and see the printed table. The sketches outside the `student` split, 3,400, are repeated under other names (a synthetic
repetition: nothing else is new about them) and looked for among the embedded photos. The student averages the raster's
ink in 16 x 16 cells, which takes next to no time, so that drawing, ranking and storing are what is measured; a real
student adds its own milliseconds to each sketch. Putting the table together and saving it count, too. One thread.
Memory is what the system counts as resident: "before" is Python with the data set loaded, "streaming" the peak at the
last sketch above that, "table" the peak above that once the table is put together and saved.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sketchcanvas_env.data import SketchDataset, load
from sketchcanvas_env.raster import rasterise_batch
from sketchcanvas_env.sketch import VectorSketch

TIMES = (1, 10, 100)
ROOT = Path(__file__).parents[2]


class Cells:
    """Ink in 16 x 16 cells of sketch and photo. It also notes when it first saw a sketch, and the peak at the last."""

    name = "cells"
    weights_hash = "none: it has no weights"
    canvases = (32, 64)
    began = (0.0, 0.0)
    peak = 0

    def flops(self, canvas: int) -> float:
        return float(canvas**2)

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        self.began = self.began if self.peak else _clocks()
        batches = (sketches[start : start + batch_size] for start in range(0, len(sketches), batch_size))
        found = np.concatenate([_cells(rasterise_batch(batch, canvas)) for batch in batches])
        self.peak = _peak()
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


def _peak() -> int:
    """The most bytes of this process that were ever in memory (Linux counts them in KiB, macOS in bytes)."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


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
    """Build one table in this process."""
    from students.tabulate import build_table

    dataset, student = repeated(load("emoji"), times), Cells()
    before = _peak()
    start = _clocks()
    build_table(student, dataset, path)
    (wall, cpu), (began_wall, began_cpu) = _clocks(), student.began
    return {
        "sketches": len(dataset),
        "photos_s": began_wall - start[0],
        "ms_a_sketch": 1e3 * (wall - began_wall) / len(dataset),
        "cpu_ms_a_sketch": 1e3 * (cpu - began_cpu) / len(dataset),
        "before_mib": before / 2**20,
        "streaming_mib": (student.peak - before) / 2**20,
        "table_mib": (_peak() - before) / 2**20,
        "file_mb": path.stat().st_size / 1e6,
    }


@pytest.mark.parametrize("times", TIMES)
def test_tabulate(benchmark: Any, tmp_path: Path, times: int) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__)), str(times), str(tmp_path / "table.npz")]

    def build() -> dict[str, float]:
        output = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        return dict(json.loads(output))

    row = benchmark.pedantic(build, rounds=1)
    benchmark.extra_info |= row
    print(
        f"\n{times} x: {row['sketches']:,} sketches, {row['ms_a_sketch']:.3f} ms a sketch "
        f"({row['cpu_ms_a_sketch']:.3f} of a processor); MiB before {row['before_mib']:.0f}, "
        f"streaming +{row['streaming_mib']:.0f}, table +{row['table_mib']:.0f}; file {row['file_mb']:.1f} MB; "
        f"photos {row['photos_s']:.1f} s"
    )


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), Path(sys.argv[2]))))
