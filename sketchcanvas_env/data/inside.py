"""Reads files of a folder that nobody vouches for: plain files, of bounded size, that lie in the folder."""

from __future__ import annotations

import os
from pathlib import Path


def read_inside(root: Path, path: Path, limit: int) -> bytes:
    """The bytes of a file, links followed only where they stay inside.

    Args:
        root: the folder that the user named.
        path: a file somewhere below it.
        limit: most bytes that are read.

    Raises:
        ValueError: no such file, not a plain one, outside `root`, larger than `limit`, or unreadable. The message
            gives the reason alone: the caller knows what the file is to its user.
    """
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(root)):
        raise ValueError(f"a link that leads out of {root}")
    # A pipe or a device would be waited for, or never end.
    if not real.is_file():
        raise ValueError("not a plain file" if os.path.lexists(path) else "no such file")
    try:
        if (size := real.stat().st_size) > limit:
            raise ValueError(f"{size:,} bytes; at most {limit:,} are read")
        return real.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
