"""Deterministic, anti-aliased rasterisation of sketches at sides from 8 to 512 pixels.

Strokes are drawn with cairo directly, through cairocffi. The result equals CairoSVG's rendering of
`VectorSketch.to_svg` at the same side.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.pen import line_width, pixels_of
from sketchcanvas_env.sketches.sketch import VectorSketch

MIN_SIDE = 8
MAX_SIDE = 512


def check_side(side: int) -> int:
    """The side as an int.

    Raises:
        ValueError: not an integer from 8 to 512.
    """
    if isinstance(side, bool) or not isinstance(side, (int, np.integer)) or not MIN_SIDE <= side <= MAX_SIDE:
        raise ValueError(f"a canvas side is a whole number of pixels from {MIN_SIDE} to {MAX_SIDE}, not {side!r}")
    return int(side)


def rasterise(sketch: VectorSketch, side: int) -> NDArray[np.uint8]:
    """The sketch as black ink (0) on white (255), (side, side) uint8.

    Args:
        sketch: the sketch.
        side: canvas side in pixels, 8 to 512.

    Raises:
        ValueError: the side is out of range.
    """
    import cairocffi

    side = check_side(side)
    # Passing memory of our own to cairo takes longer than drawing a stroke.
    surface = cairocffi.ImageSurface(cairocffi.FORMAT_RGB24, side, side)
    context = cairocffi.Context(surface)
    # Paint the background as CairoSVG does, so that ink is blended in the same 8-bit steps.
    context.set_source_rgb(1.0, 1.0, 1.0)
    context.paint()
    context.set_line_width(line_width(side))
    context.set_line_cap(cairocffi.LINE_CAP_ROUND)
    context.set_line_join(cairocffi.LINE_JOIN_ROUND)
    context.set_source_rgb(0.0, 0.0, 0.0)
    points = pixels_of(np.concatenate(sketch.strokes), side).tolist()
    start = 0
    for stroke in sketch.strokes:
        stop = start + len(stroke)
        context.move_to(*points[start])
        # A dot is a line of length 0.
        for x, y in points[start + 1 : stop] or points[start:stop]:
            context.line_to(x, y)
        context.stroke()
        start = stop
    surface.flush()
    return np.frombuffer(surface.get_data(), np.uint8).reshape(side, -1)[:, : 4 * side : 4].copy()


def rasterise_batch(sketches: Iterable[VectorSketch], side: int) -> NDArray[np.uint8]:
    """`rasterise` of n sketches, (n, side, side) uint8.

    Args:
        sketches: any iterable, so `rich.progress.track(sketches)` shows a progress bar.
        side: canvas side in pixels, 8 to 512.

    Raises:
        ValueError: the side is out of range.
    """
    side = check_side(side)
    pages = [rasterise(sketch, side) for sketch in sketches]
    return np.array(pages) if pages else np.empty((0, side, side), dtype=np.uint8)
