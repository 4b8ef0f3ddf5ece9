"""`distill`: a student, by a teacher or without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agents.cli.common import tell, typed_command
from agents.cli.options import Root


def distill(
    config: Annotated[
        str,
        typer.Argument(help="Settings of the run: a shipped configuration (an unknown name lists all) or a JSON file."),
    ],
    dataset: Annotated[str | None, typer.Option(help="Name of the data set, instead of the file's.")] = None,
    root: Root = None,
    teacher: Annotated[str | None, typer.Option(help="A shipped student or a path, instead of the file's.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log and TensorBoard events.")] = Path(
        "runs/distill"
    ),
    save: Annotated[Path | None, typer.Option(help="The weights' file; default: student.safetensors in OUT.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of the file's.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the file's.", min=0)] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Torch threads, instead of the file's. Two runs of one thread beat one of two.", min=1),
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Leave the teacher out: the same run, trained directly.")
    ] = False,
) -> None:
    """Train a student, by a teacher or directly.

    Directly where the configuration names no teacher: this makes teachers. Goes on from the checkpoint in OUT when
    there is one.

    Example: sketchcanvas distill folder-mobilenet_v2 --root mine --out runs/mine

    The next one needs further pictures; 'python -m students.training.renderings --help' says how to get them.

    Example: sketchcanvas distill emoji-mobilenet_v2 --out runs/emoji --seed 1
    """
    import shlex
    from dataclasses import replace

    from students.training import train as training

    asked: dict[str, Any] = {
        "dataset": dataset,
        "root": None if root is None else str(root),
        "teacher": teacher,
        "steps": steps,
        "seed": seed,
        "threads": threads,
    }
    settings = replace(
        training.TrainConfig.read(config), **{name: value for name, value in asked.items() if value is not None}
    )
    if direct:
        settings = replace(settings, teacher=None)
    path = training.run(settings, out, save, typed_command())
    words = ["sketchcanvas", "evaluate", "--student", str(path), "--dataset", settings.dataset]
    if settings.root is not None:
        words += ["--root", settings.root]
    tell(f"wrote {path}; what it scores is told by\n{shlex.join(words)}")
