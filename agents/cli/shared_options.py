"""The options that several commands share, and the settings that they make."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agents.evaluation.setting import EnvConfig
    from agents.experiments.workers import Workers
    from sketchcanvas_env.data import SketchDataset

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
SelectorName = Annotated[
    str, typer.Option("--selector", help="Network: gru, conv, transformer, thumb, stats or linear.")
]
Root = Annotated[Path | None, typer.Option(help="Folder of a data set that does not come with the package.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse a data set with files that cannot be used, instead of naming them.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="What the .json and .npy files of a folder are, where they do not tell: points, quickdraw (JSON), offsets "
        "or absolute (.npy).",
    ),
]
KeepPlace = Annotated[
    bool, typer.Option("--keep-place", help="Scale a folder's SVGs by their page, not by their bounding box.")
]
Split = Annotated[str, typer.Option(help="Which split to report on: train, val or test; touch test once.")]
Steps = Annotated[int, typer.Option(help="Environment steps of every run, exactly.")]
Jobs = Annotated[int, typer.Option(help="Runs at once, each in a process of its own.")]
Engine = Annotated[str, typer.Option(help="Where runs go: local, or ray (extra 'ray').")]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster, such as auto; default: one on this machine.")]
Threads = Annotated[int, typer.Option(help="Torch threads, pinned; another number may give other weights.")]

Batch = Annotated[
    int | None,
    typer.Option(
        min=1, help="Pictures embedded at once (fewer need less memory); default: 64 at 32 px, 8 at 128, 2 at 256."
    ),
]

DEFAULT_CANVASES = "32,64,128,256"


def env_config(
    dataset: str,
    root: Path | None,
    student: str | None,
    table: Path | None,
    canvases: str,
    tradeoff: float,
    cost: str,
    max_points: int,
) -> EnvConfig:
    """The environment that the options describe; a data set in a folder is named with its folder."""
    from agents.evaluation.setting import EnvConfig

    return EnvConfig(
        dataset=dataset if root is None else f"{dataset}:{root}",
        student=student,
        table=str(table) if table is not None else None,
        canvases=sides_of(canvases),
        tradeoff=tradeoff,
        cost=cost,
        max_points=max_points,
    )


def workers(jobs: int, engine: str, address: str | None) -> Workers:
    """Where runs are computed."""
    from agents.experiments.workers import Workers

    return Workers(jobs=jobs, engine=engine, address=address)


def sides_of(canvases: str) -> tuple[int, ...]:
    """Canvas sides, pixels, from "32,64"; ValueError for anything else."""
    try:
        return tuple(int(side) for side in canvases.split(","))
    except ValueError:
        raise ValueError(
            f"canvases are sides in pixels separated by commas, such as 32,64,128; got {canvases!r}"
        ) from None


def numbers_of(text: str, option: str) -> tuple[float, ...]:
    """Numbers from "0.1,0.2"; ValueError, which names the option, for anything else."""
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise ValueError(f"{option} are numbers separated by commas, such as 0.1,0.2; got {text!r}") from None


def load_data(
    name: str, root: Path | None, strict: bool = False, form: str | None = None, keep_place: bool = False
) -> SketchDataset:
    """The data set; slow imports happen here."""
    from sketchcanvas_env.data import load

    return load(name, root, strict, form, keep_place)


def typed_command() -> str:
    """The command as typed, for provenance, with ROOT in the place of a data set's folder, which is private."""
    import shlex

    from sketchcanvas_env.data import FOLDER_DATASETS

    words = ["sketchcanvas"]
    for word in sys.argv[1:]:
        option, value = word.split("=", 1) if word.startswith("--") and "=" in word else ("", word)
        name, colon, _ = value.partition(":")
        if "--root" in (option, words[-1]):
            value = "ROOT"
        elif colon and name in FOLDER_DATASETS:
            value = f"{name}:ROOT"
        words.append(f"{option}={value}" if option else value)
    return shlex.join(words)
