"""Pseudo-sketches: the edges of a photo, traced as strokes.

A retriever that has few human sketches learns from these as well: an edge map is a drawing of exactly that photo.
Needs scikit-image (extra `train`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import VectorSketch

SIDE = 128
"""Edges are found on the photo at this side, pixels."""
SHORTEST = 6
"""Chains of fewer pixels are noise."""
MOST_STROKES = 60

# Neighbours along an axis come first, so that a chain does not cut corners.
_NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))


def edge_sketch(image: NDArray[np.uint8], sigma: float = 1.5) -> VectorSketch | None:
    """The edges of a photo as a sketch, longest chains first; None where there are none.

    Args:
        image: (H, W, 3) uint8.
        sigma: of Canny's Gaussian (Canny, PAMI 1986), pixels at `SIDE`.

    Raises:
        ImportError: scikit-image is missing.
    """
    from PIL import Image

    from students.network.hog import require_skimage

    canny = require_skimage().feature.canny
    small = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64) / 255.0
    # An edge between two colours of one brightness is an edge, too.
    edges = np.logical_or.reduce([canny(small[..., channel], sigma=sigma) for channel in range(3)])
    strokes = sorted((chain for chain in chains(edges) if len(chain) >= SHORTEST), key=len, reverse=True)
    if not strokes:
        return None
    points = [chain[:, ::-1].astype(np.float64) for chain in strokes[:MOST_STROKES]]
    return VectorSketch.fit(points).simplified(0.004)


def chains(edges: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Walk along edge pixels: arrays (P, 2) of (row, column); every edge pixel is in exactly one chain.

    A walk starts at a pixel with one neighbour left where there is one, else anywhere, and goes on while there is a
    neighbour that no walk has visited.
    """
    left = {(int(r), int(c)) for r, c in np.argwhere(edges)}

    def neighbours(pixel: tuple[int, int]) -> list[tuple[int, int]]:
        return [(pixel[0] + r, pixel[1] + c) for r, c in _NEIGHBOURS if (pixel[0] + r, pixel[1] + c) in left]

    found = []
    ends = [pixel for pixel in sorted(left) if len(neighbours(pixel)) == 1]
    for start in (*ends, *sorted(left)):
        if start not in left:
            continue
        left.remove(start)
        walk = [start]
        while ahead := neighbours(walk[-1]):
            left.remove(ahead[0])
            walk.append(ahead[0])
        found.append(np.array(walk, dtype=np.int64))
    return found
