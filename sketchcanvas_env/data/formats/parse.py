"""Numbers out of `.npy` and JSON files that nobody vouches for, and rows that say where a stroke ends."""

from __future__ import annotations

import io
import json
import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_NPY_BYTES = 8 * 2**20
"""Largest file that is read: a drawing of `sketch.MAX_POINTS` rows of five float64 takes a quarter of it."""
_MAX_HEADER = 1024
"""Longest description of an array that is parsed, bytes."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(data: bytes) -> NDArray[np.float64]:
    """The array of a `.npy` file of real numbers; a pickle in it is never looked at.

    Raises:
        ValueError: another kind of file or of array, a number that is not finite, or a header that does not speak of
            exactly the bytes that follow it.
    """
    shape, fortran, dtype, start = npy_header(data)
    if dtype.kind not in "biuf":
        raise ValueError(f"holds {dtype}, not real numbers")
    rest = data[start:]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(rest):
        raise ValueError(f"a damaged .npy file: it claims {shape} of {dtype} but {len(rest):,} bytes follow")
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
    return shape, fortran, dtype, body.tell()


def read_json(data: bytes) -> Any:
    """What a JSON text in UTF-8 says.

    Raises:
        ValueError: another kind of text, NaN or Infinity, or nested too deep.
    """
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refused)
    except RecursionError:
        raise ValueError("not JSON: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def numbers(value: object) -> NDArray[np.float64]:
    """A list of numbers, or of lists of equally many, as an array.

    Raises:
        ValueError: something else in it than numbers, lists of different lengths, or a number that is not finite.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError("lists of different lengths") from None
    if not isinstance(value, list) or (array.size and array.dtype.kind not in "iuf"):
        raise ValueError("something else than numbers in a list")
    if not np.isfinite(array).all():
        raise ValueError("a number that is not finite")
    return array.astype(np.float64)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number there")


def cut(points: NDArray[np.float64], last: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Points (N, 2) as strokes, given which points are the last of their stroke; the array ends the last stroke.

    Raises:
        ValueError: no points.
    """
    if not len(points):
        raise ValueError("empty: it has no points")
    return np.split(points, np.flatnonzero(last[:-1]) + 1)


def stroke3_strokes(rows: NDArray[np.floating | np.integer]) -> list[NDArray[np.float64]]:
    """Strokes of rows (dx, dy, lifted): offsets from the point before, and whether the pen is lifted afterwards.

    The format of sketch-rnn (Ha and Eck, ICLR 2018, https://arxiv.org/abs/1704.03477).

    Raises:
        ValueError: another shape, no points, a sum that overflows, or a pen state other than 0 and 1.
    """
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise ValueError(f"an array of shape {rows.shape}, not (points, 3)")
    if not np.isin(rows[:, 2], (0.0, 1.0)).all():
        raise ValueError("a pen state (third column) other than 0 and 1")
    return cut(np.cumsum(rows[:, :2], axis=0, dtype=np.float64), rows[:, 2] == 1.0)
