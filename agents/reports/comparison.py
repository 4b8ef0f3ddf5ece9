"""A comparison, or several pooled, as tables and sentences."""

from __future__ import annotations

import math
from statistics import median

from rich.table import Table

from agents.evaluation.seeds import LEVEL, can_differ
from agents.evaluation.setting import VAL_SPLIT
from agents.experiments.pooled import Pooled
from agents.experiments.results import CompareResult, Row, Verdict
from agents.reports import tables


def row_cells(result: CompareResult, row: Row) -> tuple[str, ...]:
    """A comparison's row as `POLICY_COLUMNS`; one that was made on the reported split says so and claims nothing."""
    cells, made = tables.policy_cells(row.name, row.evaluation), row.made_on(result.config.split)
    if not made:
        return cells
    # An interval beside the gain would read as evidence.
    return (f"{row.name}, {made}", *cells[1:-1], tables.signed(row.evaluation.hull_gain, 100.0, 1))


def compare_table(result: CompareResult) -> Table:
    """The comparison as a rich table, trained agents last and in bold."""
    config = result.config
    first = result.rows[0].evaluation
    table = tables.rich_table(
        f"{config.env.dataset}, split {config.split}: {first.n_sketches} sketches of {first.n_photos} photos, "
        f"tradeoff {config.env.tradeoff}",
        tables.POLICY_COLUMNS,
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
    tellable = can_differ(result.config.seeds, len(result.verdicts))
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
                tables.p_text(verdict.over_fixed_p) if claimable else "-",
                # A fixed canvas lies on the hull or below it, whoever pays a selector for it.
                tables.p_text(verdict.above_hull_p) if claimable and row.decides() else "-",
                f"{median(row.seconds):.1f}",
                (", ".join(beaten) or "none") if claimable and tellable and verdict.improvement else "-",
            )
        )
    return rows


def verdict_table(result: CompareResult) -> Table:
    """What may be claimed about each agent, as a rich table."""
    return tables.rich_table(
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
    policies = tables.markdown(tables.POLICY_COLUMNS, [row_cells(result, row) for row in shown_rows(result)])
    return policies + "\n" + tables.markdown(VERDICT_COLUMNS, verdict_cells(result))


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
            f"{100 * fixed.value:.1f} {tables.points_text(fixed.interval)}",
            f"{result.best_fixed_gflops:.4f}",
            *("-",) * 5,
            names,
        )
    ]
    for row in result.rows:
        low, high = row.over_fixed.interval
        gain, over, made = row.hull_gain, f"{row.over_fixed.value:+.4f}", row.made_on(result.settings["split"])
        interval = "" if made else f" {tables.points_text(gain.interval, signed=True)}"
        cells.append(
            (
                f"{row.name}, {made}" if made else row.name,
                f"{100 * row.acc1.value:.1f} {tables.points_text(row.acc1.interval)}",
                f"{row.gflops:.4f}",
                tables.signed(gain.value, 100.0, 1) + interval,
                "-" if made else tables.p_text(row.above_hull_p),
                over if made else f"{over} [{low:+.4f}, {high:+.4f}]",
                "-" if made else tables.p_text(row.over_fixed_p),
                ", ".join(tables.signed(one, 100.0, 1) for one in row.hull_gains),
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
    table = tables.markdown(POOLED_COLUMNS, pooled_cells(result))
    return f"**{pooled_title(result)}**\n\n{table}\n{POOLED_NOTE}\n"


def summary(result: CompareResult) -> tuple[str, str, str]:
    """Three sentences: which agent is best, how far it is from the oracle, and what it saves.

    Best is the highest mean reward with the selector charged like the student; agents that are not told apart from it
    by the exact test over seeds are named.
    """
    best = max(result.verdicts, key=lambda verdict: verdict.over_fixed.value)
    row, oracle = result.row(best.name), result.row("oracle").evaluation
    largest = [one for one in result.rows if one.kind == "fixed"][-1]
    others = [verdict.name for verdict in result.verdicts if verdict.name != best.name]
    beaten = [name for name in others if name in best.improvement and best.improvement[name].better]
    equal = [name for name in others if name not in beaten]
    if not others:
        first = f"{best.name} is the only agent."
    elif not best.improvement or not can_differ(result.config.seeds, len(result.verdicts)):
        first = f"Best agent: {best.name}; {result.config.seeds} seeds are too few to tell agents apart."
    elif equal:
        first = f"Best agent: {best.name}, better than {len(beaten)} of {len(others)}; not told apart from "
        first += f"{', '.join(equal)}."
    else:
        first = f"Best agent: {best.name}, better than all {len(others)} others."
    own = row.evaluation
    reached = f"its acc@1 is {100 * own.acc1:.1f} %, the oracle's {100 * oracle.acc1:.1f} %"
    if math.isnan(own.gap_closed):
        second = f"There is no gap between the best fixed canvas and the oracle: {reached}."
    else:
        share = f"{100 * own.gap_closed:.0f} %"
        second = f"It closes {share} of the gap between the best fixed canvas and the oracle: {reached}."
    gain = f"{100 * own.hull_gain:+.1f} points {tables.points_text(own.hull_gain_interval, signed=True)}"
    whole = largest.evaluation
    third = (
        f"A query costs {own.gflops:.3f} GFLOPs, {100 * own.gflops / whole.gflops:.0f} % of {largest.name} px "
        f"({100 * whole.acc1:.1f} % acc@1); beside mixing fixed canvases at that cost it is {gain}."
    )
    return first, second, third


def finding(result: CompareResult) -> str:
    """A sentence for each agent and each rule that decides: is it above the hull of the fixed canvases?"""
    split = result.config.split
    told = [row for row in result.rows if row.kind in ("rule", "reference") and row.decides()]
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
