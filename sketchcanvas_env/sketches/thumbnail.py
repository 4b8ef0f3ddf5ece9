"""A thumbnail of a sketch: what a selector can see of the drawing for a few microseconds and without a network."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch

SIDE = 16
"""Side of a thumbnail, in pixels. Half the smallest canvas on offer by default."""

SIZE = SIDE * SIDE
"""Numbers in a thumbnail."""


def thumbnail(sketch: VectorSketch) -> npt.NDArray[np.float32]:
    """The strokes as `raster.rasterise` draws them on a canvas of `SIDE` pixels, flat.

    Args:
        sketch: at least one stroke with at least one point.

    Returns:
        (SIZE,) float32 in [0, 1], row after row from the top, 0 for paper and 1 for ink.

    Example:
        >>> dot = VectorSketch.from_strokes([[[0.5, 0.0]]])
        >>> thumbnail(dot).reshape(SIDE, SIDE)[0].nonzero()[0].tolist()
        [7, 8]
    """
    ink = (255 - rasterise(sketch, SIDE)).astype(np.float32).ravel()
    ink /= np.float32(255.0)
    return ink


def batch_thumbnails(sketches: Iterable[VectorSketch]) -> npt.NDArray[np.float32]:
    """`thumbnail` of each of n sketches; (n, SIZE) float32."""
    rows = [thumbnail(sketch) for sketch in sketches]
    return np.stack(rows) if rows else np.zeros((0, SIZE), dtype=np.float32)
