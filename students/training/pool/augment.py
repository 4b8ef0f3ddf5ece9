"""Augmentation of sketches and photos: affine changes, mirroring, missing strokes, other colours and backgrounds.

All random numbers come from the given generator, so that a step can be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sketchcanvas_env.sketches.sketch import VectorSketch
from students.training.pool.backgrounds import random_backgrounds
from students.training.pool.checks import check_number


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation beyond the small changes that all pictures undergo. All fields are shares from 0 to 1."""

    sketch_moves: float = 0.0
    """Share of sketches moved to another size and place, since people do not keep the photo's."""
    photo_moves: float = 0.0
    """Share of photos moved to another size and place."""
    backgrounds: float = 0.0
    """Share of photos whose white paper is replaced by a random background."""
    lost: float = 0.0
    """Largest share of a sketch's strokes left out where strokes are left out; at least one stroke is then."""

    def __post_init__(self) -> None:
        """Check all fields; ValueError names the wrong one and what is allowed."""
        for name in self.__dataclass_fields__:
            check_number(f"augment.{name}", getattr(self, name), 0.0, 1.0)


PLAIN = AugmentConfig()
"""Small changes only."""


def jittered(
    sketch: VectorSketch, rng: np.random.RandomState, flip: bool, augment: AugmentConfig = PLAIN
) -> VectorSketch:
    """The sketch slightly turned, scaled and moved, mirrored if `flip`, with strokes left out in 30 % of the calls."""
    strokes = list(sketch.strokes)
    if len(strokes) > 3 and rng.rand() < 0.3:
        for _ in range(1 + int(augment.lost and rng.uniform(0.0, augment.lost) * len(strokes))):
            del strokes[rng.randint(len(strokes))]
    angle, scale = rng.normal(0.0, 0.06), np.exp(rng.normal(-0.03, 0.06, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    if flip:
        turn[:, 0] *= -1.0
    shift = 0.5 + rng.normal(0.0, 0.02, 2)
    moved = [(stroke - 0.5) @ turn.T + shift for stroke in strokes]
    if augment.sketch_moves and rng.rand() < augment.sketch_moves:
        moved = _relocated(moved, rng)
    return VectorSketch(tuple(np.clip(stroke, 0.0, 1.0).astype(np.float32) for stroke in moved))


def _relocated(strokes: list[NDArray[np.float64]], rng: np.random.RandomState) -> list[NDArray[np.float64]]:
    """The strokes at a random size and place on the canvas."""
    points = np.concatenate(strokes)
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    scale = rng.uniform(0.45, 0.95) / max(float(extent.max()), 1e-6)
    corner = rng.uniform(0.0, 1.0, 2) * np.maximum(1.0 - extent * scale, 0.0)
    return [(stroke - low) * scale + corner for stroke in strokes]


def jittered_photos(
    photos: Tensor,
    side: int,
    rng: np.random.RandomState,
    flip: NDArray[np.bool_],
    augment: AugmentConfig = PLAIN,
    subjects: Tensor | None = None,
    pieces: Tensor | None = None,
) -> Tensor:
    """The photos slightly turned, scaled and moved, mirrored where `flip`, recoloured, on other backgrounds.

    Colours are mixed at random or dropped, since a sketch has none to match.

    Args:
        photos: (B, 3, H, W) float32 in 0..255.
        side: side of the result, pixels.
        rng: source of all random numbers.
        flip: (B,) bool.
        augment: shares of photos that are moved further or get a background.
        subjects: (B, 1, H, W) uint8 masks (`students.training.pool.backgrounds.subjects`), for backgrounds.
        pieces: (m, 3, S, S) uint8, photos to cut backgrounds from.

    Returns:
        (B, 3, side, side) float32 in 0..255.
    """
    count = len(photos)
    angle = rng.normal(0.0, 0.06, count)
    scale = np.exp(rng.normal(0.0, 0.06, count))
    theta = np.zeros((count, 2, 3), dtype=np.float32)
    mirror = np.where(flip, -1.0, 1.0)
    shift = rng.normal(0.0, 0.04, (count, 2))
    if augment.photo_moves:
        further = rng.rand(count) < augment.photo_moves
        # A larger sampled area shrinks the photo; the shift is small enough to keep most of it in view.
        larger = rng.uniform(1.0, 1.8, count)
        scale = np.where(further, scale * larger, scale)
        shift = np.where(further[:, None], rng.uniform(-1.0, 1.0, (count, 2)) * (larger - 0.85)[:, None], shift)
    theta[:, 0, 0] = np.cos(angle) * scale * mirror
    theta[:, 0, 1] = -np.sin(angle) * scale
    theta[:, 1, 0] = np.sin(angle) * scale * mirror
    theta[:, 1, 1] = np.cos(angle) * scale
    theta[:, :, 2] = shift
    grid = F.affine_grid(torch.from_numpy(theta).to(photos.device), [count, 3, side, side], align_corners=False)
    # The negative is sampled, so that zero padding becomes white paper.
    moved = 255.0 - F.grid_sample(255.0 - photos, grid, align_corners=False)
    mix = np.stack([_colour_mix(rng) for _ in range(count)])
    mixed = torch.einsum("bij,bjhw->bihw", torch.from_numpy(mix).to(photos.device), moved)
    contrast = torch.from_numpy(np.exp(rng.normal(0.0, 0.15, (count, 1, 1, 1))).astype(np.float32))
    coloured = (255.0 - (255.0 - mixed) * contrast.to(photos.device)).clamp(0.0, 255.0)
    if augment.backgrounds and subjects is not None and pieces is not None:
        chosen = np.flatnonzero(rng.rand(count) < augment.backgrounds)
        if len(chosen):
            rows = torch.from_numpy(chosen).to(photos.device)
            mask = F.grid_sample(subjects[rows].float() / 255.0, grid[rows], align_corners=False)
            behind = random_backgrounds(len(chosen), side, pieces, rng).to(photos.device)
            coloured[rows] = behind + (coloured[rows] - behind) * mask
    return coloured


def _colour_mix(rng: np.random.RandomState) -> NDArray[np.float32]:
    """A (3, 3) matrix whose rows sum to one: the identity, grey, or random channels."""
    kind = rng.rand()
    if kind < 0.3:
        return np.eye(3, dtype=np.float32)
    if kind < 0.5:
        return np.tile(np.array([[0.299, 0.587, 0.114]], dtype=np.float32), (3, 1))
    return rng.dirichlet(np.full(3, 0.5), 3).astype(np.float32)
