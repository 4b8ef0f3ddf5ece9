"""Tables for people, rich on the terminal and Markdown in files; light, for a query without torch prints some, too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from agents.evaluation.bootstrap import Interval
    from agents.evaluation.evaluate import Evaluation
    from sketchcanvas_env.outcomes.table import OutcomeTable

POLICY_COLUMNS = (
    "policy",
    "acc@1",
    "acc@5",
    "acc@10",
    "GFLOPs",
    "selector",
    "canvas shares",
    "gap closed",
    "hull gain",
)


def policy_cells(name: str, evaluation: Evaluation) -> tuple[str, ...]:
    """One row of a table of policies: `POLICY_COLUMNS` as text; percentages, points and GFLOPs per query."""
    e = evaluation
    return (
        name,
        f"{100 * e.acc1:.1f} {points_text(e.acc1_interval)}",
        f"{100 * e.acc5:.1f}",
        f"{100 * e.acc10:.1f}",
        f"{e.gflops:.4f}",
        f"{e.selector_gflops:.4f}",
        share_text(e.share),
        signed(e.gap_closed, 1.0, 2),
        f"{signed(e.hull_gain, 100.0, 1)} {points_text(e.hull_gain_interval, signed=True)}",
    )


def share_text(share: Mapping[str, float]) -> str:
    """Shares of the canvases, by side, as percentages; those that would round to 0 are left out."""
    return " ".join(f"{name}:{100 * part:.0f}" for name, part in share.items() if part >= 0.005)


SCORE_COLUMNS = ("split", "canvas", "GFLOPs", "acc@1", "acc@5", "acc@10")


def score_cells(table: OutcomeTable) -> list[tuple[str, ...]]:
    """A student's accuracy by split and canvas, `SCORE_COLUMNS` as text; percentages, 95 % intervals."""
    from agents.evaluation import bootstrap

    rows = []
    for split in table.splits:
        part = table.select(split)
        for k, (side, flops) in enumerate(zip(part.canvases.tolist(), part.flops.tolist(), strict=True)):
            right = (part.ranks[:, k] == 1)[:, None]
            low_high = bootstrap.interval(bootstrap.resampled_means(right, part.photo_ids)[:, 0])
            acc = [f"{100 * part.acc(depth)[k]:.1f}" for depth in (1, 5, 10)]
            rows.append((split, str(side), f"{flops / 1e9:.4f}", f"{acc[0]} {points_text(low_high)}", *acc[1:]))
    return rows


def rich_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]] = (), caption: str = "") -> Table:
    """A rich table whose first column is text and whose other columns are numbers."""
    table = Table(title=title, caption=caption, caption_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=index == 0)
    for row in rows:
        table.add_row(*row)
    return table


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell.strip() for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def points_text(interval: Interval, signed: bool = False) -> str:
    """An interval of shares in points of percent, "" where there is none."""
    low, high = interval
    if math.isnan(low):
        return ""
    form = "+.1f" if signed else ".1f"
    return f"[{100 * low:{form}}, {100 * high:{form}}]"


def signed(value: float, scale: float, digits: int) -> str:
    """A number times `scale` with its sign, "-" for nan."""
    return "-" if math.isnan(value) else f"{scale * value:+.{digits}f}"


def p_text(value: float) -> str:
    """A p-value."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
