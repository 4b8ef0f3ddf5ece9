"""Masks of the white paper around a photo's subject, and random backgrounds to replace it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

PAPER = 245
"""Brightness (0 to 255) that every channel of a paper pixel reaches."""
_SWEEPS = 4
"""Sweeps over the photo in each of four directions; more only matter for paper in a spiral."""
_KINDS = ("plain", "gradient", "noise", "photo")


def subjects(photos: Tensor, block: int = 512) -> Tensor:
    """Masks (n, 1, S, S) uint8 of photos (n, 3, S, S) uint8: 0 on the paper around the subject, 255 elsewhere.

    Paper is every nearly white pixel connected to the edge of the photo through nearly white pixels. A photo with a
    coloured background has none. Photos are processed `block` at a time to save memory.
    """
    return torch.cat([_subjects(photos[i : i + block]) for i in range(0, len(photos), block)])


def _subjects(photos: Tensor) -> Tensor:
    white = (photos.amin(1) >= PAPER).permute(1, 2, 0).contiguous().numpy()  # (S, S, n), for sweeps over whole rows
    paper = np.zeros_like(white)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        paper[edge] = white[edge]
    for _ in range(_SWEEPS):
        for lines, bright in ((paper, white), (paper.swapaxes(0, 1), white.swapaxes(0, 1))):
            for places in (range(1, len(lines)), range(len(lines) - 2, -1, -1)):
                step = places.step
                for place in places:
                    lines[place] |= lines[place - step] & bright[place]
    return torch.from_numpy(np.where(paper, 0, 255).astype(np.uint8)).permute(2, 0, 1)[:, None].contiguous()


def random_backgrounds(count: int, side: int, photos: Tensor, rng: np.random.RandomState) -> Tensor:
    """Random backgrounds of four equally frequent kinds: one colour, a gradient, smooth noise, a piece of a photo.

    Args:
        count: number of backgrounds.
        side: their side, pixels.
        photos: (m, 3, S, S) uint8, to cut pieces from.
        rng: source of all random numbers.

    Returns:
        (count, 3, side, side) float32 in 0..255.
    """
    made = [_background(_KINDS[rng.randint(len(_KINDS))], side, photos, rng) for _ in range(count)]
    return torch.stack(made) if made else torch.empty(0, 3, side, side)


def _background(kind: str, side: int, photos: Tensor, rng: np.random.RandomState) -> Tensor:
    """One background (3, side, side) float32 in 0..255."""
    if kind == "photo":
        whole = photos.shape[-1]
        cut = rng.randint(whole // 4, whole + 1)
        top, left = rng.randint(whole - cut + 1, size=2)
        piece = photos[rng.randint(len(photos)), :, top : top + cut, left : left + cut].float()
        return _enlarged(piece, side)
    cells = {"plain": 1, "gradient": 2, "noise": rng.randint(3, 17)}[kind]
    colours: NDArray[np.float32] = rng.uniform(0.0, 255.0, (3, cells, cells)).astype(np.float32)
    return _enlarged(torch.from_numpy(colours), side)


def _enlarged(piece: Tensor, side: int) -> Tensor:
    return F.interpolate(piece[None], (side, side), mode="bilinear", align_corners=True)[0].clamp(0.0, 255.0)
