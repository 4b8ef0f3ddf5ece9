"""The command line, `sketchcanvas`: each command does one step and can be called from Python as well.

Tables go to standard output (as JSON with `--json`), progress and errors to standard error. A user's mistake ends
with one line and exit code 2.

A command is a function of its own name in a module here, with its options in its signature (`options` holds those
that several share) and an example in its docstring. It joins by its module in the import below and its name in
`_COMMANDS`, or in `_GROUPS` if it is a Typer app with commands of its own: their order is that of the help.
Whatever is slow to import (torch, plots, students) it imports when it is called: help must come at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from agents.cli.commands import compare, data, evaluate, report, search, students, train
from agents.cli.output import tell, telling_what_is_left_out

_COMMANDS = (
    compare.compare,
    compare.sweep,
    compare.pick,
    train.train,
    evaluate.evaluate,
    students.tabulate,
    students.latency,
    train.distill,
    search.index,
    search.query,
    search.demo,
    students.export,
)
_GROUPS = {"data": data.app, "report": report.app}

app = typer.Typer(
    help="Learn which canvas a sketch needs: accuracy of sketch retrieval against FLOPs.",
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
    """What may be asked of no command."""


for _command in _COMMANDS:
    app.command()(_command)
for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name)


def main() -> None:
    """Entry point of the console script."""
    try:
        with telling_what_is_left_out():
            app()
    except (ValueError, KeyError, OSError, ImportError) as error:
        # str(KeyError) quotes its message.
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        tell(f"sketchcanvas: {message}")
        sys.exit(2)
