"""The fixtures of the made-up data set, and of one on which the right canvas can be read from the strokes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from agents.evaluation.setting import CascadeConfig, EnvConfig
from sketchcanvas_env import data
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.looks import LookTable
from tests.agents.support import COUNTING, counting_dataset, counting_table, doubt_tables
from tests.helpers import Toy, toy, toy_files

__all__ = ["toy", "toy_files"]


@pytest.fixture
def toy_env(toy: Toy) -> EnvConfig:
    """The environment of the toy data set, as agents name it."""
    return EnvConfig(**toy.kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def counting_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[SketchDataset, dict[bool, Path]]:
    """The counting data set and the files of its two tables, readable (True) and not (False)."""
    dataset = counting_dataset()
    folder = tmp_path_factory.mktemp("counting")
    return dataset, {
        readable: counting_table(dataset, readable).save(folder / f"{readable}.npz") for readable in (True, False)
    }


@pytest.fixture
def counting_env(
    counting_files: tuple[SketchDataset, dict[bool, Path]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., EnvConfig]:
    """Makes an environment where the number of strokes says which canvas is right.

    `readable=False` gives the same right canvases, dealt out to the sketches at random.
    """
    dataset, paths = counting_files
    monkeypatch.setitem(data.DATASETS, COUNTING, lambda: dataset)

    def make(readable: bool = True, max_points: int = 12) -> EnvConfig:
        return EnvConfig(
            dataset=COUNTING, table=str(paths[readable]), canvases=(16, 32, 64, 128), max_points=max_points
        )

    return partial(make)


@pytest.fixture(scope="session")
def doubt_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[SketchDataset, Path]:
    """The counting data set and the file of its table of doubt, which has its looks beside it."""
    dataset = counting_dataset()
    table, looks = doubt_tables(dataset)
    path = table.save(tmp_path_factory.mktemp("doubt") / "doubt.npz")
    looks.save(LookTable.path_beside(path))
    return dataset, path


@pytest.fixture
def doubt_env(doubt_files: tuple[SketchDataset, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., CascadeConfig]:
    """Makes a cascade where the margin on the smallest canvas says whether to look again, and strokes say nothing."""
    dataset, path = doubt_files
    monkeypatch.setitem(data.DATASETS, COUNTING, lambda: dataset)
    return partial(CascadeConfig, dataset=COUNTING, table=str(path), canvases=(16, 32, 64, 128), max_points=12)
