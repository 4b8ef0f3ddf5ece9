"""A comparison, or several pooled, as tables and sentences."""

from __future__ import annotations

import math
from statistics import median

from agents.evaluation.seeds import LEVEL, can_differ
from agents.evaluation.setting import VAL_SPLIT
from agents.experiments.results import CompareResult, Row, Verdict
from agents.reports import tables
from agents.reports.tables import Table
from agents.studies.pooled import Pooled


def row_cells(result: CompareResult, row: Row) -> tables.Row:
    """A comparison's row as `POLICY_COLUMNS`; a row that was chosen on the reported split says so."""
    cells, made = tables.policy_cells(row.name, row.evaluation), row.made_on(result.config.split)
    if not made:
        return cells
    # No interval: beside the gain it would read as evidence.
    return (f"{row.name}, {made}", *cells[1:-1], tables.signed(row.evaluation.hull_gain, 100.0, 1))


def policy_table(result: CompareResult, coin_tosses: bool = False) -> Table:
    """All policies, agents in bold; the coin tosses, which hull gain stands for, only if asked for."""
    config, first = result.config, result.rows[0].evaluation
    rows = [row for row in result.rows if coin_tosses or row.kind != "hull"]
    return Table(
        f"{config.env.dataset}, split {config.split}: {first.n_sketches} sketches of {first.n_photos} photos, "
        f"tradeoff {config.env.tradeoff}",
        tables.POLICY_COLUMNS,
        tuple(row_cells(result, row) for row in rows),
        f"Agents: {config.seeds} seeds x {config.total_steps:,} steps, selector '{config.selector}'. acc@1 and shares "
        "in percent. Brackets: 95 % bootstrap over photos. GFLOPs (2 x MAC) per query include the selector's. Gap "
        "closed: 0 best fixed canvas, 1 oracle, by reward. Hull gain: points of acc@1 above mixing fixed canvases at "
        "the same cost.",
        strong=frozenset(number for number, row in enumerate(rows) if row.kind in ("agent", "chosen")),
    )


VERDICT_COLUMNS = (
    "agent",
    "gap closed",
    "reward above best fixed",
    "p: reward",
    "p: hull",
    "seconds",
    "better than",
)


def verdict_table(result: CompareResult) -> Table:
    """What may be claimed about each agent."""
    tellable = can_differ(result.config.seeds, len(result.verdicts))
    rows: list[tables.Row] = []
    for verdict in result.verdicts:
        row = result.row(verdict.name)
        claimable = not row.made_on(result.config.split)
        gap = verdict.gap_closed
        beaten = [name for name, found in verdict.improvement.items() if found.better]
        rows.append(
            (
                verdict.name,
                "-" if gap is None else tables.number_text(gap.value, gap.interval, "+.3f"),
                tables.number_text(verdict.over_fixed.value, verdict.over_fixed.interval, "+.4f"),
                tables.p_text(verdict.over_fixed_p) if claimable else "-",
                # A fixed canvas lies on the hull or below it, with or without the cost of a selector.
                tables.p_text(verdict.above_hull_p) if claimable and row.decides() else "-",
                f"{median(row.seconds):.1f}",
                (", ".join(beaten) or "none") if claimable and tellable and verdict.improvement else "-",
            )
        )
    return Table(
        "what may be claimed",
        VERDICT_COLUMNS,
        tuple(rows),
        "The selector's FLOPs are charged like the student's. Gap closed: interquartile mean over seeds, 95 % "
        "bootstrap over seeds. Reward above the best fixed canvas of val: 95 % bootstrap over photos. p: of a reward "
        "above that canvas, and of lying above the hull, corrected over the agents (Holm); - where an agent always "
        "takes one canvas. Seconds: median of a run. Better than: its runs close more of the gap, by an exact "
        "Mann-Whitney test over seeds at 5 %, corrected over all pairs (Holm); - with too few seeds for any claim.",
    )


