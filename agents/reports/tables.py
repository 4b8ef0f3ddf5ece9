"""Results as tables for people: rich on the terminal, Markdown for a README."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:  # a query without torch prints its tables by this module, too
    from agents.evaluation.evaluate import Evaluation
    from agents.evaluation.statistics import Interval
    from agents.experiments.compare import CompareResult, Row, Verdict
    from agents.experiments.pooled import Pooled
    from agents.experiments.sweep import Pick, SweepResult
    from agents.studies.selector_latency import SelectorCosts
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
        f"{100 * e.acc1:.1f} {_points(e.acc1_interval)}",
        f"{100 * e.acc5:.1f}",
        f"{100 * e.acc10:.1f}",
        f"{e.gflops:.4f}",
        f"{e.selector_gflops:.4f}",
        share_text(e.share),
        _signed(e.gap_closed, 1.0, 2),
        f"{_signed(e.hull_gain, 100.0, 1)} {_points(e.hull_gain_interval, signed=True)}",
    )


def row_cells(result: CompareResult, row: Row) -> tuple[str, ...]:
    """A comparison's row as `POLICY_COLUMNS`; one that was made on the reported split says so and claims nothing."""
    cells, made = policy_cells(row.name, row.evaluation), row.made_on(result.config.split)
    if not made:
        return cells
    # An interval beside the gain would read as evidence.
    return (f"{row.name}, {made}", *cells[1:-1], _signed(row.evaluation.hull_gain, 100.0, 1))


def share_text(share: Mapping[str, float]) -> str:
    """Shares of the canvases, by side, as percentages; those that would round to 0 are left out."""
    return " ".join(f"{name}:{100 * part:.0f}" for name, part in share.items() if part >= 0.005)


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
    for row in shown_rows(result):
        table.add_row(*row_cells(result, row), style="bold" if row.kind in ("agent", "chosen") else "")
    return table


def shown_rows(result: CompareResult) -> list[Row]:
    """The rows of a table: all but the coin tosses, which the hull gain of each agent stands for."""
    return [row for row in result.rows if row.kind != "hull"]


VERDICT_COLUMNS = (
    "agent",
    "gap closed, selector charged, IQM over seeds",
    "reward above best fixed of val, selector charged",
    "p of lying above it",
    "p of lying above the hull",
    "seconds a run, median",
    "better than",
)


def verdict_cells(result: CompareResult) -> list[tuple[str, ...]]:
    """What may be claimed about each agent, `VERDICT_COLUMNS` as text; p-values are corrected (Holm)."""
    from agents.evaluation import statistics

    tellable = statistics.can_differ(result.config.seeds, len(result.verdicts))
    rows: list[tuple[str, ...]] = []
    for verdict in result.verdicts:
        row = result.row(verdict.name)
        claimable = not row.made_on(result.config.split)
        iqm = verdict.gap_closed
        low, high = verdict.over_fixed.interval
        beaten = [name for name, found in verdict.improvement.items() if found.better]
        rows.append(
            (
                verdict.name,
                "-" if iqm is None else f"{iqm.value:+.3f} [{iqm.interval.low:+.3f}, {iqm.interval.high:+.3f}]",
                f"{verdict.over_fixed.value:+.4f} [{low:+.4f}, {high:+.4f}]",
                _p(verdict.over_fixed_p) if claimable else "-",
                # A fixed canvas lies on the hull or below it, whoever pays a selector for it.
                _p(verdict.above_hull_p) if claimable and row.decides() else "-",
                f"{median(row.seconds):.1f}",
                (", ".join(beaten) or "none") if claimable and tellable and verdict.improvement else "-",
            )
        )
    return rows


def verdict_table(result: CompareResult) -> Table:
    """What may be claimed about each agent, as a rich table."""
    return rich_table(
        "what may be claimed",
        VERDICT_COLUMNS,
        verdict_cells(result),
        caption=(
            "Gap closed: interquartile mean, 95 % bootstrap over seeds. Reward: 95 % bootstrap over photos. p-values "
            "of lying above\nare corrected over the agents (Holm); -: always one canvas, nothing to test. "
            "Better than: its runs close more of the gap, selector charged,\nby an exact Mann-Whitney test over seeds "
            "at 5 %, corrected over all pairs (Holm); -: too few seeds to claim any difference."
        ),
    )


IMPROVEMENT_NOTE = (
    "Row against column: the probability that a run of the row's agent closes more of the gap, selector charged, than "
    "a run of the column's, ties counted half. *: told apart at 5 % by an exact Mann-Whitney test over seeds, "
    "corrected over all pairs (Holm)."
)


