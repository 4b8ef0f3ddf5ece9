"""Tables about what bounds a selector, and about what selectors and whole queries cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.evaluation.bootstrap import Interval
from agents.reports import tables
from agents.reports.document import Block, Text
from agents.reports.tables import Table
from agents.search.answers import STAGES
from agents.studies.ceiling import CURVE_TRADEOFF, Ceiling
from agents.studies.query_latency import FIXED, SELECTOR, QueryLatency
from agents.studies.selector_latency import SelectorCosts


def ceiling_blocks(result: Ceiling) -> tuple[Block, ...]:
    """Three tables: where the differences come from, what knowledge earns, the learning curve."""
    knowledge = [
        (
            policy.knows,
            "-" if policy.explained is None else f"{100 * policy.explained:+.1f}",
            f"{tradeoff}",
            f"{100 * e.acc1:.1f}",
            f"{e.gflops:.4f}",
            tables.number_text(e.gap_closed, e.gap_closed_interval, "+.2f"),
            tables.percent_text(e.hull_gain, e.hull_gain_interval, signed=True),
        )
        for policy in result.policies
        for tradeoff, e in policy.evaluations.items()
    ]
    return (
        Table(
            f"What bounds a selector: {result.student} on {result.dataset}, split {result.split}: {result.sketches} "
            f"sketches of {result.photos} photos, {result.copies} copies each; forecasts learnt on {result.learnt_on}",
            ("difference of R_acc", "sd", "% photo", "% drawing", "% raster"),
            tuple(
                (f"{s.large} - {s.small} px", f"{s.sd:.2f}", *(f"{100 * x:.0f}" for x in (s.photo, s.drawing, s.luck)))
                for s in result.spreads
            ),
            f"Of the variance of these differences {100 * result.reliability:.0f} % belongs to the sketch; 'raster' is "
            "the part that moving the sketch slightly changes.",
        ),
        Table(
            "what knowledge earns",
            ("the policy knows", "% explained", "tradeoff", "acc@1", "GFLOPs", "gap closed", "hull gain"),
            tuple(knowledge),
            "Explained: of the variance of the differences, on sketches not learnt from. Gap closed: 0 best fixed "
            "canvas, 1 oracle, by reward. Hull gain: points of acc@1 above mixing fixed canvases at the same cost, "
            "selector and look included. Brackets: 95 % bootstrap over photos.",
        ),
        Table(
            "learning curve",
            ("ridge regression on", "photos", "% explained", f"hull gain at {CURVE_TRADEOFF}"),
            tuple(
                (p.knows, str(p.photos), f"{100 * p.explained:+.1f}", f"{100 * p.hull_gain:+.1f}") for p in result.curve
            ),
        ),
    )


def query_blocks(result: QueryLatency) -> tuple[Block, ...]:
    """Times and accuracy of every policy, the findings, and where they are from."""
    toss = " and ".join(f"{_percent(share, 1.0)} at {side} px" for side, share in result.toss.items() if share)
    return (
        Table(
            f"{result.dataset}, split {result.split}: one query on one thread among {result.photos:,} photos",
            ("engine", "canvas", "acc@1 %", "GFLOPs", "p50 ms", "p95 ms", "of fixed 256", *STAGES),
            tuple(
                (
                    row.engine,
                    row.policy,
                    f"{100 * row.acc1:.1f} [{100 * row.acc1_low:.1f}, {100 * row.acc1_high:.1f}]",
                    f"{row.gflops:.3f}",
                    f"{row.p50_ms:.2f}",
                    f"{row.p95_ms:.2f}",
                    f"{result.share_of_largest(row):.2f}",
                    *(f"{row.stages[stage]:.2f}" for stage in STAGES),
                )
                for row in result.rows
            ),
            f"{', '.join(STAGES)}: median milliseconds of each stage, which do not add up to the median of the whole. "
            "acc@1 with its 95 % interval and GFLOPs are those of the whole split; times are those of "
            f"{result.sketches} of its sketches, each searched for {result.repeats} times by every row, in turns.",
        ),
        Text(
            (
                *query_findings(result),
                f"Selector: {result.selector}. The coin toss has the same mean FLOPs: {toss}, whatever the sketch.",
                f"{result.machine['cpu']}, {result.machine['cores']} cores, load {result.load[0]:.1f} before and "
                f"{result.load[1]:.1f} after, {result.date}.",
            )
        ),
    )


def query_findings(result: QueryLatency) -> list[str]:
    """For each engine: how far saved FLOPs become saved time."""
    return [_query_finding(result, engine) for engine in result.engines()]


def _query_finding(result: QueryLatency, engine: str) -> str:
    chosen, small, largest = (result.row(engine, one) for one in (SELECTOR, f"fixed:{FIXED[0]}", f"fixed:{FIXED[-1]}"))
    rest = sum(chosen.stages[stage] for stage in STAGES if stage != "student")
    own, most = small.stages["student"], largest.stages["student"]
    return (
        f"{engine}: the selector's queries cost {_percent(chosen.gflops, largest.gflops)} of the FLOPs of fixed "
        f"{FIXED[-1]} and take {_percent(chosen.p50_ms, largest.p50_ms)} of its median time. Selector, raster and "
        f"ranking take {rest:.2f} ms, {_percent(rest, chosen.p50_ms)} of a query. The student takes {own:.2f} ms at "
        f"{FIXED[0]} px, {_percent(own, most)} of its {most:.2f} ms at {FIXED[-1]} px, for "
        f"{_percent(small.gflops, largest.gflops)} of the FLOPs."
    )


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %"


def cost_table(found: SelectorCosts) -> Table:
    """What each selector network costs; shares are of the student at its cheapest canvas."""
    return Table(
        f"{found.student} at {found.canvas} px: {found.student_flops / 1e6:.1f} MFLOPs, {found.student_ms:.2f} ms",
        ("network", "parameters", "MFLOPs", "% of student", "ms", "p95 ms", "% of its ms"),
        tuple(
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
        ),
    )


def int8_table(cost: Mapping[str, Any], size: int) -> Table:
    """acc@1 of an exported student at int8 and at float32, in percent.

    Args:
        cost: the result of `agents.onnx.export.record_int8_cost`.
        size: of the export at int8, bytes.
    """
    return Table(
        f"acc@1 on {cost['dataset']}, split {cost['split']}: int8 ({size:,} bytes) against float32",
        ("canvas", "float32", "int8", "difference"),
        tuple(
            (
                str(one["side"]),
                f"{100 * one['float32']:.1f}",
                f"{100 * one['int8']:.1f}",
                tables.percent_text(one["difference"], Interval(one["low"], one["high"]), signed=True),
            )
            for one in cost["canvases"]
        ),
    )
