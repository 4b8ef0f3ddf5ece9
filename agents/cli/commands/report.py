"""`report`: the page about a comparison, and studies of students and selectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agents.cli.output import show, tell
from agents.cli.shared_options import (
    AsJson,
    Batch,
    Dataset,
    MaxPoints,
    Root,
    Split,
    Strict,
    Threads,
    load_data,
    sides_of,
    typed_command,
)

app = typer.Typer(subcommand_metavar="[COMMAND [ARGS]...]")


@app.callback(invoke_without_command=True)
def report(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--compare", help="Folder that 'sketchcanvas compare' wrote.")] = Path(
        "runs/compare"
    ),
    sweep_folder: Annotated[
        Path | None, typer.Option("--sweep", help="Folder that 'sketchcanvas sweep' wrote, to show as well.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The HTML file; default: report.html in the comparison.")] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Only recompute every stored number from the stored runs and compare.")
    ] = False,
) -> None:
    """Write a page about a comparison, or check its numbers.

    The page is one self-contained HTML file, with a Markdown copy beside it. The commands below are other reports.

    Example: sketchcanvas report --compare runs/compare --sweep runs/sweep

    Example: sketchcanvas report --compare runs/compare --validate
    """
    if context.invoked_subcommand is not None:
        return
    if validate:
        _validate(folder)
        return
    from agents.reports import page

    for file in page.write(folder, sweep_folder, out or folder / "report.html"):
        tell(f"wrote {file}")


def _validate(folder: Path) -> None:
    from agents.experiments.stored import TOLERANCE, validate

    found = validate(folder)
    if found.differences:
        lines = found.differences
        more = f" (and {len(lines) - 20} more)" if len(lines) > 20 else ""
        raise ValueError(f"{folder} does not follow from its runs:\n" + "\n".join(lines[:20]) + more)
    tell(
        f"{folder}: {found.numbers:,} stored numbers follow from the decisions of {found.runs} runs within "
        f"{TOLERANCE:g}; {found.decisions:,} decisions follow from the weights of {found.weights} of them, none differs"
    )


@app.command("pooled")
def report_pooled(
    folders: Annotated[list[Path], typer.Argument(help="Folders of comparisons.")],
    out: Annotated[Path, typer.Option(help="Folder for pooled.json and pooled.md.")] = Path("runs/pooled"),
    as_json: AsJson = False,
) -> None:
    """Pool comparisons on different photos into one estimate.

    For example the rotations of a cross-fit. Their settings must be equal. Nothing is trained.

    Example: sketchcanvas report pooled runs/rotation0 runs/rotation1 runs/rotation2 --out runs/pooled
    """
    from agents.studies import pooled

    _keep(pooled.pool([pooled.read(folder) for folder in folders]), out, as_json)


@app.command("students")
def report_students(
    rows: Annotated[
        Path | None, typer.Option(help="Folder of rows ('evaluate --student --out'); default: the stored ones.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for students.json and students.md.")] = Path("runs/students"),
    as_json: AsJson = False,
) -> None:
    """Make the paper's table of students, from stored rows.

    Baseline, teacher, student trained directly and student distilled, with intervals and differences.

    Example: sketchcanvas report students --rows runs/rows --out runs/students
    """
    from agents.studies.students import build
    from students.tables.evaluation import RESULTS_FOLDER, read_rows

    result = build(read_rows(RESULTS_FOLDER if rows is None else rows))
    _keep(result, out, as_json)
    for section in result.sections:
        for note in section.notes:
            tell(f"{section.dataset} {section.split}: {note}")


@app.command("pilot")
def report_pilot(
    student: Annotated[str, typer.Option(help="A shipped student or a .safetensors path.")] = "emoji",
    dataset: Dataset = "emoji",
    root: Root = None,
    strict: Strict = False,
    split: Split = "val",
    canvases: Annotated[str | None, typer.Option(help="Sides, pixels, rising; default: all the student has.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for pilot.json, pilot.md and pilot.png.")] = Path("runs/students"),
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Measure accuracy against canvas size (the pilot study).

    Queries are the sketches of a split, and the photos of its gallery.

    Example: sketchcanvas report pilot --student emoji-mobilenet_v2 --out runs/pilot
    """
    from agents.studies.pilot import pilot
    from students.network.embedder import Student
    from students.tables.evaluation import open_student

    embedder, card = open_student(student, dataset)
    if card is None or not isinstance(embedder, Student):
        raise ValueError(f"the pilot study needs a network that embeds photos of any size; {student!r} is none")
    embedder.batch = batch
    result = pilot(
        embedder,
        load_data(dataset, root, strict),
        split,
        None if canvases is None else sides_of(canvases),
        card=card,
        command=typed_command(),
        progress=True,
    )
    _keep(result, out, as_json)


