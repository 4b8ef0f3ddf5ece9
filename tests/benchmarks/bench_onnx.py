"""Milliseconds of the student alone on one thread: torch, onnxruntime at float32, onnxruntime at int8.

Nothing is asserted about time. Run it with

    OMP_NUM_THREADS=1 python -m pytest -s tests/benchmarks/bench_onnx.py

and see the printed lines. The sketches are 50 of the embedded data set's split `student`; the three take turns at each.
What a whole query takes is another question: `sketchcanvas report query-latency`.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

import students
from sketchcanvas_env.data import load
from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.embedder import Student
from students.onnx.export import export, export_int8
from students.onnx.runtime import OnnxStudent


@pytest.fixture(scope="module")
def sketches() -> list[VectorSketch]:
    dataset = load("emoji")
    return [dataset.sketch(int(row)) for row in dataset.indices("student")[::60]]


@pytest.fixture(scope="module")
def engines(sketches: list[VectorSketch], tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder: Path = tmp_path_factory.mktemp("export")
    student = students.load("emoji")
    export(student, folder, sketches[:8])
    export_int8(student, folder, sketches)
    torch.set_num_threads(1)
    exported = {precision: OnnxStudent.load(folder, precision, threads=1) for precision in ("float32", "int8")}
    return {"torch": student, **exported}


@pytest.mark.parametrize("side", [32, 64, 128, 256])
def test_embed(engines: dict[str, Student | OnnxStudent], sketches: list[VectorSketch], side: int) -> None:
    rasters = rasterise_batch(sketches, side)
    times: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(3 * len(rasters)):
        raster = rasters[turn % len(rasters)][None]
        for name, engine in engines.items():
            start = time.perf_counter()
            engine.embed_rasters(raster)
            times[name].append(1e3 * (time.perf_counter() - start))
    medians = ", ".join(f"{name} {np.median(spent[3:]):.2f} ms" for name, spent in times.items())
    print(f"\n{side} px: {medians}")
