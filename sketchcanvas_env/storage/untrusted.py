"""Reads files of a folder that nobody vouches for: plain files, of bounded size, that lie in the folder."""

from __future__ import annotations

import os
from pathlib import Path

LEFT_BEHIND = frozenset(("thumbs.db", "desktop.ini"))
"""What Windows leaves in folders, in small letters; other systems begin such names with a dot."""


def is_left_behind(name: str) -> bool:
    """Whether a file, by its name, is a system's or a program's own: nobody put it there."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def read_inside(root: Path, path: Path, limit: int) -> bytes:
    """The bytes of a file, links followed only where they stay inside.

    Args:
        root: the folder that the user named.
        path: a file somewhere below it.
        limit: most bytes that are read.

    Raises:
        ValueError: as `find_inside`, or unreadable.
    """
    try:
        return find_inside(root, path, limit).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def read_text_inside(root: Path, path: Path, limit: int) -> str:
    """The text of a file in UTF-8; arguments as of `read_inside`.

    Raises:
        ValueError: as `read_inside`, or no such text; the message names the file.
    """
    try:
        return read_inside(root, path, limit).decode("utf-8")
    except UnicodeError:
        raise ValueError(f"{path}: not a text in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def find_inside(root: Path, path: Path, limit: int) -> Path:
    """Where a file really lies, for a caller who reads it piece by piece; arguments as of `read_inside`.

    Raises:
        ValueError: no such file, not a plain one, outside `root`, or larger than `limit`. The message gives the reason
            alone: the caller knows what the file is to its user.
    """
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(root)):
        raise ValueError(f"a link that leads out of {root}")
    # A pipe or a device would be waited for, or never end.
    if not real.is_file():
        raise ValueError("not a plain file" if os.path.lexists(path) else "no such file")
    try:
        size = real.stat().st_size
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if size > limit:
        raise ValueError(f"{size:,} bytes; at most {limit:,} are read")
    return real
