"""Parses requests of the page, which are untrusted, and writes answers."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.search.answers import Answer
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import parse_json
from sketchcanvas_env.svg.reader import read_svg

MAX_STROKES = 400
MAX_POINTS = 4_000
"""Limits of a drawing in a request. cairo takes a minute for 50,000 points in one zigzag stroke; people's drawings have
some hundred points."""

SEARCHED_POINTS = 2_000
"""Points that a drawing is simplified to before the search; the largest canvas shows fewer."""

SPACING = 1 / 256
"""Smallest distance between points on the page, as a share of the canvas."""

TOP = 12
"""Photos in an answer."""

_DIGITS = 4  # of a coordinate; a canvas of 256 pixels needs three


@dataclass(frozen=True)
class Search:
    """A request to search."""

    sketch: VectorSketch  # scaled to fill its canvas
    tradeoff: float | None  # weight of cost against accuracy, in [0, 1]; None for the selector's own


def read_search(data: bytes) -> Search:
    """The search in a request's body, JSON: {"strokes": [[[x, y], ...], ...], "tradeoff": number or null}.

    Raises:
        ValueError: anything else; the message says what is wrong.
    """
    # Counted before it is parsed: a megabyte of empty lists takes most of a second.
    if data.count(b"[") + data.count(b"{") > MAX_POINTS + MAX_STROKES + 2:
        raise ValueError(f"a drawing may have {MAX_STROKES:,} strokes and {MAX_POINTS:,} points, this one has more")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("the request is not JSON in UTF-8") from None
    value = parse_json(text, "the request")
    if not isinstance(value, dict) or not {"strokes"} <= set(value) <= {"strokes", "tradeoff"}:
        raise ValueError('the request must be an object with "strokes" and perhaps "tradeoff"')
    tradeoff = value.get("tradeoff")
    if tradeoff is not None and not _in_unit(tradeoff):
        raise ValueError('"tradeoff" must be a number from 0 to 1, or null')
    sketch = _sketch(value["strokes"])
    return Search(sketch.normalised().bounded(SEARCHED_POINTS), None if tradeoff is None else float(tradeoff))


def _sketch(strokes: Any) -> VectorSketch:
    if not isinstance(strokes, list) or not strokes:
        raise ValueError("a drawing is a list of strokes, at least one")
    points = 0
    for number, stroke in enumerate(strokes):
        if not isinstance(stroke, list) or not all(map(_is_point, stroke)):
            raise ValueError(f"stroke {number} must be a list of points [x, y], x and y numbers from 0 to 1")
        points += len(stroke)
    _check_size(len(strokes), points)
    return VectorSketch.from_strokes(strokes)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_in_unit, value))


def _in_unit(value: Any) -> bool:
    # A bool is an int; NaN is in no range.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _check_size(strokes: int, points: int) -> None:
    if strokes > MAX_STROKES or points > MAX_POINTS:
        raise ValueError(
            f"a drawing may have {MAX_STROKES:,} strokes and {MAX_POINTS:,} points, this one has {strokes:,} and "
            f"{points:,}"
        )


def read_drawing(data: bytes) -> VectorSketch:
    """The drawing in an SVG file, thinned to the page's `SPACING`.

    Raises:
        ValueError: an SVG that `read_svg` refuses, or a drawing that is too large.
    """
    sketch = thinned(read_svg(data), SPACING)
    _check_size(sketch.n_strokes, sketch.n_points)
    return sketch


def thinned(sketch: VectorSketch, spacing: float) -> VectorSketch:
    """The drawing without points nearer than `spacing` to the previous point; ends of strokes are kept.

    In linear time, which Douglas-Peucker does not guarantee.
    """
    strokes = []
    for stroke in sketch.strokes:
        points = stroke.tolist()
        kept = points[:1]
        for x, y in points[1:-1]:
            if (x - kept[-1][0]) ** 2 + (y - kept[-1][1]) ** 2 >= spacing**2:
                kept.append([x, y])
        strokes.append(kept + points[1:][-1:])
    return VectorSketch.from_strokes(strokes)


def strokes_json(sketch: VectorSketch) -> list[list[list[float]]]:
    """A drawing in the format of `read_search`."""
    return [[[round(x, _DIGITS), round(y, _DIGITS)] for x, y in stroke.tolist()] for stroke in sketch.strokes]


def answer_json(answer: Answer, sketch: VectorSketch, labels: dict[str, str]) -> dict[str, Any]:
    """An answer as JSON-able values.

    Args:
        answer: of the search.
        sketch: the drawing.
        labels: names of photos to display, by id.
    """
    return {
        "canvas": answer.canvas,
        "selector": answer.selector,
        "nothing_near": bool(answer.nothing_near),
        "raster": b64encode(png(rasterise(sketch, answer.canvas))).decode("ascii"),
        "gflops": answer.gflops + answer.selector_gflops,
        "fixed_gflops": answer.fixed_gflops,
        "milliseconds": dict(answer.milliseconds),
        "looks": [
            {
                "canvas": look.canvas,
                "gflops": look.gflops,
                "milliseconds": sum(look.milliseconds.values()),
                "first": labels[look.hits[0].photo],
            }
            for look in answer.looks
        ],
        "hits": [{"photo": hit.photo, "label": labels[hit.photo], "distance": hit.distance} for hit in answer.hits],
    }


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Grey pixels as a PNG file."""
    return _encoded(pixels, "PNG", compress_level=1)


def webp(pixels: NDArray[np.uint8]) -> bytes:
    """A photo as a WebP file."""
    return _encoded(pixels, "WEBP", quality=85)


def _encoded(pixels: NDArray[np.uint8], kind: str, **settings: Any) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **settings)
    return file.getvalue()
