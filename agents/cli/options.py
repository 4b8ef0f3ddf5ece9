"""The options that several commands share: each is said once, so that it reads the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATASET_HELP = (
    "Name of the data set (an unknown one lists them all); of one in a folder of yours, 'folder:DIR', or 'folder' with "
    "--root."
)
Dataset = Annotated[str, typer.Option(help=DATASET_HELP)]
StudentName = Annotated[
    str | None,
    typer.Option(
        "--student", help="Whose shipped outcomes (an unknown name lists all); default: the data set's default student."
    ),
]
TablePath = Annotated[
    Path | None, typer.Option("--table", help="An outcome table of your own instead of a shipped one.")
]
Canvases = Annotated[str, typer.Option(help="Canvas sides on offer, pixels, rising.")]
Tradeoff = Annotated[float, typer.Option(help="Weight of compute against accuracy in the reward, 0 to 1.")]
Cost = Annotated[
    str,
    typer.Option(help="What the reward charges: flops, or latency (milliseconds, see 'sketchcanvas latency')."),
]
MaxPoints = Annotated[int, typer.Option(help="Points a sketch is bounded to before the selector sees it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
SelectorName = Annotated[str, typer.Option("--selector", help="Network: gru, conv, transformer, stats or linear.")]
Root = Annotated[Path | None, typer.Option(help="Folder of a data set that does not come with the package.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse a data set with files that cannot be used, instead of naming them.")
]
Split = Annotated[str, typer.Option(help="Which split to report on: train, val or test; touch test once.")]
Steps = Annotated[int, typer.Option(help="Environment steps of every run, exactly.")]
Jobs = Annotated[int, typer.Option(help="Runs at once, each in a process of its own.")]
Engine = Annotated[str, typer.Option(help="Where runs go: local, or ray (extra 'ray').")]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster, such as auto; default: one on this machine.")]
Threads = Annotated[int, typer.Option(help="Torch threads, pinned; another number may give other weights.")]

DEFAULT_CANVASES = "32,64,128,256"
