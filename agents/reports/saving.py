"""Every kind of result as a report, and one way to keep it: JSON for programs beside Markdown and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial, singledispatch
from pathlib import Path
from typing import Any

from rich.table import Table

from agents.experiments.pooled import Pooled
from agents.experiments.results import CompareResult
from agents.experiments.stored import RESULT_FILE
from agents.experiments.sweep import SWEEP_FILE, SweepResult
from agents.reports import comparison, plots, studies, sweeps, tables
from agents.reports import students as student_tables
from agents.studies.ceiling import Ceiling
from agents.studies.pilot import PilotResult
from agents.studies.query_latency import QueryLatency
from agents.studies.selector_latency import SelectorCosts
from agents.studies.students import StudentReport
from sketchcanvas_env.storage.files import write_json, write_text


@dataclass(frozen=True)
class Report:
    """A result in the forms that people and programs read.

    Attributes:
        stem: name of its files, without ending.
        data: the result as JSON-able values.
        markdown: its tables and what they say.
        tables: the same for a terminal.
        pictures: by the name of the file, what draws it.
    """

    stem: str
    data: Any
    markdown: str
    tables: tuple[Table, ...]
    pictures: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)


@singledispatch
def report_of(result: Any) -> Report:
    """The report of a result; TypeError for what is no result."""
    raise TypeError(f"there is no report of a {type(result).__name__}")


def save(result: Any, folder: str | Path) -> tuple[Path, ...]:
    """Write a result into a folder, each file atomically: STEM.json, STEM.md and its pictures.

    Args:
        result: of a comparison, a sweep or a study.
        folder: is made where it is missing.

    Returns:
        The files, the JSON first.
    """
    report, place = report_of(result), Path(folder)
    files = [place / f"{report.stem}.json", place / f"{report.stem}.md"]
    write_json(files[0], report.data)
    write_text(files[1], report.markdown)
    for name, draw in report.pictures.items():
        draw(place / name)
        files.append(place / name)
    return tuple(files)


@report_of.register
def _(result: CompareResult) -> Report:
    return Report(
        Path(RESULT_FILE).stem,
        result.to_json(),
        comparison.compare_markdown(result),
        (comparison.compare_table(result), comparison.verdict_table(result)),
        {
            "accuracy-gflops.png": partial(plots.accuracy_against_gflops, result),
            "learning-curves.png": partial(plots.learning_curves, result),
        },
    )


@report_of.register
def _(result: Pooled) -> Report:
    title, columns = comparison.pooled_title(result), comparison.POOLED_COLUMNS
    table = tables.rich_table(title, columns, comparison.pooled_cells(result), comparison.POOLED_NOTE)
    return Report("pooled", result.to_json(), comparison.pooled_markdown(result), (table,))


@report_of.register
def _(result: SweepResult) -> Report:
    return Report(
        Path(SWEEP_FILE).stem,
        result.to_json(),
        sweeps.sweep_markdown(result),
        sweeps.sweep_tables(result),
        {"pareto.png": partial(plots.pareto, result)},
    )


@report_of.register
def _(result: StudentReport) -> Report:
    shown = tuple(table for section in result.sections for table in student_tables.section_tables(section))
    return Report("students", result.to_json(), student_tables.students_markdown(result), shown)


@report_of.register
def _(result: PilotResult) -> Report:
    columns, cells = student_tables.pilot_columns(result), student_tables.pilot_cells(result)
    table = tables.rich_table(f"acc@1 on {result.row.dataset}, split {result.row.split}", columns, cells)
    return Report(
        "pilot",
        result.to_json(),
        student_tables.pilot_markdown(result),
        (table,),
        {"pilot.png": partial(plots.accuracy_against_canvas, result)},
    )


@report_of.register
def _(result: Ceiling) -> Report:
    return Report(
        "ceiling",
        result.to_json(),
        studies.ceiling_markdown(result),
        studies.ceiling_tables(result),
        {"ceiling.png": partial(plots.ceiling, result)},
    )


@report_of.register
def _(result: SelectorCosts) -> Report:
    title = (
        f"{result.student} at {result.canvas} px: {result.student_flops / 1e6:.1f} MFLOPs, {result.student_ms:.2f} ms"
    )
    cells = studies.cost_cells(result)
    return Report(
        "selectors",
        result.to_json(),
        f"**{title}**\n\n{tables.markdown(studies.COST_COLUMNS, cells)}",
        (tables.rich_table(title, studies.COST_COLUMNS, cells),),
    )


@report_of.register
def _(result: QueryLatency) -> Report:
    title = f"{result.machine['cpu']}, one thread, {result.photos} photos; {result.dataset}, split {result.split}"
    return Report(
        "query-latency",
        result.to_json(),
        studies.query_markdown(result),
        (tables.rich_table(title, studies.QUERY_COLUMNS, studies.query_cells(result)),),
    )
