"""The options that several commands share, and the settings made from them.

Options that belong together are the parameters of a function here (`environment`, `workers`). A command that `takes`
such a function has these options, and receives the function's result as one argument.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agents.evaluation.setting import EnvConfig
    from agents.experiments.workers import Workers
    from sketchcanvas_env.data import SketchDataset

DATASET_HELP = "Data set (an unknown name lists all); for a folder of your own 'folder:DIR', or 'folder' with --root."
Dataset = Annotated[str, typer.Option(help=DATASET_HELP)]
StudentName = Annotated[
    str | None,
    typer.Option(
        "--student",
        help="Student whose shipped outcomes to use (an unknown name lists all); default: the data set's own.",
    ),
]
TablePath = Annotated[
    Path | None, typer.Option("--table", help="An outcome table of your own instead of a shipped one.")
]
Canvases = Annotated[str, typer.Option(help="Canvas sides to choose from, pixels, rising.")]
Tradeoff = Annotated[float, typer.Option(help="Weight of compute against accuracy in the reward, 0 to 1.")]
Cost = Annotated[
    str,
    typer.Option(help="What the reward charges: flops, or latency (milliseconds, see 'sketchcanvas latency')."),
]
MaxPoints = Annotated[int, typer.Option(help="Points a sketch is simplified to before the selector sees it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
SelectorName = Annotated[
    str | None,
    typer.Option(
        "--selector",
        help="Network: thumb (the default), stats, gru, conv, transformer or linear; looks (its default) in a cascade.",
    ),
]
Root = Annotated[Path | None, typer.Option(help="Folder of a data set that does not come with the package.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at files that cannot be used, instead of leaving them out.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Format of .json and .npy files, if it is ambiguous: points, quickdraw (JSON), offsets or "
        "absolute (.npy).",
    ),
]
KeepPlace = Annotated[
    bool, typer.Option("--keep-place", help="Scale a folder's SVGs by their page instead of their bounding box.")
]
Split = Annotated[str, typer.Option(help="Split to report on: train, val or test; use test once.")]
Steps = Annotated[int, typer.Option(help="Environment steps of every run.")]
Jobs = Annotated[int, typer.Option(help="Runs at once, each in a process of its own.")]
Engine = Annotated[str, typer.Option(help="Where runs go: local, or ray (extra 'ray').")]
Address = Annotated[
    str | None, typer.Option(help="Address of a Ray cluster, such as auto; default: a new one on this machine.")
]
Threads = Annotated[int, typer.Option(help="Torch threads; another number may give other weights.")]

Batch = Annotated[
    int | None,
    typer.Option(
        min=1, help="Pictures embedded at once (fewer need less memory); default: 64 at 32 px, 8 at 128, 2 at 256."
    ),
]

DEFAULT_CANVASES = "32,64,128,256"


def takes(**groups: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace parameters of a command by the options of functions.

    Args:
        groups: by parameter of the command, the function whose parameters become options in its place; the command
            receives the function's result.

    Returns:
        A decorator for commands whose parameters are keyword-only.
    """

    def expanded(command: Callable[..., None]) -> Callable[..., None]:
        shown: list[inspect.Parameter] = []
        for name, parameter in inspect.signature(command).parameters.items():
            shown += inspect.signature(groups[name]).parameters.values() if name in groups else [parameter]

        def called(**given: Any) -> None:
            for name, group in groups.items():
                given[name] = group(**{each: given.pop(each) for each in inspect.signature(group).parameters})
            command(**given)

        # Annotations are strings that only the module of their function can resolve.
        scope = {**inspect.getmodule(command).__dict__, **globals()}
        keyword = inspect.Parameter.KEYWORD_ONLY
        shown = [each.replace(kind=keyword, annotation=eval(each.annotation, scope)) for each in shown]
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in shown}
        return called

    return expanded


def environment(
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Agents may look at a sketch several times (SketchCanvasCascade-v0).")
    ] = False,
    ranking: Annotated[
        str,
        typer.Option(
            help="With --cascade, which ranking is the answer: last (of the last look) or fused (of all looks)."
        ),
    ] = "last",
    dataset: Annotated[
        str | None,
        typer.Option(help=f"{DATASET_HELP} Default: emoji_known (new drawings of known photos), with --cascade emoji."),
    ] = None,
    root: Root = None,
    student: StudentName = None,
    table: TablePath = None,
    canvases: Canvases = DEFAULT_CANVASES,
    cost: Cost = "flops",
    max_points: MaxPoints = 64,
) -> EnvConfig:
    """The environment that the options describe; a data set in a folder is named with its folder."""
    from dataclasses import asdict

    from agents.evaluation.setting import CascadeConfig, EnvConfig

    if ranking != "last" and not cascade:
        raise ValueError("--ranking needs --cascade: with one look there is one ranking")
    name = dataset or (CascadeConfig if cascade else EnvConfig).dataset
    env = EnvConfig(
        dataset=name if root is None else f"{name}:{root}",
        student=student,
        table=str(table) if table is not None else None,
        canvases=sides_of(canvases),
        cost=cost,
        max_points=max_points,
    )
    return CascadeConfig(**asdict(env), ranking=ranking) if cascade else env


def workers(jobs: Jobs = 1, engine: Engine = "local", address: Address = None) -> Workers:
    """The workers that compute runs."""
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
