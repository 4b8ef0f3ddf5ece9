"""The references choose as a slow, plain computation says, and know what they are said to know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents.evaluation.references import boosted_trees, photo_means, references
from agents.evaluation.setting import EnvConfig
from agents.experiments.results import made_on


def test_the_photos_mean_is_that_of_its_drawings_in_train() -> None:
    rng = np.random.default_rng(0)
    photos = np.array([f"p{i}" for i in rng.integers(0, 12, 200)])
    rewards = rng.normal(size=(200, 4))
    asked = np.array(["p3", "p11", "new", "p0", "p3", "a before all", "z behind all"])
    chosen = photo_means(photos, rewards, asked)
    for photo, column in zip(asked.tolist(), chosen.tolist(), strict=True):
        known = rewards[photos == photo] if photo in photos else rewards
        assert column == int(known.mean(axis=0).argmax())


def test_equal_canvases_go_to_the_cheapest() -> None:
    same = np.ones((40, 3))
    assert photo_means(np.array(["p"] * 40), same, np.array(["p", "q"])).tolist() == [0, 0]
    seen = np.random.default_rng(0).random((40, 2)).astype(np.float32)
    assert boosted_trees(seen, same, seen).tolist() == [0] * 40


def test_trees_learn_a_rule_that_no_linear_model_can() -> None:
    rng = np.random.default_rng(1)
    seen = rng.random((2000, 3)).astype(np.float32)
    best = ((seen[:, 0] > 0.5) ^ (seen[:, 1] > 0.5)).astype(int)
    rewards = rng.normal(0.0, 0.3, (2000, 2))
    rewards[np.arange(2000), best] += 1.0
    chosen = boosted_trees(seen[:1500], rewards[:1500], seen[1500:])
    assert (chosen == best[1500:]).mean() > 0.9
    assert np.array_equal(chosen, boosted_trees(seen[:1500], rewards[:1500], seen[1500:]))


def test_new_photos_have_none(toy_env: EnvConfig) -> None:
    assert toy_env.rules("test") == {}


def test_they_prove_nothing_on_the_split_that_they_learn_from_and_something_on_val() -> None:
    assert made_on("reference", "train") == "trained on this very split"
    assert made_on("reference", "val") == made_on("reference", "test") == ""
    assert made_on("rule", "val") == "chosen on this very split"


def test_a_split_of_a_known_gallery_has_both(toy_env: EnvConfig) -> None:
    train, test = (replace(toy_env, thumbnail=True).task(split) for split in ("train", "test"))
    found = references(train, test)
    assert set(found) == {"gbm", "photo's mean"}
    for columns in found.values():
        assert columns.shape == (len(test),)
        assert set(columns.tolist()) <= set(range(len(test.canvases)))
