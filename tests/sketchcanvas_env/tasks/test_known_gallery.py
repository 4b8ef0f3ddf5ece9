"""A known gallery, where the test set has new drawings of known photos: tables, tasks and environments."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sketchcanvas_env import data
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks.canvas import CanvasArguments
from sketchcanvas_env.tasks.cascade import CascadeArguments
from tests.helpers import TOY_CANVASES, toy_dataset, toy_looks, toy_table

SPLITS = ("train", "val", "test")
PHOTOS = 9


def known_dataset() -> SketchDataset:
    """Nine photos with five drawings each for the selector: three in train, one in val, one in test."""
    toy = toy_dataset("known")
    photos = np.array([f"photo-{i}" for i in range(PHOTOS)])
    rows = [(photo, split) for photo in photos for split in ("train", "train", "train", "val", "test")]
    rows += [(f"other-{i}", "student") for i in range(4)]
    return replace(
        toy,
        sketch_ids=np.array([f"{photo}/{number}" for number, (photo, _) in enumerate(rows)]),
        photo_ids=np.array([photo for photo, _ in rows]),
        split=np.array([split for _, split in rows]),
        level=np.zeros(len(rows), dtype=np.int8),
        galleries={"student": np.array([f"other-{i}" for i in range(4)]), **dict.fromkeys(SPLITS, photos)},
        known_gallery=True,
    )


@pytest.fixture
def known() -> tuple[SketchDataset, OutcomeTable]:
    dataset = known_dataset()
    return dataset, toy_table(dataset)


def test_splits_have_the_same_photos_and_other_drawings(known: tuple[SketchDataset, OutcomeTable]) -> None:
    dataset, table = known
    tasks = {
        split: CanvasArguments(dataset=dataset, table=table, split=split, canvases=TOY_CANVASES, max_points=40).make()
        for split in SPLITS
    }
    assert [len(tasks[split]) for split in SPLITS] == [27, 9, 9]
    assert {frozenset(task.photo_ids.tolist()) for task in tasks.values()} == {
        frozenset(dataset.gallery("val").tolist())
    }
    drawn = [set(task.sketch_ids.tolist()) for task in tasks.values()]
    assert not drawn[0] & drawn[1] | drawn[0] & drawn[2] | drawn[1] & drawn[2]
    for task in tasks.values():
        assert task.table is not None
        assert task.table.gallery_size[task.split] == PHOTOS
        for row in range(len(task)):
            sketch = dataset.sketch(dataset.sketch_ids.tolist().index(task.sketch_ids[row]))
            assert np.array_equal(task.points[row].reshape(-1, 5), sketch.to_stroke5(40))


def test_rewards_are_those_of_ranks_in_the_shared_gallery(known: tuple[SketchDataset, OutcomeTable]) -> None:
    dataset, table = known
    for split in SPLITS:
        task = CanvasArguments(
            dataset=dataset, table=table, split=split, canvases=TOY_CANVASES, tradeoff=0.0, triplet_weight=0.0
        ).make()
        assert task.lookup is not None
        for row, name in enumerate(task.sketch_ids.tolist()):
            at = table.sketch_ids.tolist().index(name)
            assert task.lookup.rewards[row].tolist() == pytest.approx((1 / table.ranks[at]).tolist())
            for action in range(4):
                nearest = table.photos[table.top[at, action, 0]]
                assert (nearest == task.photo_ids[row]) == (table.ranks[at, action] == 1)


def test_looks_fit_such_a_table(known: tuple[SketchDataset, OutcomeTable]) -> None:
    dataset, table = known
    looks = toy_looks(table, dataset)
    looks.check_against(table)
    task = CascadeArguments(dataset=dataset, table=table, looks=looks, split="test", canvases=TOY_CANVASES).make()
    assert len(task) == 9


def test_environments_step_through_it(
    known: tuple[SketchDataset, OutcomeTable], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, table = known
    monkeypatch.setitem(data.DATASETS, "known", lambda: dataset)
    path = str(table.save(f"{tmp_path}/known.npz"))
    for split in SPLITS:
        env = gym.make("SketchCanvas-v0", dataset="known", table=path, split=split, canvases=TOY_CANVASES).unwrapped
        check_env(env)
        env.reset(seed=0)
        assert env.step(np.int64(1))[4]["rank"] <= PHOTOS
        assert env.dataset.known_gallery  # type: ignore[attr-defined]


def test_galleries_that_differ_are_refused() -> None:
    dataset = known_dataset()
    with pytest.raises(ValueError, match="known gallery, but its splits have different ones"):
        replace(dataset, galleries={**dataset.galleries, "val": dataset.gallery("val")[:3]})
