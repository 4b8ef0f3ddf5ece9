"""Millions of names in memory, and where they stand in an array: exact, without a Python object for each name.

A list of strings takes some 90 bytes a name, a set or dictionary some 150; `NameList` keeps the characters and eight
bytes more. Names are looked up by a hash of 64 bits; hash collisions are compared exactly.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 14
"""Rows that are looked at together."""

# Fowler, Noll and Vo's hash (FNV-1a, 64 bits), a character at a time.
_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)


def blocks(length: int) -> Iterator[slice]:
    """Slices of `BLOCK` rows that cover `length` rows."""
    return (slice(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))


class NameList:
    """Names one after another in UTF-8; eight bytes each beside their characters.

    Example:
        >>> names = NameList()
        >>> names.append("cat")
        >>> names.append("dog")
        >>> len(names), names[1], names.array().tolist()
        (2, 'dog', ['cat', 'dog'])
    """

    def __init__(self) -> None:
        """Begin without names."""
        self._text = bytearray()
        self._ends = array("q", [0])

    def append(self, name: str) -> None:
        """Add a name; a file's name that is no UTF-8 may be one."""
        self._text += name.encode(errors="surrogatepass")
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        """Number of names."""
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> str:
        """The name at a place from 0.

        Raises:
            IndexError: no such place.
        """
        if not 0 <= place < len(self):
            raise IndexError(f"no name at {place} of {len(self)}")
        return self._text[self._ends[place] : self._ends[place + 1]].decode(errors="surrogatepass")

    def __iter__(self) -> Iterator[str]:
        """The names in order."""
        return (self[place] for place in range(len(self)))

    def array(self) -> NDArray[np.str_]:
        """(N,) the names."""
        width = max(1, max(map(len, self), default=1))
        return np.fromiter(self, np.dtype(f"U{width}"), len(self))


def repeats(names: NDArray[np.str_]) -> bool:
    """Whether any of (N,) names occurs twice."""
    hashes = _hashes(names)
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    suspects = names[order[np.union1d(same, same + 1)]].tolist()
    return len(set(suspects)) != len(suspects)


class Places:
    """Where names stand in an array of names that are all different.

    Example:
        >>> Places(np.array(["cat", "dog"])).of(np.array(["dog", "cow"])).tolist()
        [1, -1]
    """

    def __init__(self, names: NDArray[np.str_]) -> None:
        """Take (N,) names, none of them twice."""
        self._names = names
        hashes = _hashes(names)
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]

    def of(self, wanted: NDArray[np.str_]) -> NDArray[np.int64]:
        """Place of each of (n,) names, (n,) int64; -1 for one that is not there."""
        if not len(self._names):
            return np.full(len(wanted), -1)
        found = np.empty(len(wanted), dtype=np.int64)
        for rows in blocks(len(wanted)):
            near = np.searchsorted(self._sorted, _hashes(wanted[rows]))
            found[rows] = self._order[np.minimum(near, len(self._names) - 1)]
            # Not there, or another name of the same 64 bits stands in front of it.
            for row in (rows.start + np.flatnonzero(self._names[found[rows]] != wanted[rows])).tolist():
                found[row] = self._exact.get(str(wanted[row]), -1)
        return found

    @cached_property
    def _exact(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self._names.tolist())}


def _hashes(names: NDArray[np.str_]) -> NDArray[np.uint64]:
    """64 bits of each of (N,) names; equal names have equal ones, however wide their arrays are."""
    found = np.full(len(names), _BASIS)
    width = names.dtype.itemsize // 4
    for rows in blocks(len(names)) if width else ():
        codes = np.ascontiguousarray(names[rows]).astype(f"=U{width}", copy=False).view(np.uint32).reshape(-1, width)
        value = found[rows]
        for column in codes.T:
            value = np.where(column == 0, value, (value ^ column) * _PRIME)
        found[rows] = value
    return found
