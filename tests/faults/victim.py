"""Does something and dies of SIGKILL in the midst of it: `python -m tests.faults.victim STAGE FOLDER`.

The stages are in `STAGES`; what they write they write into FOLDER.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.algorithms import registry as algorithms
from agents.algorithms.common.training import Run, TrainConfig
from agents.evaluation.setting import EnvConfig
from sketchcanvas_env import data
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage import files
from students.tables.tabulate import tabulate
from tests.agents.support import small
from tests.helpers import TOY, TOY_CANVASES, Pixels, toy_dataset, toy_table

TIMES = 6
"""How often `build` builds its table."""


def die_at(owner: Any, name: str, call: int) -> None:
    """Make a call of a function, counted from 1, the process's last."""
    whole, calls = getattr(owner, name), []

    def dying(*arguments: Any, **more: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*arguments, **more)

    setattr(owner, name, dying)


def built() -> OutcomeTable:
    """The table that `build` and the stages of `tabulate` make."""
    return tabulate(Pixels(), toy_dataset())


def config(folder: Path) -> TrainConfig:
    """Four updates on the toy data set, whose table lies in a folder."""
    return small(
        "reinforce", EnvConfig(dataset=TOY, table=str(folder / "toy.npz"), canvases=TOY_CANVASES, max_points=40)
    )


def trained(folder: Path, resume: bool = False) -> Run:
    """The run of `config` with a checkpoint after every update."""
    data.DATASETS[TOY] = toy_dataset
    if not (folder / "toy.npz").exists():
        toy_table().save(folder / "toy.npz")
    settings = config(folder)
    return algorithms.train_run(
        settings,
        checkpoint=folder / "checkpoint.safetensors",
        checkpoint_every=settings.steps_per_update,
        resume=resume,
    )


def _tabulate(folder: Path) -> None:
    built().save(folder / "toy-pixels.npz")


def _build(folder: Path) -> None:
    for _ in range(TIMES):
        built().save(folder / "toy-pixels.npz")


STAGES: dict[str, tuple[Callable[[Path], object], tuple[Any, str, int] | None]] = {
    "tabulate, embedding": (_tabulate, (Pixels, "embed", 3)),
    "tabulate, writing": (_tabulate, (np.lib.format, "write_array", 5)),
    "train, learning": (trained, (torch.optim.Adam, "step", 3)),
    # Every file is flushed, renamed, and its folder flushed: the table, the first checkpoint, then half of the second.
    "train, writing": (trained, (files, "_sync", 5)),
    "build": (_build, None),
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    work, death = STAGES[sys.argv[1]]
    if death is not None:
        die_at(*death)
    work(Path(sys.argv[2]))
