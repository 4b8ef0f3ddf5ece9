"""Pseudo-sketches: the edges of a photo traced as strokes, to train on where human sketches are few.

Needs scikit-image (extra `train`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import VectorSketch

SIDE = 128
"""Side in pixels to which a photo is resized before edge detection."""
SIGMA = 1.5
"""Standard deviation of the Gaussian in Canny's detector (Canny, PAMI 1986), pixels at `SIDE`."""
SHORTEST = 6
"""Pixels of the shortest chain that becomes a stroke; shorter ones are noise."""
MOST_STROKES = 60
"""Strokes of a pseudo-sketch, at most."""

# Neighbours along an axis come first, so that chains do not cut corners.
_NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))


def edge_sketch(image: NDArray[np.uint8]) -> VectorSketch | None:
    """The edges of a photo as a sketch, longest chains first; None for a photo without edges.

    Args:
        image: (H, W, 3) uint8.

    Raises:
        ImportError: scikit-image is not installed.
    """
    from PIL import Image

    from students.network.hog import require_skimage

    canny = require_skimage().feature.canny
    small = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64) / 255.0
    # By channel, because two colours of one brightness have no edge in grey.
    edges = np.logical_or.reduce([canny(small[..., channel], sigma=SIGMA) for channel in range(3)])
    strokes = sorted((chain for chain in chains(edges) if len(chain) >= SHORTEST), key=len, reverse=True)
    if not strokes:
        return None
    points = [chain[:, ::-1].astype(np.float64) for chain in strokes[:MOST_STROKES]]
    return VectorSketch.fit(points).simplified(0.004)


def chains(edges: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Chains of neighbouring edge pixels, (P, 2) int64 arrays of (row, column); each edge pixel is in exactly one.

    Chains start at the ends of lines (edge pixels with one neighbour) first, then at any remaining pixel, and end where
    all neighbours have been used.
    """
    unused = {(int(r), int(c)) for r, c in np.argwhere(edges)}

    def neighbours(pixel: tuple[int, int]) -> list[tuple[int, int]]:
        return [(pixel[0] + r, pixel[1] + c) for r, c in _NEIGHBOURS if (pixel[0] + r, pixel[1] + c) in unused]

    found = []
    ends = [pixel for pixel in sorted(unused) if len(neighbours(pixel)) == 1]
    for start in (*ends, *sorted(unused)):
        if start not in unused:
            continue
        unused.remove(start)
        walk = [start]
        while ahead := neighbours(walk[-1]):
            unused.remove(ahead[0])
            walk.append(ahead[0])
        found.append(np.array(walk, dtype=np.int64))
    return found
