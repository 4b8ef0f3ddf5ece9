"""Thumbnails."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from sketchcanvas_env.sketches import thumbnail as module
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import SIDE, SIZE, batch_thumbnails, thumbnail


def drawing(seed: int) -> VectorSketch:
    rng = np.random.default_rng(seed)
    return VectorSketch.from_strokes([rng.random((int(rng.integers(1, 9)), 2)) for _ in range(4)])


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_rasteriser_with_ink_at_one(seed: int) -> None:
    found = thumbnail(drawing(seed))
    assert found.dtype == np.float32
    assert found.shape == (SIZE,)
    grey = rasterise(drawing(seed), SIDE)
    for y in range(SIDE):
        for x in range(SIDE):
            assert found[y * SIDE + x] == pytest.approx(1 - grey[y, x] / 255, abs=1e-6)
    assert 0.0 <= found.min() < found.max() <= 1.0


def test_a_batch_equals_single_sketches() -> None:
    sketches = [drawing(seed) for seed in range(5)]
    assert np.array_equal(batch_thumbnails(iter(sketches)), np.stack([thumbnail(each) for each in sketches]))
    assert batch_thumbnails([]).shape == (0, SIZE)


def test_examples_in_the_docstrings() -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0
