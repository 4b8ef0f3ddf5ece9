"""Cross-fitting: no student sees its fold, every fold has every role once, the test split stays out."""

from __future__ import annotations

import numpy as np
import pytest

from sketchcanvas_env.data import FOLDS, crossfitted, fold
from tests.helpers import toy_dataset


def _photos(dataset, split: str) -> set[str]:  # type: ignore[no-untyped-def]
    return set(dataset.photo_ids[dataset.indices(split)].tolist())


def test_folds_are_apart_and_hold_everything_but_test() -> None:
    whole = toy_dataset()
    parts = [fold(whole, k) for k in range(FOLDS)]
    held = [_photos(part, "val") for part in parts]
    everything = set(whole.photo_ids[whole.split != "test"].tolist())
    assert set().union(*held) == everything and sum(map(len, held)) == len(everything)
    assert max(map(len, held)) - min(map(len, held)) <= 1
    for part, own in zip(parts, held, strict=True):
        assert _photos(part, "student") == everything - own
        assert set(part.gallery("val").tolist()) == own
        assert not len(part.indices("train")) and not len(part.gallery("test"))


@pytest.mark.parametrize("first", range(FOLDS))
def test_rotations(first: int) -> None:
    whole = toy_dataset()
    turned = crossfitted(whole, first)
    for place, split in enumerate(("train", "val", "test")):
        own = fold(whole, (first + place) % FOLDS)
        assert _photos(turned, split) == _photos(own, "val")
        assert turned.gallery(split).tolist() == own.gallery("val").tolist()
    assert not len(turned.indices("student"))
    row = int(turned.indices("test")[0])
    same = whole.sketch(whole.sketch_ids.tolist().index(turned.sketch_ids[row]))
    assert np.array_equal(turned.sketch(row).strokes[0], same.strokes[0])


def test_names_and_hashes_differ_and_equal_arguments_give_one_object() -> None:
    whole = toy_dataset()
    parts = [*(fold(whole, k) for k in range(FOLDS)), *(crossfitted(whole, k) for k in range(FOLDS))]
    assert len({part.name for part in parts}) == len({part.hash for part in parts}) == 2 * FOLDS
    assert fold(whole, 1) is parts[1]


@pytest.mark.parametrize("number", [-1, FOLDS])
def test_there_are_so_many_folds(number: int) -> None:
    with pytest.raises(ValueError, match="folds 0 to"):
        fold(toy_dataset(), number)
    with pytest.raises(ValueError, match="folds 0 to"):
        crossfitted(toy_dataset(), number)
