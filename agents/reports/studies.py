"""Tables about what bounds a selector, and about what selectors and whole queries cost."""

from __future__ import annotations

from rich.table import Table

from agents.reports import tables
from agents.search.answers import STAGES
from agents.studies.ceiling import CURVE_TRADEOFF, Ceiling, Policy
from agents.studies.query_latency import FIXED, SELECTOR, QueryLatency
from agents.studies.selector_latency import SelectorCosts

QUERY_COLUMNS = (
    "engine",
    "canvas",
    "acc@1 %",
    "GFLOPs",
    "p50 ms",
    "p95 ms",
    "of fixed 256",
    *(f"{one} ms" for one in STAGES),
)


SPREAD_COLUMNS = ("difference of R_acc", "sd", "% photo", "% drawing", "% luck of the raster")
KNOWLEDGE_COLUMNS = ("the policy knows", "% explained", "tradeoff", "acc@1", "GFLOPs", "gap closed", "hull gain")
CURVE_COLUMNS = ("ridge regression on", "photos", "% explained", f"hull gain at {CURVE_TRADEOFF}")


def ceiling_markdown(result: Ceiling) -> str:
    """Three tables: whence the differences, what knowledge earns, the learning curve."""
    spreads, knowledge, curve = _ceiling_parts(result)
    parts = [
        f"**{ceiling_title(result)}**",
        tables.markdown(SPREAD_COLUMNS, spreads),
        f"Of the variance of these differences {100 * result.reliability:.0f} % belongs to the sketch.",
        tables.markdown(KNOWLEDGE_COLUMNS, knowledge),
        "Explained: of the variance of the differences, on sketches not learnt from. Gap closed: 0 best fixed "
        "canvas, 1 oracle, by reward. Hull gain: points of acc@1 above mixing fixed canvases at the same cost, "
        "selector and look included. Brackets: 95 % bootstrap over photos.",
        tables.markdown(CURVE_COLUMNS, curve),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def ceiling_tables(result: Ceiling) -> tuple[Table, ...]:
    """The same tables for a terminal."""
    columns = (SPREAD_COLUMNS, KNOWLEDGE_COLUMNS, CURVE_COLUMNS)
    titles = (ceiling_title(result), "what knowledge earns", "learning curve")
    return tuple(map(tables.rich_table, titles, columns, _ceiling_parts(result)))


def ceiling_title(result: Ceiling) -> str:
    """What was studied, in a line."""
    return (
        f"What bounds a selector: {result.student} on {result.dataset}, split {result.split}: {result.sketches} "
        f"sketches of {result.photos} photos, {result.copies} copies each; forecasts learnt on {result.learnt_on}"
    )


def _ceiling_parts(result: Ceiling) -> tuple[list[tuple[str, ...]], ...]:
    """Cells of the three tables."""
    spreads: list[tuple[str, ...]] = [
        (f"{s.large} - {s.small} px", f"{s.sd:.2f}", *(f"{100 * x:.0f}" for x in (s.photo, s.drawing, s.luck)))
        for s in result.spreads
    ]
    knowledge = [cells for policy in result.policies for cells in _ceiling_cells(policy)]
    curve: list[tuple[str, ...]] = [
        (p.knows, str(p.photos), f"{100 * p.explained:+.1f}", f"{100 * p.hull_gain:+.1f}") for p in result.curve
    ]
    return spreads, knowledge, curve


def _ceiling_cells(policy: Policy) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for dial, e in policy.evaluations.items():
        low, high = e.gap_closed_interval
        down, up = (100 * bound for bound in e.hull_gain_interval)
        share = "-" if policy.explained is None else f"{100 * policy.explained:+.1f}"
        gap, gain = (
            f"{e.gap_closed:+.2f} [{low:+.2f}, {high:+.2f}]",
            f"{100 * e.hull_gain:+.1f} [{down:+.1f}, {up:+.1f}]",
        )
        rows.append((policy.knows, share, f"{dial}", f"{100 * e.acc1:.1f}", f"{e.gflops:.4f}", gap, gain))
    return rows


def query_cells(result: QueryLatency) -> list[tuple[str, ...]]:
    """The table's cells, under `QUERY_COLUMNS`."""
    return [
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
    ]


def query_findings(result: QueryLatency) -> list[str]:
    """Where saved FLOPs become saved time, and where they do not: a sentence or two for each engine."""
    return [_query_finding(result, engine) for engine in result.engines()]


def _query_finding(result: QueryLatency, engine: str) -> str:
    chosen, small, largest = (result.row(engine, one) for one in (SELECTOR, f"fixed:{FIXED[0]}", f"fixed:{FIXED[-1]}"))
    rest = sum(chosen.stages[stage] for stage in STAGES if stage != "student")
    own, most = small.stages["student"], largest.stages["student"]
    return (
        f"{engine}: the selector's queries cost {_percent(chosen.gflops, largest.gflops)} of the FLOPs of fixed "
        f"{FIXED[-1]} and take {_percent(chosen.p50_ms, largest.p50_ms)} of its median time. What is no student "
        f"(selector, raster, ranking) takes {rest:.2f} ms, {_percent(rest, chosen.p50_ms)} of a query. The student "
        f"takes {own:.2f} ms at {FIXED[0]} px, {_percent(own, most)} of its {most:.2f} ms at {FIXED[-1]} px, for "
        f"{_percent(small.gflops, largest.gflops)} of the FLOPs."
    )


def query_markdown(result: QueryLatency) -> str:
    """Title, table, findings and where they are from."""
    toss = " and ".join(f"{_percent(share, 1.0)} at {side} px" for side, share in result.toss.items() if share)
    return "\n".join(
        [
            f"{result.dataset}, split {result.split}: one query on one thread among {result.photos:,} photos\n",
            tables.markdown(QUERY_COLUMNS, query_cells(result)),
            *(f"* {finding}" for finding in query_findings(result)),
            "* acc@1 with its 95 % interval and GFLOPs are those of the whole split; times are those of "
            f"{result.sketches} of its sketches, each searched for {result.repeats} times by every row, in turns. The "
            "stages' medians do not add up to the median of the whole.",
            f"* Selector: {result.selector}. The coin toss costs the same mean FLOPs: {toss}, whatever the sketch.",
            f"* {result.machine['cpu']}, {result.machine['cores']} cores, load {result.load[0]:.1f} before and "
            f"{result.load[1]:.1f} after, {result.date}.\n",
        ]
    )


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %"


COST_COLUMNS = ("network", "parameters", "MFLOPs", "% of student", "ms", "p95 ms", "% of its ms")


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
