"""Tables on terminals: every figure can be read at any width."""

from __future__ import annotations

import re
import sys

import pytest

from tests.agents.cli.test_cli import run, toy_options
from tests.helpers import Toy


def test_no_terminal_is_too_narrow_for_a_figure(
    toy: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(text: str) -> list[str]:
        return sorted(re.sub(r"\x1b\[[0-9;]*m|[┃│]", " ", text).split())

    def rows(text: str) -> str:
        return "".join(line for line in text.splitlines(keepends=True) if "┃" in line or "│" in line)

    def table(columns: int | None) -> str:
        with monkeypatch.context() as terminal:
            if columns is not None:
                terminal.setattr(sys.stdout, "isatty", lambda: True)
                terminal.setenv("COLUMNS", str(columns))
            assert run("evaluate", *toy_options(toy), "fixed:32", "random", "oracle") == 0
        return rows(capsys.readouterr().out)

    piped = table(None)
    assert max(map(len, piped.splitlines())) > 80, "a pipe has no width"
    for columns in (30, 60, 80, 200):
        assert words(table(columns)) == words(piped), columns
