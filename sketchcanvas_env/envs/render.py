"""Rendering of episodes: a picture for `rgb_array`, a line of text for `ansi`.

Pillow is imported when a picture is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.data import RECOGNITION
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch

if TYPE_CHECKING:
    from sketchcanvas_env.tasks.canvas import Task
    from sketchcanvas_env.tasks.episodes import Look, Shown

PANEL = 256
"""Side of each of the three panels, in pixels."""

_MARGIN = 14
_HEAD = 24
_FOOT = 30
CELL = 80
"""Side of a photo in pixels; three photos and two gaps fill a panel."""
_GAP = 8
_BELOW = 44  # under a photo, for its label

HEIGHT = _HEAD + PANEL + _FOOT
WIDTH = 4 * _MARGIN + 3 * PANEL
"""Size of the picture in pixels."""

_PAPER = (250, 250, 248)
_INK = (28, 28, 30)
_FAINT = (142, 142, 147)
_LINE = (200, 200, 204)
_TRUE = (22, 150, 72)
_MISSED = (208, 56, 48)


def sentence(task: Task, shown: Shown) -> str:
    """The episode as one line of text."""
    name = f"sketch {task.sketch_ids[shown.row]}"
    start = name if shown.strokes is None else f"{shown.strokes} strokes of {name}"
    return f"{start}: {'no canvas chosen yet' if shown.look is None else _outcome(task, shown.look)}"


def picture(task: Task, shown: Shown) -> npt.NDArray[np.uint8]:
    """The episode as a picture.

    Left: the strokes on a canvas of 256 pixels. Middle: the last canvas, enlarged without smoothing. Right: the five
    nearest photos, the true one framed in green; if it is not among them, it is added, framed in red, with its rank.

    Args:
        task: the task that the sketch belongs to.
        shown: what to render.

    Returns:
        (`HEIGHT`, `WIDTH`, 3) uint8; equal episodes give equal pictures.
    """
    page = Page(WIDTH, HEIGHT)
    left, middle, right = (panel_x(i) for i in range(3))
    sketch, look = task.sketch(shown.row), shown.look
    if shown.strokes is not None:
        sketch = VectorSketch(sketch.strokes[: shown.strokes])
    nearest = "nearest classes" if task.dataset.task == RECOGNITION else "nearest photos"
    page.panel(left, f"strokes of {task.sketch_ids[shown.row]}", rasterise(sketch, PANEL))
    page.title(right, nearest)
    if look is None:
        page.panel(middle, "canvas", np.full((PANEL, PANEL), 255, dtype=np.uint8))
        page.write(middle + PANEL // 2, _HEAD + PANEL // 2, "no canvas chosen yet", _FAINT, anchor="mm")
        return page.pixels()
    side = task.canvases[look.action]
    page.panel(middle, f"canvas {side} x {side}", rasterise(sketch, side))
    _photos(task, str(task.photo_ids[shown.row]), look, page, right)
    page.caption(_outcome(task, look))
    return page.pixels()


def _outcome(task: Task, look: Look) -> str:
    """Text with canvas, rank, cost, reward and regret; for tasks of several looks with total cost and return."""
    side = task.canvases[look.action]
    known = task.lookup
    gallery = "" if known is None else f" of {known.table.gallery_size[task.split]}"
    several = look.all_looks is not None
    flops, cost = look.all_looks or (task.flops[look.action], task.costs[look.action])
    parts = [
        f"{'last look: ' if several else ''}canvas {side}x{side}",
        f"rank {look.rank}{gallery}",
        f"{'all looks: ' if several else ''}{flops / 1e9:.4f} GFLOPs",
        *([f"{cost:.2f} ms"] if task.arguments.cost == "latency" else []),
        *([f"tradeoff {look.tradeoff:.4f}"] if look.tradeoff is not None else []),
        f"{'return' if several else 'reward'} {look.reward:+.4f}",
    ]
    if look.oracle is not None:
        best = task.canvases[look.oracle]
        parts.append(f"regret {look.regret:.4f} (best {best}x{best})")
    return ", ".join(parts)


def panel_x(place: int) -> int:
    """Left edge of a panel in pixels; panels count from 0."""
    return _MARGIN + place * (PANEL + _MARGIN)


class Page:
    """A page of panels, photos and captions. `top` is the upper edge of a row of them, in pixels."""

    def __init__(self, width: int, height: int) -> None:
        """Make a blank page of the given size in pixels."""
        from PIL import Image, ImageDraw, ImageFont

        self._image = Image.new("RGB", (width, height), _PAPER)
        self._pen = ImageDraw.Draw(self._image)
        self._font = ImageFont.load_default(size=13)

    def write(self, x: int, y: int, text: str, colour: tuple[int, int, int] = _INK, anchor: str | None = None) -> None:
        """Write a line of text."""
        self._pen.text((x, y), text, fill=colour, font=self._font, anchor=anchor)

    def title(self, x: int, text: str, top: int = 0) -> None:
        """Write a title above a panel, cut to its width."""
        self.write(x, top + 3, self._cut(text))

    def _cut(self, text: str) -> str:
        """The text, shortened to the width of a panel."""
        if self._font.getlength(text) <= PANEL:
            return text
        while text and self._font.getlength(f"{text}...") > PANEL:
            text = text[:-1]
        return f"{text}..."

    def caption(self, text: str, top: int = 0) -> None:
        """Write a caption below the panels."""
        self.write(panel_x(0), top + _HEAD + PANEL + 8, text)

    def panel(self, x: int, title: str, pixels: npt.NDArray[np.uint8], top: int = 0) -> None:
        """Draw a square grey picture (side, side) uint8 in a panel, enlarged without smoothing."""
        from PIL import Image

        self.title(x, title, top)
        self._image.paste(Image.fromarray(enlarged(pixels)), (x, top + _HEAD))
        self._pen.rectangle((x - 1, top + _HEAD - 1, x + PANEL, top + _HEAD + PANEL), outline=_LINE)

    def photo(
        self,
        x: int,
        place: int,
        pixels: npt.NDArray[np.uint8],
        label: str,
        frame: tuple[int, int, int] | None = None,
        columns: int = 3,
        top: int = 0,
    ) -> None:
        """Draw a photo in a cell, counted from 0, of a grid that begins at `x`, with a label below."""
        from PIL import Image

        corner = (x + place % columns * (CELL + _GAP), top + _HEAD + place // columns * (CELL + _BELOW))
        self._image.paste(Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.BICUBIC), corner)
        box = (corner[0] - 1, corner[1] - 1, corner[0] + CELL, corner[1] + CELL)
        if frame is None:
            self._pen.rectangle(box, outline=_LINE)
        else:
            self._pen.rectangle((box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2), outline=frame, width=4)
        self.write(corner[0], corner[1] + CELL + 5, label, frame or _INK)

    def pixels(self) -> npt.NDArray[np.uint8]:
        """The page as an array, (height, width, 3) uint8."""
        return np.array(self._image)


def enlarged(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A square picture (side, side) enlarged to (`PANEL`, `PANEL`) without smoothing."""
    places = np.arange(PANEL) * len(pixels) // PANEL
    return pixels[np.ix_(places, places)]


def grid_width(columns: int) -> int:
    """Width of a grid of photos in pixels."""
    return columns * (CELL + _GAP) - _GAP


def _photos(task: Task, true: str, look: Look, page: Page, x: int) -> None:
    """Draw the five nearest photos, and the true photo in the sixth cell if it is not among them."""
    for place, photo in enumerate(look.top[:5]):
        label, frame = (f"{place + 1} (true)", _TRUE) if photo == true else (str(place + 1), None)
        page.photo(x, place, task.dataset.photo(photo), label, frame)
    if true not in look.top[:5]:
        page.photo(x, 5, task.dataset.photo(true), f"true: rank {look.rank}", _MISSED)