def improvement_cells(result: CompareResult) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Every agent against every other: columns, numbered to be narrow, and rows as text, see `IMPROVEMENT_NOTE`."""
    from agents.evaluation.statistics import LEVEL

    names = [verdict.name for verdict in result.verdicts]

    def cell(verdict: Verdict, other: str) -> str:
        if other not in verdict.improvement:
            return "-"
        value, p = verdict.improvement[other]
        return f"{value:.2f}{'*' if p < LEVEL else ''}"

    rows = [
        (f"{number} {verdict.name}", *(cell(verdict, other) for other in names))
        for number, verdict in enumerate(result.verdicts, start=1)
    ]
    return ("agent", *(str(number) for number in range(1, len(names) + 1))), rows


def compare_markdown(result: CompareResult) -> str:
    """The comparison as Markdown: the table of policies, and what may be claimed about the agents."""
    policies = markdown(POLICY_COLUMNS, [row_cells(result, row) for row in shown_rows(result)])
    return policies + "\n" + markdown(VERDICT_COLUMNS, verdict_cells(result))


POOLED_COLUMNS = (
    "policy",
    "acc@1",
    "GFLOPs",
    "hull gain",
    "p of lying above the hull",
    "reward above best fixed of val, selector charged",
    "p of lying above it",
    "hull gain in each comparison",
    "what it is there",
)


def pooled_cells(result: Pooled) -> list[tuple[str, ...]]:
    """Policies over several comparisons, `POOLED_COLUMNS` as text; p-values are corrected (Holm)."""
    fixed = result.best_fixed_acc1
    names = "; ".join(f"{one['best_fixed']} px" for one in result.comparisons)
    cells: list[tuple[str, ...]] = [
        (
            "best fixed of val",
            f"{100 * fixed.value:.1f} {_points(fixed.interval)}",
            f"{result.best_fixed_gflops:.4f}",
            *("-",) * 5,
            names,
        )
    ]
    for row in result.rows:
        low, high = row.over_fixed.interval
        gain, over, made = row.hull_gain, f"{row.over_fixed.value:+.4f}", row.made_on(result.settings["split"])
        cells.append(
            (
                f"{row.name}, {made}" if made else row.name,
                f"{100 * row.acc1.value:.1f} {_points(row.acc1.interval)}",
                f"{row.gflops:.4f}",
                _signed(gain.value, 100.0, 1) + ("" if made else f" {_points(gain.interval, signed=True)}"),
                "-" if made else _p(row.above_hull_p),
                over if made else f"{over} [{low:+.4f}, {high:+.4f}]",
                "-" if made else _p(row.over_fixed_p),
                ", ".join(_signed(one, 100.0, 1) for one in row.hull_gains),
                "; ".join(row.names) if set(row.names) != {row.name} else "",
            )
        )
    return cells


def pooled_title(result: Pooled) -> str:
    """What was pooled, in a line."""
    names = ", ".join(one["dataset"] for one in result.comparisons)
    told = result.settings
    return (
        f"{names}, split {told['split']}: {result.n_sketches} sketches of {result.n_photos} photos, tradeoff "
        f"{told['tradeoff']}, {told['seeds']} seeds x {told['total_steps']:,} steps"
    )


POOLED_NOTE = (
    "Means over comparisons, weighted by sketches. Brackets: 95 % bootstrap over photos, drawn within each comparison. "
    "Hull gain: points of acc@1 above mixing fixed canvases at the same cost, the hull fitted in each comparison. "
    "p-values of lying above are corrected over the policies (Holm)."
)


def pooled_markdown(result: Pooled) -> str:
    """Several comparisons as one, as Markdown."""
    table = markdown(POOLED_COLUMNS, pooled_cells(result))
    return f"**{pooled_title(result)}**\n\n{table}\n{POOLED_NOTE}\n"


FRONT_COLUMNS = ("agent", "hypervolume", "above coin tosses at the same costs")


def front_cells(result: SweepResult) -> list[tuple[str, ...]]:
    """Each agent's front as one number, `FRONT_COLUMNS` as text."""
    return [
        (
            front.agent,
            f"{front.hypervolume:.3f} [{front.interval.low:.3f}, {front.interval.high:.3f}]",
            f"{front.over_hull:+.3f} [{front.over_hull_interval.low:+.3f}, {front.over_hull_interval.high:+.3f}]",
        )
        for front in result.fronts
    ]


SWEEP_COLUMNS = ("agent", "tradeoff", *POLICY_COLUMNS[1:])


