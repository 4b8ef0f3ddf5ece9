"""Draws searches and their answers into one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from agents.search.answers import Answer, summary
from sketchcanvas_env.envs import render
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import atomic_write
from students.search.index import PhotoIndex

ROWS = 2
"""Rows of photos beside the panels; a panel is as high as two photos."""

SHOWN = 10
"""The most photos that are drawn."""

_NAME = 11
"""Letters of a photo's name that fit below it."""


def draw(
    names: Sequence[str],
    sketches: Sequence[VectorSketch],
    answers: Sequence[Answer],
    index: PhotoIndex,
    path: str | PathLike[str],
) -> Path:
    """Write a PNG with a row for each search: the strokes, each look at its true pixels, the first photos.

    Args:
        names: titles of the sketches.
        sketches: the drawings.
        answers: one for each sketch.
        index: has the photos.
        path: the PNG file.

    Raises:
        KeyError: a photo is not in the index.
        ValueError: a photo's file is missing or unreadable.
    """
    from PIL import Image

    panels = 1 + max(len(answer.looks) for answer in answers)
    columns = -(-max(len(answer.hits[:SHOWN]) for answer in answers) // ROWS)
    height = render.HEIGHT
    page = render.Page(render.panel_x(panels) + render.grid_width(columns) + render.panel_x(0), height * len(answers))
    for row, (name, sketch, answer) in enumerate(zip(names, sketches, answers, strict=True)):
        top = row * height
        page.panel(render.panel_x(0), f"strokes of {name}", rasterise(sketch, render.PANEL), top)
        for place, look in enumerate(answer.looks, start=1):
            title = f"canvas {look.canvas} x {look.canvas}"
            page.panel(render.panel_x(place), title, rasterise(sketch, look.canvas), top)
        left = render.panel_x(panels)
        page.title(left, "nearest photos", top)
        for place, hit in enumerate(answer.hits[:SHOWN]):
            label = f"{hit.distance:.3f}\n{_short(hit.photo)}"
            page.photo(left, place, index.photo(hit.photo), label, columns=columns, top=top)
        page.caption(summary(answer), top)
    final = Path(path)
    with atomic_write(final) as temporary:
        Image.fromarray(page.pixels()).save(temporary, format="PNG")
    return final


def _short(name: str) -> str:
    """The end of a name, which tells files apart."""
    stem = name.rpartition("/")[2].rpartition(".")[0] or name
    return stem if len(stem) <= _NAME else f"…{stem[1 - _NAME :]}"