@app.command("selectors")
def report_selectors(
    student: Annotated[str, typer.Option(help="A shipped student or a .safetensors path.")] = "emoji",
    dataset: Dataset = "emoji",
    root: Root = None,
    sketches: Annotated[int, typer.Option(help="How many sketches of val to measure on.", min=1)] = 50,
    max_points: MaxPoints = 64,
    out: Annotated[Path, typer.Option(help="Folder for selectors.json and selectors.md.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Measure what selector networks cost.

    FLOPs and milliseconds on one thread, compared with the student's cheapest canvas. Run it while the machine does
    nothing else.

    Example: sketchcanvas report selectors --sketches 20
    """
    import students
    from agents.studies.selector_latency import measure

    data = load_data(dataset, root)
    drawn = [data.sketch(int(row)) for row in data.indices("val")[:sketches]]
    _keep(measure(students.load(student), drawn, max_points=max_points), out, as_json)


@app.command("ceiling")
def report_ceiling(
    student: Annotated[str, typer.Option(help="A shipped student or a .safetensors path.")] = "emoji",
    dataset: Dataset = "emoji",
    root: Root = None,
    split: Split = "val",
    copies: Annotated[int, typer.Option(help="Copies of every sketch, each moved slightly.", min=2)] = 8,
    threads: Threads = 1,
    out: Annotated[Path, typer.Option(help="Folder for ceiling.json, ceiling.md and ceiling.png.")] = Path(
        "runs/ceiling"
    ),
    as_json: AsJson = False,
) -> None:
    """Measure how much of the oracle's gap is predictable.

    Compares what is stable under small moves of a sketch with what regressions predict from its strokes.

    Example: sketchcanvas report ceiling --copies 4
    """
    import students
    from agents.algorithms.common.training import pinned_threads
    from agents.studies.ceiling import study

    with pinned_threads(threads):
        found = study(students.load(student), load_data(dataset, root), split, copies=copies, progress=True)
    _keep(found, out, as_json)


@app.command("query-latency")
def report_query_latency(
    dataset: Dataset = "emoji",
    split: Split = "val",
    selector: Annotated[str, typer.Option(help="A shipped selector or a path.")] = "emoji",
    sketches: Annotated[int, typer.Option(help="How many sketches of the split to time.", min=1)] = 100,
    repeats: Annotated[int, typer.Option(help="Times that each row searches for each sketch.", min=1)] = 3,
    exported: Annotated[
        Path | None,
        typer.Option("--onnx", help="Folder of an export of student and selector; default: a temporary export."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for query-latency.json and query-latency.md.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Time whole queries, by torch and by onnxruntime.

    With fixed canvases, the selector, and a coin toss at its FLOPs (extra 'onnx'). Set OMP_NUM_THREADS=1, and run it
    while the machine does nothing else.

    Example: OMP_NUM_THREADS=1 sketchcanvas report query-latency --split val
    """
    from agents.reports.studies import query_findings
    from agents.studies.query_latency import of_shipped

    found = of_shipped(load_data(dataset, None), split, selector, sketches, repeats, exported)
    _keep(found, out, as_json)
    for finding in query_findings(found):
        tell(finding)


def _keep(result: Any, out: Path, as_json: bool) -> None:
    """Print a result and write its files."""
    from agents.reports.saving import report_of, save

    show(as_json, result.to_json(), *report_of(result).tables)
    tell(f"wrote {', '.join(map(str, save(result, out)))}")
