"""Reading of untrusted folders: only plain files of bounded size inside them; escaping of untrusted texts."""

from __future__ import annotations

import os
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

LEFT_BEHIND = frozenset(("thumbs.db", "desktop.ini"))
"""Files that Windows creates in folders, in lower case; on other systems such names start with a dot."""

_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_left_behind(name: str) -> bool:
    """Whether a file name is one that the system or a program creates in folders."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def read_inside(root: Path, path: Path, limit: int) -> bytes:
    """Content of a file. Links are followed if they stay inside the folder.

    Args:
        root: the folder that the user named.
        path: a file below it.
        limit: largest size in bytes.

    Raises:
        ValueError: as `find_inside`, unreadable, or changed while reading.
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
    """Text of a file, decoded by `text_of`; arguments as `read_inside`.

    Raises:
        ValueError: as `read_inside` or `text_of`; the message names the file.
    """
    try:
        return text_of(read_inside(root, path, limit))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def text_of(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with a byte order mark as Windows writes it; the mark is removed.

    Raises:
        ValueError: neither.
    """
    try:
        return data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeError:
        raise ValueError("not a text in UTF-8") from None


def printable(text: str) -> str:
    r"""The text with control characters escaped, so that it is safe to print. Line ends and tabs stay.

    Example:
        >>> printable("a\x1b[31mred")
        'a\\x1b[31mred'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text.replace("\r\n", "\n"))


def find_inside(root: Path, path: Path, limit: int) -> Path:
    """Resolved path of a file that may be read; arguments as `read_inside`.

    Raises:
        ValueError: no such file, not a plain file, outside `root`, or larger than `limit`. The message is the reason
            without the name.
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
    if not stat.S_ISREG(state.st_mode):  # reading a pipe or a device may never end
        raise ValueError(f"{kind_of(state)}, not a plain file")
    if state.st_size > limit:
        raise ValueError(f"{state.st_size:,} bytes; at most {limit:,} are read")
    return real


def kind_of(state: os.stat_result) -> str:
    """Kind of a special file: "a folder", "a pipe" and so on."""
    return next((name for test, name in _SPECIAL if test(state.st_mode)), "something")
