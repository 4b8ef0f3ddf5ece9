"""The command line, `sketchcanvas`: each command does one step and can be called from Python as well.

Tables go to standard output (as JSON with `--json`), progress and errors to standard error. A user's mistake ends
with one line and exit code 2.

A command is a function in a module of `commands`, with its options in its signature (`shared_options` has those of
several commands) and an example in its docstring. It is listed in `_COMMANDS`, or in `_GROUPS` if it is a Typer app
with commands of its own, in the order of the help. Commands import what is slow (torch, plots, students) when they are
called, so that `--help` is fast.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.commands import compare, data, evaluate, report, search, shipped, students, train
from agents.cli.output import print_anywhere, sentence_of, tell, telling_what_is_left_out

_COMMANDS = (
    search.query,
    search.index,
    search.demo,
    compare.compare,
    compare.sweep,
    compare.pick,
    train.train,
    evaluate.evaluate,
    train.distill,
    students.tabulate,
    students.latency,
    students.export,
)
_GROUPS = {"data": data.app, "report": report.app}

app = typer.Typer(
    help="Search photos with sketches, and learn on which canvas each sketch should be drawn.\n\n"
    "To start: 'sketchcanvas list' names what is shipped, 'sketchcanvas query drawing.svg' searches, 'sketchcanvas "
    "compare' trains and compares agents. Tables become JSON with --json.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from sketchcanvas_env import __version__

        print(f"sketchcanvas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Global options."""


for _command in _COMMANDS:
    app.command()(_command)
app.command("list")(shipped.list_shipped)
for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name)


def main() -> None:
    """Entry point of the console script."""
    print_anywhere()
    if not Path(__file__).is_file():
        tell(f"sketchcanvas: cannot run from inside {_archive()}: install it (pip install) and run it from there")
        sys.exit(2)
    try:
        with telling_what_is_left_out():
            app()
    except (ValueError, KeyError, OSError, ImportError) as error:
        tell(f"sketchcanvas: {sentence_of(error)}")
        sys.exit(2)


def _archive() -> Path:
    """The archive from which the package was imported."""
    return next((path for path in Path(__file__).parents if path.is_file()), Path(__file__).parent)
