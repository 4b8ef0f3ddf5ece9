"""What the commands share: from options to configurations, and what goes to which output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from agents.evaluation.setting import EnvConfig
    from agents.experiments.runs import Workers
    from sketchcanvas_env.data import SketchDataset

_PIPE_WIDTH = 10_000
"""A pipe has no width: every row of a table stays one line there."""


def env_config(
    dataset: str,
    root: Path | None,
    student: str | None,
    table: Path | None,
    canvases: str,
    tradeoff: float,
    cost: str,
    max_points: int,
) -> EnvConfig:
    """The environment that the options describe; a data set in a folder is named with its folder."""
    from agents.evaluation.setting import EnvConfig

    return EnvConfig(
        dataset=dataset if root is None else f"{dataset}:{root}",
        student=student,
        table=str(table) if table is not None else None,
        canvases=sides_of(canvases),
        tradeoff=tradeoff,
        cost=cost,
        max_points=max_points,
    )


def workers(jobs: int, engine: str, address: str | None) -> Workers:
    """Where runs go."""
    from agents.experiments.runs import Workers

    return Workers(jobs=jobs, engine=engine, address=address)


def sides_of(canvases: str) -> tuple[int, ...]:
    """Canvas sides, pixels, from "32,64"; ValueError for anything else."""
    try:
        return tuple(int(side) for side in canvases.split(","))
    except ValueError:
        raise ValueError(
            f"canvases are sides in pixels separated by commas, such as 32,64,128; got {canvases!r}"
        ) from None


def numbers_of(text: str, option: str) -> tuple[float, ...]:
    """Numbers from "0.1,0.2"; ValueError, which names the option, for anything else."""
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise ValueError(f"{option} are numbers separated by commas, such as 0.1,0.2; got {text!r}") from None


def load_data(name: str, root: Path | None, strict: bool = False) -> SketchDataset:
    """The data set; what it takes is imported when it is asked for."""
    from sketchcanvas_env.data import load

    return load(name, root, strict)


@contextmanager
def telling_what_is_left_out() -> Iterator[None]:
    """What has to be left out of a data set is told in one line, once, and without a place in the code.

    A command may load the same data set several times, and deep inside.
    """
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
            tell(f"sketchcanvas: {message}")

    with warnings.catch_warnings():
        others, warnings.showwarning = warnings.showwarning, tell_once
        yield


@contextmanager
def goes_on() -> Iterator[None]:
    """Where Ctrl-C loses nothing that was finished, say so; for commands that keep finished work and look for it."""
    try:
        yield
    except KeyboardInterrupt:
        tell("interrupted; the same command goes on where it was")
        raise


def typed_command() -> str:
    """The command as typed, for provenance; where a user keeps a data set is nobody else's business."""
    import shlex

    from sketchcanvas_env.data import FOLDER_DATASETS

    words = ["sketchcanvas"]
    for word in sys.argv[1:]:
        option, value = word.split("=", 1) if word.startswith("--") and "=" in word else ("", word)
        name, colon, _ = value.partition(":")
        if "--root" in (option, words[-1]):
            value = "ROOT"
        elif colon and name in FOLDER_DATASETS:
            value = f"{name}:ROOT"
        words.append(f"{option}={value}" if option else value)
    return shlex.join(words)


def show(as_json: bool, value: Any, *tables: Table) -> None:
    """Print a result: the tables, or the value as JSON."""
    if as_json:
        print(json.dumps(value, indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
    width, height = console.size
    for table in tables:
        console.size = (max(width, _fit(table, console, width)), height)
        console.print(table)


def _fit(table: Table, console: Console, width: int) -> int:
    """Break the cells of a table that is wider than `width` (characters) between words; returns the table's width.

    rich itself would cut figures. Where words are too wide as well, the terminal wraps the lines.
    """
    from rich.measure import Measurement

    unbounded = console.options.update(max_width=_PIPE_WIDTH)
    if Measurement.get(console, unbounded, table).maximum > width:
        table.padding = 0
        table.show_lines = True  # rows of several lines each would run together
        longest = [
            max(Measurement.get(console, unbounded, text).minimum for text in (column.header, *column.cells))
            for column in table.columns
        ]
        spare = width - sum(longest) - len(longest) - 1  # lines stand between columns and at both ends
        longest[0] += max(spare, 0)  # the first column is text
        for column, characters in zip(table.columns, longest, strict=True):
            column.no_wrap, column.max_width = False, characters
    return Measurement.get(console, unbounded, table).maximum


def tell(text: str) -> None:
    """Say something to the person, not to the pipe."""
    print(text, file=sys.stderr)


def tell_leakage(card: dict[str, Any], dataset: SketchDataset, splits: Iterable[str]) -> None:
    """Say in one line when a student may have been trained on the photos that it is to find."""
    from students.store.leakage import leakage

    if told := leakage(card, dataset, splits):
        tell(f"sketchcanvas: {told}")
