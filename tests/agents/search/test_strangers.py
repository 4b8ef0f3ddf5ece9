"""When nothing in an index is near a sketch."""

from __future__ import annotations

import json

import numpy as np
import pytest

import students
from agents.search import strangers
from sketchcanvas_env import load_dataset
from students.search import index as indexes
from tests.agents.search.test_pipeline import Cells, cells, photo_index
from tests.helpers import Toy


def test_the_limit_is_a_quantile_of_the_distances_on_val(toy: Toy) -> None:
    photos = sorted(set(toy.dataset.photo_ids.tolist()))
    pictures = np.stack([toy.dataset.photo(photo)[..., 0] for photo in photos])
    index = photo_index(len(photos), ids=tuple(photos), embeddings=cells(pictures), kind="dataset", source="emoji:all")
    found = strangers.measure(Cells(), index, toy.dataset)
    rows = toy.dataset.indices("val")
    assert found["sketches"] == len(rows)
    for side in Cells.canvases:
        queries = Cells().embed_rasters(np.stack([_raster(toy, int(row), side) for row in rows]))
        nearest = np.array([min(np.linalg.norm(query - photo) for photo in index.embeddings) for query in queries])
        limit = found["canvases"][str(side)]["limit"]
        assert limit == pytest.approx(np.quantile(nearest, strangers.SHARE), abs=1e-3)
        assert 0.0 <= found["canvases"][str(side)]["strangers_beyond"] <= 1.0


def _raster(toy: Toy, row: int, side: int) -> np.ndarray:
    from sketchcanvas_env.sketches.raster import rasterise

    return rasterise(toy.dataset.sketch(row), side)


def test_the_shipped_limits_are_those_of_the_shipped_student() -> None:
    stored = json.loads(strangers.FILE.read_text())
    index = indexes.load()
    limits = strangers.limits(index.student_hash)
    assert set(limits) == set(students.load(index.student).canvases)
    assert strangers.limits("no student's") == {}
    # At 64 px, sketches of val once more.
    dataset, student = load_dataset("emoji"), students.load(index.student)
    rows = dataset.indices("val")
    queries = student.embed([dataset.sketch(int(row)) for row in rows], 64)
    nearest = np.sqrt(2.0 - 2.0 * (queries @ index.embeddings.T).max(axis=1))
    assert limits[64] == pytest.approx(np.quantile(nearest, strangers.SHARE), abs=1e-3)
    assert stored[index.student_hash]["sketches"] == len(rows)
