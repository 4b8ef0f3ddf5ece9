"""Results as tables for people: rich on the terminal, Markdown for a README."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.table import Table

from agents.compare import CompareResult, Row
from agents.evaluate import Evaluation
from agents.statistics import Interval
from sketchcanvas_env.table import OutcomeTable

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
        f"{100 * e.acc1:.1f} {_points(e.acc1_interval)}",
        f"{100 * e.acc5:.1f}",
        f"{100 * e.acc10:.1f}",
        f"{e.gflops:.4f}",
        f"{e.selector_gflops:.4f}",
        " ".join(f"{side}:{100 * part:.0f}" for side, part in e.share.items() if part >= 0.005),
        _signed(e.gap_closed, 1.0, 2),
        f"{_signed(e.hull_gain, 100.0, 1)} {_points(e.hull_gain_interval, signed=True)}",
    )


def compare_table(result: CompareResult) -> Table:
    """The comparison as a rich table, trained agents last and in bold."""
    config = result.config
    first = result.rows[0].evaluation
    table = rich_table(
        f"{config.env.dataset}, split {config.split}: {first.n_sketches} sketches of {first.n_photos} photos, "
        f"tradeoff {config.env.tradeoff}",
        POLICY_COLUMNS,
        caption=(
            f"Agents: {config.seeds} seeds x {config.total_steps:,} steps, selector '{config.selector}'. "
            "Brackets: 95 % bootstrap over photos.\nGFLOPs (2 x MAC) per query include the selector's. "
            "Gap closed: 0 best fixed canvas, 1 oracle, by reward.\n"
            "Hull gain: points of acc@1 above mixing fixed canvases at the same cost."
        ),
    )
    for row in result.rows:
        table.add_row(*policy_cells(row.name, row.evaluation), style="bold" if row.kind == "agent" else "")
    return table


def compare_markdown(result: CompareResult) -> str:
    """The comparison as a Markdown table."""
    return markdown(POLICY_COLUMNS, [policy_cells(row.name, row.evaluation) for row in result.rows])


def finding(result: CompareResult) -> str:
    """One honest sentence for each agent: is it above the hull of the fixed canvases, or not?"""
    return "\n".join(_sentence(row) for row in result.rows if row.kind == "agent")


def _sentence(row: Row) -> str:
    low, high = row.evaluation.hull_gain_interval
    gain = f"{100 * row.evaluation.hull_gain:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
    if low > 0:
        return f"{row.name} lies above the hull of the fixed canvases by {gain}."
    if high < 0:
        return f"{row.name} lies below the hull of the fixed canvases by {gain}: mixing fixed canvases is better."
    return f"{row.name} is not told apart from the hull of the fixed canvases: {gain} includes zero."


SCORE_COLUMNS = ("split", "canvas", "GFLOPs", "acc@1", "acc@5", "acc@10")


def score_cells(table: OutcomeTable) -> list[tuple[str, ...]]:
    """A student's accuracy by split and canvas, `SCORE_COLUMNS` as text; percentages, 95 % intervals."""
    from agents import statistics

    rows = []
    for split in table.splits:
        part = table.select(split)
        for k, (side, flops) in enumerate(zip(part.canvases.tolist(), part.flops.tolist(), strict=True)):
            right = (part.ranks[:, k] == 1)[:, None]
            low_high = statistics.interval(statistics.resampled_means(right, part.photo_ids)[:, 0])
            acc = [f"{100 * part.acc(depth)[k]:.1f}" for depth in (1, 5, 10)]
            rows.append((split, str(side), f"{flops / 1e9:.4f}", f"{acc[0]} {_points(low_high)}", *acc[1:]))
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


def _points(interval: Interval, signed: bool = False) -> str:
    low, high = interval
    if math.isnan(low):
        return ""
    form = "+.1f" if signed else ".1f"
    return f"[{100 * low:{form}}, {100 * high:{form}}]"


def _signed(value: float, scale: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{scale * value:+.{digits}f}"
