"""People's doodles of photos: those for training, those for scoring, and the scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sketchcanvas_env.data import load
from students.training.pool import doodles
from students.training.pool.doodles import DoodleConfig
from students.training.pool.pairs import PoolConfig, batch, make_pairs
from tests.helpers import toy_dataset

NAMES = {"anvil": ["student-0"], "boot": ["student-1", "nowhere"], "cup": ["train-2"], "dog": ["val-3"]}


@pytest.fixture
def config(tmp_path: Path) -> DoodleConfig:
    """Twenty doodles of each of five categories, one of which shows no photo."""
    for k, category in enumerate([*NAMES, "extra"]):
        lines = [
            json.dumps({"key_id": f"{k}{n:03}", "word": category, "drawing": [[[0, 50 + n, 99], [k * 9, 40, 80]]]})
            for n in range(20)
        ]
        (tmp_path / f"{category}.ndjson").write_text("\n".join(lines))
    (tmp_path / "names.json").write_text(json.dumps(NAMES))
    return DoodleConfig(str(tmp_path), str(tmp_path / "names.json"))


def test_doodles_to_train_on_are_in_the_student_splits_of_both_data_sets(config: DoodleConfig) -> None:
    found = doodles.read(config, toy_dataset())
    drawings = load("quickdraw", config.root)
    own = {name: int(((drawings.photo_ids == name) & (drawings.split == "student")).sum()) for name in NAMES}
    assert {photo: len(some) for photo, some in found["student"].items()} == {
        "student-0": own["anvil"],
        "student-1": own["boot"],
    }
    assert 0 < own["anvil"] < 20
    assert {photo: len(some) for photo, some in found["train"].items()} == {"train-2": doodles.MEASURED}
    assert set(found["val"]) == {"val-3"} and "test" not in found


def test_doodles_are_a_share_of_their_photos_sketches(config: DoodleConfig) -> None:
    dataset = toy_dataset()
    found = doodles.read(config, dataset)["student"]
    pool = PoolConfig(variants=0, levels=(1.0, 1.0, 0.0, 0.0), doodles=0.4)
    pairs = make_pairs(dataset, pool, 16, workers=1, doodles=found)
    for identity, name in enumerate(pairs.names):
        rows, shares = pairs.sketch_rows[identity], pairs.sketch_shares[identity]
        taken_as_they_are = np.array([pairs.weights[row] is None for row in rows])
        assert taken_as_they_are.sum() == len(found.get(name, ()))
        assert shares[taken_as_they_are].sum() == pytest.approx(0.4 if name in found else 0.0)
        assert pairs.has_doodles[identity] == (name in found)
    plain = make_pairs(dataset, replace(pool, doodles=0.0), 16, workers=1, doodles=found)
    assert len(plain.sketches) == pairs.own and not plain.has_doodles.any()


def test_a_batch_draws_photos_with_doodles_as_often_as_asked(config: DoodleConfig) -> None:
    dataset = toy_dataset()
    found = doodles.read(config, dataset)["student"]
    pairs = make_pairs(dataset, PoolConfig(variants=0, doodles=0.4), 16, workers=1, doodles=found)
    for step in range(6):
        drawn = batch(pairs, 4, 0.0, seed=0, step=step, people=0.5)
        assert len(set(drawn.tolist())) == 4
        assert pairs.has_doodles[drawn].sum() == 2


class ByColour:
    """Embeds toy photos by their colour, and every sketch as the photo `train-2`."""

    canvases = (16, 32)

    def embed_photos(self, images: np.ndarray) -> np.ndarray:
        colours = images[:, 20, 20].astype(np.float32)
        return colours / np.linalg.norm(colours, axis=1, keepdims=True)

    def embed(self, sketches: list[object], canvas: int) -> np.ndarray:
        return np.repeat(self.embed_photos(toy_dataset().photo("train-2")[None]), len(sketches), axis=0)


def test_scores_by_split_and_canvas(config: DoodleConfig) -> None:
    dataset = toy_dataset()
    found = doodles.read(config, dataset)
    scores = doodles.scores(ByColour(), dataset, found, (16, 32))  # type: ignore[arg-type]
    assert scores["train"] == {16: [1.0, 1.0, 1.0], 32: [1.0, 1.0, 1.0]}
    assert set(scores) == {"train", "val"}
    assert scores["val"][16][0] == 0.0 and scores["val"][16][2] == 1.0  # a gallery of seven


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([1], "must be a JSON object"),
        ({"anvil": "student-0"}, "must be a JSON object"),
        ({"cup": ["train-2"]}, "names no category of .* for a photo to train on"),
    ],
)
def test_names_that_do_not_fit(names: object, message: str, config: DoodleConfig) -> None:
    Path(config.names).write_text(json.dumps(names))
    with pytest.raises(ValueError, match=message):
        doodles.read(config, toy_dataset())