def improvement_table(result: CompareResult) -> Table:
    """Every agent against every other; the columns are the rows' numbers."""
    names = [verdict.name for verdict in result.verdicts]

    def cell(verdict: Verdict, other: str) -> str:
        if other not in verdict.improvement:
            return "-"
        value, p = verdict.improvement[other]
        return f"{value:.2f}{'*' if p < LEVEL else ''}"

    return Table(
        "probability of improvement",
        ("agent", *(str(number) for number in range(1, len(names) + 1))),
        tuple(
            (f"{number} {verdict.name}", *(cell(verdict, other) for other in names))
            for number, verdict in enumerate(result.verdicts, start=1)
        ),
        "Row against column: the probability that a run of the row's agent closes more of the gap, selector charged, "
        "than a run of the column's, ties counted half. *: different at 5 % by an exact Mann-Whitney test over seeds, "
        "corrected over all pairs (Holm).",
    )


POOLED_COLUMNS = (
    "policy",
    "acc@1",
    "GFLOPs",
    "hull gain",
    "p: hull",
    "reward above best fixed",
    "p: reward",
    "hull gain in each comparison",
    "its name there",
)


def pooled_table(result: Pooled) -> Table:
    """Policies over several comparisons."""
    fixed, told = result.best_fixed_acc1, result.settings
    best = "; ".join(f"{one['best_fixed']} px" for one in result.comparisons)
    cost = f"{result.best_fixed_gflops:.4f}"
    rows: list[tables.Row] = [
        ("best fixed of val", tables.percent_text(fixed.value, fixed.interval), cost, *("-",) * 5, best)
    ]
    for row in result.rows:
        gain, over, made = row.hull_gain, row.over_fixed, row.made_on(told["split"])
        rows.append(
            (
                f"{row.name}, {made}" if made else row.name,
                tables.percent_text(row.acc1.value, row.acc1.interval),
                f"{row.gflops:.4f}",
                tables.signed(gain.value, 100.0, 1)
                + ("" if made else f" {tables.points_text(gain.interval, signed=True)}"),
                "-" if made else tables.p_text(row.above_hull_p),
                f"{over.value:+.4f}" if made else tables.number_text(over.value, over.interval, "+.4f"),
                "-" if made else tables.p_text(row.over_fixed_p),
                ", ".join(tables.signed(one, 100.0, 1) for one in row.hull_gains),
                "; ".join(row.names) if set(row.names) != {row.name} else "",
            )
        )
    return Table(
        f"{', '.join(one['dataset'] for one in result.comparisons)}, split {told['split']}: {result.n_sketches} "
        f"sketches of {result.n_photos} photos, tradeoff {told['tradeoff']}, {told['seeds']} seeds x "
        f"{told['total_steps']:,} steps",
        POOLED_COLUMNS,
        tuple(rows),
        "Means over comparisons, weighted by sketches. Brackets: 95 % bootstrap over photos, drawn within each "
        "comparison. Hull gain: points of acc@1 above mixing fixed canvases at the same cost, the hull fitted in each "
        "comparison. Reward above the best fixed canvas of val, selector charged. p: of a reward above that canvas, "
        "and of lying above the hull, corrected over the policies (Holm).",
    )


def summary(result: CompareResult) -> tuple[str, str, str]:
    """Three sentences: the best agent, its distance from the oracle, and its cost.

    The best agent has the highest mean reward with the selector's FLOPs charged; agents that the exact test over seeds
    does not tell apart from it are named.
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
    """A sentence for each agent, and each rule that takes several canvases: is it above the hull of fixed canvases?"""
    split = result.config.split
    told = [row for row in result.rows if row.kind in ("rule", "reference") and row.decides()]
    told += [row for row in result.rows if row.kind == "agent"]
    lines = [_sentence(row, row.made_on(split)) for row in told]
    if split == VAL_SPLIT:
        lines.append(f"Split {split} is for choosing; what to report comes from --split test, once.")
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
