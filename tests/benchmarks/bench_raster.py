"""Milliseconds a sketch of the rasteriser, beside cairosvg.svg2png plus decoding the PNG.

Nothing is asserted about time. Run it with

    python -m pytest -s tests/benchmarks/bench_raster.py

and see the printed lines, or `extra_info` of the JSON (`--benchmark-json`). The sketches are 50 of the embedded
data set, all levels.
"""

from __future__ import annotations

import io
import time
from typing import Any

import cairosvg
import numpy as np
import pytest
from PIL import Image

from sketchcanvas_env.data import load
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch


@pytest.fixture(scope="module")
def sketches() -> list[VectorSketch]:
    dataset = load("emoji")
    return [dataset.sketch(row) for row in range(0, len(dataset), len(dataset) // 50)]


@pytest.mark.parametrize("side", [32, 64, 128, 256])
def test_rasterise(benchmark: Any, sketches: list[VectorSketch], side: int) -> None:
    benchmark(lambda: [rasterise(sketch, side) for sketch in sketches])
    documents = [sketch.to_svg(side).encode() for sketch in sketches]
    start = time.perf_counter()
    for document in documents:
        np.asarray(Image.open(io.BytesIO(cairosvg.svg2png(document, background_color="white"))))
    svg2png = (time.perf_counter() - start) / len(sketches)
    ours = benchmark.stats.stats.median / len(sketches)
    benchmark.extra_info |= {"ms": 1e3 * ours, "svg2png_ms": 1e3 * svg2png, "ratio": svg2png / ours}
    print(f"\n{side} px: {1e3 * ours:.3f} ms, svg2png {1e3 * svg2png:.2f} ms, {svg2png / ours:.1f} times as long")
