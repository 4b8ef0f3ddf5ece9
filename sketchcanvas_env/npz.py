"""`.npz` files with the same bytes every time: no time stamps, no pickle, members in the order given."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.files import atomic_write

_MAX_DIRECTORY_BYTES = 1 << 16
# Small files must not become large: real arrays unpack to some five times their size, zeros to a thousand times.
_MAX_RATIO = 100
_SMALL_BYTES = 16 << 20
_END = struct.Struct("<4s4H2LH")  # of a zip file: signature, disks, entries, size and place of the directory, comment


def write_npz(path: str | Path, arrays: Mapping[str, NDArray[Any]], compress: bool = True) -> None:
    """Write arrays atomically as an `.npz` that `numpy.load(..., allow_pickle=False)` reads.

    Args:
        path: the final name.
        arrays: arrays by name; none of dtype object.
        compress: deflate the members. Left off where the bytes must not depend on a version of zlib.

    Raises:
        ValueError: an array of dtype object.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", compression=method) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            with archive.open(info, "w") as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)


def check_zip(path: str | os.PathLike[str], limit: int) -> None:
    """Refuse a zip file whose table of contents is too much to read; `zipfile` reads it whole, however long it is.

    Args:
        path: a file.
        limit: most bytes that it may have.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a plain file, too large, no zip file as `write_npz` and NumPy write it, or one of hundreds of
            members.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("not a plain file")  # a pipe would be waited for
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f"larger than {limit:,} bytes")
        file.seek(max(0, size - _END.size - 20))
        tail = file.read()
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\x05\x06"):
        raise ValueError("not a zip file, or one that was cut short")
    *_, directory, _, comment = _END.unpack(tail[-_END.size :])
    # The record of larger files (zip64) stands in front of this one and overrules it.
    if directory > _MAX_DIRECTORY_BYTES or comment or tail.startswith(b"PK\x06\x07"):
        raise ValueError("a zip file with more members than are read here, or with a comment")


def check_members(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Refuse members that unpack to far more than the file of `size` bytes, or are compressed as no `.npz` is.

    Raises:
        ValueError: as said.
    """
    if sum(member.file_size for member in members) > max(_SMALL_BYTES, _MAX_RATIO * size):
        raise ValueError(f"unpacks to more than {_MAX_RATIO} times its size")
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise ValueError("a member is compressed in a way that is not read here")
