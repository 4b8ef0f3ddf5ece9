"""Recognition: data sets whose gallery are classes, and the environment over them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import sketchcanvas_env
from sketchcanvas_env import OutcomeTable, SketchDataset, data, load_table, rasterise
from sketchcanvas_env.data import SPLITS, load, recognition
from sketchcanvas_env.tasks.canvas import CanvasArguments
from tests.helpers import TOY, TOY_CANVASES, TOY_FLOPS, toy_dataset, toy_table


def classified() -> SketchDataset:
    """The toy data with the classes "0" to "4", of which "4" has no sketch in `student`; the photos are in turn."""
    toy = toy_dataset()
    number = [int(photo.rpartition("-")[2]) for photo in toy.photo_ids.tolist()]
    return replace(
        toy,
        classes=np.array(
            [str(n % (4 if split == "student" else 5)) for n, split in zip(number, toy.split, strict=True)]
        ),
    )


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[SketchDataset, OutcomeTable, dict[str, object]]:
    """The data set for recognition, its table, and arguments of an environment of the two."""
    dataset = classified()
    monkeypatch.setitem(data.DATASETS, TOY, lambda: dataset)
    table = toy_table(recognition(dataset))
    path = table.save(tmp_path / "table.npz")
    kwargs = {"dataset": TOY, "table": str(path), "canvases": TOY_CANVASES, "max_points": 40, "task": "recognition"}
    return recognition(dataset), table, kwargs


def test_sketches_belong_to_classes() -> None:
    whole = classified()
    found = recognition(whole)
    assert found.name == "toy_recognition"
    assert found.task == "recognition"
    for split in SPLITS:
        assert found.gallery(split).tolist() == ["0", "1", "2", "3"]
    where = {name: row for row, name in enumerate(whole.sketch_ids.tolist())}
    kept = [where[name] for name in found.sketch_ids.tolist()]
    assert whole.classes is not None
    assert kept == [row for row in range(len(whole)) if whole.classes[row] != "4"]
    assert found.photo_ids.tolist() == whole.classes[kept].tolist()
    assert found.split.tolist() == whole.split[kept].tolist()
    assert found.level.tolist() == whole.level[kept].tolist()
    for row in (0, 10, len(found) - 1):
        np.testing.assert_array_equal(found.sketch(row).strokes[0], whole.sketch(kept[row]).strokes[0])


def test_a_picture_stands_for_a_class() -> None:
    found = recognition(classified())
    first = next(row for row in found.indices("student") if found.photo_ids[row] == "2")
    picture = found.photo("2")
    assert picture.shape == (256, 256, 3)
    np.testing.assert_array_equal(picture[..., 1], rasterise(found.sketch(int(first)), 256))
    with pytest.raises(KeyError, match="no class '4'"):
        found.photo("4")


def test_hash_goes_by_data_and_classes() -> None:
    whole = classified()
    assert whole.classes is not None
    hashes = {
        whole.hash,
        recognition(whole).hash,
        recognition(replace(whole, hash="0" * 64)).hash,
        recognition(replace(whole, classes=np.where(whole.classes == "3", "1", whole.classes))).hash,
    }
    assert len(hashes) == 4
    assert recognition(classified()).hash == recognition(whole).hash


def test_once_is_enough() -> None:
    whole = classified()
    assert recognition(whole) is recognition(whole)
    assert recognition(recognition(whole)) is recognition(whole)


def test_without_classes_there_is_nothing_to_recognise() -> None:
    with pytest.raises(ValueError, match="'toy' has no classes"):
        recognition(toy_dataset())
    with pytest.raises(ValueError, match=r"two classes or more .* has 1"):
        recognition(replace(toy_dataset(), classes=np.full(len(toy_dataset()), "thing")))


def test_reward_by_hand(toy: tuple[SketchDataset, OutcomeTable, dict[str, object]]) -> None:
    """From the table's numbers and the paper's formulas, without the code that the environment uses."""
    dataset, table, kwargs = toy
    env = gym.make("SketchCanvas-v0", tradeoff=0.3, split="val", **kwargs)
    names = table.sketch_ids.tolist()
    env.reset(seed=0)
    ids = env.unwrapped.sketch_ids.tolist()
    assert sorted(ids) == sorted(dataset.sketch_ids[dataset.indices("val")].tolist())
    ranks = set()
    for index, name in enumerate(ids):
        for action, flops in enumerate(TOY_FLOPS):
            env.reset(options={"index": index})
            _, reward, terminated, truncated, info = env.step(action)
            rank = int(table.ranks[names.index(name), action])
            loss = float(table.triplet[names.index(name), action])
            by_hand = 0.7 * (1 / rank - 0.1 * loss) - 0.3 * flops / (TOY_FLOPS[-1] - TOY_FLOPS[0])
            assert reward == pytest.approx(by_hand, abs=1e-9)
            assert (terminated, truncated, info["rank"]) == (True, False, rank)
            ranks.add(rank)
    assert ranks == {1, 2, 3, 4}, "a place among four classes"
    low, high = env.unwrapped.reward_range
    assert low == pytest.approx(0.7 * (1 / 4 - 0.1 * 2.3) - 0.3 * TOY_FLOPS[-1] / (TOY_FLOPS[-1] - TOY_FLOPS[0]), 1e-4)
    assert high < 0.7


@pytest.mark.parametrize("env_id", ["SketchCanvas-v0", "SketchCanvasPreference-v0"])
def test_checker_passes(env_id: str, toy: tuple[SketchDataset, OutcomeTable, dict[str, object]]) -> None:
    env = gym.make(env_id, render_mode="rgb_array", **toy[2])
    check_env(env.unwrapped)
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.photo_ids.tolist() == env.unwrapped.photo_ids.tolist()
    assert set(env.unwrapped.photo_ids.tolist()) == {"0", "1", "2", "3"}


def test_vector_environment_is_the_same(toy: tuple[SketchDataset, OutcomeTable, dict[str, object]]) -> None:
    kwargs = toy[2]
    ours = gym.make_vec("SketchCanvas-v0", num_envs=3, **kwargs)
    sync = gym.make_vec(
        "SketchCanvas-v0",
        num_envs=3,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": "SameStep"},
        **kwargs,
    )
    ours.reset(seed=4), sync.reset(seed=4)
    for actions in np.random.default_rng(0).integers(0, 4, (20, 3)):
        one, other = ours.step(actions), sync.step(actions)
        assert one[1].tolist() == other[1].tolist()
        assert one[4]["final_info"]["rank"].tolist() == other[4]["final_info"]["rank"].tolist()


def test_pictures_show_classes(toy: tuple[SketchDataset, OutcomeTable, dict[str, object]]) -> None:
    dataset, table, kwargs = toy
    pictures = {}
    for task in ("recognition", "retrieval"):
        # Retrieval over the same rows, so that nothing but the title tells the two apart.
        source = replace(dataset, task=task)
        made = sketchcanvas_env.SketchCanvasEnv(
            dataset=source, table=table, canvases=TOY_CANVASES, max_points=40, render_mode="rgb_array"
        )
        made.reset(options={"index": 3})
        made.step(2)
        pictures[task] = made.render()
    differs = np.argwhere((pictures["recognition"] != pictures["retrieval"]).any(axis=2))
    assert len(differs)
    assert differs[:, 0].max() < 24, "only the line of titles"
    env = gym.make("SketchCanvas-v0", render_mode="ansi", **kwargs)
    env.reset(options={"index": 0})
    _, _, _, _, info = env.step(0)
    assert f"rank {info['rank']} of 4" in env.render()


@pytest.mark.parametrize("task", ["classification", "", None, 3])
def test_unknown_task(task: object) -> None:
    with pytest.raises(ValueError, match=r"unknown task .* retrieval, recognition"):
        gym.make("SketchCanvas-v0", task=task)
    with pytest.raises(ValueError, match="unknown task"):
        gym.make_vec("SketchCanvas-v0", num_envs=2, task=task)


def test_a_table_of_the_other_task_is_refused(
    toy: tuple[SketchDataset, OutcomeTable, dict[str, object]],
) -> None:
    with pytest.raises(ValueError, match="of data set 'toy_recognition', the data set is 'toy'"):
        gym.make("SketchCanvas-v0", **{**toy[2], "task": "retrieval"})
    with pytest.raises(ValueError, match="of data set 'emoji', the data set is 'emoji_recognition'"):
        CanvasArguments(dataset="emoji", task="recognition", table=load_table("emoji")).make()


# ---------------------------------------------------------------- the embedded data


def test_emoji_has_classes() -> None:
    whole, found = load("emoji"), load("emoji_recognition")
    assert found is recognition(whole)
    assert whole.classes is not None
    named = dict(zip(whole.photo_ids.tolist(), whole.classes.tolist(), strict=True))
    assert [named[code] for code in ("1F414", "1F3B8", "1F34E")] == ["animal-bird", "musical-instrument", "food-fruit"]
    assert len(found.gallery("test")) == 89
    lacking = set(whole.classes.tolist()) - set(found.gallery("test").tolist())
    assert lacking == {"animal-amphibian", "currency", "face-affection", "hand-prop", "hotel", "monkey-face"}
    assert len(whole) - len(found) == sum(np.isin(whole.classes, sorted(lacking)))


def test_references_and_queries_have_no_photo_in_common() -> None:
    found = load("emoji_recognition")
    photo = np.array([name.partition("/")[0] for name in found.sketch_ids.tolist()])
    references = set(photo[found.indices("student")].tolist())
    assert references
    for split in SPLITS[1:]:
        assert not references & set(photo[found.indices(split)].tolist())


def test_the_shipped_table_is_the_default() -> None:
    env = gym.make("SketchCanvas-v0", dataset="emoji", task="recognition")
    table = load_table("emoji_recognition")
    assert table.dataset_hash == load("emoji_recognition").hash
    assert env.unwrapped.table.gallery_size == {"train": 89}
    chosen = table.select("train", (32, 64, 128, 256))
    np.testing.assert_array_equal(env.unwrapped.table.ranks, chosen.ranks)
    by_name = gym.make("SketchCanvas-v0", dataset="emoji_recognition")
    assert by_name.unwrapped.table.hash == env.unwrapped.table.hash
