"""`index`, `query` and `demo`: embed a folder of pictures, and search it with drawings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.cli.output import can_print, show, tell
from agents.cli.shared_options import AsJson, Format

Engine = Annotated[
    str | None,
    typer.Option(help="Library that computes: onnx (onnxruntime) or torch; default: onnx where there are graphs."),
]

if TYPE_CHECKING:
    from agents.reports.tables import Table
    from agents.search.answers import Answer, Hit
    from students.search.index import PhotoIndex


def index(
    photos: Annotated[
        str,
        typer.Argument(
            help="Folder of pictures (png, jpg, webp), with subfolders, or NAME:SPLIT, the gallery of a shipped set."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The index to write, OUT.safetensors.")],
    student: Annotated[
        str, typer.Option(help="Network that embeds: a shipped student or a .safetensors path.")
    ] = "emoji",
    engine: Engine = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at files that cannot be used, instead of leaving them out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Embed a folder of pictures for 'sketchcanvas query' to search.

    Run it again after an interruption, or after adding pictures: it embeds only new and changed files. Files that
    cannot be used are named with the reason and left out; limits are 20 MiB, and 67 million pixels for a JPEG, 16
    million for a PNG or progressive JPEG, 4 million for a WebP. An index and a folder beside or below it can be moved
    together.

    Example: sketchcanvas index ~/pictures --out my.index

    Example: sketchcanvas index emoji:val --out val.index
    """
    import os

    from students.onnx import graphs
    from students.search.building import build

    # One thread for each processor reads and embeds; with more inside an embedding they would wait for each other.
    embedder = graphs.embedder(student, engine, threads=1)
    made = build(embedder, student, photos, out, strict, progress=True, threads=os.cpu_count() or 1)
    for file, reason in made.skipped:
        tell(f"left out: {file}: {reason}")
    left_out = [list(one) for one in made.skipped]
    if as_json:
        show(True, {"index": str(out), "photos": len(made), "student": made.student, "skipped": left_out})
    tell(f"wrote {out}: {len(made)} pictures, {len(left_out)} files left out")


