"""Reproducible `.npz` files: no time stamps, no pickle, members in the order given.

`read_npz` reads two forms. `write_npz` compresses, for small or shipped files. `write_mapped` stores arrays
uncompressed and aligned, so that they can be mapped from the disk and take memory only where they are used.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.storage.files import atomic_write, is_special

MAX_MAPPED_BYTES = 16 << 30
"""Largest file that is mapped, in bytes. All of it is checked, at about 1 GB/s."""

MAPPED_FROM = 64 << 20
"""Bytes from which arrays are stored so that they can be mapped, instead of compressed."""

MAX_READ_BYTES = MAPPED_FROM + (1 << 20)
"""Most bytes in all members that are read into memory because they cannot be mapped."""

_MAX_DIRECTORY_BYTES = 1 << 16
# Limits on zip bombs: real arrays unpack to about five times their size, zeros to a thousand times.
_MAX_RATIO = 100
_SMALL_BYTES = 16 << 20
_MAX_NPY_HEADER = 4096
_MAX_CHARACTER = 0x10FFFF
_ALIGNMENT = 64
_BLOCK_BYTES = 1 << 20
_PADDING = 0xD935  # the extra field that Android's zipalign pads with
_ZIP64_BYTES = 2**31 - 1  # what zipfile lets a member have without zip64
_LOCAL = struct.Struct("<4s22x2H")  # of a member: signature, lengths of name and extra fields
_END = struct.Struct("<4s4H2LH")  # of a zip file: signature, disks, entries, size and place of the directory, comment
_END_64 = struct.Struct("<4sQ2H2L4Q")  # the same of a larger file, without a comment
_LOCATOR_64 = struct.Struct("<4sLQL")  # where that one stands


@dataclass(frozen=True)
class Rows:
    """An array given in blocks, so that it is never in memory as a whole.

    Attributes:
        dtype: dtype of all blocks.
        shape: shape of the whole array.
        blocks: arrays to be concatenated along the first axis.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    blocks: Iterable[NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """Size of the whole array in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


Shape = tuple[int, ...]


def write_either(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """`write_npz` for arrays below `MAPPED_FROM` bytes in all, else `write_mapped`; same arguments and errors."""
    large = sum(array.nbytes for array in arrays.values()) >= MAPPED_FROM
    (write_mapped if large else write_npz)(path, arrays)


def write_npz(path: str | Path, arrays: Mapping[str, NDArray[Any]], compress: bool = True) -> None:
    """Write arrays atomically as an `.npz` that `numpy.load(..., allow_pickle=False)` reads.

    Args:
        path: the final name.
        arrays: arrays by name; none of dtype object.
        compress: whether to deflate the members. Compressed bytes may depend on the version of zlib.

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


def write_mapped(path: str | Path, arrays: Mapping[str, NDArray[Any] | Rows]) -> None:
    """Write arrays atomically as an `.npz` that `read_npz` maps and `numpy.load(..., allow_pickle=False)` reads.

    Members are stored uncompressed, with padding so that array data are aligned in the file.

    Args:
        path: the final name.
        arrays: arrays, or arrays in blocks, by name; none of dtype object.

    Raises:
        ValueError: an array of dtype object, or blocks that do not add up to the shape of their `Rows`.
    """
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", compression=zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            rows = array if isinstance(array, Rows) else _whole(np.asarray(array))
            if rows.dtype.hasobject:
                raise ValueError(f"{name}: objects cannot be written without pickle")
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            large = rows.nbytes > _ZIP64_BYTES - _BLOCK_BYTES
            # NumPy pads its header to a multiple of 64 bytes, too; zip64 adds a field of 20 bytes to the local header.
            start = archive.start_dir + _LOCAL.size + len(info.filename) + 4 + 20 * large
            padding = -start % _ALIGNMENT
            info.extra = struct.pack("<2H", _PADDING, padding) + bytes(padding)
            with archive.open(info, "w", force_zip64=large) as stream:
                _write_npy(name, stream, rows)


def _whole(array: NDArray[Any]) -> Rows:
    """An array as blocks along its first axis."""
    if array.ndim == 0:
        return Rows(array.dtype, array.shape, [array])
    step = max(1, _BLOCK_BYTES // max(1, array.nbytes // max(1, len(array))))
    return Rows(array.dtype, array.shape, (array[start : start + step] for start in range(0, len(array), step)))


def _write_npy(name: str, stream: IO[bytes], rows: Rows) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False, "shape": rows.shape}
    np.lib.format.write_array_header_1_0(stream, header)
    written = 0
    for block in rows.blocks:
        written += stream.write(block.astype(rows.dtype, order="C", copy=False).tobytes())
    if written != rows.nbytes:
        raise ValueError(f"{name}: blocks of {written:,} bytes for an array of {rows.nbytes:,}")


def read_npz(
    path: str | os.PathLike[str],
    kinds: Mapping[str, str],
    optional: Collection[str] = (),
    most: int = MAX_READ_BYTES,
    most_mapped: int = MAX_MAPPED_BYTES,
    check: Callable[[Mapping[str, Shape]], object] = dict,
) -> dict[str, NDArray[Any]]:
    """Arrays of an untrusted `.npz` file, read-only, by name.

    All headers are checked before any array is read. Uncompressed, aligned members are mapped, the others are read; all
    checksums are verified. A mapped file may be replaced (`files.atomic_write`) or deleted while it is in use, but
    truncating it in place crashes the process.

    Args:
        path: the file.
        kinds: `numpy.dtype.kind` of every expected array by name, without ".npy".
        optional: names in `kinds` that may be missing.
        most: most bytes in all members that are read into memory.
        most_mapped: largest file in bytes.
        check: called with the shapes of all arrays by name before any is read; raises ValueError for wrong ones.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an invalid file; the message names the array but not the file.
        OSError, zipfile.BadZipFile, EOFError, NotImplementedError, SyntaxError: raised by NumPy or `zipfile` for some
            damaged files.
    """
    check_zip(path, most_mapped)
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_names(members, kinds, optional)
        size = os.fstat(file.fileno()).st_size
        check_members(members, size)
        body = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        described = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            described[name] = _described(name, _beginning(archive, body, member), member.file_size, kinds[name])
        check({name: one.shape for name, one in described.items()})
        found: dict[str, NDArray[Any]] = {}
        read = 0
        for member in members:
            name = member.filename.removesuffix(".npy")
            content = _stored(body, member)
            array = None if content is None else _array(name, content, described[name])
            if array is None or not array.flags.aligned:
                read += member.file_size
                if read > most:
                    raise ValueError(f"unpacks to more than {most >> 20} MiB")
                with archive.open(member) as stream:
                    array = _array(name, memoryview(stream.read(member.file_size)), described[name])
            elif content is not None and _checksum(content) != member.CRC:
                raise ValueError(f"{name}: damaged, its checksum is another")
            found[name] = array
    return found


def _check_names(members: Sequence[zipfile.ZipInfo], kinds: Mapping[str, str], optional: Collection[str]) -> None:
    names = [member.filename for member in members]
    expected = {f"{name}.npy" for name in kinds if name not in optional or f"{name}.npy" in names}
    if len(set(names)) != len(names) or set(names) != expected:
        odd = sorted(set(names) ^ expected) or sorted(name for name in names if names.count(name) > 1)
        raise ValueError(f"missing, unknown or repeated member {odd[0]!r}")


def _stored(body: memoryview, member: zipfile.ZipInfo) -> memoryview | None:
    """Data of an uncompressed member in the file; None if it is compressed or its local header differs."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 or member.compress_size != member.file_size:
        return None
    header = body[member.header_offset : member.header_offset + _LOCAL.size]
    if len(header) < _LOCAL.size:
        return None
    signature, name, extra = _LOCAL.unpack(header)
    named = member.header_offset + _LOCAL.size
    start = named + name + extra
    content = body[start : start + member.file_size]
    same = signature == b"PK\x03\x04" and bytes(body[named : named + name]) == member.filename.encode()
    return content if same and len(content) == member.file_size else None


def _checksum(content: memoryview) -> int:
    value = 0
    for start in range(0, len(content), _BLOCK_BYTES):
        value = zlib.crc32(content[start : start + _BLOCK_BYTES], value)
    return value


def _beginning(archive: zipfile.ZipFile, body: memoryview, member: zipfile.ZipInfo) -> bytes:
    """First bytes of a member, enough for its array header."""
    content = _stored(body, member)
    if content is not None:
        return bytes(content[: 2 * _MAX_NPY_HEADER])
    with archive.open(member) as stream:
        return stream.read(2 * _MAX_NPY_HEADER)


@dataclass(frozen=True)
class _Described:
    """Header of a member's array, and the offset of its data in the member."""

    shape: Shape
    fortran: bool
    dtype: np.dtype[Any]
    start: int


def _described(name: str, beginning: bytes, size: int, kind: str) -> _Described:
    """Checked array header of a member of `size` bytes."""
    head = io.BytesIO(beginning)
    version = np.lib.format.read_magic(head)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"{name}: .npy version {version} is not read here")
    shape, fortran, dtype = readers[version](head, max_header_size=_MAX_NPY_HEADER)
    if dtype.kind != kind:
        raise ValueError(f"{name}: dtype {dtype} where one of kind {kind!r} is due")
    rest = size - head.tell()
    if dtype.itemsize == 0 or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != rest:
        raise ValueError(f"{name}: says it is {shape} of {dtype} but {rest} bytes follow")
    return _Described(shape, fortran, dtype, head.tell())


