"""`export`: a student and a selector as ONNX graphs, which run without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agents.cli.common import load_data, show, tell
from agents.cli.options import AsJson, Root

_SKETCHES = 64


def export(
    folder: Annotated[Path, typer.Option("--onnx", help="Folder for the graphs and their cards.")],
    student: Annotated[str, typer.Option(help="A shipped student or a .safetensors path.")] = "emoji",
    selector: Annotated[str, typer.Option(help="A shipped selector or a path; '' for none.")] = "emoji",
    int8: Annotated[
        bool, typer.Option("--int8", help="Also the student at int8, and what that costs in acc@1.")
    ] = False,
    dataset: Annotated[
        str, typer.Option(help="Whose sketches (split student) are compared and calibrated on.")
    ] = "emoji",
    root: Root = None,
    split: Annotated[str, typer.Option(help="Split that the cost of int8 is measured on; touch test once.")] = "val",
    as_json: AsJson = False,
) -> None:
    """Write a student and a selector as ONNX graphs (extra 'onnx').

    The student is a graph for each canvas, with shared weights; each part has a JSON card. Any selector will do, one
    that looks several times, too.

    What was written is run by onnxruntime and compared with torch before it gets its card. 'students.onnx.runtime' and
    'agents.onnx.runtime' run it without torch, as does 'sketchcanvas query --engine onnx --student FOLDER'.

    Example: sketchcanvas export --onnx runs/onnx --int8
    """
    import agents
    import students
    from agents.onnx import export as onnx_export
    from agents.reports import tables as report
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
    tables = [report.rich_table(str(folder), ("exported", "bytes", "farthest from torch"), cells)]
    if int8:
        small = export_int8(network, folder, drawn)
        cost = onnx_export.record_int8_cost(folder, data, split)
        found["student-int8"] = {**small.card, "accuracy": cost}
        title = f"acc@1 on {dataset}, split {split}: int8 ({small.card['bytes']:,} bytes) against float32"
        tables.append(report.rich_table(title, onnx_export.COST_COLUMNS, onnx_export.cost_cells(cost)))
    show(as_json, found, *tables)
    tell(f"wrote {folder}")
