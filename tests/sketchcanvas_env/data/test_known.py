"""Known galleries: splits by drawing, one gallery, seeded drawings that differ, tables that fit their seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sketchcanvas_env.data import SketchDataset, load
from sketchcanvas_env.data.known import DRAWINGS, GRID, new_drawings
from sketchcanvas_env.outcomes.finding import check_dataset
from sketchcanvas_env.sketches.freehand import seed_of
from sketchcanvas_env.storage.table_file import TableError
from tests.helpers import toy_table

PINNED_POINTS = [51, 61, 101]
PINNED_MEANS = [0.5423, 0.5910, 0.5283]
PINNED_SEED = 4053777351


@pytest.fixture(scope="module")
def emoji() -> SketchDataset:
    return load("emoji")


@pytest.fixture(scope="module")
def known() -> SketchDataset:
    return load("emoji_known")


def test_every_photo_has_its_drawings_in_every_split(emoji: SketchDataset, known: SketchDataset) -> None:
    photos = np.unique(emoji.photo_ids[emoji.indices("train")])
    assert DRAWINGS["train"] >= 32
    assert DRAWINGS["val"] >= 8
    assert DRAWINGS["test"] >= 16
    for split, count in DRAWINGS.items():
        ids, counts = np.unique(known.photo_ids[known.indices(split)], return_counts=True)
        assert ids.tolist() == photos.tolist()
        assert set(counts.tolist()) == {count}
    assert len(known.indices("student")) == 0


def test_the_splits_share_one_gallery_and_no_drawing(known: SketchDataset) -> None:
    galleries = [known.gallery(split).tolist() for split in DRAWINGS]
    assert galleries[0] == galleries[1] == galleries[2]
    assert len(np.unique(known.sketch_ids)) == len(known)
    drawn = [known.sketch(int(row)) for row in np.flatnonzero(known.photo_ids == known.photo_ids[0])]
    assert len({np.concatenate(sketch.strokes).tobytes() for sketch in drawn}) == sum(DRAWINGS.values())


def test_no_photo_is_one_that_students_learn_from_or_that_new_photos_are_judged_on(
    emoji: SketchDataset, known: SketchDataset
) -> None:
    photos = set(known.photo_ids.tolist())
    for split in ("student", "val", "test"):
        assert not photos & set(emoji.photo_ids[emoji.indices(split)].tolist())


def test_a_drawing_depends_on_seed_and_id_alone(emoji: SketchDataset, known: SketchDataset) -> None:
    again, other = (new_drawings(emoji, "train", "emoji_known", seed) for seed in (0, 1))
    assert again.hash == known.hash
    assert other.hash != known.hash
    for row in (19_000, 7, 12_345):  # in no order
        one, same, different = (each.sketch(row) for each in (known, again, other))
        assert all(np.array_equal(a, b) for a, b in zip(one.strokes, same.strokes, strict=True))
        assert not np.array_equal(np.concatenate(one.strokes), np.concatenate(different.strokes))
        points = np.concatenate(one.strokes) * GRID
        assert np.array_equal(points, np.round(points))  # whole steps of the grid


def test_hands_differ_within_a_photo_and_level_says_how_rough_they_are(
    emoji: SketchDataset, known: SketchDataset
) -> None:
    assert set(known.level.tolist()) == {0, 1, 2, 3}
    rows = known.indices("test")
    strokes = {photo: emoji.sketch(int(row)).n_strokes for row, photo in enumerate(emoji.photo_ids) if row % 4 == 0}

    def kept(level: int) -> float:
        some = rows[known.level[rows] == level][:150]
        return float(np.mean([known.sketch(int(row)).n_strokes / strokes[str(known.photo_ids[row])] for row in some]))

    shares = [kept(level) for level in range(4)]
    assert shares == sorted(shares, reverse=True)
    assert shares[3] < shares[0] - 0.2


def test_drawings_are_those_of_the_version_that_the_hash_names(known: SketchDataset) -> None:
    """A change of the drawing code must raise `known._VERSION`, or tables would meet drawings that they do not fit."""
    points = [np.concatenate(known.sketch(row).strokes).astype(np.float64) for row in (0, 5_000, 15_000)]
    assert [len(each) for each in points] == PINNED_POINTS
    np.testing.assert_allclose([each.mean() for each in points], PINNED_MEANS, atol=2 / GRID)
    assert seed_of("0/1F600/0") == PINNED_SEED


def test_a_table_of_another_seed_is_refused_in_one_line(emoji: SketchDataset) -> None:
    known = new_drawings(emoji, "train", "emoji_known")
    other = new_drawings(emoji, "train", "emoji_known", seed=1)
    table = replace(toy_table(), dataset="emoji_known", dataset_hash=other.hash)
    with pytest.raises(TableError, match=r"another version of data set 'emoji_known'.*tabulate it anew") as error:
        check_dataset(table, known)
    assert "\n" not in str(error.value)
    check_dataset(table, other)


def test_what_has_no_drawings_or_no_seed_is_refused(emoji: SketchDataset, known: SketchDataset) -> None:
    with pytest.raises(ValueError, match="has no sketch in split 'student'"):
        new_drawings(known, "student", "again")
    with pytest.raises(ValueError, match="seed of the drawings must not be negative, got -1"):
        new_drawings(emoji, "train", "emoji_known", seed=-1)