def query(
    sketches: Annotated[list[Path], typer.Argument(help="SVG files, or .json and .npy files of points.")],
    index: Annotated[
        str, typer.Option(help="A shipped index (see 'sketchcanvas list'), or the path of one of your own.")
    ] = "emoji",
    top: Annotated[int, typer.Option(help="Number of photos to show.", min=1)] = 10,
    selector: Annotated[
        str | None,
        typer.Option(
            help="Chooses the canvas: a shipped selector or a path; default: emoji, with --tradeoff emoji-preference."
        ),
    ] = None,
    tradeoff: Annotated[
        float | None,
        typer.Option(help="Weight of compute against accuracy, 0 to 1, for a selector that takes it.", min=0, max=1),
    ] = None,
    canvas: Annotated[
        int | None, typer.Option(help="Use this canvas side, pixels, for every sketch instead of a selector.")
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(help="The index's student, if it has moved: a path, or a folder of 'sketchcanvas export'."),
    ] = None,
    engine: Engine = None,
    form: Format = None,
    picture: Annotated[
        Path | None, typer.Option("--show", help="Also draw strokes, canvases and photos into this PNG file.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show what each stage cost.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find the photos most like a drawing.

    A selector chooses the canvas for each drawing. Milliseconds leave out the start-up of a first search; drawings
    searched together share them equally.

    The default index, 'emoji', holds all 1,597 emoji, and the student was trained on 747 of them. 'emoji-test' holds
    350 that neither student nor selectors were trained on; figures in reports are on those.

    Example: sketchcanvas query drawing.svg

    Example: sketchcanvas query a.svg b.svg --index my.index --tradeoff 0.1 --show found.png
    """
    import os

    from agents.search.answers import summary
    from agents.search.names import ALL_EMOJI, TRAINED
    from agents.search.pipeline import Pipeline
    from sketchcanvas_env.data.formats.folder import read_drawing

    if canvas is not None and (selector is not None or tradeoff is not None):
        raise ValueError("--canvas excludes --selector and --tradeoff: with one canvas there is nothing to choose")
    drawn = [read_drawing(path, form) for path in sketches]
    pipeline = Pipeline.load(index, selector if canvas is None else f"fixed:{canvas}", student, engine, threads=1)
    answers = pipeline.search_many(drawn, top, tradeoff, threads=os.cpu_count() or 1)
    names = [str(path) for path in sketches]
    if as_json:
        found = []
        for name, answer in zip(names, answers, strict=True):
            hits = [_hit_json(hit, pipeline.index) for hit in answer.hits]
            found.append({"sketch": name, **answer.to_json(), "hits": hits})
        show(True, {"index": index, "queries": found})
    for name, answer in zip(names, answers, strict=True):
        if not as_json:
            show(False, None, _hits_table(name, answer, pipeline.index))
            print(summary(answer))
            if verbose:
                show(False, None, _cost_table(answer))
    if pipeline.index.source == ALL_EMOJI and not as_json:
        tell(TRAINED)
    if picture is not None:
        from agents.search.picture import draw

        tell(f"wrote {draw([path.name for path in sketches], drawn, answers, pipeline.index, picture)}")


def demo(
    host: Annotated[str, typer.Option(help="Address to listen at; any but the default lets other machines in.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 for any free one.")] = 8000,
    index: Annotated[str, typer.Option(help="Index to search: a shipped name or a path.")] = "emoji",
    selector: Annotated[
        str | None, typer.Option(help="A shipped selector, a path or fixed:64; default: the shipped ones.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A further host name that browsers may use; repeatable.")
    ] = None,
    engine: Engine = None,
) -> None:
    """Serve a page to draw on (extra 'demo').

    It shows the chosen canvas, its cost and the photos found.

    Example: sketchcanvas demo --port 8080
    """
    try:
        from agents.web.app import LOOPBACK, create_app
        from agents.web.server import ANY, listen, serve, url_of
    except ModuleNotFoundError as error:
        raise ImportError(f"the page needs {error.name}: pip install 'sketchcanvas[demo]'") from None
    from agents.search.pipeline import Pipeline

    # First, so that a port that is taken is reported at once.
    listening = listen(host, port)
    # One thread for each search: several people search at once, and milliseconds match those of the reports.
    if engine == "torch":
        import torch

        torch.set_num_threads(1)
    app = create_app(Pipeline.load(index, selector, engine=engine, threads=1), names=[*LOOPBACK, host, *(name or ())])
    if host not in LOOPBACK:
        tell(_who_can_ask([one for one in (host, *(name or ())) if one not in ANY]))
    tell(f"Draw at {url_of(listening)} (Ctrl+C ends it).")
    serve(app, listening)


def _who_can_ask(names: Sequence[str]) -> str:
    """The warning for a page that other machines can reach."""
    asked = f"under {', '.join(names)}" if names else "under no name yet"
    return f"Other machines can search now, {asked}; allow a further name or address with --name, or it is refused."


def _hits_table(sketch: str, answer: Answer, index: PhotoIndex) -> Table:
    """The photos found, under the sketch's name."""
    from agents.reports import tables as report
    from agents.search.names import character_of, file_of, title_of

    rows = []
    for place, hit in enumerate(answer.hits, start=1):
        character = character_of(index, hit.photo)
        shown = f"{character} " if character and can_print(character) else ""
        rows.append(
            (
                f"{place:>2} {shown}{file_of(index, hit.photo) or title_of(index, hit.photo)}",
                f"{hit.distance:.3f}",
            )
        )
    title = f"{sketch}: nothing near" if answer.nothing_near else sketch
    return report.Table(title, ("   photo", "distance"), tuple(rows))


def _hit_json(hit: Hit, index: PhotoIndex) -> dict[str, Any]:
    from agents.search.names import character_of, file_of, title_of

    told = {"name": title_of(index, hit.photo), "emoji": character_of(index, hit.photo) or None}
    return {**asdict(hit), **told, "file": file_of(index, hit.photo)}


def _cost_table(answer: Answer) -> Table:
    """The cost of each look and each stage."""
    from agents.reports import tables as report
    from agents.search.answers import STAGES

    stages = [*STAGES, "total"]
    spent = [f"{answer.milliseconds[stage]:.2f}" for stage in stages]
    rows = []
    for number, look in enumerate(answer.looks, start=1):
        own = [f"{look.milliseconds[stage]:.2f}" if stage in look.milliseconds else "" for stage in stages]
        rows.append((f"look {number}", str(look.canvas), f"{look.gflops:.4f}", *own))
    rows += [
        ("selector", "", f"{answer.selector_gflops:.3g}", spent[0], *[""] * (len(stages) - 1)),
        ("together", "", f"{answer.gflops + answer.selector_gflops:.4f}", *spent),
        ("fixed", str(answer.fixed_canvas), f"{answer.fixed_gflops:.4f}", *[""] * len(stages)),
    ]
    return report.Table("cost, milliseconds by stage", ("of", "px", "GFLOPs", *stages), tuple(rows))
