"""Tables stored in `.npz` files: arrays of fixed dtypes and shapes, and a JSON header with all other fields.

`StoredTable` is the base of outcome tables and of the tables that belong to one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.storage.files import parse_json
from sketchcanvas_env.storage.npz import Shape, read_npz, write_either

FORMAT = 1
"""Version of the file format. Files of another version are refused."""

HEADER = "header"
"""Name of the array that holds the header."""

Columns = Mapping[str, tuple[Any, tuple[Any, ...]]]
"""Name of each array: its dtype (or `str`), and its shape as numbers and as letters that stand for sizes."""

_MAX_REASON = 300


class TableError(ValueError):
    """A table, or its file, is invalid. The message says what is wrong and in which file."""


class StoredTable:
    """Base of immutable tables stored in `.npz` files.

    Subclasses are frozen dataclasses. Their fields are the arrays in `ARRAYS`, the strings in `TEXTS` and the JSON
    objects in `OBJECTS`, one of which is `meta`. Arrays are checked and made read-only; they are copied unless their
    memory is read-only already.

    Attributes:
        ARRAYS: dtype and shape of each array.
        OPTIONAL: arrays that may be None. They are then left out of the file and of the hash.
        TEXTS: fields that are non-empty strings.
        OBJECTS: fields that are dicts.
        NAME: what messages call the table.
        MISSING: error message where there is no file; `{path}` stands for it.
    """

    ARRAYS: ClassVar[Columns]
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    TEXTS: ClassVar[tuple[str, ...]]
    OBJECTS: ClassVar[tuple[str, ...]] = ("meta",)
    NAME: ClassVar[str]
    MISSING: ClassVar[str]

    meta: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Check the fields and make the arrays read-only."""
        for name in self.OBJECTS:
            object.__setattr__(self, name, dict(getattr(self, name)))
        for name, given in self._arrays().items():
            object.__setattr__(self, name, own_column(name, given, self.ARRAYS[name][0]))
        for name in self.TEXTS:
            text = getattr(self, name)
            if not isinstance(text, str) or not text or not text.isprintable():
                raise TableError(f"{name} must be a string, not empty, and printable")
        self._check(self._check_shapes({name: array.shape for name, array in self._arrays().items()}))
        try:
            json.dumps(self.meta, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TableError(f"meta must be JSON-able: {error}") from None

    def _check(self, sizes: Mapping[str, int]) -> None:
        """Raise TableError for values out of range; `sizes` has what the letters in `ARRAYS` stand for."""
        raise NotImplementedError

    @classmethod
    def _check_shapes(cls, shapes: Mapping[str, Shape]) -> dict[str, int]:
        """Size of each letter in `ARRAYS`.

        Args:
            shapes: shapes of the arrays by name. The first one with a letter sets its size. The header is ignored.

        Raises:
            TableError: an array does not have the shape in `ARRAYS`.
        """
        sizes: dict[str, int] = {}
        for name in (name for name in cls.ARRAYS if name in shapes):
            axes, given = cls.ARRAYS[name][1], shapes[name]
            expected = tuple(sizes.setdefault(axis, size) if isinstance(axis, str) else axis
                             for axis, size in zip(axes, given, strict=False))  # fmt: skip
            if len(axes) != len(given) or given != expected:
                words = ", ".join(str(sizes.get(axis, axis)) for axis in axes)
                raise TableError(f"{name} must have shape ({words}), got {given}")
        return sizes

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The table's arrays by name, without optional ones that are None."""
        have = {name: getattr(self, name) for name in self.ARRAYS}
        return {name: array for name, array in have.items() if name not in self.OPTIONAL or array is not None}

    def _header(self) -> str:
        return self.header_of({name: getattr(self, name) for name in (*self.TEXTS, *self.OBJECTS)})

    @staticmethod
    def header_of(fields: Mapping[str, Any]) -> str:
        """The file's header as JSON."""
        return json.dumps({"format": FORMAT, **fields}, sort_keys=True)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the table atomically; equal tables give equal bytes.

        Tables of at least `npz.MAPPED_FROM` bytes are stored so that they can be mapped, smaller ones are compressed.

        Args:
            path: an `.npz` file; missing folders are made.

        Returns:
            The path.
        """
        write_either(Path(path), {HEADER: np.array(self._header()), **self._arrays()})
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read or map a table written by `save`. The file is not trusted: everything is checked first.

        Args:
            path: an `.npz` file.

        Returns:
            The table.

        Raises:
            FileNotFoundError: no such file; the message is `MISSING`.
            TableError: anything else that is wrong with it; the message names the file and the reason.
        """
        kinds = {column: np.dtype(kind).kind for column, (kind, _) in cls.ARRAYS.items()}
        try:
            arrays = read_npz(path, {HEADER: "U", **kinds}, optional=cls.OPTIONAL, check=cls._check_shapes)
            return cls(**cls._fields(arrays.pop(HEADER)), **arrays)
        except FileNotFoundError:
            raise FileNotFoundError(cls.MISSING.format(path=os.fspath(path))) from None
        except Exception as error:
            # A broken archive raises many kinds of error (zlib, struct, tokenize ...); callers get one.
            reason = (str(error) or type(error).__name__)[:_MAX_REASON]
            raise TableError(f"{os.fspath(path)}: not a usable {cls.NAME}: {reason}") from error

    @classmethod
    def load_cached(cls, path: str | os.PathLike[str]) -> Self:
        """As `load`, but only once per process until the file's size or time stamp changes. The table is shared."""
        try:
            state = os.stat(path)
        except FileNotFoundError:
            raise FileNotFoundError(cls.MISSING.format(path=os.fspath(path))) from None
        found: Self = _load_cached(cls.load, os.fspath(Path(path).resolve()), state.st_mtime_ns, state.st_size)
        return found

    @classmethod
    def _fields(cls, header: npt.NDArray[Any]) -> dict[str, Any]:
        found = parse_json(str(header[()]), HEADER)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            version = found.get("format") if isinstance(found, dict) else None
            raise TableError(f"format {version!r}, this version reads format {FORMAT}")
        del found["format"]
        texts, objects = cls.TEXTS, cls.OBJECTS
        if set(found) != {*texts, *objects} or not all(isinstance(found[name], dict) for name in objects):
            raise TableError(
                f"header must have {', '.join(texts)}, the objects {' and '.join(objects)}, and nothing else"
            )
        return found


@lru_cache(maxsize=16)
def _load_cached(load: Callable[[str], Any], path: str, modified: int, size: int) -> Any:
    return load(path)


def own_column(name: str, value: npt.ArrayLike, kind: Any) -> npt.NDArray[Any]:
    """The values as a read-only array.

    Args:
        name: what messages call them.
        value: array-like; it is copied unless nothing can write to its memory.
        kind: the array's dtype, or `str`.

    Raises:
        TableError: values of another kind, or that do not fit the dtype.
    """
    given = np.asarray(value)
    fits = given.dtype.kind == "U" and given.dtype.isnative if kind is str else given.dtype == np.dtype(kind)
    if fits and given.flags.c_contiguous and given.flags.aligned and _unchangeable(given):
        return given
    if kind is str:
        if given.dtype.kind != "U" and not all(isinstance(each, str) for each in given.flat):
            raise TableError(f"{name} must be strings, got dtype {given.dtype}")
        array = np.array(given, dtype=np.str_)
    else:
        integer = np.dtype(kind).kind == "i"
        if given.dtype.kind not in ("iu" if integer else "iuf"):
            raise TableError(f"{name} must be {'integers' if integer else 'numbers'}, got dtype {given.dtype}")
        with np.errstate(over="ignore"):  # overflow gives infinity, which the tables refuse
            array = np.array(given, dtype=kind, order="C")
        if integer and (array != given).any():
            raise TableError(f"{name} has a value that does not fit {array.dtype}")
    array.flags.writeable = False
    return array


def _unchangeable(array: npt.NDArray[Any]) -> bool:
    """Whether an array's memory is read-only through the array and through everything it is a view of."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    try:
        return base is None or memoryview(base).readonly
    except TypeError:
        return False
