"""Line width, and strokes in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LINE_WIDTH = 0.0125
"""Line width as a fraction of the canvas side; 3.2 px at 256."""

MIN_LINE_WIDTH = 1.0
"""Pixels. Thinner lines would be drawn grey."""


def line_width(side: int) -> float:
    """Line width in pixels on a canvas of a side: 1.25 % of it, at least one pixel."""
    return max(MIN_LINE_WIDTH, LINE_WIDTH * side)


def pixels_of(stroke: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """A stroke in pixels, (P, 2) float64, rounded to 1/1000; cairo rounds to 1/256."""
    return np.round(stroke.astype(np.float64) * side, 3)
