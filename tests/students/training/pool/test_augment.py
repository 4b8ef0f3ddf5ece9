"""Augmentation: small moves on the canvas, equal mirroring of sketch and photo, and white that stays white."""

from __future__ import annotations

import numpy as np
import torch

from sketchcanvas_env.sketches.sketch import VectorSketch
from students.training.pool.augment import jittered, jittered_photos

CORNER = VectorSketch.from_strokes([[(0.1, 0.1), (0.4, 0.1), (0.4, 0.3)]])


def test_jittered_stays_on_the_canvas_and_near() -> None:
    rng = np.random.RandomState(0)
    middles = []
    for _ in range(200):
        moved = jittered(CORNER, rng, flip=False)
        points = np.concatenate(moved.strokes)
        assert points.min() >= 0
        assert points.max() <= 1
        assert points.dtype == np.float32
        middles.append(points.mean(axis=0))
    np.testing.assert_allclose(np.mean(middles, axis=0), np.concatenate(CORNER.strokes).mean(axis=0), atol=0.02)
    assert np.std(middles, axis=0).min() > 0.005


def test_flip_mirrors_sketch_and_photo_alike() -> None:
    rng = np.random.RandomState(1)
    flipped = np.mean([np.concatenate(jittered(CORNER, rng, flip=True).strokes).mean(axis=0) for _ in range(200)], 0)
    assert flipped[0] > 0.6  # the drawing lies on the left
    photo = torch.full((40, 3, 32, 32), 255.0)
    photo[:, :, :12, :12] = 0.0  # ink in the upper left corner
    sides = jittered_photos(photo, 24, rng, np.arange(40) % 2 == 1)
    left, right = sides[..., :12].mean((1, 2, 3)), sides[..., 12:].mean((1, 2, 3))
    assert (left[::2] < right[::2]).all()
    assert (left[1::2] > right[1::2]).all()


def test_white_stays_white() -> None:
    white = torch.full((16, 3, 20, 20), 255.0)
    out = jittered_photos(white, 16, np.random.RandomState(2), np.zeros(16, dtype=bool))
    assert out.shape == (16, 3, 16, 16)
    torch.testing.assert_close(out, torch.full_like(out, 255.0), atol=0.01, rtol=0)
