"""Masks of the paper around a photo's subject; backgrounds replace the paper only."""

from __future__ import annotations

import numpy as np
import torch

from students.training.pool.augment import AugmentConfig, jittered_photos
from students.training.pool.backgrounds import random_backgrounds, subjects


def ring() -> torch.Tensor:
    """A dark ring on white paper, with white inside, and a photo without paper; (2, 3, 32, 32) uint8."""
    photos = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    photos[0, :, 8:24, 8:24] = 20
    photos[0, :, 12:20, 12:20] = 255
    photos[1] = 90
    return photos


def test_paper_is_white_that_reaches_the_edge() -> None:
    masks = subjects(ring())
    assert masks.shape == (2, 1, 32, 32)
    expected = torch.zeros(32, 32, dtype=torch.uint8)
    expected[8:24, 8:24] = 255  # the white inside belongs to the subject
    assert torch.equal(masks[0, 0], expected)
    assert (masks[1] == 255).all()
    assert torch.equal(subjects(ring(), block=1), masks)


def test_paper_is_found_around_corners() -> None:
    photo = torch.full((1, 3, 40, 40), 255, dtype=torch.uint8)
    photo[:, :, 5:30, 5] = photo[:, :, 5, 5:30] = photo[:, :, 29, 5:30] = 0  # a bay that opens to the right
    photo[:, :, 10:25, 30] = 0
    assert subjects(photo)[0, 0, 15, 10] == 0


def test_backgrounds_are_of_all_kinds() -> None:
    pieces = ring()
    made = random_backgrounds(40, 16, pieces, np.random.RandomState(0))
    assert made.shape == (40, 3, 16, 16)
    assert made.min() >= 0 and made.max() <= 255
    flat = made.flatten(2).std(2).amax(1)
    assert (flat < 1e-3).any() and (flat > 20).any()
    assert torch.equal(made, random_backgrounds(40, 16, pieces, np.random.RandomState(0)))
    assert random_backgrounds(0, 16, pieces, np.random.RandomState(0)).shape == (0, 3, 16, 16)


def test_backgrounds_leave_the_subject_alone() -> None:
    photos = torch.full((32, 3, 36, 36), 255, dtype=torch.uint8)
    photos[:, :, 10:26, 10:26] = 20
    flip = np.zeros(32, dtype=bool)

    def augmented(share: float) -> torch.Tensor:
        rng, masks = np.random.RandomState(3), subjects(photos)
        return jittered_photos(photos.float(), 32, rng, flip, AugmentConfig(backgrounds=share), masks, ring())

    plain, behind = augmented(0.0), augmented(1.0)
    assert torch.allclose(plain[..., 13:19, 13:19], behind[..., 13:19, 13:19], atol=1.0)
    assert (plain[..., :3, :3] > 254).all()
    assert (behind[..., :3, :3] < 250).any(dim=3).any(dim=2).any(dim=1).float().mean() > 0.6
