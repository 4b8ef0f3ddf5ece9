"""Thumbnails of sketches, as cheap input for selectors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch

SIDE = 16
"""Side of a thumbnail in pixels, half the smallest default canvas."""

SIZE = SIDE * SIDE
"""Pixels of a thumbnail."""


def thumbnail(sketch: VectorSketch) -> npt.NDArray[np.float32]:
    """The sketch on a canvas of `SIDE` pixels, (SIZE,) float32, 0 for paper and 1 for ink, row by row from the top.

    Args:
        sketch: at least one stroke with at least one point.

    Example:
        >>> dot = VectorSketch.from_strokes([[[0.5, 0.0]]])
        >>> thumbnail(dot).reshape(SIDE, SIDE)[0].nonzero()[0].tolist()
        [7, 8]
    """
    ink = (255 - rasterise(sketch, SIDE)).astype(np.float32).ravel()
    ink /= np.float32(255.0)
    return ink


def batch_thumbnails(sketches: Iterable[VectorSketch]) -> npt.NDArray[np.float32]:
    """`thumbnail` of each of n sketches, (n, SIZE) float32."""
    rows = [thumbnail(sketch) for sketch in sketches]
    return np.stack(rows) if rows else np.zeros((0, SIZE), dtype=np.float32)
