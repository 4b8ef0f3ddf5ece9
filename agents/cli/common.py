"""What the commands share: from options to configurations, and what goes to which output."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from agents.environment import EnvConfig
    from agents.runs import Workers
    from sketchcanvas_env.data import SketchDataset


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
    from agents.environment import EnvConfig

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
    """Where runs go."""
    from agents.runs import Workers

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


def load_data(name: str, root: Path | None, strict: bool = False) -> SketchDataset:
    """The data set; what had to be left out of it is told on standard error."""
    import warnings

    from sketchcanvas_env.data import SkippedDataWarning, load

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SkippedDataWarning)
        loaded = load(name, root, strict)
    for warning in caught:
        tell(f"sketchcanvas: {warning.message}")
    return loaded


def typed_command() -> str:
    """The command as typed, for provenance; where a user keeps a data set is nobody else's business."""
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


def show(as_json: bool, value: Any, *tables: Table) -> None:
    """Print a result: the tables, or the value as JSON."""
    if as_json:
        print(json.dumps(value, indent=2, allow_nan=False))
        return
    from rich.console import Console

    # A pipe has no width; 80 columns would break every row.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for table in tables:
        console.print(table)


def tell(text: str) -> None:
    """Say something to the person, not to the pipe."""
    print(text, file=sys.stderr)
