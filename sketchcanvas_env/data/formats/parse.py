"""Numbers out of `.npy` and JSON files of strangers; everything is counted before it is converted."""

from __future__ import annotations

import io
import json
import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import MAX_POINTS, MAX_STROKES
from sketchcanvas_env.storage.untrusted import text_of

MAX_NPY_BYTES = 8 * 2**20
"""Largest file that is read: a drawing of `MAX_POINTS` rows of five float64 takes a quarter of it."""
MAX_ROWS = 2 * MAX_POINTS
"""Most rows of an array that are read; stroke-5 is often filled up with rows behind the drawing."""
MAX_LISTS = MAX_POINTS + MAX_STROKES + 100
"""Most lists and objects in the JSON text of a drawing: one for each point and stroke."""
MAX_COMMAS = 3 * MAX_POINTS + MAX_STROKES + 100
"""Most commas in the JSON text of a drawing: three numbers a point where times are given."""
_MAX_HEADER = 1024
"""Longest description of an array that is parsed, bytes."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(data: bytes) -> NDArray[np.float64]:
    """The array of a `.npy` file of real numbers; a pickle in it is never looked at.

    Raises:
        ValueError: another kind of file or of array, more than `MAX_ROWS` rows of five numbers, a number that is not
            finite, or a header that does not speak of exactly the bytes that follow it.
    """
    shape, fortran, dtype, start = npy_header(data)
    if dtype.kind not in "biuf":
        raise ValueError(f"holds {dtype}, not real numbers")
    rest = data[start:]
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(rest):
        raise ValueError(f"a damaged .npy file: it claims {shape} of {dtype} but {len(rest):,} bytes follow")
    if count > 5 * MAX_ROWS:
        raise ValueError(f"{count:,} numbers; a drawing has at most {MAX_POINTS:,} points")
    with np.errstate(over="ignore"):  # what becomes infinite is refused as such
        array = np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C").astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("a number that is not finite")
    return array


def npy_header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """What a `.npy` file says of its array: shape, Fortran order, type; and where its content starts.

    Raises:
        ValueError: another kind of file, or a damaged one.
    """
    body = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers as Python 2 wrote them
            header = _HEADERS[np.lib.format.read_magic(body)]
            shape, fortran, dtype = header(body, max_header_size=_MAX_HEADER)
    except Exception:  # NumPy's parser raises whatever a damaged header makes it stumble over
        raise ValueError("not a .npy file, or a damaged one") from None
    if any(type(size) is not int for size in shape):  # NumPy lets True be a size
        raise ValueError(f"a damaged .npy file: {shape} is no shape")
    return shape, fortran, dtype, body.tell()


def read_json(data: bytes, lists: int = MAX_LISTS, commas: int = MAX_COMMAS) -> Any:
    """The value of a JSON text.

    Args:
        data: the text in UTF-8, or in UTF-16 with a byte order mark.
        lists: most lists and objects in it.
        commas: most commas in it; together with `lists` they bound the number of values.

    Raises:
        ValueError: another kind of text, one with more in it, NaN or Infinity, a field that an object has twice, or
            nested too deep.
    """
    for what, found, most in (
        ("lists", data.count(b"[") + data.count(b"{"), lists),
        ("values", data.count(b","), commas),
    ):
        if found > most:
            raise ValueError(f"holds {found:,} {what}; at most {most:,} are read")
    text = text_of(data)
    try:
        return json.loads(text, parse_constant=_refused, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("not JSON: nested too deep") from None
    except ValueError as error:
        # What Python says of a long number is advice for programmers.
        reason = "a number of thousands of digits" if "set_int_max_str_digits" in str(error) else str(error)
        raise ValueError(f"not JSON: {reason}") from None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number there")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"an object has the field {name[:100]!r} twice")
        found[name] = value
    return found


def numbers(value: object) -> NDArray[np.float64]:
    """A list of numbers, or of lists of equally many, as an array.

    Raises:
        ValueError: something else in it than numbers, lists of different lengths, or a number that is not finite.
    """
    if not isinstance(value, list):
        raise ValueError("something else than numbers in a list")
    for row in value if value and isinstance(value[0], list) else [value]:
        # `type`, for True is an int; by hand, for NumPy makes room for the longest text as often as there are texts.
        if not isinstance(row, list) or any(type(number) not in (int, float) for number in row):
            raise ValueError("something else than numbers in a list")
    try:
        array = np.array(value, dtype=np.float64)
    except OverflowError:
        raise ValueError("a number that is not finite") from None
    except ValueError:
        raise ValueError("lists of different lengths") from None
    if not np.isfinite(array).all():
        raise ValueError("a number that is not finite")
    return array


def cut(points: NDArray[np.float64], last: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Points (N, 2) as strokes, given which points are the last of their stroke; the array ends the last stroke.

    Raises:
        ValueError: no points, more than `MAX_POINTS`, or more than `MAX_STROKES` strokes.
    """
    if not len(points):
        raise ValueError("empty: it has no points")
    ends = np.flatnonzero(last[:-1]) + 1
    if len(points) > MAX_POINTS or len(ends) >= MAX_STROKES:
        raise ValueError(
            f"{len(points):,} points in {len(ends) + 1:,} strokes; at most {MAX_POINTS:,} and {MAX_STROKES:,} are read"
        )
    return np.split(points, ends)
