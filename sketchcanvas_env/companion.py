"""Files that lie beside an outcome table and belong to it, row by row: how they are written, read and found.

What they hold is their subject (`looks`, `prefixes`); a subclass of `Companion` says what arrays there are, and checks
them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt

from sketchcanvas_env import reward as rules
from sketchcanvas_env import table as tables
from sketchcanvas_env.files import parse_json
from sketchcanvas_env.npz import read_npz, write_npz
from sketchcanvas_env.table import OutcomeTable, TableError, own_column

FORMAT = 1
"""Version of the file format; a file of another version is refused."""

_HEADER = "header"
_MAX_REASON = 300


class Companion:
    """A table beside an outcome table: the base of frozen dataclasses, whose arrays are copied, checked and read-only.

    Attributes:
        outcomes_hash: `OutcomeTable.hash` of the whole table that it belongs to.
        meta: where it comes from; JSON-able.
        ARRAYS: name of each array in the file: its kind, and its shape in letters that stand for sizes.
        SUFFIX: how its file is called: `mine.npz` has `mine` + SUFFIX beside it.
        NAME: what to call it in messages, "table of looks".
        MISSING: what to say where there is none; `{path}` stands for the file.
    """

    ARRAYS: ClassVar[Mapping[str, tuple[Any, tuple[Any, ...]]]]
    SUFFIX: ClassVar[str]
    NAME: ClassVar[str]
    MISSING: ClassVar[str]

    outcomes_hash: str
    meta: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Copy and check."""
        for name, (kind, _) in self.ARRAYS.items():
            object.__setattr__(self, name, own_column(name, getattr(self, name), kind))
        object.__setattr__(self, "meta", dict(self.meta))
        of = self.outcomes_hash
        if not (isinstance(of, str) and of and of.isprintable()):
            raise TableError("outcomes_hash must be a string, not empty, that can be printed")
        self._check()
        try:
            json.dumps(self.meta, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TableError(f"meta must be JSON-able: {error}") from None

    def _check(self) -> None:
        """Raise TableError for the first thing that cannot be, whatever the outcome table says."""
        raise NotImplementedError

    def check_against(self, table: OutcomeTable) -> None:
        """Raise TableError unless this belongs to `table`, the whole of it, and agrees with it."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a compressed .npz without pickles, atomically; equal contents give equal bytes.

        Args:
            path: where to, beside the table (`path_beside`); the folder is made if it is missing.

        Returns:
            The path.
        """
        header = json.dumps(
            {"format": FORMAT, "outcomes_hash": self.outcomes_hash, "meta": dict(self.meta)}, sort_keys=True
        )
        write_npz(Path(path), {_HEADER: np.array(header), **{name: getattr(self, name) for name in self.ARRAYS}})
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file written by `save`, believing nothing in it before it is checked.

        Args:
            path: an .npz file.

        Returns:
            The table.

        Raises:
            FileNotFoundError: no such file.
            TableError: anything else that is wrong with it; the message names the file and the reason.
        """
        kinds = {name: np.dtype(kind).kind for name, (kind, _) in cls.ARRAYS.items()}
        try:
            arrays = read_npz(path, {_HEADER: "U", **kinds})
            return cls(**_read_header(arrays.pop(_HEADER)), **arrays)
        except FileNotFoundError:
            raise FileNotFoundError(cls.MISSING.format(path=os.fspath(path))) from None
        except Exception as error:
            # A broken archive fails in many ways (zlib, struct, tokenize ...); to the caller they are one.
            reason = (str(error) or type(error).__name__)[:_MAX_REASON]
            raise TableError(f"{os.fspath(path)}: not a usable {cls.NAME}: {reason}") from error

    @classmethod
    def path_beside(cls, table: str | os.PathLike[str]) -> Path:
        """Where the file lies that belongs to the outcome table in a file."""
        path = Path(table)
        return path.with_name(path.name.removesuffix(".npz") + cls.SUFFIX)


C = TypeVar("C", bound=Companion)


def load_beside(kind: type[C], table: OutcomeTable, path: str | os.PathLike[str] | None = None) -> C:
    """Read what belongs to an outcome table, once in a process for each state of the file.

    Args:
        kind: what is to be read.
        table: the whole table.
        path: the file; None for the one that is shipped with the student's table.

    Raises:
        FileNotFoundError: no such file; the message says how to make it.
        TableError: a damaged file, or one that was made for another table.
    """
    shipped = tables.TABLES / f"{table.dataset}-{table.student}.npz"
    file = kind.path_beside(shipped) if path is None else Path(path)
    try:
        state = os.stat(file)
    except FileNotFoundError:
        raise FileNotFoundError(kind.MISSING.format(path=os.fspath(file))) from None
    # mypy does not take a generic class for something that can be hashed.
    found = cast("C", _load_once(cast("Any", kind), os.fspath(file.resolve()), state.st_mtime_ns, state.st_size))
    try:
        found.check_against(table)
    except TableError as error:
        raise TableError(f"{file}: {error}") from None
    return found


@lru_cache(maxsize=16)
def _load_once(kind: type[Companion], path: str, modified: int, size: int) -> Companion:
    return kind.load(path)


def check_distances(distances: npt.NDArray[np.float32]) -> None:
    """Raise TableError unless distances of nearest photos are finite, in range, and do not fall along the last axis."""
    most = rules.MAX_DISTANCE + rules.DISTANCE_SLACK
    if not np.isfinite(distances).all() or (distances < 0).any() or (distances > most).any():
        raise TableError(f"distances must be finite and lie in [0, {rules.MAX_DISTANCE:g}]")
    if (np.diff(distances, axis=-1) < 0).any():
        raise TableError("distances must not fall: the nearest photo comes first")


def _read_header(array: npt.NDArray[Any]) -> dict[str, Any]:
    header = parse_json(str(array[()]), "header")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        raise TableError(f"format {found!r}, this version reads format {FORMAT}")
    if set(header) != {"format", "outcomes_hash", "meta"} or not isinstance(header["meta"], dict):
        raise TableError("header must have outcomes_hash and an object meta, and nothing else")
    return {"outcomes_hash": header["outcomes_hash"], "meta": header["meta"]}
