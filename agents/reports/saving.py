"""Every kind of result as a report, and the one function that saves it: JSON, Markdown and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial, singledispatch
from pathlib import Path
from typing import Any

from agents.experiments.results import CompareResult
from agents.experiments.stored import RESULT_FILE
from agents.experiments.sweep import SWEEP_FILE, SweepResult
from agents.reports import comparison, plots, students, studies, sweeps
from agents.reports.document import Block, blocks_markdown
from agents.reports.tables import Table
from agents.studies.ceiling import Ceiling
from agents.studies.pilot import PilotResult
from agents.studies.pooled import Pooled
from agents.studies.query_latency import QueryLatency
from agents.studies.selector_latency import SelectorCosts
from agents.studies.students import StudentReport
from sketchcanvas_env.storage.files import write_json, write_text


@dataclass(frozen=True)
class Report:
    """A result in the forms that people and programs read.

    Attributes:
        stem: name of its files, without ending.
        blocks: its tables, and sentences about them.
        pictures: by file name, the function that draws it.
    """

    stem: str
    blocks: tuple[Block, ...]
    pictures: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""
        return tuple(block for block in self.blocks if isinstance(block, Table))

    @property
    def markdown(self) -> str:
        """Its blocks as Markdown, without headings."""
        return blocks_markdown(self.blocks)


@singledispatch
def report_of(result: Any) -> Report:
    """The report of a result; TypeError for anything else."""
    raise TypeError(f"there is no report of a {type(result).__name__}")


def save(result: Any, folder: str | Path) -> tuple[Path, ...]:
    """Write a result into a folder, each file atomically: STEM.json, STEM.md and its pictures.

    Args:
        result: of a comparison, a sweep or a study.
        folder: made where it is missing.

    Returns:
        The files, the JSON first.
    """
    report, place = report_of(result), Path(folder)
    files = [place / f"{report.stem}.json", place / f"{report.stem}.md"]
    write_json(files[0], result.to_json())
    write_text(files[1], report.markdown)
    for name, draw in report.pictures.items():
        draw(place / name)
        files.append(place / name)
    return tuple(files)


@report_of.register
def _(result: CompareResult) -> Report:
    return Report(
        Path(RESULT_FILE).stem,
        (comparison.policy_table(result), comparison.verdict_table(result)),
        {
            "ranking.png": partial(plots.ranking, result),
            "accuracy-gflops.png": partial(plots.accuracy_against_gflops, result),
            "learning-curves.png": partial(plots.learning_curves, result),
        },
    )


@report_of.register
def _(result: Pooled) -> Report:
    return Report("pooled", (comparison.pooled_table(result),))


@report_of.register
def _(result: SweepResult) -> Report:
    shown = (sweeps.front_table(result), sweeps.point_table(result))
    return Report(Path(SWEEP_FILE).stem, shown, {"pareto.png": partial(plots.pareto, result)})


@report_of.register
def _(result: StudentReport) -> Report:
    return Report("students", students.student_blocks(result))


@report_of.register
def _(result: PilotResult) -> Report:
    pictures = {"pilot.png": partial(plots.accuracy_against_canvas, result)}
    return Report("pilot", students.pilot_blocks(result), pictures)


@report_of.register
def _(result: Ceiling) -> Report:
    return Report("ceiling", studies.ceiling_blocks(result), {"ceiling.png": partial(plots.ceiling, result)})


@report_of.register
def _(result: SelectorCosts) -> Report:
    return Report("selectors", (studies.cost_table(result),))


@report_of.register
def _(result: QueryLatency) -> Report:
    return Report("query-latency", studies.query_blocks(result))
