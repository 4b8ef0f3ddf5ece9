"""Base of the tables that are stored beside an outcome table and belong to it: looks and prefixes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.outcomes import finding
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.table_file import StoredTable, TableError


class SidecarTable(StoredTable):
    """Base of tables that belong to one outcome table.

    Attributes:
        outcomes_hash: `OutcomeTable.hash` of the whole table.
        meta: provenance, JSON-able.
        SUFFIX: `mine.npz` has its sidecar in `mine` + SUFFIX.
    """

    TEXTS: ClassVar = ("outcomes_hash",)
    SUFFIX: ClassVar[str]

    outcomes_hash: str

    def __repr__(self) -> str:
        """One line with the shapes of the arrays."""
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self._arrays().items())
        return f"<{type(self).__name__} beside outcomes {self.outcomes_hash[:12]}: {shapes}>"

    def check_against(self, table: OutcomeTable) -> None:
        """Check that this belongs to an outcome table and agrees with it.

        Args:
            table: the whole table, with all splits and canvases.

        Raises:
            TableError: made for another table, or values that contradict it.
        """
        raise NotImplementedError

    @classmethod
    def path_beside(cls, table: str | os.PathLike[str]) -> Path:
        """Path of the sidecar of the outcome table in a file.

        Example:
            >>> from sketchcanvas_env.outcomes.looks import LookTable
            >>> LookTable.path_beside("runs/mine.npz").as_posix()
            'runs/mine.looks.npz'
        """
        path = Path(table)
        return path.with_name(path.name.removesuffix(".npz") + cls.SUFFIX)

    @classmethod
    def load_beside(cls, table: OutcomeTable, path: str | os.PathLike[str] | None = None) -> Self:
        """Read the sidecar of an outcome table, once per process until the file changes.

        Args:
            table: the whole table.
            path: the sidecar's file; None for the shipped one.

        Raises:
            FileNotFoundError: no such file; the message says how to make it.
            TableError: a damaged file, or one made for another table.
        """
        shipped = finding.TABLES / f"{table.dataset}-{table.student}.npz"
        file = cls.path_beside(shipped) if path is None else Path(path)
        found = cls.load_cached(file)
        try:
            found.check_against(table)
        except TableError as error:
            raise TableError(f"{file}: {error}") from None
        return found

    @classmethod
    def resolve(
        cls,
        given: Self | str | os.PathLike[str] | None,
        table: OutcomeTable,
        table_argument: str | os.PathLike[str] | OutcomeTable | None,
    ) -> Self:
        """The sidecar that the arguments of an environment name.

        Args:
            given: the sidecar, its path, or None for the one beside the table.
            table: the whole outcome table.
            table_argument: how the environment was given its table: an object, a path, or None for the shipped one.

        Raises:
            FileNotFoundError, TableError: as `load_beside`.
        """
        if given is None and isinstance(table_argument, str | os.PathLike):
            given = cls.path_beside(table_argument)
        if given is None or isinstance(given, str | os.PathLike):
            return cls.load_beside(table, given)
        given.check_against(table)
        return given


def check_distances(distances: npt.NDArray[np.float32]) -> None:
    """Raise TableError unless the distances are finite, in range and sorted along the last axis."""
    most = rules.MAX_DISTANCE + rules.DISTANCE_SLACK
    if not np.isfinite(distances).all() or (distances < 0).any() or (distances > most).any():
        raise TableError(f"distances must be finite and lie in [0, {rules.MAX_DISTANCE:g}]")
    if (np.diff(distances, axis=-1) < 0).any():
        raise TableError("distances must not fall: the nearest photo comes first")


def true_photos(table: OutcomeTable) -> npt.NDArray[np.int64]:
    """Index in `table.photos` of each sketch's true photo, (N,)."""
    place = {photo: index for index, photo in enumerate(table.photos.tolist())}
    return np.array([place[photo] for photo in table.photo_ids.tolist()], dtype=np.int64)


def gallery_sizes(table: OutcomeTable) -> npt.NDArray[np.int64]:
    """Number of photos that each sketch is ranked among, (N,)."""
    return np.array([table.gallery_size[split] for split in table.split.tolist()], dtype=np.int64)
