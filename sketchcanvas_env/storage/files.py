"""Files: written so that no half-written one ever stands under its final name, read under limits, and hashed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def _umask() -> int:
    """The process's umask; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` once the block has ended well.

    The temporary file lies in the same folder (a rename is atomic only within one file system), starts with a
    dot and keeps the suffix of `path`, because some writers choose their format by it. When the block ends
    without an exception the file is flushed to the disk and renamed over `path`; on any exception,
    KeyboardInterrupt included, it is removed and `path` stays as it was. Missing folders are made.

    Args:
        path: the final name.

    Yields:
        The temporary path. It exists, empty, when the block starts.

    Raises:
        IsADirectoryError: `path` is a folder.
        OSError: the disk is full, or the folder cannot be written to; it names the final file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "result.json") as temporary:
        ...     _ = temporary.write_text("{}")
        >>> (folder / "result.json").read_text()
        '{}'
    """
    final = Path(path)
    if final.is_dir():
        raise IsADirectoryError(f"{final} is a folder: give the name of a file in it")
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.stem}.", suffix=f".tmp{final.suffix}")
    os.close(handle)
    temporary = Path(name)
    try:
        # mkstemp makes the file private; a file of the user's own making would follow the umask.
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        _sync(temporary)
        os.replace(temporary, final)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # A write that fails (a full disk) does not say which file it was for.
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = os.fspath(final)
        raise
    # A folder cannot be opened for syncing everywhere (Windows); the rename itself is done by now.
    with suppress(OSError):
        _sync(final.parent)


def _sync(path: Path) -> None:
    """Flush a file's, or a folder's, content to the disk."""
    # fsync on Windows needs a handle that may write; a folder can only be opened for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8; atomic, and it raises, as `atomic_write`."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any, indent: int = 1) -> None:
    """Write a value as JSON that every reader takes, with a newline at the end; atomic, as `atomic_write`.

    Args:
        path: the final name.
        value: of what JSON knows.
        indent: spaces a level.

    Raises:
        ValueError: NaN or infinity in it; nothing is written then.
        TypeError: something that JSON does not know.
        OSError: as `atomic_write`.
    """
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether a path names something other than a plain file; reading a pipe or a device might never end."""
    return os.path.exists(path) and not os.path.isfile(path)


def read_json(path: str | os.PathLike[str], limit: int) -> Any:
    """The value of a JSON file that may be damaged or hostile.

    Args:
        path: a file.
        limit: most bytes that are read.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a plain file, larger than `limit`, or not JSON that can be read; the message names the file.
    """
    if is_special(path):
        raise ValueError(f"{os.fspath(path)} is not a plain file")
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"{os.fspath(path)}: no such file") from None
    if len(data) > limit:
        raise ValueError(f"{os.fspath(path)} is larger than {limit:,} bytes")
    return parse_json(data, os.fspath(path))


def parse_json(text: str | bytes, name: str) -> Any:
    """The value of a JSON text; ValueError naming `name` for one that cannot be read, is deep, or has a field twice."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a field that occurs twice is an error, because readers differ in which one they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has two fields of one name")
    return found


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()
