"""Cache of derived files, named by a hash of everything that determines their content.

The folder is $SKETCHCANVAS_CACHE, or the system's default for a user's caches. Its files may be deleted at any time.
Beyond `KEPT_BYTES` the least recently used files are deleted. If the folder is not writable, temporary files are used.
"""

from __future__ import annotations

import errno
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

KEPT_BYTES = 32 << 30
"""Size of the folder in bytes beyond which old files are deleted when a new one is written."""

VARIABLE = "SKETCHCANVAS_CACHE"
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)

T = TypeVar("T")


def key_of(what: str, version: int, *parts: object) -> str:
    """Key of a file: 64 hex digits.

    Args:
        what: kind of content, such as the name of a data set.
        version: version of the code that computes it; increase it whenever the result changes.
        parts: everything else that determines the content, JSON-able: names and digests of sources, settings.
    """
    return sha256(json.dumps([what, version, *parts]).encode()).hexdigest()


@lru_cache
def code_version(*packages: str) -> str:
    """SHA-256 (hex) of the source code of imported modules, to be part of a key.

    Args:
        packages: names of modules or packages; of packages all imported modules count.
    """
    names = sorted(name for name in sys.modules if f"{name}.".startswith(tuple(f"{package}." for package in packages)))
    return sha256("".join(inspect.getsource(sys.modules[name]) for name in names).encode()).hexdigest()


def cached(key: str, read: Callable[[Path], T], write: Callable[[Path], None]) -> T:
    """Result of `read` for the file of a key; `write` makes the file if it is missing or damaged.

    Args:
        key: from `key_of`.
        read: reads or maps a file; any exception means that the file is damaged.
        write: writes the file atomically.

    Raises:
        OSError: the disk is full; the message names the file. Other exceptions of `write` are passed on.
    """
    folder = cache_folder()
    path = folder / f"{key}.npz"
    # A damaged file raises many kinds of error (zipfile, NumPy) and is written anew.
    with suppress(Exception):
        found = read(path)
        os.utime(path)
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        # Mapped memory stays valid after the file is deleted.
        with tempfile.TemporaryDirectory(prefix="sketchcanvas-", ignore_cleanup_errors=True) as temporary:
            write(Path(temporary) / path.name)
            return read(Path(temporary) / path.name)
    write(path)
    found = read(path)
    _tidy(folder, path)
    return found


def cache_folder() -> Path:
    """Path of the folder, which may not exist yet."""
    from platformdirs import user_cache_path

    return Path(os.environ.get(VARIABLE) or user_cache_path("sketchcanvas", appauthor=False))


def _tidy(folder: Path, newest: Path) -> None:
    """Delete the least recently used files until `KEPT_BYTES` are left."""
    found = []
    for path in folder.glob("*.npz"):
        with suppress(OSError):  # another process may have deleted it
            state = path.stat()
            found.append((path == newest, state.st_mtime_ns, state.st_size, path))
    total = 0
    for _, _, size, path in sorted(found, reverse=True):
        total += size
        if total > KEPT_BYTES and path != newest:
            path.unlink(missing_ok=True)
