"""Printing of commands: results to standard output, as tables or JSON, everything else to standard error."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from agents.reports.tables import Table
    from sketchcanvas_env.data import SketchDataset

_PIPE_WIDTH = 10_000
"""Width for pipes and files, characters, so that every row of a table is one line."""


@contextmanager
def telling_what_is_left_out() -> Iterator[None]:
    """Print each `SkippedDataWarning` once, in one line, though a command may load a data set several times."""
    import warnings

    said: set[str] = set()

    def tell_once(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        from sketchcanvas_env.data import SkippedDataWarning

        if not issubclass(category, SkippedDataWarning):
            others(message, category, filename, lineno, file, line)
        elif str(message) not in said:
            said.add(str(message))
            what = message.summary if isinstance(message, SkippedDataWarning) else message
            tell(f"sketchcanvas: {what}")

    with warnings.catch_warnings():
        others, warnings.showwarning = warnings.showwarning, tell_once
        yield


@contextmanager
def goes_on() -> Iterator[None]:
    """On Ctrl-C, say that the same command continues the work; for commands that keep what they have finished."""
    try:
        yield
    except KeyboardInterrupt:
        tell("interrupted; run the same command again to continue")
        raise


def show(as_json: bool, value: Any, *tables: Table) -> None:
    """Print a result: the tables, or the value as JSON."""
    if as_json:
        print(json.dumps(value, indent=2, allow_nan=False))
        return
    from rich.console import Console

    from agents.reports.tables import rich_table

    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
    width, height = console.size
    for table in tables:
        made, wanted = rich_table(table, width)
        console.size = (max(width, wanted), height)
        console.print(made)


def print_anywhere() -> None:
    """Make standard output print "?" for characters that its encoding lacks, such as emoji in cp1252."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def sentence_of(error: Exception) -> str:
    """The message of an error, in one line without its type or number."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])  # str(KeyError) quotes its message
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error).replace("engine='torch'", "--engine torch")


def can_print(text: str) -> bool:
    """Whether standard output has all characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def tell(text: str) -> None:
    """Print to standard error."""
    print(text, file=sys.stderr)


def tell_leakage(card: dict[str, Any], dataset: SketchDataset, splits: Iterable[str]) -> None:
    """Warn in one line if a student may have been trained on photos that it is evaluated on."""
    from students.store.leakage import leakage_warning

    if told := leakage_warning(card, dataset, splits):
        tell(f"sketchcanvas: {told}")
