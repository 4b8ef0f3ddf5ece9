"""Freehand variants drawn during training: placement, repeatability, roughness."""

from __future__ import annotations

import numpy as np
import pytest

from sketchcanvas_env.sketches.freehand import LEVELS
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.training.pool.variants import draw_variant, point_weights, random_strength, roughness_at

SMALL = VectorSketch.from_strokes(
    [[(0.3, 0.4), (0.5, 0.4), (0.5, 0.6), (0.31, 0.6)], [(0.35, 0.5), (0.45, 0.5)], [(0.4, 0.45)]]
)
WEIGHTS = point_weights(SMALL)


def test_strength_zero_is_the_drawing_itself() -> None:
    assert draw_variant(SMALL, WEIGHTS, 0.0, np.random.RandomState(0)) is SMALL


def test_variants_keep_the_place_of_their_drawing() -> None:
    rng = np.random.RandomState(1)
    for k in range(40):
        points = np.concatenate(draw_variant(SMALL, WEIGHTS, 3.0 * (k + 1) / 40, rng).strokes)
        assert points.dtype == np.float32
        low, high = points.min(axis=0), points.max(axis=0)
        assert (high - low).max() == pytest.approx(0.2, abs=1e-4)
        np.testing.assert_allclose((low + high) / 2, [0.4, 0.5], atol=1e-4)


def test_equal_generators_draw_equal_variants() -> None:
    one, two = (draw_variant(SMALL, WEIGHTS, 2.2, np.random.RandomState(7)) for _ in range(2))
    for a, b in zip(one.strokes, two.strokes, strict=True):
        np.testing.assert_array_equal(a, b)


def test_roughness_lies_between_the_levels() -> None:
    assert [roughness_at(float(level)) for level in range(4)] == list(LEVELS)
    between = roughness_at(1.5)
    assert LEVELS[1].drop < between.drop < LEVELS[2].drop
    assert between.wobble == pytest.approx((LEVELS[1].wobble + LEVELS[2].wobble) / 2)


def test_strengths_follow_the_levels() -> None:
    rng = np.random.RandomState(2)
    drawn = np.array([random_strength((1.0, 0.0, 1.0, 0.0), rng) for _ in range(400)])
    assert 0.4 < (drawn == 0.0).mean() < 0.6
    rough = drawn[drawn > 0.0]
    assert rough.min() >= 1.5 and rough.max() <= 2.5 and rough.std() > 0.2
    assert max(random_strength((0.0, 0.0, 0.0, 1.0), rng) for _ in range(50)) == 3.0