def sweep_cells(result: SweepResult) -> list[tuple[str, ...]]:
    """Every agent at every tradeoff, `SWEEP_COLUMNS` as text."""
    points = sorted(result.points, key=lambda point: (point.agent, point.tradeoff))
    return [(point.agent, f"{point.tradeoff:g}", *policy_cells("", point.evaluation)[1:]) for point in points]


def sweep_tables(result: SweepResult) -> tuple[Table, Table]:
    """The sweep as rich tables: the points, and the fronts."""
    compare = result.config.compare
    title = f"{compare.env.dataset}, split {compare.split}: {compare.seeds} seeds x {compare.total_steps:,} steps"
    note = (
        "Accuracy times doublings of cost up to the largest canvas, 95 % bootstrap over photos; 'one for all' is one "
        "selector that is told the tradeoff."
    )
    return (
        rich_table(title, SWEEP_COLUMNS, sweep_cells(result)),
        rich_table("fronts", FRONT_COLUMNS, front_cells(result), caption=note),
    )


def sweep_markdown(result: SweepResult) -> str:
    """The sweep as Markdown: the fronts, then the points."""
    return markdown(FRONT_COLUMNS, front_cells(result)) + "\n" + markdown(SWEEP_COLUMNS, sweep_cells(result))


def pick_table(found: Pick) -> Table:
    """An operating point as a rich table; where val was reported, it stands there once."""
    one = found.candidate
    name = f"fixed {one.canvas}" if one.run is None else f"{one.agent}, tradeoff {one.tradeoff:g}, seed {one.seed}"
    measured = {
        "val acc@1": f"{100 * one.val_acc1:.1f}",
        "val GFLOPs": f"{one.val_gflops:.4f}",
        f"{found.split} acc@1": f"{100 * one.acc1:.1f}",
        f"{found.split} GFLOPs": f"{one.gflops:.4f}",
    }
    selector = "no selector needed" if found.path is None else str(found.path)
    columns = ("policy", *measured, "selector")
    return rich_table("chosen on val", columns, [(name, *measured.values(), selector)])


COST_COLUMNS = ("network", "parameters", "MFLOPs", "% of the student's", "ms", "p95 ms", "% of the student's")


def cost_cells(found: SelectorCosts) -> list[tuple[str, ...]]:
    """What each selector network costs, `COST_COLUMNS` as text; shares are of the student at its cheapest canvas."""
    return [
        (
            one.name,
            f"{one.params:,}",
            f"{one.flops / 1e6:.4f}",
            f"{100 * one.flops_share:.1f}",
            f"{one.ms:.2f}",
            f"{one.p95_ms:.2f}",
            f"{100 * one.ms_share:.0f}",
        )
        for one in found.selectors
    ]


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def finding(result: CompareResult) -> str:
    """One honest sentence for each agent and each rule that decides: is it above the hull of the fixed canvases?"""
    from agents.evaluation.setting import VAL_SPLIT

    split = result.config.split
    told = [row for row in result.rows if row.kind == "rule" and row.decides()]
    told += [row for row in result.rows if row.kind == "agent"]
    lines = [_sentence(row, row.made_on(split)) for row in told]
    if split == VAL_SPLIT:
        lines.append(f"Split {split} is there to choose on: what is to be claimed comes from --split test, once.")
    return "\n".join(lines)


def _sentence(row: Row, made: str) -> str:
    low, high = row.evaluation.hull_gain_interval
    value = f"{100 * row.evaluation.hull_gain:+.1f} points"
    gain = f"{value} [{100 * low:+.1f}, {100 * high:+.1f}]"
    if made:
        return f"{row.name} was {made}: its {value} from the hull of the fixed canvases are no finding."
    if not row.decides():
        name, most = max(row.evaluation.share.items(), key=lambda one: one[1])
        where = f"{name} px" if most == 1.0 else "one canvas, each seed to its own,"
        return f"{row.name} sends every sketch to {where} and pays for a selector that decides nothing: {gain}."
    if low > 0:
        return f"{row.name} lies above the hull of the fixed canvases by {gain}."
    if high < 0:
        return f"{row.name} lies below the hull of the fixed canvases by {gain}: mixing fixed canvases is better."
    return f"{row.name} is not told apart from the hull of the fixed canvases: {gain} includes zero."


SCORE_COLUMNS = ("split", "canvas", "GFLOPs", "acc@1", "acc@5", "acc@10")


def score_cells(table: OutcomeTable) -> list[tuple[str, ...]]:
    """A student's accuracy by split and canvas, `SCORE_COLUMNS` as text; percentages, 95 % intervals."""
    from agents.evaluation import statistics

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
