"""Stores the rows of a long computation in a file, block by block: memory stays bounded, and a killed run resumes.

Name the file by `key`, so that rows of another computation are never used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.storage.files import atomic_write

BLOCK = 256
"""Rows that are computed and stored together; a killed run loses at most one block."""

Columns = Mapping[str, tuple[Any, tuple[int, ...]]]
"""Dtype and shape of a row's cell in each column, by column name."""

_DONE = "done"


class BlockFile:
    """`length` rows of named columns, each written once; an existing file is continued.

    A block counts as stored once all of it is on the disk. Several processes may write the same rows to one file.

    Attributes:
        rows: (length,) structured array, mapped from the file and read-only; the columns of a row that is not stored
            are zero or damaged.
    """

    def __init__(self, path: Path, columns: Columns, length: int) -> None:
        """Open, making the file and its folder where they are missing.

        Args:
            path: the file.
            columns: what a row holds.
            length: number of rows, at least 1.

        Raises:
            ValueError: the file is there and has another size.
            OSError: it cannot be made.
        """
        # 1 in the last row of a block that is stored, 0 elsewhere.
        self._dtype = np.dtype([*((name, *kind) for name, kind in columns.items()), (_DONE, np.int32)])
        size = length * self._dtype.itemsize
        if not path.exists():
            with atomic_write(path) as temporary:
                os.truncate(temporary, size)
        # Held open, so that the file stays readable if another process finishes and removes it.
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115 (closed by __exit__)
        found = os.fstat(self._file.fileno()).st_size
        if found != size:
            self._file.close()
            raise ValueError(f"{path} has {found:,} bytes where {size:,} are due: remove it")
        self.rows: np.memmap[Any, Any] = np.memmap(self._file, self._dtype, mode="r", shape=(length,))

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; `rows` can still be read."""
        self._file.close()

    def blocks(self, start: int, stop: int) -> Iterator[tuple[slice, bool]]:
        """The blocks of the rows from `start` to before `stop`, and whether each is stored."""
        for first in range(start, stop, BLOCK):
            block = slice(first, min(first + BLOCK, stop))
            yield block, bool(self.rows[_DONE][block.stop - 1])

    def store(self, block: slice, **columns: NDArray[Any]) -> None:
        """Write a block's columns to the disk.

        Args:
            block: one that `blocks` gave.
            columns: (rows of the block, ...) arrays, all of the file's columns.

        Raises:
            OSError: the disk is full; the block is not stored then.
        """
        rows = np.zeros(block.stop - block.start, self._dtype)
        for name, column in columns.items():
            rows[name] = column
        # Written, not assigned through the map: a full disk then raises an exception and does not kill the process.
        for first in (0, len(rows) - 1):  # first all of the block, then the mark that it is there
            self._write((block.start + first) * self._dtype.itemsize, rows[first:].tobytes())
            rows[_DONE][-1] = 1

    def _write(self, offset: int, data: bytes) -> None:
        try:
            self._file.seek(offset)
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            error.filename = self._file.name  # a full disk does not say which file it was for
            raise


def key(settings: Mapping[str, Any]) -> str:
    """24 hex digits that identify a computation: a hash of the JSON-able settings that its rows depend on."""
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]
