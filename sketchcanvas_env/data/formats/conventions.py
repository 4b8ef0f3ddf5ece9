"""The ways in which people write a drawing to a JSON or `.npy` file, recognised where they can be told apart.

| format      | file    | content                                                                                  |
|-------------|---------|------------------------------------------------------------------------------------------|
| `points`    | `.json` | strokes [[[x, y], ...], ...]                                                             |
| `quickdraw` | `.json` | strokes of Quick, Draw!, [[[x, ...], [y, ...]], ...] or with times [t, ...]; or an object |
|             |         | whose `drawing` they are                                                                 |
| `offsets`   | `.npy`  | sketch-rnn's stroke-3 (dx, dy, lifted) or stroke-5 (dx, dy, p1, p2, p3)                   |
| `absolute`  | `.npy`  | positions (x, y, last), or stroke-5 as `VectorSketch.to_stroke5` writes it               |

y points down. Positions that all lie in [0, 1] are fractions of the canvas and taken as they are; everything else is
scaled by its bounding box, aspect kept. `last` and `lifted` are 1 at the last point of a stroke.

How they are told apart:

* Every stroke of two (or three) lists of two numbers fits both JSON formats: such a drawing is refused unless the
  format is given.
* Offsets of a drawing have negative numbers nearly always: of 4,429 drawings of Quick, Draw! and ChairV2 all but two.
  So an array without negative numbers is absolute, unless the drawing would then only go one way, as offsets without
  negative numbers do: refused.
* An array with negative numbers holds offsets: positions around a centre are rare. Numbers with fractions whose steps
  change direction as smoothly as positions do may be such, and are refused; this hits 1 % of drawings in offsets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.formats.parse import MAX_ROWS, cut, numbers, read_json, read_npy
from sketchcanvas_env.sketches.sketch import MAX_POINTS, VectorSketch

FORMATS = ("points", "quickdraw", "offsets", "absolute")
"""Names of the formats."""

MAX_JSON_BYTES = 4 * 2**20
"""Largest JSON file of a drawing."""

_SMOOTH = 1.0
"""Median change of the step, in steps, below which an array may hold positions. Of drawings in offsets 1 % lie below
(sketch-rnn's own are whole numbers and are not asked), of positions around a centre about 65 %."""
_HOW = "(--format on the command line, format= in Python)"


def check_format(name: str | None) -> str | None:
    """The format's name, None where the file is to tell.

    Raises:
        ValueError: unknown; the message lists what exists.
    """
    if name is not None and name not in FORMATS:
        raise ValueError(f"unknown format {name!r}; there are {', '.join(FORMATS)}")
    return name


def read_json_drawing(data: bytes, form: str | None = None) -> VectorSketch:
    """The drawing of a JSON file.

    Args:
        data: the file's content.
        form: "points" or "quickdraw"; anything else means that the file is to tell.

    Raises:
        ValueError: another kind of text, more than can be read, no drawing, or one that fits both formats.
    """
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(f"{len(data):,} bytes; at most {MAX_JSON_BYTES:,} are read")
    value = read_json(data)
    if isinstance(value, dict) and "drawing" in value:
        value, form = value["drawing"], "quickdraw"
    if not isinstance(value, list) or not value:
        raise ValueError("empty, or no list of strokes [[[x, y], ...], ...]")
    if form not in ("points", "quickdraw"):
        form = _json_format(value)
    return on_canvas(quickdraw_strokes(value) if form == "quickdraw" else [numbers(stroke) for stroke in value])


def quickdraw_strokes(drawing: object) -> list[NDArray[np.float64]]:
    """Strokes (points, 2) of [[[x, ...], [y, ...]], ...] or [[[x, ...], [y, ...], [t, ...]], ...].

    Raises:
        ValueError: something else.
    """
    if not isinstance(drawing, list) or not drawing:
        raise ValueError("empty: it has no strokes")
    strokes = []
    for stroke in drawing:
        if not isinstance(stroke, list) or len(stroke) not in (2, 3):
            raise ValueError("a stroke is not [[x, ...], [y, ...]], with [t, ...] or without")
        # Times are not looked at: some of the published ones are not numbers.
        strokes.append(np.atleast_2d(numbers(stroke[:2])).T)
    return strokes


def _json_format(strokes: list[object]) -> str:
    """`points` or `quickdraw`; what is neither is left to `points` to be refused."""
    if not all(isinstance(stroke, list) and stroke and all(isinstance(e, list) for e in stroke) for stroke in strokes):
        return "points"
    lengths = [[len(part) for part in stroke] for stroke in strokes]  # type: ignore[attr-defined]
    axes = {len(stroke) for stroke in lengths}
    columns = axes in ({2}, {3}) and all(len(set(stroke[:2])) == 1 and stroke[0] for stroke in lengths)
    rows = all(length == 2 for stroke in lengths for length in stroke)
    if not columns:
        return "points"
    if not rows:
        return "quickdraw"
    values = np.concatenate([numbers(stroke) for stroke in strokes])
    if ((values >= 0.0) & (values <= 1.0)).all():
        return "points"
    if axes == {3} and (np.diff(values.reshape(-1, 3, 2)[:, 2].ravel()) < 0.0).any():
        return "points"  # times never go back
    raise ValueError(
        f"each stroke may be {axes.pop()} points [x, y] or Quick, Draw!'s [x, x], [y, y]: give the format, points or "
        f"quickdraw {_HOW}"
    )


def read_npy_drawing(data: bytes, form: str | None = None) -> VectorSketch:
    """The drawing of a `.npy` file.

    Args:
        data: the file's content.
        form: "offsets" or "absolute"; anything else means that the file is to tell.

    Raises:
        ValueError: another kind of file, more than can be read, no drawing, or one that fits both formats.
    """
    rows = read_npy(data)
    if rows.size == 0:
        raise ValueError("empty: it has no points")
    if rows.ndim != 2 or rows.shape[1] not in (3, 5):
        raise ValueError(f"an array of shape {rows.shape}, not (points, 3) or (points, 5)")
    if len(rows) > MAX_ROWS:
        raise ValueError(f"{len(rows):,} rows; a drawing has at most {MAX_POINTS:,} points")
    five = rows.shape[1] == 5
    points, last = _of_stroke5(rows) if five else _of_three(rows)
    if form not in ("offsets", "absolute"):
        form = _npy_format(points, five)
    if form == "offsets":
        with np.errstate(over="ignore"):  # what becomes infinite is refused as such
            points = np.cumsum(points, axis=0)
        if not np.isfinite(points).all():
            raise ValueError("offsets whose sum is not finite")
        return VectorSketch.fit(cut(points, last))
    if not five and len(last) > 2 and last[:-1].mean() > 0.5:
        raise ValueError("the third column ends a stroke at most points; it must be 1 at the last point of each stroke")
    return on_canvas(cut(points, last))


def stroke3_strokes(rows: NDArray[np.floating | np.integer]) -> list[NDArray[np.float64]]:
    """Strokes of rows (dx, dy, lifted): offsets from the point before, and whether the pen is lifted afterwards.

    The format of sketch-rnn (Ha and Eck, ICLR 2018, https://arxiv.org/abs/1704.03477).

    Raises:
        ValueError: another shape, no points or too many, or a pen state other than 0 and 1.
    """
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise ValueError(f"an array of shape {rows.shape}, not (points, 3)")
    points, last = _of_three(rows)
    return cut(np.cumsum(points, axis=0, dtype=np.float64), last)


def _of_three(rows: NDArray[np.floating | np.integer]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """First two columns, and whether each row is the last of its stroke."""
    if not np.isin(rows[:, 2], (0.0, 1.0)).all():
        raise ValueError("a pen state (third column) other than 0 and 1")
    return rows[:, :2].astype(np.float64), rows[:, 2] == 1.0


def _of_stroke5(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """As `_of_three`, of the rows in which the drawing is not over."""
    pens = rows[:, 2:]
    if not (np.isin(pens, (0.0, 1.0)).all() and (pens.sum(axis=1) == 1.0).all()):
        raise ValueError("stroke-5 pen states (columns 2 to 4) must be one-hot")
    rows = rows[pens[:, 2] == 0.0]
    return rows[:, :2], rows[:, 3] == 1.0


def _npy_format(points: NDArray[np.float64], five: bool) -> str:
    """`offsets` or `absolute`."""
    names = "sketch-rnn's stroke-5 (offsets) or absolute stroke-5" if five else "stroke-3 (offsets) or absolute x, y"
    unsure = ValueError(f"may be {names}: give the format, offsets or absolute {_HOW}")
    if len(points) < 2:
        return "absolute"  # a dot is a dot
    if (points >= 0.0).all():
        if five and (points <= 1.0).all():
            return "absolute"
        steps = np.diff(points, axis=0)
        if all((column >= 0.0).all() or (column <= 0.0).all() for column in steps.T):
            raise unsure
        return "absolute"
    if len(points) > 3 and (points != np.round(points)).any():
        steps = np.diff(points, axis=0)
        step, change = (float(np.median(np.hypot(*part.T))) for part in (steps, np.diff(steps, axis=0)))
        if change < _SMOOTH * step:
            raise unsure
    return "offsets"


def on_canvas(strokes: list[NDArray[np.float64]]) -> VectorSketch:
    """Strokes as they are where all numbers lie in [0, 1], otherwise scaled by their bounding box.

    Raises:
        ValueError: as `VectorSketch.from_strokes`.
    """
    unit = all(stroke.size and stroke.min() >= 0.0 and stroke.max() <= 1.0 for stroke in strokes)
    return VectorSketch.from_strokes(strokes) if unit else VectorSketch.fit(strokes)
