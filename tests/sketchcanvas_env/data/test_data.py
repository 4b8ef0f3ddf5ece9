"""The embedded data set: counts, splits, galleries, licences, and that the builder rebuilds it bit by bit."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from sketchcanvas_env.data import SPLITS, SketchDataset, load
from sketchcanvas_env.data.emoji import FOLDER
from sketchcanvas_env.sketches.freehand import LEVELS, freehand, seed_of
from sketchcanvas_env.sketches.raster import rasterise
from tests.tools.build_emoji import _stored, build


@pytest.fixture(scope="module")
def emoji() -> SketchDataset:
    return load("emoji")


def test_counts(emoji: SketchDataset) -> None:
    assert len(emoji) == 6388
    assert {split: len(emoji.indices(split)) for split in SPLITS} == {
        "student": 2988,
        "train": 1400,
        "val": 600,
        "test": 1400,
    }
    assert [len(emoji.gallery(split)) for split in ("train", "val", "test")] == [350, 350, 350]


def test_a_data_set_is_shown_in_one_line(emoji: SketchDataset) -> None:
    counts = "student 2988, train 1400, val 600, test 1400"
    assert repr(emoji) == f"<SketchDataset emoji for retrieval: 6388 sketches ({counts})>"


def test_no_photo_in_two_splits(emoji: SketchDataset) -> None:
    where = defaultdict(set)
    for photo, split in zip(emoji.photo_ids.tolist(), emoji.split.tolist(), strict=True):
        where[photo].add(split)
    assert all(len(splits) == 1 for splits in where.values())
    index = json.loads((FOLDER / "index.json").read_text())
    assert len({photo["sha256"] for photo in index["photos"]}) == len(where)  # nor one picture under two ids


def test_no_drawing_under_two_names(emoji: SketchDataset) -> None:
    """Many emoji share a line drawing: outside `student`, no drawing may be like any other, in any split."""
    rows = np.flatnonzero(emoji.level == 0)
    ink = 255.0 - np.stack([rasterise(emoji.sketch(int(row)), 64).ravel() for row in rows])
    ink /= np.linalg.norm(ink, axis=1, keepdims=True)
    alike = ink @ ink.T - np.eye(len(rows))
    student = emoji.split[rows] == "student"
    assert alike[~student].max() < 0.985  # stored strokes lie on a grid: a little above the builder's 0.98
    assert (alike[student] > 0.99).any(axis=1).sum() > 100  # they do exist


def test_every_true_photo_is_in_its_gallery(emoji: SketchDataset) -> None:
    for split in SPLITS:
        assert set(emoji.photo_ids[emoji.indices(split)]) <= set(emoji.gallery(split).tolist())
        assert len(set(emoji.gallery(split).tolist())) == len(emoji.gallery(split))
    # val's gallery is filled up from train, never from what the student has seen or from test.
    outside = set(emoji.gallery("val").tolist()) - set(emoji.photo_ids[emoji.indices("val")])
    assert outside <= set(emoji.gallery("train").tolist())


def test_every_sketch_is_on_the_canvas(emoji: SketchDataset) -> None:
    for row in range(0, len(emoji), 37):
        sketch = emoji.sketch(row)
        points = np.concatenate(sketch.strokes)
        assert float(np.ptp(points, axis=0).max()) == pytest.approx(0.84, abs=0.004)
        assert (rasterise(sketch, 64) < 128).any()


def test_levels_are_variants_of_the_drawing(emoji: SketchDataset) -> None:
    """Levels 1 to 3 follow from the stored level 0 up to the storage grid, by the documented seeds."""
    for row in (0, 400, 4000):
        assert emoji.level[row] == 0
        for level in (1, 2, 3):
            assert emoji.level[row + level] == level
            assert emoji.photo_ids[row + level] == emoji.photo_ids[row]
            rng = np.random.RandomState(seed_of(str(emoji.sketch_ids[row + level])))
            again = freehand(emoji.sketch(row), LEVELS[level], rng)
            assert abs(again.n_strokes - emoji.sketch(row + level).n_strokes) <= 1


def test_photos(emoji: SketchDataset) -> None:
    photo = emoji.photo("1F600")
    assert photo.shape == (256, 256, 3)
    assert photo.dtype == np.uint8
    assert (photo[0, 0] == 255).all()  # white paper
    assert photo.min() < 100
    with pytest.raises(KeyError, match="no photo 'nobody'"):
        emoji.photo("nobody")


def test_files_are_what_the_index_says() -> None:
    index = json.loads((FOLDER / "index.json").read_text())
    with zipfile.ZipFile(FOLDER / "photos.zip") as archive:
        assert len(archive.namelist()) == len(index["photos"])
        for photo in index["photos"]:
            assert hashlib.sha256(archive.read(photo["file"])).hexdigest() == photo["sha256"]
    assert os.path.getsize(FOLDER / "photos.zip") < 8_000_000


def test_every_author_is_credited() -> None:
    index = json.loads((FOLDER / "index.json").read_text())
    credits = {entry["id"]: entry["author"] for entry in json.loads((FOLDER / "CREDITS.json").read_text())}
    assert set(credits) == {photo["id"] for photo in index["photos"]}
    assert all(credits.values())
    assert "CC BY-SA 4.0" in (FOLDER / "LICENCES.md").read_text()
    assert "Attribution-ShareAlike 4.0" in (FOLDER / "LICENSE-openmoji.txt").read_text()


def test_unknown_names(emoji: SketchDataset) -> None:
    with pytest.raises(ValueError, match="unknown data set 'shoes'; there are emoji"):
        load("shoes")
    with pytest.raises(ValueError, match="unknown split 'dev'; there are student, train, val, test"):
        emoji.indices("dev")
    with pytest.raises(ValueError, match="unknown split"):
        emoji.gallery("dev")
    with pytest.raises(IndexError, match="0 to 6387"):
        emoji.sketch(6388)


def test_stored_points_drop_repeats() -> None:
    from sketchcanvas_env.sketches.sketch import VectorSketch

    points, last = _stored(VectorSketch.from_strokes([[(0, 0), (1e-6, 0), (1, 1)], [(0.5, 0.5)]]))
    assert points.tolist() == [[0, 0], [4096, 4096], [2048, 2048]]
    assert last.tolist() == [False, True, True]


ARCHIVES = Path(os.environ.get("SKETCHCANVAS_NPM_ARCHIVES", "npm-archives"))


@pytest.mark.skipif(not ARCHIVES.is_dir(), reason="set SKETCHCANVAS_NPM_ARCHIVES to a folder with the two npm archives")
def test_builder_rebuilds_bit_by_bit(tmp_path: Path) -> None:
    openmoji = ARCHIVES / "openmoji-17.0.0.tgz"
    fluent = ARCHIVES / "lobehub-fluent-emoji-3d-1.1.0.tgz"
    build(openmoji, fluent, tmp_path)
    for name in ("index.json", "strokes.npz", "photos.zip", "CREDITS.json", "LICENSE-openmoji.txt"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name
    with pytest.raises(ValueError, match="not the published archive"):
        build(fluent, openmoji, tmp_path)
