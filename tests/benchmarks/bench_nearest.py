"""How much quicker the nearest photos are found than by measuring the whole gallery, as ratios within one run.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m pytest -s tests/benchmarks/bench_nearest.py

prints a line for each size of gallery and number of queries; the answers are compared, too. The vectors are random
(synthetic), 576 numbers each, a quarter of the shipped student's, and the ten nearest are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from students.search import nearest as module
from students.search.nearest import nearest_photos
from students.tables.ranking import euclidean, nearest

DIM, TOP, ROUNDS = 576, 10, 5


def _unit(rng: np.random.Generator, n: int) -> np.ndarray:
    vectors = rng.normal(size=(n, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("queries", [1, 16, 256])
@pytest.mark.parametrize("photos", [1_000, 4_000, 16_000, 64_000, 200_000])
def test_nearest(benchmark: Any, photos: int, queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    monkeypatch.setattr(module, "LARGE", 0)
    rng = np.random.default_rng(0)
    asked, gallery = _unit(rng, queries), _unit(rng, photos)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "whole": lambda: nearest(euclidean(asked, gallery), TOP),
        "numpy": lambda: nearest_photos(asked, gallery, TOP, "numpy")[0],
        "faiss": lambda: nearest_photos(asked, gallery, TOP, "faiss")[0],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}

    def measure() -> None:
        # In turns, so that what else the machine does hits all alike.
        found = {}
        for name, way in ways.items():
            start = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - start)
        assert (found["whole"] == found["numpy"]).all() and (found["whole"] == found["faiss"]).all()

    benchmark.pedantic(measure, rounds=ROUNDS)
    best = {name: min(times) for name, times in seconds.items()}
    benchmark.extra_info |= best
    print(
        f"\n{photos:,} photos, {queries} queries: whole {1e3 * best['whole']:.2f} ms; NumPy's candidates "
        f"{best['whole'] / best['numpy']:.1f} x, faiss's {best['whole'] / best['faiss']:.1f} x as quick"
    )
