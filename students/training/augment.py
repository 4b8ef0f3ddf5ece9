"""What a student sees in training: small affine changes, mirrored pairs, lost strokes, colours that do not count."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sketchcanvas_env.sketches.sketch import VectorSketch


def jittered(sketch: VectorSketch, rng: np.random.RandomState, flip: bool) -> VectorSketch:
    """A sketch slightly turned, scaled and moved, mirrored when `flip`, and with a stroke left out at times."""
    strokes = list(sketch.strokes)
    if len(strokes) > 3 and rng.rand() < 0.3:
        del strokes[rng.randint(len(strokes))]
    angle, scale = rng.normal(0.0, 0.06), np.exp(rng.normal(-0.03, 0.06, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    if flip:
        turn[:, 0] *= -1.0
    shift = 0.5 + rng.normal(0.0, 0.02, 2)
    moved = (np.clip((stroke - 0.5) @ turn.T + shift, 0.0, 1.0) for stroke in strokes)
    return VectorSketch(tuple(stroke.astype(np.float32) for stroke in moved))


def jittered_photos(photos: Tensor, side: int, rng: np.random.RandomState, flip: NDArray[np.bool_]) -> Tensor:
    """Photos slightly turned, scaled and moved, mirrored where `flip`, and recoloured.

    A sketch carries no colour, so the photo's should not count: channels are mixed at random or dropped.

    Args:
        photos: (B, 3, H, W) float32 in 0..255.
        side: side of the result, pixels.
        flip: (B,) bool.

    Returns:
        (B, 3, side, side) float32 in 0..255.
    """
    count = len(photos)
    angle = rng.normal(0.0, 0.06, count)
    scale = np.exp(rng.normal(0.0, 0.06, count))
    theta = np.zeros((count, 2, 3), dtype=np.float32)
    theta[:, 0, 0] = np.cos(angle) * scale * np.where(flip, -1.0, 1.0)
    theta[:, 0, 1] = -np.sin(angle) * scale
    theta[:, 1, 0] = np.sin(angle) * scale * np.where(flip, -1.0, 1.0)
    theta[:, 1, 1] = np.cos(angle) * scale
    theta[:, :, 2] = rng.normal(0.0, 0.04, (count, 2))
    grid = F.affine_grid(torch.from_numpy(theta).to(photos.device), [count, 3, side, side], align_corners=False)
    # White paper outside: sample the negative, whose padding is zero.
    moved = 255.0 - F.grid_sample(255.0 - photos, grid, align_corners=False)
    mix = np.stack([_colour_mix(rng) for _ in range(count)])
    mixed = torch.einsum("bij,bjhw->bihw", torch.from_numpy(mix).to(photos.device), moved)
    contrast = torch.from_numpy(np.exp(rng.normal(0.0, 0.15, (count, 1, 1, 1))).astype(np.float32))
    return (255.0 - (255.0 - mixed) * contrast.to(photos.device)).clamp(0.0, 255.0)


def _colour_mix(rng: np.random.RandomState) -> NDArray[np.float32]:
    """A (3, 3) matrix whose rows sum to one: the identity, grey, or random channels."""
    kind = rng.rand()
    if kind < 0.3:
        return np.eye(3, dtype=np.float32)
    if kind < 0.5:
        return np.tile(np.array([[0.299, 0.587, 0.114]], dtype=np.float32), (3, 1))
    return rng.dirichlet(np.full(3, 0.5), 3).astype(np.float32)
