"""Atomic writes, bounded reads, and hashes of files."""

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
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Context manager that yields a temporary path and renames the file to `path` at the end.

    The temporary file is in the same folder, because a rename is atomic only within a file system. Its name starts with
    a dot and keeps the suffix of `path`. When the block ends without an exception, the file is flushed to the disk and
    renamed; on any exception, including KeyboardInterrupt, it is deleted and `path` stays unchanged. Missing folders
    are made.

    Args:
        path: the final name.

    Yields:
        The temporary path, of an empty file.

    Raises:
        IsADirectoryError: `path` is a folder.
        OSError: the disk is full, or the folder is not writable; the message names the final file.

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
        # mkstemp makes private files; restore the permissions of ordinary ones.
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        _sync(temporary)
        os.replace(temporary, final)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # Errors of write(), such as a full disk, do not name the file.
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = os.fspath(final)
        raise
    # Windows cannot sync a folder; the rename is done by now.
    with suppress(OSError):
        _sync(final.parent)


def _sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    # On Windows fsync needs a writable handle; folders can only be opened for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8 atomically; errors as `atomic_write`."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any, indent: int = 1) -> None:
    """Write a value as JSON with a newline at the end, atomically.

    Args:
        path: the final name.
        value: any JSON value.
        indent: spaces per level.

    Raises:
        ValueError: NaN or infinity; nothing is written.
        TypeError: not a JSON value.
        OSError: as `atomic_write`.
    """
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether a path exists and is not a plain file. Reading a pipe or a device may never end."""
    return os.path.exists(path) and not os.path.isfile(path)


def read_json(path: str | os.PathLike[str], limit: int) -> Any:
    """Value of a JSON file that is not trusted.

    Args:
        path: a file.
        limit: largest size in bytes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a plain file, larger than `limit`, or not valid JSON; the message names the file.
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
    """Value of a JSON text; ValueError naming `name` if it is invalid, nested too deep, or has duplicate fields."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dict; ValueError for duplicate fields, which readers resolve differently."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has two fields of one name")
    return found


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 (hex) of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()
