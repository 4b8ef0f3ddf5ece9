"""`tabulate`, `latency` and `export`: outcome table, latency and ONNX graphs of a trained student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agents.cli.output import show, tell, tell_leakage
from agents.cli.shared_options import AsJson, Batch, Dataset, Root, Strict, load_data, sides_of

_SKETCHES = 64
"""Sketches on which exports are compared with torch."""


def tabulate(
    student: Annotated[
        str,
        typer.Option(
            help="A shipped student, a .safetensors path, or hog (a baseline without learning; extra 'train')."
        ),
    ] = "emoji",
    dataset: Dataset = "emoji",
    root: Root = None,
    strict: Strict = False,
    canvases: Annotated[str | None, typer.Option(help="Sides, pixels, rising; default: all the student has.")] = None,
    out: Annotated[Path, typer.Option(help="The table's file.")] = Path("runs/table.npz"),
    looks: Annotated[
        bool, typer.Option("--looks", help="Also write NAME.looks.npz beside OUT, which SketchCanvasCascade-v0 needs.")
    ] = False,
    batch: Batch = None,
    as_json: AsJson = False,
) -> None:
    """Build a student's outcome table.

    It holds rank, distance, triplet loss and FLOPs of every sketch at every canvas. Finished blocks are kept in
    OUT.unfinished: the same command continues a stopped one.

    Example: sketchcanvas tabulate --canvases 32,64,128 --out runs/table.npz

    Example: sketchcanvas tabulate --student runs/mine/student.safetensors --dataset folder:mine --out mine.npz
    """
    import students
    from agents.reports import tables as report
    from sketchcanvas_env.data import SPLITS
    from students.network.embedder import Student
    from students.network.hog import HogRetriever
    from students.network.protocol import Embedder
    from students.store.weights import load_card
    from students.tables.looks import add_looks
    from students.tables.tabulate import build_table, scores

    sides = None if canvases is None else sides_of(canvases)
    embedder: Embedder = HogRetriever() if student == "hog" else students.load(student)
    if isinstance(embedder, Student):
        embedder.batch = batch
    source = load_data(dataset, root, strict)
    if student != "hog":
        tell_leakage(load_card(students.find(student)), source, SPLITS[1:])
    result = build_table(embedder, source, out, sides, progress=True)
    title = f"{result.student} on {dataset}: sketches of {len(result.photos)} photos"
    show(
        as_json,
        {"table": str(out), "hash": result.hash, "scores": scores(result)},
        report.Table(title, report.SCORE_COLUMNS, tuple(report.score_cells(result))),
    )
    tell(f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB)")
    if looks:
        beside = add_looks(embedder, source, out, progress=True)
        tell(f"wrote {beside} ({beside.stat().st_size / 1e6:.2f} MB)")


def latency(
    table: Annotated[Path, typer.Argument(help="The outcome table, which is updated.")],
    student: Annotated[str, typer.Option(help="Its student: a shipped name or a path of weights.")] = "emoji",
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Measure a student's latency and store it in its outcome table.

    '--cost latency' then works with that table. Milliseconds are for one sketch on one thread, raster and network. Run
    it while the machine does nothing else.

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
    show(as_json, measured.to_json(), report.Table(title, ("canvas", "median", "p95", "of it raster"), tuple(rows)))
    tell(f"wrote {table}")


def export(
    folder: Annotated[Path, typer.Option("--onnx", help="Folder for the graphs and their cards.")],
    student: Annotated[str, typer.Option(help="A shipped student or a .safetensors path.")] = "emoji",
    selector: Annotated[str, typer.Option(help="A shipped selector or a path; '' for none.")] = "emoji",
    int8: Annotated[
        bool, typer.Option("--int8", help="Also write the student at int8, and measure its loss of acc@1.")
    ] = False,
    dataset: Annotated[
        str, typer.Option(help="Data set whose sketches (split student) are used to compare and calibrate.")
    ] = "emoji",
    root: Root = None,
    split: Annotated[str, typer.Option(help="Split on which int8 is measured; use test once.")] = "val",
    as_json: AsJson = False,
) -> None:
    """Write a student and a selector as ONNX graphs (extra 'onnx').

    The student becomes a graph for each canvas, with shared weights; student and selector have a JSON card each. Both
    are compared with torch before the card is written. 'sketchcanvas query --engine onnx --student FOLDER' runs them
    without torch, as do 'students.onnx.runtime' and 'agents.onnx.selector'.

    Example: sketchcanvas export --onnx runs/onnx --int8
    """
    import agents
    import students
    from agents.onnx import export as onnx_export
    from agents.reports import tables as report
    from agents.reports.studies import int8_table
    from students.onnx.export import export as export_student
    from students.onnx.export import export_int8

    data = load_data(dataset, root)
    rows = data.indices("student")
    if not len(rows):
        raise ValueError(f"data set {dataset!r} has no sketch in split student, which exports are compared on")
    network = students.load(student)
    drawn = [data.sketch(int(row)) for row in rows[:: -(-len(rows) // _SKETCHES)]]
    exported = export_student(network, folder, drawn)
    found: dict[str, Any] = {"student": exported.card}
    cells = [(exported.name, f"{exported.card['bytes']:,}", f"{max(exported.card['farthest'].values()):.1e}")]
    if selector:
        chooser = onnx_export.export(agents.load(selector), folder, drawn)
        found["selector"] = chooser.card
        cells.append(
            (f"selector {chooser.card['name']}", f"{chooser.card['bytes']:,}", f"{chooser.card['farthest']:.1e}")
        )
    tables = [report.Table(str(folder), ("exported", "bytes", "farthest from torch"), tuple(cells))]
    if int8:
        small = export_int8(network, folder, drawn)
        cost = onnx_export.record_int8_cost(folder, data, split)
        found["student-int8"] = {**small.card, "accuracy": cost}
        tables.append(int8_table(cost, small.card["bytes"]))
    show(as_json, found, *tables)
    tell(f"wrote {folder}")
