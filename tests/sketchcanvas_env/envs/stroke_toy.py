"""Made-up drawings that appear stroke by stroke, for the tests of the stroke environments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sketchcanvas_env import data
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.prefixes import PrefixTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.sketch import VectorSketch
from tests.helpers import TOY, TOY_CANVASES, Toy, toy_dataset, toy_prefixes, toy_sketch, toy_table


def long_sketch(row: int) -> VectorSketch:
    """Three times the strokes of `toy_sketch`: 3 to 15, so that some drawings have more strokes than steps."""
    return VectorSketch(toy_sketch(row).strokes * 3)


def long_dataset() -> SketchDataset:
    """The toy data set with longer drawings."""
    return replace(toy_dataset(), read_sketch=long_sketch, hash="5" * 64)


@pytest.fixture(scope="session")
def long_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[SketchDataset, OutcomeTable, PrefixTable, Path]:
    """Data set, table, prefixes, and the table's file, which has the prefixes beside it."""
    dataset = long_dataset()
    table = toy_table(dataset)
    prefixes = toy_prefixes(table, dataset)
    path = table.save(tmp_path_factory.mktemp("long") / "toy.npz")
    prefixes.save(PrefixTable.path_beside(path))
    return dataset, table, prefixes, path


@pytest.fixture
def strokes(long_files: tuple[SketchDataset, OutcomeTable, PrefixTable, Path], monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Registers the data set during a test; JSON-able arguments of a stroke environment."""
    dataset, table, _, path = long_files
    monkeypatch.setitem(data.DATASETS, TOY, lambda: dataset)
    kwargs: dict[str, Any] = {"dataset": TOY, "table": str(path), "canvases": TOY_CANVASES, "max_points": 40}
    return Toy(dataset, table, kwargs)
