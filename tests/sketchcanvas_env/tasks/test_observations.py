"""Observations of a split, in memory and mapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sketchcanvas_env.sketches.features import stroke_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.tasks import observations
from sketchcanvas_env.tasks.observations import stroke_observations
from tests.helpers import toy_dataset, toy_sketch


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKETCHCANVAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(observations, "_BLOCK", 7)
    return tmp_path / "cache"


@pytest.mark.parametrize("mapped", [False, True])
def test_every_sketch_has_its_row(folder: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool) -> None:
    dataset = toy_dataset()
    monkeypatch.setattr(observations, "MAPPED_FROM", 0 if mapped else 1 << 30)
    for _ in range(2):
        points, stats = stroke_observations(dataset, "val", 30)
        assert points.dtype == stats.dtype == np.float32
        assert not points.flags.writeable and not stats.flags.writeable
        for place, row in enumerate(dataset.indices("val").tolist()):
            assert np.array_equal(points[place], toy_sketch(row).to_stroke5(30).ravel())
            assert np.array_equal(stats[place], stroke_features(toy_sketch(row)))
    assert len(points) == len(stats) == len(dataset.indices("val"))
    assert folder.exists() == mapped
    if mapped:
        [path] = folder.iterdir()
        path.write_bytes(path.read_bytes()[:-100])
        assert np.array_equal(stroke_observations(dataset, "val", 30)[0], points)


def test_the_cache_tells_sketches_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "MAPPED_FROM", 0)
    dataset, asked = toy_dataset(), []

    def counting(row: int) -> VectorSketch:
        asked.append(row)
        return toy_sketch(row)

    dataset = replace(dataset, read_sketch=counting)
    stroke_observations(dataset, "val", 30)
    few = np.arange(len(dataset)) != dataset.indices("val")[0]
    others = [
        (dataset, "test", 30),
        (dataset, "val", 31),
        (replace(dataset, hash="0" * 64), "val", 30),
        (replace(dataset, sketch_ids=dataset.sketch_ids[::-1].copy()), "val", 30),
        (replace(dataset, split=np.where(few, dataset.split, "train")), "val", 30),
    ]
    for number, other in enumerate(others):
        asked.clear()
        stroke_observations(*other)
        assert len(asked) == len(other[0].indices(other[1])), number
    asked.clear()
    stroke_observations(dataset, "val", 30)
    assert not asked
