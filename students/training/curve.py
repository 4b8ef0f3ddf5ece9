"""Plot a training run's acc@1 on val against its steps, from the run's log.

python -m students.training.curve runs/emoji --out curve.png
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

MAX_LOG_BYTES = 1 << 26
"""Largest log that is read."""


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's log by rising step; where a resumed run logged a step twice, the last row.

    Raises:
        FileNotFoundError: the folder has no log.
        ValueError: the log is empty or too large, or a line (named in the message) is not a row.
    """
    log = run / "log.jsonl"
    if not log.is_file():
        raise FileNotFoundError(f"no log at {log}: give the folder that a training run wrote")
    if log.stat().st_size > MAX_LOG_BYTES:
        raise ValueError(f"{log} is larger than {MAX_LOG_BYTES:,} bytes")
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            rows[int(row["step"])] = {**row, "val_acc1": {int(k): float(v) for k, v in row["val_acc1"].items()}}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{log}, line {number}: not a row of a training run's log") from None
    if not rows:
        raise ValueError(f"{log} has no rows yet: val is measured every 'evaluate_every' steps")
    return [rows[step] for step in sorted(rows)]


def last_third(rows: list[dict[str, Any]]) -> dict[int, float]:
    """Rise of acc@1 on val in the last third of a run, by canvas: the last row minus the row at two thirds."""
    end = rows[-1]["step"]
    early = min(rows, key=lambda row: abs(row["step"] - end * 2 / 3))
    return {side: rows[-1]["val_acc1"][side] - score for side, score in early["val_acc1"].items()}


def plot(rows: list[dict[str, Any]], out: Path, title: str = "") -> None:
    """Plot acc@1 on val against steps, one line per canvas, into the image file `out`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = [row["step"] for row in rows]
    for side in rows[-1]["val_acc1"]:
        scores = [100.0 * row["val_acc1"].get(side, float("nan")) for row in rows]
        axes.plot(steps, scores, marker=".", label=f"{side} px")
    axes.set_xlabel("step")
    axes.set_ylabel("acc@1 on val (%)")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out, dpi=120, metadata={"Software": None})


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, with log.jsonl.")],
    out: Annotated[Path, typer.Option(help="The image file to write.")] = Path("curve.png"),
) -> None:
    """Plot a run's accuracy on val against its steps."""
    try:
        rows = rows_of(run)
    except (OSError, ValueError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    plot(rows, out, run.name)
    rise = ", ".join(f"{side} px {100 * points:+.1f}" for side, points in last_third(rows).items())
    typer.echo(f"{out}: {len(rows)} rows up to step {rows[-1]['step']}; points in the last third: {rise}")


if __name__ == "__main__":
    typer.run(main)
