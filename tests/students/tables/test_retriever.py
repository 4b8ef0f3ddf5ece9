"""Live mode with a student: the same outcomes as its table."""

from __future__ import annotations

import numpy as np
import pytest

from sketchcanvas_env import Retriever, SketchCanvasEnv
from students.tables.retriever import StudentRetriever
from students.tables.tabulate import tabulate
from tests.helpers import Pixels, toy_dataset


def test_live_outcomes_equal_the_table() -> None:
    dataset = toy_dataset()
    table = tabulate(Pixels(), dataset).select("test")
    retriever = StudentRetriever.of(Pixels(), dataset, "test")
    assert isinstance(retriever, Retriever)
    for i in range(0, len(table), 5):
        row = int(dataset.indices("test")[i])
        outcome = retriever.retrieve(dataset.sketch(row), 32, str(table.photo_ids[i]))
        assert outcome.rank == table.ranks[i, 1]
        assert outcome.distance == pytest.approx(float(table.distances[i, 1]), abs=1e-6)
        assert outcome.triplet == pytest.approx(float(table.triplet[i, 1]), abs=1e-6)
        assert outcome.top == table.photos[table.top[i, 1]].tolist()


def test_in_the_environment() -> None:
    dataset = toy_dataset()
    table = tabulate(Pixels(), dataset)
    live = SketchCanvasEnv(
        dataset=dataset, split="test", canvases=(16, 32), retriever=StudentRetriever.of(Pixels(), dataset, "test")
    )
    stored = SketchCanvasEnv(dataset=dataset, split="test", canvases=(16, 32), table=table)
    for index in (0, 3, 8):
        for env in (live, stored):
            env.reset(seed=0, options={"index": index})
        _, reward, _, _, info = live.step(np.int64(1))
        _, expected, _, _, told = stored.step(np.int64(1))
        assert reward == pytest.approx(expected, abs=1e-6)
        assert info["rank"] == told["rank"]
        assert "regret" not in info


def test_refuses() -> None:
    dataset = toy_dataset()
    retriever = StudentRetriever.of(Pixels(), dataset, "val")
    with pytest.raises(KeyError, match="not in this gallery of 7"):
        retriever.retrieve(dataset.sketch(0), 16, "nobody")
    with pytest.raises(ValueError, match="unique ids"):
        StudentRetriever(Pixels(), ["a", "a"], np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="2 ids for 1 images"):
        StudentRetriever(Pixels(), ["a", "b"], np.zeros((1, 32, 32, 3), np.uint8))
