"""Recognition by students: prototypes and ranks by hand, chance, Quick, Draw!, the shipped table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import students
from sketchcanvas_env import load_table
from sketchcanvas_env.data import SketchDataset, load, recognition
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.tables import gallery
from students.tables.evaluation import ranks_of
from students.tables.gallery import embed_gallery
from students.tables.retriever import StudentRetriever
from students.tables.tabulate import check_student, tabulate
from students.training.pool.pairs import PoolConfig, make_pairs
from tests.helpers import Pixels, toy_dataset, toy_photo, unit


class FirstPoint(Pixels):
    """Looks at the first point of a sketch from the middle, so that left and right lie apart."""

    name = "first point"

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        return unit(np.stack([np.append(s.strokes[0][0] - 0.5, canvas / 100) for s in sketches]))


class Random(FirstPoint):
    """What a drawing at a canvas is embedded as has nothing to do with what it shows."""

    name = "random"

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        return unit(np.stack([self._vector(sketch, canvas) for sketch in sketches]))

    @staticmethod
    def _vector(sketch: VectorSketch, canvas: int) -> np.ndarray:
        digest = hashlib.sha256(b"%d" % canvas + b"".join(stroke.tobytes() for stroke in sketch.strokes)).digest()
        return np.random.default_rng(list(digest)).normal(size=48)


class Opposite(FirstPoint):
    """Every other sketch that it is shown points the other way."""

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        return np.outer((-1.0) ** np.arange(len(sketches)), [1.0, 0.0]).astype(np.float32)


def classified() -> SketchDataset:
    """The toy data for recognition, with the classes "0", "1" and "2"."""
    toy = toy_dataset()
    return recognition(replace(toy, classes=np.array([str(int(p.rpartition("-")[2]) % 3) for p in toy.photo_ids])))


def by_hand(dataset: SketchDataset, names: Sequence[str]) -> np.ndarray:
    """Prototypes of `FirstPoint`, one sketch after the other."""
    made = []
    for name in names:
        total = np.zeros(3)
        for row in range(len(dataset)):
            if dataset.split[row] == "student" and dataset.photo_ids[row] == name:
                point = np.append(dataset.sketch(row).strokes[0][0].astype(float) - 0.5, 0.32)
                total += point / np.sqrt((point**2).sum())
        made.append(total / np.sqrt((total**2).sum()))
    return np.stack(made)


def test_prototypes_by_hand() -> None:
    dataset = classified()
    found = embed_gallery(FirstPoint(), dataset, ["2", "0"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(dataset, ["2", "0"]), atol=1e-6)


def test_photos_are_embedded_where_the_task_is_retrieval() -> None:
    images = np.stack([toy_photo("val-3"), toy_photo("val-1")])
    found = embed_gallery(FirstPoint(), toy_dataset(), ["val-3", "val-1"])
    np.testing.assert_array_equal(found, FirstPoint().embed_photos(images))


def test_a_prototype_is_of_so_many_references(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = classified()
    monkeypatch.setattr(gallery, "REFERENCES", 1)
    rows = dataset.indices("student")
    first = int(rows[dataset.photo_ids[rows] == "1"][0])
    np.testing.assert_allclose(
        embed_gallery(FirstPoint(), dataset, ["1"]), FirstPoint().embed([dataset.sketch(first)], 32), atol=1e-6
    )


def test_no_prototype() -> None:
    with pytest.raises(KeyError, match="no class '7'"):
        embed_gallery(FirstPoint(), classified(), ["7"])
    with pytest.raises(ValueError, match="of class '0' cancel each other out"):
        embed_gallery(Opposite(), classified(), ["0"])


def test_outcomes_by_hand() -> None:
    dataset = classified()
    table = tabulate(FirstPoint(), dataset)
    assert table.dataset == "toy_recognition"
    assert table.photos.tolist() == ["0", "1", "2"]
    assert table.gallery_size == {"train": 3, "val": 3, "test": 3}
    assert set(table.photo_ids.tolist()) == {"0", "1", "2"}
    prototypes = by_hand(dataset, ["0", "1", "2"])
    for i in range(0, len(table), 5):
        row = dataset.sketch_ids.tolist().index(table.sketch_ids[i])
        for k, side in enumerate((16, 32)):
            query = FirstPoint().embed([dataset.sketch(row)], side)[0].astype(float)
            distance = [float(np.linalg.norm(query - prototype)) for prototype in prototypes]
            true = distance[int(table.photo_ids[i])]
            assert table.ranks[i, k] == sum(d <= true + 1e-9 for d in distance)
            assert table.distances[i, k] == pytest.approx(true, abs=1e-5)
            hinge = sum(max(0.0, 0.3 + true - d) for d in distance) - 0.3  # without the true class's own margin
            assert table.triplet[i, k] == pytest.approx(hinge / 2, abs=1e-5)
            assert table.photos[table.top[i, k, 0]] == str(int(np.argmin(distance)))


def test_table_evaluation_and_live_mode_agree() -> None:
    dataset, student = classified(), FirstPoint()
    part = tabulate(student, dataset).select("val")
    ranks, dim = ranks_of(student, dataset, "val", (16, 32))
    np.testing.assert_array_equal(ranks, part.ranks)
    assert dim == 3
    retriever = StudentRetriever.of(student, dataset, "val")
    assert retriever.photo_ids.tolist() == ["0", "1", "2"]
    for i, row in enumerate(dataset.indices("val").tolist()):
        found = retriever.retrieve(dataset.sketch(row), 32, str(part.photo_ids[i]))
        assert found.rank == part.ranks[i, 1]
        assert found.triplet == pytest.approx(float(part.triplet[i, 1]), abs=1e-5)
        assert found.top == part.photos[part.top[i, 1, :3]].tolist()


def test_random_embeddings_are_at_chance() -> None:
    """On the embedded data: the classes are of very different sizes, and none may profit from that."""
    table = tabulate(Random(), load("emoji_recognition"))
    kept = np.isin(table.split, ["train", "val"])
    ranks = table.ranks[kept].ravel()
    chance = np.mean(1 / np.arange(1, 90))
    spread = np.sqrt(np.mean(1 / np.arange(1, 90) ** 2) / len(ranks))
    assert np.mean(1 / ranks) == pytest.approx(chance, abs=5 * spread)
    assert np.mean(ranks == 1) == pytest.approx(1 / 89, abs=5 * np.sqrt(1 / 89 / len(ranks)))


def test_quickdraw_goes_the_same_way(tmp_path: Path) -> None:
    """Categories far to the left and far to the right, which the first point tells apart."""
    for word, x in (("cat", 20), ("yoga", 200)):
        drawing = [[[x, x + 5], [0, 255]], [[0, 255], [128, 128]]]
        lines = [json.dumps({"key_id": str(key), "word": word, "drawing": drawing}) for key in range(60)]
        (tmp_path / f"{word}.ndjson").write_text("\n".join(lines))
    dataset = load("quickdraw_recognition", tmp_path)
    table = tabulate(FirstPoint(), dataset)
    assert (table.dataset, table.photos.tolist()) == ("quickdraw_recognition", ["cat", "yoga"])
    assert (table.ranks == 1).all()
    assert recognition(load("quickdraw", tmp_path)).hash == dataset.hash
    assert table.splits == ("train", "val", "test")


def test_shipped_table_follows_from_sketches_and_weights() -> None:
    """Classes with few references, embedded anew; another machine's float noise may swap near-equal classes."""
    table, dataset = load_table("emoji_recognition").select("val"), load("emoji_recognition")
    student = students.load("emoji")
    assert table.student_hash == student.weights_hash
    check_student(table)
    with pytest.raises(ValueError, match="made with other weights of 'mobilenet_v2'"):
        check_student(replace(table, student_hash="0" * 64))
    seen = dataset.photo_ids[dataset.indices("student")]
    names = [n for n in np.unique(table.photo_ids).tolist() if np.count_nonzero(seen == n) <= 12]
    assert len(names) >= 5
    prototypes = embed_gallery(student, dataset, names)
    rows = np.flatnonzero(np.isin(table.photo_ids, names))
    sketches = [dataset.sketch(int(dataset.indices("val")[row])) for row in rows]
    for canvas in (32, 128):
        column = table.columns([canvas])[0]
        between = np.linalg.norm(student.embed(sketches, canvas)[:, None].astype(float) - prototypes[None], axis=2)
        true = between[np.arange(len(rows)), [names.index(n) for n in table.photo_ids[rows]]]
        np.testing.assert_allclose(true, table.distances[rows, column], atol=2e-3)
        # At least as many classes are in front as there are among these few; right means in front of all.
        ahead = (between < true[:, None] - 2e-3).sum(axis=1)
        assert (table.ranks[rows, column] >= 1 + ahead).all()
        assert student.flops(canvas) == table.flops[column]


def test_student_is_far_above_chance() -> None:
    table = load_table("emoji_recognition").select("val")
    assert (table.acc() > 10 / 89).all()
    assert (table.acc(5) > 3 * 5 / 89).all()


def test_classes_are_nothing_to_train_on() -> None:
    with pytest.raises(ValueError, match="'toy_recognition' has classes and no photos to train on"):
        make_pairs(classified(), PoolConfig(), photo_side=16)
