"""The pen that strokes are drawn with: its width on a canvas, and where a stroke lies in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LINE_WIDTH = 0.0125
"""Line width as a share of the canvas side: 3.2 px at 256."""

MIN_LINE_WIDTH = 1.0
"""Pixels. A thinner line would fade to grey on a small canvas instead of staying ink."""


def line_width(side: int) -> float:
    """Line width in pixels on a canvas of that side: 1.25 % of it, but never under one pixel."""
    return max(MIN_LINE_WIDTH, LINE_WIDTH * side)


def pixels_of(stroke: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """A stroke in pixels, (P, 2) float64, to a thousandth: finer than cairo's own 1/256, and short to write."""
    return np.round(stroke.astype(np.float64) * side, 3)
