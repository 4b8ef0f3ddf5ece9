"""Tables as data, their Markdown and terminal forms, and numbers as text. Light: `sketchcanvas query` uses it too."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from agents.evaluation.bootstrap import Interval
    from agents.evaluation.evaluate import Evaluation
    from sketchcanvas_env.outcomes.table import OutcomeTable

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the row.

    Attributes:
        title: what it shows.
        columns: heads.
        rows: cells, as many to a row as there are columns.
        note: how to read it, below the table.
        strong: numbers of the rows that are emphasised.
        words: whether all cells are words, left-aligned; else all but the first are numbers.
    """

    kind: ClassVar[str] = "table"

    title: str
    columns: Row
    rows: tuple[Row, ...]
    note: str = ""
    strong: frozenset[int] = frozenset()
    words: bool = False


def markdown(table: Table) -> str:
    """The columns and rows as a Markdown table, without title and note."""
    lines = [table.columns, *table.rows]
    head, *rows = ("| " + " | ".join(plain(cell) for cell in line) + " |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(table.columns), *rows]) + "\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, emphasis, links or code, and no end of a table's cell."""
    one_line = " ".join(text.replace("\\", "\\\\").split())
    no_html = re.sub(r"<(?=[a-zA-Z/!?])|&(?=#?\w+;)", lambda found: html.escape(found.group()), one_line)
    return re.sub(r"([`*|]|\](?=[(\[]))", r"\\\1", no_html)


def rich_table(table: Table, width: int) -> tuple[RichTable, int]:
    """The table for a terminal, and the characters that it takes.

    Where it is wider than `width`, cells break between words and an interval stays in one piece; rich alone would cut
    figures. Where single words are too wide, the table is wider than `width` and the terminal wraps its lines.
    """
    from rich.cells import cell_len
    from rich.table import Table as RichTable
    from rich.text import Text

    lines = [table.columns, *table.rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    n = len(widths)
    narrow = sum(widths) + 3 * n + 1 > width
    if narrow:
        lines = [tuple(cell.replace(" [", "\n[") for cell in line) for line in lines]
        widths = _narrow_widths([*zip(*lines, strict=True)], width - n - 1)
    made = RichTable(
        title=Text(table.title),
        caption=Text(table.note),
        caption_justify="left",
        padding=0 if narrow else (0, 1),
        show_lines=narrow,  # else rows of several lines run together
    )
    for index, (column, characters) in enumerate(zip(lines[0], widths, strict=True)):
        made.add_column(
            Text(column), justify="right" if index and not table.words else "left", width=characters, no_wrap=not narrow
        )
    for number, row in enumerate(lines[1:]):
        made.add_row(*map(Text, row), style="bold" if number in table.strong else "")
    return made, sum(widths) + (1 if narrow else 3) * n + 1


def _narrow_widths(columns: Sequence[Row], width: int) -> list[int]:
    """Characters of each column: its longest word or interval, and what is left of `width`, first columns first."""
    from rich.cells import cell_len

    widths = [max((cell_len(one) for cell in column for one in _WORD.findall(cell)), default=1) for column in columns]
    for index, column in enumerate(columns):
        wanted = max(cell_len(line) for cell in column for line in cell.split("\n")) - widths[index]
        widths[index] += max(min(wanted, width - sum(widths)), 0)
    return widths


_WORD = re.compile(r"\[[^\]]*\]|\S+")


# ---- cells

POLICY_COLUMNS = ("policy", "acc@1", "GFLOPs", "canvas shares", "gap closed", "hull gain")


def policy_cells(name: str, evaluation: Evaluation) -> Row:
    """A policy as `POLICY_COLUMNS`: acc@1 and shares in percent, hull gain in points, GFLOPs per query."""
    e = evaluation
    return (
        name,
        f"{100 * e.acc1:.1f} {points_text(e.acc1_interval)}",
        f"{e.gflops:.4f}",
        share_text(e.share),
        signed(e.gap_closed, 1.0, 2),
        f"{signed(e.hull_gain, 100.0, 1)} {points_text(e.hull_gain_interval, signed=True)}",
    )


def group_table(groups: Mapping[str, Mapping[str, Evaluation]]) -> Table:
    """Accuracy, cost and canvases of policies by condition or abstraction level.

    Args:
        groups: by policy and then by group, as `evaluate_groups` gives them.
    """
    rows = tuple(
        (
            group,
            f"{part.n_sketches:,}",
            policy,
            f"{100 * part.acc1:.1f} {points_text(part.acc1_interval)}",
            f"{part.gflops:.4f}",
            share_text(part.share),
        )
        for group in next(iter(groups.values()))
        for policy, parts in groups.items()
        for part in [parts[group]]
    )
    return Table("by condition", ("condition", "sketches", "policy", "acc@1", "GFLOPs", "canvas shares"), rows)


def share_text(share: Mapping[str, float]) -> str:
    """Shares of the canvases, by side, as percentages; those that would round to 0 are left out."""
    return " ".join(f"{name}:{100 * part:.0f}" for name, part in share.items() if part >= 0.005)


SCORE_COLUMNS = ("split", "canvas", "GFLOPs", "acc@1", "acc@5", "acc@10")


def score_cells(table: OutcomeTable) -> list[Row]:
    """A student's accuracy by split and canvas as `SCORE_COLUMNS`, in percent with 95 % intervals."""
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


def points_text(interval: Interval, signed: bool = False) -> str:
    """An interval of shares in percent, "" for nan."""
    low, high = interval
    if math.isnan(low):
        return ""
    form = "+.1f" if signed else ".1f"
    return f"[{100 * low:{form}}, {100 * high:{form}}]"


def percent_text(value: float, interval: Interval, signed: bool = False) -> str:
    """A share, or a difference of shares, in percent with its interval; "-" for nan."""
    if math.isnan(value):
        return "-"
    form = "+.1f" if signed else ".1f"
    return f"{100 * value:{form}} {points_text(interval, signed)}".rstrip()


def number_text(value: float, interval: Interval, form: str) -> str:
    """A number and its interval in a format such as "+.3f"."""
    return f"{value:{form}} [{interval[0]:{form}}, {interval[1]:{form}}]"


def signed(value: float, scale: float, digits: int) -> str:
    """A number times `scale` with its sign, "-" for nan."""
    return "-" if math.isnan(value) else f"{scale * value:+.{digits}f}"


def p_text(value: float) -> str:
    """A p-value."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
