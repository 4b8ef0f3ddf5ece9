"""What every data set promises: here, that a known gallery is one gallery and is split by drawing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sketchcanvas_env.data import SPLITS, SketchDataset, fold
from tests.helpers import toy_dataset


def _split_by_drawing() -> SketchDataset:
    """The toy data set with the drawings of its photos of `train` shared out among train, val and test."""
    toy = toy_dataset()
    split = np.array(["train", "val", "test"])[toy.level]
    split[toy.split == "student"] = "student"
    shared = np.unique(toy.photo_ids[toy.split != "student"])
    galleries = {name: toy.gallery(name) if name == "student" else shared for name in SPLITS}
    return replace(toy, split=split, galleries=galleries, known_gallery=True)


def test_a_known_gallery_is_the_same_for_train_val_and_test_and_a_photo_may_be_in_several() -> None:
    known = _split_by_drawing()
    photos = [set(known.photo_ids[known.indices(split)].tolist()) for split in ("train", "val", "test")]
    assert photos[0] & photos[1] & photos[2]
    assert known.gallery("train").tolist() == known.gallery("val").tolist() == known.gallery("test").tolist()
    assert not toy_dataset().known_gallery


def test_a_known_gallery_that_differs_between_splits_is_refused() -> None:
    known = _split_by_drawing()
    with pytest.raises(ValueError, match="'toy' has a known gallery, but its splits have different ones"):
        replace(known, galleries={**known.galleries, "val": known.gallery("val")[1:]})


def test_a_data_set_that_is_split_by_drawing_has_no_folds() -> None:
    with pytest.raises(ValueError, match="'toy' is split by drawing"):
        fold(_split_by_drawing(), 0)
