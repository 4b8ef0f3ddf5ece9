"""Long lists of names: stored compactly, and looked up in sorted arrays.

A list of strings takes about 90 bytes a name and a dictionary about 150. The classes here take 16 bytes a name beside
the characters, so that a data set of a million sketches fits into memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 14
"""Rows that are processed together."""


def blocks(length: int) -> Iterator[slice]:
    """Slices of `BLOCK` rows that cover `length` rows."""
    return (slice(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))


class NameList:
    """Growing list of names in UTF-8.

    Example:
        >>> names = NameList()
        >>> names.append("cat")
        >>> names.append("dog")
        >>> len(names), names[1], names.array().tolist()
        (2, 'dog', ['cat', 'dog'])
    """

    def __init__(self) -> None:
        """Make an empty list."""
        self._text = bytearray()
        self._ends = array("q", [0])

    def append(self, name: str) -> None:
        """Add a name. File names that are not valid UTF-8 are kept as Python gives them."""
        self._text += name.encode(errors="surrogatepass")
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        """Number of names."""
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> str:
        """Name at index `place`.

        Raises:
            IndexError: no such index.
        """
        if not 0 <= place < len(self):
            raise IndexError(f"no name at {place} of {len(self)}")
        return self._text[self._ends[place] : self._ends[place + 1]].decode(errors="surrogatepass")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in order."""
        return (self[place] for place in range(len(self)))

    def array(self) -> NDArray[np.str_]:
        """The names as an array, (N,)."""
        width = max(1, max(map(len, self), default=1))
        return np.fromiter(self, np.dtype(f"U{width}"), len(self))


def repeats(names: NDArray[np.str_]) -> bool:
    """Whether any of (N,) names occurs twice."""
    order = np.argsort(names, kind="stable")
    pairs = (order[rows.start : rows.stop + 1] for rows in blocks(len(names)))
    return any((names[some[1:]] == names[some[:-1]]).any() for some in pairs)


class Places:
    """Index of the names in an array of distinct names.

    Example:
        >>> Places(np.array(["cat", "dog"])).of(np.array(["dog", "cow"])).tolist()
        [1, -1]
    """

    def __init__(self, names: NDArray[np.str_]) -> None:
        """Sort (N,) distinct names."""
        self._names = names
        self._order = np.argsort(names, kind="stable")

    def of(self, wanted: NDArray[np.str_]) -> NDArray[np.int64]:
        """Index of each of (n,) names in the array, (n,) int64; -1 where it is missing."""
        found = np.full(len(wanted), -1, dtype=np.int64)
        for rows in blocks(len(wanted)) if len(self._names) else ():
            some = wanted[rows]
            # searchsorted would copy all names into a wider dtype. A wanted name that is cut here differs below.
            near = np.searchsorted(self._names, some.astype(self._names.dtype), sorter=self._order)
            index = self._order[np.minimum(near, len(self._names) - 1)]
            found[rows] = np.where(self._names[index] == some, index, -1)
        return found
