"""Files that lie beside an outcome table and belong to it, row by row: how they are written, read and found.

What they hold is their subject (`looks`, `prefixes`); a subclass of `Companion` says what arrays there are, and checks
them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.outcomes import finding
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.npz import write_either
from sketchcanvas_env.storage.table_file import (
    HEADER,
    Columns,
    TableError,
    check_meta,
    header_text,
    load_file,
    load_once,
    own_column,
)


class Companion:
    """A table beside an outcome table: the base of frozen dataclasses, whose arrays are copied, checked and read-only.

    Attributes:
        outcomes_hash: `OutcomeTable.hash` of the whole table that it belongs to.
        meta: where it comes from; JSON-able.
        ARRAYS: the arrays in the file.
        OPTIONAL: those that may be missing: None, and then neither file nor hash knows of them.
        SUFFIX: how its file is called: `mine.npz` has `mine` + SUFFIX beside it.
        NAME: what to call it in messages, "table of looks".
        MISSING: what to say where there is none; `{path}` stands for the file.
    """

    ARRAYS: ClassVar[Columns]
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    SUFFIX: ClassVar[str]
    NAME: ClassVar[str]
    MISSING: ClassVar[str]

    outcomes_hash: str
    meta: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Copy and check."""
        for name, given in self._arrays().items():
            object.__setattr__(self, name, own_column(name, given, self.ARRAYS[name][0]))
        object.__setattr__(self, "meta", dict(self.meta))
        of = self.outcomes_hash
        if not (isinstance(of, str) and of and of.isprintable()):
            raise TableError("outcomes_hash must be a string, not empty, that can be printed")
        self._check()
        check_meta(self.meta)

    def __repr__(self) -> str:
        """One line: the arrays would fill dozens."""
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self._arrays().items())
        return f"<{type(self).__name__} beside outcomes {self.outcomes_hash[:12]}: {shapes}>"

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays that there are, by name."""
        have = {name: getattr(self, name) for name in self.ARRAYS}
        return {name: array for name, array in have.items() if name not in self.OPTIONAL or array is not None}

    def _check(self) -> None:
        """Raise TableError for the first thing that cannot be, whatever the outcome table says."""
        raise NotImplementedError

    def check_against(self, table: OutcomeTable) -> None:
        """Raise TableError unless this belongs to `table`, the whole of it, and agrees with it."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write an .npz without pickles, atomically; equal contents give equal bytes.

        Args:
            path: where to, beside the table (`path_beside`); the folder is made if it is missing.

        Returns:
            The path.
        """
        header = header_text({"outcomes_hash": self.outcomes_hash, "meta": self.meta})
        write_either(Path(path), {HEADER: np.array(header), **self._arrays()})
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
        return load_file(
            cls,
            path,
            name=cls.NAME,
            missing=cls.MISSING.format(path=os.fspath(path)),
            columns=cls.ARRAYS,
            texts=("outcomes_hash",),
            objects=("meta",),
            optional=cls.OPTIONAL,
        )

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
    shipped = finding.TABLES / f"{table.dataset}-{table.student}.npz"
    file = kind.path_beside(shipped) if path is None else Path(path)
    found = load_once(kind.load, file, kind.MISSING.format(path=os.fspath(file)))
    try:
        found.check_against(table)
    except TableError as error:
        raise TableError(f"{file}: {error}") from None
    return found


def check_distances(distances: npt.NDArray[np.float32]) -> None:
    """Raise TableError unless distances of nearest photos are finite, in range, and do not fall along the last axis."""
    most = rules.MAX_DISTANCE + rules.DISTANCE_SLACK
    if not np.isfinite(distances).all() or (distances < 0).any() or (distances > most).any():
        raise TableError(f"distances must be finite and lie in [0, {rules.MAX_DISTANCE:g}]")
    if (np.diff(distances, axis=-1) < 0).any():
        raise TableError("distances must not fall: the nearest photo comes first")
