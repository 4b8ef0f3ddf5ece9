"""Tables about students: the paper's table, and the pilot study."""

from __future__ import annotations

from typing import Any

from agents.reports import tables
from agents.reports.document import Block, Text
from agents.reports.tables import Table, percent_text
from agents.studies.pilot import PilotResult
from agents.studies.students import LARGE, SMALL, Line, Score, Section, SelectorLine, StudentReport, origin_of
from students.tables.evaluation import StudentRow

HEADLINE = 256
"""Canvas of the first table, pixels: what the paper reports."""
SHOWN = (32, 64, 128, 256)
"""Canvases of the second table, pixels; the others are in the JSON."""

TITLES = {
    "baseline": "no learning",
    "teacher": "teacher",
    "direct": "student, trained directly",
    "distilled": "student, distilled",
}


def score_table(row: StudentRow, line: Line) -> Table:
    """One student at each of its canvases."""
    return Table(
        f"{row.name}, {row.role}, on "
        + _place(row.dataset, row.split, len(row.sketch_ids), len(set(row.photo_ids)), row.gallery),
        ("canvas", "GFLOPs", "acc@1", "acc@5", "acc@10"),
        tuple((str(side), *_cost_and_score(line, score)[1:]) for side, score in line.scores.items()),
    )


def headline_table(section: Section) -> Table:
    """The paper's table: every line at 256 px, or at its largest canvas where it lacks that one."""
    rows = []
    for line in section.lines:
        side = HEADLINE if HEADLINE in line.scores else max(line.scores)
        seeds = "-" if line.seeds == (None,) else str(len(line.seeds))
        what = (TITLES[line.role], line.name, seeds, *_training(line))
        rows.append((*what, str(side), *_cost_and_score(line, line.scores[side])))
    for one in section.selectors:
        title = f"{TITLES['distilled']}, + {one.selector}"
        rows.append((title, one.name, str(len(one.score.by_seed)), "-", "-", "any", *_cost_and_score(one, one.score)))
    return Table(
        _place(section.dataset, section.split, section.sketches, section.photos, section.gallery),
        ("row", "network", "seeds", "steps", "losses", "canvas", "params", "GFLOPs", "acc@1", "acc@5", "acc@10"),
        tuple(rows),
    )


def canvas_table(section: Section) -> Table:
    """Every line at every shown canvas: acc@1 with its interval / acc@5 / acc@10."""
    return Table(
        "by canvas: acc@1 / acc@5 / acc@10",
        ("row", "network", "steps", "losses", *(f"{side} px" for side in SHOWN)),
        tuple(
            (
                TITLES[line.role],
                line.name,
                *_training(line),
                *(
                    f"{percent_text(s.acc1, s.interval)} / {100 * s.acc5:.1f} / {100 * s.acc10:.1f}"
                    if s is not None
                    else "-"
                    for s in (line.scores.get(side) for side in SHOWN)
                ),
            )
            for line in section.lines
        ),
    )


def difference_table(section: Section) -> Table:
    """Differences of acc@1 between lines, in points with their intervals."""
    places = (*(f"{side} px" for side in SHOWN), f"{SMALL} px minus {LARGE} px")
    return Table(
        "paired differences",
        ("difference of acc@1, points", *places[:-1], f"{SMALL} minus {LARGE} px"),
        tuple(
            (one.what, *(percent_text(*one.values[at], signed=True) if at in one.values else "-" for at in places))
            for one in section.differences
        ),
    )


def student_blocks(result: StudentReport) -> tuple[Block, ...]:
    """The report: tables, what is left out, and where the rows come from."""
    found: list[Block] = []
    for section in result.sections:
        found += [headline_table(section), canvas_table(section)]
        found += [difference_table(section)] if section.differences else []
        found += [Text(section.notes)] if section.notes else []
        found.append(Text(("Where these rows come from:", *(_origin(one) for one in section.provenance))))
    found.append(
        Text(
            (
                "Percent and points; GFLOPs are 2 x MAC per query. Several seeds: the mean. Brackets: 95 % intervals, "
                f"{result.resamples:,} bootstrap resamples of photos and, where there are several, of seeds; "
                "differences are paired by sketch.",
            )
        )
    )
    return tuple(found)


def _training(line: Line) -> tuple[str, str]:
    return "-" if line.steps is None else f"{line.steps:,}", line.losses or "-"


def _cost_and_score(line: Line | SelectorLine, score: Score) -> tables.Row:
    return (
        "-" if line.params == 0 else f"{line.params / 1e6:.2f} M",
        f"{score.gflops:.4f}",
        percent_text(score.acc1, score.interval),
        f"{100 * score.acc5:.1f}",
        f"{100 * score.acc10:.1f}",
    )


def _origin(one: dict[str, Any]) -> str:
    hardware, seed = one["hardware"], "" if one["seed"] is None else f", seed {one['seed']}"
    weights = "no weights" if one["weights_sha256"] is None else f"weights {one['weights_sha256'][:12]}"
    trained = one["training"].get("commit")
    versions = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
    machine = f"{hardware.get('gpu') or hardware.get('cpu')}, torch threads: {hardware.get('threads')}"
    return (
        f"{one['name']}, {one['role']}{seed}: {weights}"
        + ("" if trained is None else f", trained at commit {trained}")
        + f"; evaluated {one['date'][:10]} at commit {one['commit']} on {machine}; {versions}"
        + (f"; {one['command']}" if one["command"] else "")
    )


def pilot_blocks(result: PilotResult) -> tuple[Block, ...]:
    """The pilot study: acc@1 for each kind of query at each canvas."""
    row, sketches = result.row, result.curves[0]
    small, large = row.canvases[0], row.canvases[-1]
    return (
        Table(
            f"{row.name} on {row.dataset}, split {row.split}: acc@1 against canvas size, gallery of {row.gallery}",
            (
                "queries",
                "n",
                *(f"{side} px" for side in row.canvases),
                f"right at {small} of those right at {large}",
            ),
            tuple(
                (
                    curve.queries,
                    str(curve.n),
                    *(percent_text(value, interval) for value, interval in curve.acc1.values()),
                    percent_text(*curve.right_small_of_large),
                )
                for curve in result.curves
            ),
        ),
        Text(
            (
                f"At {small} px {percent_text(*sketches.right_small)} % of the sketches are right already, and "
                f"{percent_text(*sketches.right_small_of_large)} % of those that are right at {large} px. Photos as "
                "queries: each photo of the gallery, shrunk to the canvas, is searched for in the gallery at "
                f"{result.photo_side} px, where the two are the same picture; the student was trained on photos at "
                f"{result.photo_side} px only. Brackets: 95 % bootstrap over photos.",
            )
        ),
        Text((_origin(origin_of(row)),)),
    )


def _place(dataset: str, split: str, sketches: int, photos: int, gallery: int) -> str:
    return f"{dataset}, split {split}: {sketches} sketches of {photos} photos, gallery of {gallery}"
