"""`tabulate` and `latency`: the outcome table of a student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.cli.common import load_data, show, sides_of, tell, tell_leakage
from agents.cli.options import AsJson, Dataset, Root, Strict


def tabulate(
    student: Annotated[
        str,
        typer.Option(
            help="A shipped student, a .safetensors path, or hog (the baseline that learns nothing; extra 'train')."
        ),
    ] = "emoji",
    dataset: Dataset = "emoji",
    root: Root = None,
    strict: Strict = False,
    canvases: Annotated[str | None, typer.Option(help="Sides, pixels, rising; default: all the student has.")] = None,
    out: Annotated[Path, typer.Option(help="The table's file.")] = Path("runs/table.npz"),
    looks: Annotated[
        bool, typer.Option("--looks", help="Also what SketchCanvasCascade-v0 needs, beside OUT as NAME.looks.npz.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build a student's outcome table.

    It holds rank, distance, triplet loss and FLOPs of every sketch at every canvas. Works in blocks beside OUT
    (OUT.unfinished): the same command goes on where a killed one stopped.

    Example: sketchcanvas tabulate --canvases 32,64,128 --out runs/table.npz

    Example: sketchcanvas tabulate --student runs/mine/student.safetensors --dataset folder:mine --out mine.npz
    """
    import students
    from agents.reports import tables as report
    from sketchcanvas_env.data import SPLITS
    from students.network.hog import HogRetriever
    from students.store.weights import load_card
    from students.tables.looks import add_looks
    from students.tables.tabulate import Embedder, build_table, scores

    sides = None if canvases is None else sides_of(canvases)
    embedder: Embedder = HogRetriever() if student == "hog" else students.load(student)
    source = load_data(dataset, root, strict)
    if student != "hog":
        tell_leakage(load_card(students.find(student)), source, SPLITS[1:])
    result = build_table(embedder, source, out, sides, progress=True)
    title = f"{result.student} on {dataset}: sketches of {len(result.photos)} photos"
    show(
        as_json,
        {"table": str(out), "hash": result.hash, "scores": scores(result)},
        report.rich_table(title, report.SCORE_COLUMNS, report.score_cells(result)),
    )
    tell(f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB)")
    if looks:
        beside = add_looks(embedder, source, out, progress=True)
        tell(f"wrote {beside} ({beside.stat().st_size / 1e6:.2f} MB)")


def latency(
    table: Annotated[Path, typer.Argument(help="Outcome table to add the latency to.")],
    student: Annotated[str, typer.Option(help="Its student: a shipped name or a path of weights.")] = "emoji",
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Measure a student's latency and store it in its outcome table.

    Then '--cost latency' can be chosen with that table. Milliseconds: one thread, one sketch at a time, raster and
    network. Run it while the machine does nothing else.

    Example: sketchcanvas latency runs/table.npz
    """
    import students
    from agents.reports import tables as report
    from sketchcanvas_env.outcomes.table import OutcomeTable
    from students.tables.latency import add_latency

    dataset = load_data(OutcomeTable.load(table).dataset, root, strict=False)
    measured = add_latency(table, students.load(student), dataset)
    rows = [
        (str(side), f"{median:.2f}", f"{p95:.2f}", f"{drawing:.2f}")
        for side, median, p95, drawing in zip(
            measured.canvases,
            measured.total.median_ms,
            measured.total.p95_ms,
            measured.drawing.median_ms,
            strict=True,
        )
    ]
    title = f"{measured.machine['cpu']}, one thread, milliseconds"
    show(as_json, measured.to_json(), report.rich_table(title, ("canvas", "median", "p95", "of it raster"), rows))
    tell(f"wrote {table}")
