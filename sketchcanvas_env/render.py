"""An episode to look at: a picture for `rgb_array`, a line for `ansi`.

Pillow is imported when a picture is drawn, not before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.data import RECOGNITION
from sketchcanvas_env.raster import rasterise

if TYPE_CHECKING:
    from sketchcanvas_env.task import Task

PANEL = 256
"""Side of each of the three panels, in pixels."""

_MARGIN = 14
_HEAD = 24
_FOOT = 30
_CELL = 80  # three photos and two gaps of 8 fill a panel
_GAP = 8

HEIGHT = _HEAD + PANEL + _FOOT
WIDTH = 4 * _MARGIN + 3 * PANEL
"""Size of the picture; it never changes."""

_PAPER = (250, 250, 248)
_INK = (28, 28, 30)
_FAINT = (142, 142, 147)
_LINE = (200, 200, 204)
_TRUE = (22, 150, 72)
_MISSED = (208, 56, 48)


@dataclass(frozen=True)
class Shown:
    """What a step gave, as far as it is shown.

    Attributes:
        action: the canvas that was chosen.
        rank: rank of the true photo.
        reward: the reward.
        top: ids of the nearest photos, nearest first, at most five are shown.
        oracle: the best action, None where it is not known.
        regret: reward of that action less this one, None where it is not known.
        tradeoff: the episode's own, None where all share one.
    """

    action: int
    rank: int
    reward: float
    top: tuple[str, ...]
    oracle: int | None = None
    regret: float | None = None
    tradeoff: float | None = None


def sentence(task: Task, row: int, shown: Shown | None) -> str:
    """The episode in one line."""
    name = f"sketch {task.sketch_ids[row]}"
    return f"{name}: {_outcome(task, shown)}" if shown is not None else f"{name}: no canvas chosen yet"


def picture(task: Task, row: int, shown: Shown | None) -> npt.NDArray[np.uint8]:
    """The episode as a picture.

    Left the strokes on a canvas of 256, in the middle the chosen canvas at its true pixels, enlarged without
    smoothing, right the five nearest photos with the true one framed in green; if it is not among them it
    stands last, framed in red, with its rank.

    Args:
        task: where the sketch comes from.
        row: which one.
        shown: what was chosen for it, None before the step.

    Returns:
        (`HEIGHT`, `WIDTH`, 3) uint8, the same for the same episode.
    """
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=13)
    left, middle, right = (_MARGIN + i * (PANEL + _MARGIN) for i in range(3))
    sketch = task.sketch(row)
    nearest = "nearest classes" if task.dataset.task == RECOGNITION else "nearest photos"

    def title(x: int, text: str) -> None:
        pen.text((x, 3), text, fill=_INK, font=font)

    def panel(x: int, pixels: npt.NDArray[np.uint8]) -> None:
        page.paste(Image.fromarray(pixels), (x, _HEAD))
        pen.rectangle((x - 1, _HEAD - 1, x + PANEL, _HEAD + PANEL), outline=_LINE)

    title(left, f"strokes of {task.sketch_ids[row]}")
    panel(left, rasterise(sketch, PANEL))
    if shown is None:
        title(middle, "canvas")
        panel(middle, np.full((PANEL, PANEL), 255, dtype=np.uint8))
        pen.text(
            (middle + PANEL // 2, _HEAD + PANEL // 2),
            "no canvas chosen yet",
            fill=_FAINT,
            font=font,
            anchor="mm",
        )
        title(right, nearest)
        return np.array(page)
    side = task.canvases[shown.action]
    title(middle, f"canvas {side} x {side}")
    panel(middle, _enlarged(rasterise(sketch, side)))
    _photos(task, str(task.photo_ids[row]), shown, page, pen, font, right)
    title(right, nearest)
    pen.text((left, _HEAD + PANEL + 8), _outcome(task, shown), fill=_INK, font=font)
    return np.array(page)


def _outcome(task: Task, shown: Shown) -> str:
    """Canvas, rank, cost, reward and, where it is known, regret."""
    side = task.canvases[shown.action]
    known = task.lookup
    gallery = "" if known is None else f" of {known.table.gallery_size[task.split]}"
    parts = [
        f"canvas {side}x{side}",
        f"rank {shown.rank}{gallery}",
        f"{task.flops[shown.action] / 1e9:.4f} GFLOPs",
        *([f"{task.costs[shown.action]:.2f} ms"] if task.cost == "latency" else []),
        *([f"tradeoff {shown.tradeoff:.4f}"] if shown.tradeoff is not None else []),
        f"reward {shown.reward:+.4f}",
    ]
    if shown.oracle is not None:
        best = task.canvases[shown.oracle]
        parts.append(f"regret {shown.regret:.4f} (best {best}x{best})")
    return ", ".join(parts)


def _enlarged(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A square picture at the panel's side, each pixel a block of its own colour."""
    places = np.arange(PANEL) * len(pixels) // PANEL
    return pixels[np.ix_(places, places)]


def _photos(task: Task, true: str, shown: Shown, page: Any, pen: Any, font: Any, x: int) -> None:
    """Five nearest photos, three above and two below; a true one that is missing takes the sixth place."""
    cells = [(photo, str(place + 1), _TRUE if photo == true else None) for place, photo in enumerate(shown.top[:5])]
    if true not in shown.top[:5]:
        cells += [("", "", None)] * (5 - len(cells))
        cells.append((true, f"true: rank {shown.rank}", _MISSED))
    for place, (photo, label, frame) in enumerate(cells):
        if not photo:
            continue
        corner = (x + place % 3 * (_CELL + _GAP), _HEAD + place // 3 * (_CELL + 44))
        page.paste(_thumbnail(task, photo), corner)
        box = (corner[0] - 1, corner[1] - 1, corner[0] + _CELL, corner[1] + _CELL)
        if frame is None:
            pen.rectangle(box, outline=_LINE)
        else:
            pen.rectangle((box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2), outline=frame, width=4)
        text = f"{label} (true)" if frame == _TRUE else label
        pen.text((corner[0], corner[1] + _CELL + 5), text, fill=frame or _INK, font=font)


def _thumbnail(task: Task, photo: str) -> Any:
    from PIL import Image

    return Image.fromarray(task.dataset.photo(photo)).resize((_CELL, _CELL), Image.Resampling.BICUBIC)
