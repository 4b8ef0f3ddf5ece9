"""Files of a folder that a stranger made: plain files of bounded size that lie inside it, and texts fit to be shown."""

from __future__ import annotations

import os
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

LEFT_BEHIND = frozenset(("thumbs.db", "desktop.ini"))
"""What Windows leaves in folders, in small letters; other systems begin such names with a dot."""

_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_left_behind(name: str) -> bool:
    """Whether a file, by its name, was put there by a system or a program and not by a person."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def read_inside(root: Path, path: Path, limit: int) -> bytes:
    """The bytes of a file; links are followed where they stay inside the folder.

    Args:
        root: the folder that the user named.
        path: a file somewhere below it.
        limit: most bytes that are read.

    Raises:
        ValueError: as `find_inside`, unreadable, or written to meanwhile.
    """
    real = find_inside(root, path, limit)
    try:
        with real.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(data) != size:
        raise ValueError("changed while it was read; try again once it is complete")
    return data


def read_text_inside(root: Path, path: Path, limit: int) -> str:
    """The text of a file, decoded as `text_of` does; arguments as of `read_inside`.

    Raises:
        ValueError: as `read_inside`, or no such text; the message names the file.
    """
    try:
        return text_of(read_inside(root, path, limit))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def text_of(data: bytes) -> str:
    """A text in UTF-8, or in UTF-16 as Windows writes it: with a byte order mark, which is left out.

    Raises:
        ValueError: neither.
    """
    try:
        return data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeError:
        raise ValueError("not a text in UTF-8") from None


def printable(text: str) -> str:
    r"""A text with its control characters escaped, so that a terminal shows them and does not obey.

    Line ends and tabs stay.

    Example:
        >>> printable("a\x1b[31mred")
        'a\\x1b[31mred'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text.replace("\r\n", "\n"))


def find_inside(root: Path, path: Path, limit: int) -> Path:
    """Where a file really lies, for a caller who reads it piece by piece; arguments as of `read_inside`.

    Raises:
        ValueError: no such file, not a plain one, outside `root`, or larger than `limit`. The message gives the reason
            alone: the caller knows what the file is to its user.
    """
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(root)):
        raise ValueError(f"a link that leads out of {root}")
    try:
        state = real.stat()
    except OSError as error:
        if os.path.islink(path):
            raise ValueError("a link that leads nowhere, not a plain file") from None
        if isinstance(error, FileNotFoundError):
            raise ValueError("no such file") from None
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for, a device might never end
        raise ValueError(f"{kind_of(state)}, not a plain file")
    if state.st_size > limit:
        raise ValueError(f"{state.st_size:,} bytes; at most {limit:,} are read")
    return real


def kind_of(state: os.stat_result) -> str:
    """What something is that is not a plain file: "a folder", "a pipe" and so on."""
    return next((name for test, name in _SPECIAL if test(state.st_mode)), "something")
