"""Progress bars, on standard error, so that standard output can be piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agents.experiments.workers import Start


@contextmanager
def bars() -> Iterator[Start]:
    """Progress bars, one below the other.

    Yields:
        A function that starts a bar.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def start(title: str, total: int) -> Callable[[int], None]:
            bar = progress.add_task(title, total=total)
            return lambda done: progress.update(bar, completed=done)

        yield start
