"""The help: whole sentences at 80 columns, and examples that the commands accept."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
import typer.main

from agents import cli
from tests.agents.cli.test_cli import run


def commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below one, and itself, by the words that call it."""
    yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {word}".strip())


COMMANDS = dict(commands(typer.main.get_command(cli.app)))
EXAMPLES = [
    (name, example)
    for name, command in COMMANDS.items()
    for example in re.findall(r"Example: (.*?)(?:\n\n|\Z)", command.help or "", flags=re.S)
]


@pytest.mark.parametrize("group", [name for name, one in COMMANDS.items() if hasattr(one, "commands")])
def test_every_command_is_listed_with_a_whole_sentence(
    group: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(*group.split(), "--help") == 0
    lines = capsys.readouterr().out.split("Commands:\n")[1].splitlines()
    assert len(lines) == len(COMMANDS[group].commands)  # type: ignore[attr-defined]
    for line in lines:
        assert line.endswith(".") and not line.endswith("..."), line


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_can_be_typed(name: str, example: str) -> None:
    words = [word for word in shlex.split(example) if not re.fullmatch(r"[A-Z_]+=\w+", word)]
    expected = ["sketchcanvas", *name.split()]
    assert words[: len(expected)] == expected
    # Parsed only; an unknown option or a missing argument raises.
    COMMANDS[name].make_context(name, words[len(expected) :])
    # Users who installed the package have no files of the checkout.
    assert not re.search(r"\b(agents|students|tests)/", example)
