"""A sweep, and an operating point picked from it, as tables."""

from __future__ import annotations

from rich.table import Table

from agents.experiments.pick import Pick
from agents.experiments.sweep import SweepResult
from agents.reports import tables

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


SWEEP_COLUMNS = ("agent", "tradeoff", *tables.POLICY_COLUMNS[1:])


def sweep_cells(result: SweepResult) -> list[tuple[str, ...]]:
    """Every agent at every tradeoff, `SWEEP_COLUMNS` as text."""
    points = sorted(result.points, key=lambda point: (point.agent, point.tradeoff))
    return [(point.agent, f"{point.tradeoff:g}", *tables.policy_cells("", point.evaluation)[1:]) for point in points]


def sweep_tables(result: SweepResult) -> tuple[Table, Table]:
    """The sweep as rich tables: the points, and the fronts."""
    compare = result.config.compare
    title = f"{compare.env.dataset}, split {compare.split}: {compare.seeds} seeds x {compare.total_steps:,} steps"
    note = (
        "Accuracy times doublings of cost up to the largest canvas, 95 % bootstrap over photos; 'one for all' is one "
        "selector that is told the tradeoff."
    )
    return (
        tables.rich_table(title, SWEEP_COLUMNS, sweep_cells(result)),
        tables.rich_table("fronts", FRONT_COLUMNS, front_cells(result), caption=note),
    )


def sweep_markdown(result: SweepResult) -> str:
    """The sweep as Markdown: the fronts, then the points."""
    return (
        tables.markdown(FRONT_COLUMNS, front_cells(result)) + "\n" + tables.markdown(SWEEP_COLUMNS, sweep_cells(result))
    )


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
    selector = "none needed" if one.run is None else one.run
    columns = ("policy", *measured, "selector")
    return tables.rich_table("chosen on val", columns, [(name, *measured.values(), selector)])
