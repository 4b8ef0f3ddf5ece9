"""Derived files in the user's cache folder, named after a hash of what decides their content.

The folder is $SKETCHCANVAS_CACHE, or where this system keeps a user's caches. Its files may be deleted at any time.
Beyond `KEPT_BYTES` the least recently used files are deleted. Where the folder cannot be written to, temporary files
are used.
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
"""Bytes of the folder beyond which old files are removed when a new one is written."""

VARIABLE = "SKETCHCANVAS_CACHE"
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)

T = TypeVar("T")


def key_of(what: str, version: int, *parts: object) -> str:
    """A name for a file: 64 hex digits.

    Args:
        what: kind of content, as the name of a data set.
        version: of the code that makes it; it rises with every change of what comes out.
        parts: everything else that decides the content, JSON-able: names and digests of sources, settings.
    """
    return sha256(json.dumps([what, version, *parts]).encode()).hexdigest()


@lru_cache
def code_version(*packages: str) -> str:
    """sha256 (hex) of the source of modules that are imported: part of a key, it changes with what they may do.

    Args:
        packages: names of modules, or of packages, all of whose imported modules count.
    """
    names = sorted(name for name in sys.modules if f"{name}.".startswith(tuple(f"{package}." for package in packages)))
    return sha256("".join(inspect.getsource(sys.modules[name]) for name in names).encode()).hexdigest()


def cached(key: str, read: Callable[[Path], T], write: Callable[[Path], None]) -> T:
    """What `read` makes of the file of a key, which `write` makes first if it is not there.

    Args:
        key: see `key_of`.
        read: maps or reads a file; what it raises for one that is there means that it is damaged.
        write: writes it atomically. What it raises ends the call.

    Raises:
        OSError: the disk is full; the message names the file.
    """
    folder = cache_folder()
    path = folder / f"{key}.npz"
    # Whatever is wrong with a damaged file (zipfile and NumPy stumble in many ways), it is written anew.
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
        # What is mapped from a file stays when the file goes.
        with tempfile.TemporaryDirectory(prefix="sketchcanvas-", ignore_cleanup_errors=True) as temporary:
            write(Path(temporary) / path.name)
            return read(Path(temporary) / path.name)
    write(path)
    found = read(path)
    _tidy(folder, path)
    return found


def cache_folder() -> Path:
    """The folder; it need not be there."""
    from platformdirs import user_cache_path

    return Path(os.environ.get(VARIABLE) or user_cache_path("sketchcanvas", appauthor=False))


def _tidy(folder: Path, newest: Path) -> None:
    """Remove the files that were not used for longest, down to `KEPT_BYTES`."""
    found = []
    for path in folder.glob("*.npz"):
        with suppress(OSError):  # another process tidies up as well
            state = path.stat()
            found.append((path == newest, state.st_mtime_ns, state.st_size, path))
    total = 0
    for _, _, size, path in sorted(found, reverse=True):
        total += size
        if total > KEPT_BYTES and path != newest:
            path.unlink(missing_ok=True)
