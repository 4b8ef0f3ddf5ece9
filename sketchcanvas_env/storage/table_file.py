"""Tables in files: arrays of fixed kinds and shapes, and a JSON header with all other fields.

Outcome tables and the files beside them are checked, written and read by these functions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.storage.files import parse_json
from sketchcanvas_env.storage.npz import read_npz

FORMAT = 1
"""Version of the file format; a file of another version is refused."""

HEADER = "header"
"""Name of the array that holds the header."""

Columns = Mapping[str, tuple[Any, tuple[Any, ...]]]
"""Name of each array: its kind, a dtype or `str`, and its shape in numbers, and in letters that stand for sizes."""

_MAX_REASON = 300

T = TypeVar("T")


class TableError(ValueError):
    """A table, or a file of one, that cannot be right; the message says what is wrong, and in which file."""


# -------------------------------------------------------------------- checks


def own_column(name: str, value: npt.ArrayLike, kind: Any) -> npt.NDArray[Any]:
    """The array read-only in the column's dtype, a copy if need be; a value that the dtype cannot hold is an error."""
    given = np.asarray(value)
    fits = given.dtype.kind == "U" and given.dtype.isnative if kind is str else given.dtype == np.dtype(kind)
    if fits and given.flags.c_contiguous and given.flags.aligned and _unchangeable(given):
        return given
    if kind is str:
        if given.dtype.kind != "U" and not (given.dtype.kind == "O" and all(isinstance(v, str) for v in given.flat)):
            if given.size:
                raise TableError(f"{name} must be strings, got dtype {given.dtype}")
            given = given.astype(np.str_)
        array = np.array(given, dtype=np.str_)
    else:
        integer = np.dtype(kind).kind == "i"
        if given.dtype.kind not in ("iu" if integer else "iuf"):
            raise TableError(f"{name} must be {'integers' if integer else 'numbers'}, got dtype {given.dtype}")
        if integer and given.size:
            limits = np.iinfo(kind)
            if int(given.min()) < limits.min or int(given.max()) > limits.max:
                raise TableError(f"{name} has a value that does not fit {np.dtype(kind)}")
        with np.errstate(over="ignore"):  # what becomes infinite is refused as such
            array = np.array(given, dtype=kind, order="C")
    array.flags.writeable = False
    return array


def _unchangeable(array: npt.NDArray[Any]) -> bool:
    """Whether nobody can write to an array's memory: not through it, nor through what it is a view of."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    try:
        return base is None or memoryview(base).readonly
    except TypeError:
        return False


def check_shapes(shapes: Mapping[str, tuple[int, ...]], columns: Columns, **known: int) -> dict[str, int]:
    """Raise TableError unless every array has the shape of its column.

    Args:
        shapes: of the arrays by name, all in `columns`.
        columns: what there may be.
        known: sizes that letters must stand for; the first array decides about the others.

    Returns:
        What each letter stands for.
    """
    sizes = dict(known)
    for name, given in shapes.items():
        shape = columns[name][1]
        expected = tuple(sizes.setdefault(axis, size) if isinstance(axis, str) else axis
                         for axis, size in zip(shape, given, strict=False))  # fmt: skip
        if len(shape) != len(given) or given != expected:
            words = ", ".join(str(sizes.get(axis, axis)) for axis in shape)
            raise TableError(f"{name} must have shape ({words}), got {given}")
    return sizes


def shapes_of(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """The shapes of arrays, by name."""
    return {name: array.shape for name, array in arrays.items()}


def check_meta(meta: Mapping[str, Any]) -> None:
    """Raise TableError unless `meta` can be written as JSON."""
    try:
        json.dumps(meta, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TableError(f"meta must be JSON-able: {error}") from None


# -------------------------------------------------------------------- files


def header_text(fields: Mapping[str, Any]) -> str:
    """What a file says of its table beside the arrays."""
    return json.dumps({"format": FORMAT, **fields}, sort_keys=True)


def load_file(
    make: Callable[..., T],
    path: str | os.PathLike[str],
    *,
    name: str,
    missing: str,
    columns: Columns,
    texts: Collection[str],
    objects: Collection[str],
    optional: Collection[str] = (),
) -> T:
    """Read or map a table; everything in its file is checked first.

    Args:
        make: makes the table of its arrays and of the header's fields, and checks them.
        path: an .npz file.
        name: what to call it in messages, "outcome table".
        missing: what to say where there is no file.
        columns: the arrays.
        texts: fields of the header that `make` checks.
        objects: the other fields of the header.
        optional: arrays that may be missing.

    Raises:
        FileNotFoundError: no such file.
        TableError: anything else that is wrong with it; the message names the file and the reason.
    """
    kinds = {column: np.dtype(kind).kind for column, (kind, _) in columns.items()}
    try:
        arrays = read_npz(
            path,
            {HEADER: "U", **kinds},
            optional=optional,
            check=lambda shapes: check_shapes({name: shapes[name] for name in columns if name in shapes}, columns),
        )
        return make(**_fields(arrays.pop(HEADER), texts, objects), **arrays)
    except FileNotFoundError:
        raise FileNotFoundError(missing) from None
    except Exception as error:
        # A broken archive fails in many ways (zlib, struct, tokenize ...); to the caller they are one.
        reason = (str(error) or type(error).__name__)[:_MAX_REASON]
        raise TableError(f"{os.fspath(path)}: not a usable {name}: {reason}") from error


def _fields(array: npt.NDArray[Any], texts: Collection[str], objects: Collection[str]) -> dict[str, Any]:
    found = parse_json(str(array[()]), HEADER)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        version = found.get("format") if isinstance(found, dict) else None
        raise TableError(f"format {version!r}, this version reads format {FORMAT}")
    del found["format"]
    if set(found) != {*texts, *objects} or not all(isinstance(found[name], dict) for name in objects):
        raise TableError(f"header must have {', '.join(texts)}, the objects {' and '.join(objects)}, and nothing else")
    return found


def load_once(read: Callable[[str], T], path: str | os.PathLike[str], missing: str) -> T:
    """What `read` makes of a file, once in a process for each state of the file; tables are immutable and shared.

    Raises:
        FileNotFoundError: no such file, with `missing` for a message; what `read` raises otherwise.
    """
    try:
        state = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(missing) from None
    found: T = _read_once(read, os.fspath(Path(path).resolve()), state.st_mtime_ns, state.st_size)
    return found


@lru_cache(maxsize=16)
def _read_once(read: Callable[[str], Any], path: str, modified: int, size: int) -> Any:
    return read(path)