def _array(name: str, content: memoryview, described: _Described) -> NDArray[Any]:
    """The array in the bytes of a member."""
    rest, dtype = content[described.start :], described.dtype
    if math.prod(described.shape) * dtype.itemsize != len(rest):
        raise ValueError(f"{name}: damaged, it ends early")
    array = np.frombuffer(rest, dtype=dtype).reshape(described.shape, order="F" if described.fortran else "C")
    if dtype.kind == "U":
        _check_text(name, np.frombuffer(rest, np.dtype(np.uint32).newbyteorder(dtype.byteorder)))
    return array


def _check_text(name: str, codes: NDArray[np.uint32]) -> None:
    """Raise ValueError for numbers beyond Unicode, which Python cannot turn into strings."""
    step = _BLOCK_BYTES // 4
    if any(int(codes[start : start + step].max()) > _MAX_CHARACTER for start in range(0, len(codes), step)):
        raise ValueError(f"{name}: holds something else than characters")


def check_zip(path: str | os.PathLike[str], limit: int) -> None:
    """Check the size of a zip file and of its directory, which `zipfile` reads as a whole.

    Args:
        path: a file.
        limit: largest size in bytes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a plain file, too large, not a zip file as `write_npz` and NumPy write it, or hundreds of
            members.
    """
    if is_special(path):
        raise ValueError("not a plain file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f"larger than {limit:,} bytes")
        file.seek(max(0, size - _END.size - _LOCATOR_64.size - _END_64.size))
        tail = file.read()
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\x05\x06"):
        raise ValueError("not a zip file, or one that was cut short")
    *_, directory, _, comment = _END.unpack(tail[-_END.size :])
    # The zip64 record in front of this one takes precedence.
    larger = tail[: -_END.size]
    if larger[-_LOCATOR_64.size :].startswith(b"PK\x06\x07"):
        if len(larger) < _LOCATOR_64.size + _END_64.size or not larger.startswith(b"PK\x06\x06"):
            raise ValueError("a damaged zip file")
        directory = max(directory if directory < 2**32 - 1 else 0, _END_64.unpack(larger[: _END_64.size])[-2])
        *_, place, _ = _LOCATOR_64.unpack(larger[-_LOCATOR_64.size :])
        if place != size - len(tail):
            raise ValueError("a damaged zip file")
    if directory > _MAX_DIRECTORY_BYTES or comment:
        raise ValueError("a zip file with more members than are read here, or with a comment")


def check_members(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Check for zip bombs and unknown compression.

    Raises:
        ValueError: the members unpack to far more than the file's `size` in bytes, or use another compression than
            deflate.
    """
    if sum(member.file_size for member in members) > max(_SMALL_BYTES, _MAX_RATIO * size):
        raise ValueError(f"unpacks to more than {_MAX_RATIO} times its size")
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise ValueError("a member is compressed in a way that is not read here")
