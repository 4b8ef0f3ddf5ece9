"""A sweep, and an operating point picked from it, as tables."""

from __future__ import annotations

from agents.experiments.pick import Pick
from agents.experiments.sweep import SweepResult
from agents.reports import tables
from agents.reports.tables import Table


def front_table(result: SweepResult) -> Table:
    """Each agent's front as one number."""
    return Table(
        "fronts",
        ("agent", "hypervolume", "above coin tosses at the same costs"),
        tuple(
            (
                front.agent,
                tables.number_text(front.hypervolume, front.interval, ".3f"),
                tables.number_text(front.over_hull, front.over_hull_interval, "+.3f"),
            )
            for front in result.fronts
        ),
        "Accuracy times doublings of cost up to the largest canvas, 95 % bootstrap over photos. 'one for all' is one "
        "selector that takes the tradeoff as an input.",
    )


def point_table(result: SweepResult) -> Table:
    """Every agent at every tradeoff."""
    compare = result.config.compare
    return Table(
        f"{compare.env.dataset}, split {compare.split}: {compare.seeds} seeds x {compare.total_steps:,} steps",
        ("agent", "tradeoff", *tables.POLICY_COLUMNS[1:]),
        tuple(
            (point.agent, f"{point.tradeoff:g}", *tables.policy_cells("", point.evaluation)[1:])
            for point in sorted(result.points, key=lambda point: (point.agent, point.tradeoff))
        ),
    )


def pick_table(found: Pick) -> Table:
    """An operating point; where val is the reported split, it stands there once."""
    one = found.candidate
    name = f"fixed {one.canvas}" if one.run is None else f"{one.agent}, tradeoff {one.tradeoff:g}, seed {one.seed}"
    measured = {
        "val acc@1": f"{100 * one.val_acc1:.1f}",
        "val GFLOPs": f"{one.val_gflops:.4f}",
        f"{found.split} acc@1": f"{100 * one.acc1:.1f}",
        f"{found.split} GFLOPs": f"{one.gflops:.4f}",
    }
    selector = "none needed" if one.run is None else one.run
    return Table("chosen on val", ("policy", *measured, "selector"), ((name, *measured.values(), selector),))
