"""Tables about students: the paper's table, and the pilot study."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rich.table import Table

from agents.evaluation.bootstrap import Interval
from agents.reports import tables
from agents.studies.pilot import PilotResult
from agents.studies.students import LARGE, SMALL, Line, Score, Section, SelectorLine, StudentReport, origin_of
from students.tables.evaluation import StudentRow

HEADLINE = 256
"""Canvas of the first table, pixels: what the paper reports."""
SHOWN = (32, 64, 128, 256)
"""Canvases of the second table; the others are in the JSON."""

TITLES = {
    "baseline": "no learning",
    "teacher": "teacher",
    "direct": "student, trained directly",
    "distilled": "student, distilled",
}


SCORE_COLUMNS = ("canvas", "GFLOPs", "acc@1", "acc@5", "acc@10")


def score_cells(line: Line) -> list[tuple[str, ...]]:
    """One line at each of its canvases, `SCORE_COLUMNS` as text."""
    return [(str(side), *_cost_and_score(line, score)[1:]) for side, score in line.scores.items()]


COLUMNS = ("row", "network", "seeds", "steps", "losses", "canvas", "params", "GFLOPs", "acc@1", "acc@5", "acc@10")


def headline_cells(section: Section) -> list[tuple[str, ...]]:
    """The paper's table, `COLUMNS` as text: every line at 256 px (its largest canvas where it lacks that one)."""
    cells = []
    for line in section.lines:
        side = HEADLINE if HEADLINE in line.scores else max(line.scores)
        seeds = "-" if line.seeds == (None,) else str(len(line.seeds))
        what = (TITLES[line.role], line.name, seeds, *_training(line))
        cells.append((*what, str(side), *_cost_and_score(line, line.scores[side])))
    for one in section.selectors:
        title = f"{TITLES['distilled']}, + {one.selector}"
        cells.append((title, one.name, str(len(one.score.by_seed)), "-", "-", "any", *_cost_and_score(one, one.score)))
    return cells


def canvas_columns() -> tuple[str, ...]:
    """Columns of the table by canvas."""
    return ("row", "network", "steps", "losses", *(f"{side} px" for side in SHOWN))


def canvas_cells(section: Section) -> list[tuple[str, ...]]:
    """Every line at every shown canvas: acc@1 with its interval / acc@5 / acc@10."""
    return [
        (
            TITLES[line.role],
            line.name,
            *_training(line),
            *(
                f"{_share(s.acc1, s.interval)} / {100 * s.acc5:.1f} / {100 * s.acc10:.1f}" if s is not None else "-"
                for s in (line.scores.get(side) for side in SHOWN)
            ),
        )
        for line in section.lines
    ]


DIFFERENCE_COLUMNS = ("difference of acc@1, points", *(f"{side} px" for side in SHOWN), f"{SMALL} minus {LARGE} px")


def difference_cells(section: Section) -> list[tuple[str, ...]]:
    """Differences in points of acc@1 with their intervals, `DIFFERENCE_COLUMNS` as text."""
    places = (*(f"{side} px" for side in SHOWN), f"{SMALL} px minus {LARGE} px")
    return [
        (one.what, *(_share(*one.values[at], signed=True) if at in one.values else "-" for at in places))
        for one in section.differences
    ]


def section_tables(section: Section) -> tuple[Table, ...]:
    """The tables of a section, for a terminal."""
    found = [
        tables.rich_table(section_title(section), COLUMNS, headline_cells(section)),
        tables.rich_table("by canvas", canvas_columns(), canvas_cells(section)),
    ]
    if section.differences:
        found.append(tables.rich_table("paired differences", DIFFERENCE_COLUMNS, difference_cells(section)))
    return tuple(found)


def place(row: StudentRow) -> str:
    """Data set, split and sizes."""
    return _place(row.dataset, row.split, len(row.sketch_ids), len(set(row.photo_ids)), row.gallery)


def section_title(section: Section) -> str:
    """Data set, split and sizes."""
    return _place(section.dataset, section.split, section.sketches, section.photos, section.gallery)


def students_markdown(result: StudentReport) -> str:
    """The report as Markdown, without headings, so that it can stand between a README's own."""
    parts = []
    for section in result.sections:
        parts += [f"**{section_title(section)}**", tables.markdown(COLUMNS, headline_cells(section))]
        parts += [
            "By canvas, acc@1 / acc@5 / acc@10:",
            tables.markdown(canvas_columns(), canvas_cells(section)),
        ]
        if section.differences:
            parts.append(tables.markdown(DIFFERENCE_COLUMNS, difference_cells(section)))
        if section.notes:
            parts.append(_bullets(section.notes))
        parts += ["Where these rows come from:", _bullets(_origin(one) for one in section.provenance)]
    parts.append(
        f"Percent and points; GFLOPs are 2 x MAC per query. Several seeds: the mean. Brackets: 95 % intervals, "
        f"{result.resamples:,} bootstrap resamples of photos and, where there are several, of seeds; differences are "
        "paired by sketch."
    )
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _training(line: Line) -> tuple[str, str]:
    return "-" if line.steps is None else f"{line.steps:,}", line.losses or "-"


def _cost_and_score(line: Line | SelectorLine, score: Score) -> tuple[str, ...]:
    return (
        "-" if line.params == 0 else f"{line.params / 1e6:.2f} M",
        f"{score.gflops:.4f}",
        _share(score.acc1, score.interval),
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
        + (f"; `{one['command']}`" if one["command"] else "")
    )


def pilot_columns(result: PilotResult) -> tuple[str, ...]:
    """Columns of the pilot study's table."""
    sides = result.row.canvases
    return (
        "queries",
        "n",
        *(f"{side} px" for side in sides),
        f"right at {sides[0]} of those right at {sides[-1]}",
    )


def pilot_cells(result: PilotResult) -> list[tuple[str, ...]]:
    """acc@1 with its interval for each kind of query, `pilot_columns` as text."""
    return [
        (
            curve.queries,
            str(curve.n),
            *(_share(value, interval) for value, interval in curve.acc1.values()),
            _share(*curve.right_small_of_large),
        )
        for curve in result.curves
    ]


def pilot_markdown(result: PilotResult) -> str:
    """The pilot study as Markdown."""
    row, small = result.row, result.row.canvases[0]
    sketches = result.curves[0]
    parts = [
        f"**{row.name} on {row.dataset}, split {row.split}: acc@1 against canvas size, gallery of {row.gallery}**",
        tables.markdown(pilot_columns(result), pilot_cells(result)),
        f"At {small} px {_share(*sketches.right_small)} % of the sketches are right already, and "
        f"{_share(*sketches.right_small_of_large)} % of those that are right at {row.canvases[-1]} px. Photos as "
        f"queries: each photo of the gallery, shrunk to the canvas, looks for itself among the gallery at "
        f"{result.photo_side} px (at {result.photo_side} px the two are the same picture); the student was taught to "
        f"read photos at {result.photo_side} px only. Brackets: 95 % bootstrap over photos.",
        _bullets([_origin(origin_of(row))]),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _place(dataset: str, split: str, sketches: int, photos: int, gallery: int) -> str:
    return f"{dataset}, split {split}: {sketches} sketches of {photos} photos, gallery of {gallery}"


def _share(value: float, interval: Interval, signed: bool = False) -> str:
    """A share or a difference of shares in percent, with its interval; "-" where it is undefined."""
    if math.isnan(value):
        return "-"
    form = "+.1f" if signed else ".1f"
    low, high = (100 * bound for bound in interval)
    return f"{100 * value:{form}}" + ("" if math.isnan(low) else f" [{low:{form}}, {high:{form}}]")


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)
