"""The plot of a run's log, and the rise of accuracy in its last third."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from students.training import curve


def write_log(folder: Path, rows: list[tuple[int, float]]) -> Path:
    lines = [json.dumps({"step": step, "val_acc1": {"32": acc, "64": 0.5}}) for step, acc in rows]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_a_resumed_runs_rows_count_once(tmp_path: Path) -> None:
    rows = curve.rows_of(write_log(tmp_path, [(10, 0.1), (20, 0.2), (20, 0.3), (30, 0.35)]))
    assert [(row["step"], row["val_acc1"][32]) for row in rows] == [(10, 0.1), (20, 0.3), (30, 0.35)]
    assert curve.last_third(rows) == pytest.approx({32: 0.05, 64: 0.0})


def test_the_command_writes_a_picture_and_prints_the_rise_in_the_last_third(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(curve.main)
    out = tmp_path / "curve.png"
    result = CliRunner().invoke(app, [str(write_log(tmp_path, [(20, 0.2), (30, 0.25)])), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "32 px +5.0, 64 px +0.0" in result.output
    with Image.open(out) as image:
        assert image.width > 400


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, FileNotFoundError, "no log at"),
        ("", ValueError, "has no rows yet"),
        ('{"step": 1, "val_acc1": {"32": 0.1}}\n{"step": 2}\n', ValueError, "line 2: not a row"),
        ("[1]\n", ValueError, "line 1: not a row"),
    ],
)
def test_logs_that_cannot_be_plotted(text: str | None, error: type[Exception], message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(error, match=message):
        curve.rows_of(tmp_path)
