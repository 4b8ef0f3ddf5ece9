"""Rows of students: ranks recomputed by hand, what a row says of its making, files that are damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import students
from students.network.config import Head, StudentConfig
from students.network.embedder import Student
from students.store.weights import load_card, save_student
from students.tables.evaluation import (
    StudentRow,
    Teacher,
    embed_photo_queries,
    evaluate_student,
    open_student,
    photo_ranks_of,
    read_row,
    read_rows,
)
from tests.helpers import Pixels, toy_dataset
from tests.students.support import fit_norms


def tiny(photo_side: int = 32) -> Student:
    torch.manual_seed(0)
    return Student(StudentConfig(heads=(Head(8, 2, 4, 1.0),), canvases=(32, 48), photo_side=photo_side)).eval()


def saved(folder: Path, **card: Any) -> Path:
    return save_student(
        tiny(), folder / "tiny.safetensors", {"name": "tiny", "recipe": {"seed": 3, "steps": 7}, **card}
    )


@pytest.fixture
def row() -> StudentRow:
    return evaluate_student(Pixels(), toy_dataset(), "val", command="by hand")


def test_ranks_by_hand(row: StudentRow) -> None:
    dataset, embedder = toy_dataset(), Pixels()
    gallery = dataset.gallery("val").tolist()
    photos = embedder.embed_photos(np.stack([dataset.photo(p) for p in gallery])).astype(float)
    index = {sketch: i for i, sketch in enumerate(dataset.sketch_ids.tolist())}
    assert [dataset.split[index[sketch]] for sketch in row.sketch_ids] == ["val"] * 21
    for side in (16, 32):
        for sketch, photo, rank in zip(row.sketch_ids, row.photo_ids, row.ranks[side], strict=True):
            assert photo == dataset.photo_ids[index[sketch]]
            query = embedder.embed([dataset.sketch(index[sketch])], side)[0].astype(float)
            distance = [float(np.linalg.norm(query - one)) for one in photos]
            assert rank == sum(d <= distance[gallery.index(photo)] + 1e-9 for d in distance)
    assert row.ranks[16] != row.ranks[32]
    assert row.right(32, 3).tolist() == [rank <= 3 for rank in row.ranks[32]]
    assert row.gflops == {16: 16.0, 32: 32.0}
    assert (row.gallery, row.dim, row.params, row.canvases) == (7, 3, 0, (16, 32))


def test_a_row_says_where_it_comes_from(row: StudentRow) -> None:
    assert (row.role, row.name, row.backbone) == ("baseline", "pixels", "pixels")
    assert (row.seed, row.steps, row.weights_sha256, row.teacher, row.training) == (None, None, None, None, {})
    assert row.dataset_hash == toy_dataset().hash
    assert row.versions["torch"] == torch.__version__
    assert row.hardware["threads"] == torch.get_num_threads()
    assert row.hardware["cpu"]
    assert row.commit
    assert row.command == "by hand"


def test_written_and_read(row: StudentRow, tmp_path: Path) -> None:
    path = row.write(tmp_path / "toy" / "pixels.json")
    assert read_row(path) == row
    assert read_rows(tmp_path) == {path: row}
    text = path.read_text()
    assert text.count("\n") < 40, "ranks lie on one line each"
    taught = replace(row, role="distilled", teacher=Teacher("vgg16", "0" * 64), seed=1, steps=10)
    assert read_row(taught.write(path)) == taught


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "genius"}, "role must be one of baseline, teacher, direct, distilled, got 'genius'"),
        ({"split": "dev"}, "split must be one of"),
        ({"name": ""}, "name must not be empty"),
        ({"commit": None}, "commit must be text"),
        ({"gallery": 0}, "gallery must be a whole number from 1"),
        ({"gallery": 1}, r"ranks at 16 px must be 21 whole numbers from 1 to the gallery's 1"),
        ({"seed": -1}, "seed must be a whole number from 0, or null"),
        ({"steps": 1.5}, "steps must be"),
        ({"gflops": {"16": 0.0, "32": 1.0}}, "gflops must be a finite number above 0"),
        ({"gflops": {"16": 1.0}}, r"gflops .* each of the canvases \[16, 32\]"),
        ({"ranks": {"32": [1], "16": [1]}}, "ranks must have rising canvas sides"),
        ({"ranks": {"16": [1.0] * 21, "32": [1] * 21}}, "ranks at 16 px"),
        ({"ranks": {"16": [True] * 21, "32": [1] * 21}}, "ranks at 16 px"),
        ({"ranks": {"16": [1] * 20, "32": [1] * 21}}, "ranks at 16 px must be 21"),
        ({"ranks": [1]}, "ranks must be an object with canvas sides"),
        ({"ranks": {"big": [1]}}, "ranks must be an object with canvas sides"),
        ({"sketch_ids": []}, "sketch_ids must be a list of at least one"),
        ({"sketch_ids": ["a"] * 21}, "sketch_ids must be unique"),
        ({"photo_ids": ["a"]}, "photo_ids must have 21 entries"),
        ({"weights_sha256": "abc"}, "weights_sha256 must be 64 hexadecimal digits"),
        ({"teacher": "vgg16"}, "teacher must be an object with a name"),
        ({"teacher": {"name": "vgg16", "sha256": 5}}, "teacher's sha256"),
        ({"teacher": {"name": "vgg16", "sha256": None}}, "teacher goes with role 'distilled'"),
        ({"role": "distilled"}, "teacher goes with role 'distilled'"),
        ({"hardware": "fast"}, "hardware must be an object"),
        ({"luck": 1}, r"fields \['luck'\] are missing or unknown"),
        ({"format": 2}, "format must be 1"),
    ],
)
def test_damaged_rows(row: StudentRow, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = row.write(tmp_path / "row.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ValueError, match=message) as caught:
        read_row(path)
    assert str(caught.value).startswith(str(path))


def test_rows_that_are_none(row: StudentRow, tmp_path: Path) -> None:
    path = row.write(tmp_path / "row.json")
    values = json.loads(path.read_text())
    del values["dim"]
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"row.json: fields \['dim'\]"):
        read_row(path)
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"row\.json"):
            read_row(path)
    with pytest.raises(FileNotFoundError, match=r"no rows under .* 'sketchcanvas evaluate"):
        read_rows(tmp_path / "nowhere")


@pytest.mark.parametrize("canvases", [(64,), (32, 16), (), (16, 16)])
def test_canvases_that_it_lacks(canvases: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"some of \[16, 32\]"):
        evaluate_student(Pixels(), toy_dataset(), "val", canvases)


def test_a_split_without_sketches() -> None:
    whole = toy_dataset()
    kept = np.flatnonzero(whole.split != "test")
    part = replace(
        whole,
        sketch_ids=whole.sketch_ids[kept],
        photo_ids=whole.photo_ids[kept],
        split=whole.split[kept],
        galleries={**whole.galleries, "test": np.array([], dtype=np.str_)},
    )
    with pytest.raises(ValueError, match=r"no sketches in split 'test', only in student, train, val.*--root"):
        evaluate_student(Pixels(), part, "test")
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        evaluate_student(Pixels(), part, "dev")


def test_a_trained_student(tmp_path: Path) -> None:
    path = saved(tmp_path, commit="abc", recipe={"seed": 3, "steps": 7, "teacher": None, "root": "/home/somebody"})
    embedder, card = open_student(str(path), "toy")
    row = evaluate_student(embedder, toy_dataset(), "val", (32,), card=card)
    assert (row.role, row.name, row.backbone, row.seed, row.steps) == ("direct", "tiny", "mobilenet_v2", 3, 7)
    assert row.weights_sha256 == load_card(path)["sha256"]
    assert (row.params, row.dim) == (tiny().params, 16)
    assert row.gflops[32] == pytest.approx(tiny().flops(32) / 1e9)
    assert row.training["commit"] == "abc"
    assert "root" not in row.training["recipe"]
    assert evaluate_student(embedder, toy_dataset(), "val", (32,), card=card, role="teacher").role == "teacher"
    with pytest.raises(ValueError, match="role must be one of"):
        evaluate_student(embedder, toy_dataset(), "val", (32,), card=card, role="genius")


def test_whom_it_learned_from(tmp_path: Path) -> None:
    path = saved(tmp_path)
    student = students.load(path)
    told = {"teacher": {"name": "vgg", "sha256": "f" * 64}}
    row = evaluate_student(student, toy_dataset(), "val", (32,), card={**load_card(path), **told})
    assert (row.role, row.teacher) == ("distilled", Teacher("vgg", "f" * 64))
    row = evaluate_student(student, toy_dataset(), "val", (32,), card={**load_card(path), "teacher": None})
    assert (row.role, row.teacher) == ("direct", None)
    with pytest.raises(ValueError, match="teacher must be an object with a name"):
        evaluate_student(student, toy_dataset(), "val", (32,), card={**load_card(path), "teacher": "vgg"})


def test_students_by_name() -> None:
    embedder, card = open_student("hog", "emoji")
    assert (embedder.name, card) == ("hog", None)
    for name in ("emoji-mobilenet_v2", "mobilenet_v2", "emoji"):
        embedder, card = open_student(name, "emoji")
        assert card is not None
        assert embedder.weights_hash == card["sha256"]
    with pytest.raises(ValueError, match=r"unknown student 'mobilenet_v2'.*emoji-mobilenet_v2"):
        open_student("mobilenet_v2", "toy")
    with pytest.raises(FileNotFoundError, match="no student nowhere"):
        open_student("nowhere/x.safetensors", "emoji")


def test_photos_as_queries() -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
    student = tiny(photo_side=64)
    fit_norms(student, "photo", student.photo_tensor(images))  # fresh, it embeds all photos nearly alike
    # At its own photo side a query is the gallery's picture.
    np.testing.assert_array_equal(embed_photo_queries(student, images, 64), student.embed_photos(images))
    # At another it is what a student of that photo side would see.
    small = tiny(photo_side=32)
    small.load_state_dict(student.state_dict())
    queries = embed_photo_queries(student, images, 32, batch_size=5)
    np.testing.assert_allclose(queries, small.embed_photos(images), atol=1e-6)
    assert np.abs(queries - student.embed_photos(images)).max() > 0.1


def test_ranks_of_photos_as_queries() -> None:
    dataset, student = toy_dataset(), tiny(photo_side=48)
    images = np.stack([dataset.photo(photo) for photo in dataset.gallery("test").tolist()])
    fit_norms(student, "photo", student.photo_tensor(images))
    ranks = photo_ranks_of(student, dataset, "test", (32, 48))
    assert ranks.shape == (12, 2)
    assert (ranks[:, 1] == 1).all()
    queries, gallery = embed_photo_queries(student, images, 32), student.embed_photos(images)
    distance = np.linalg.norm(queries[:, None].astype(float) - gallery[None], axis=2)
    assert ranks[:, 0].tolist() == [int((d <= d[i] + 1e-9).sum()) for i, d in enumerate(distance)]


def test_stored_rows_can_be_read() -> None:
    """What lies in the package's results is valid, of the shipped data, and its shipped students' own."""
    from sketchcanvas_env.data import load
    from students.tables.evaluation import RESULTS_FOLDER

    for path in sorted(RESULTS_FOLDER.rglob("*.json")):
        row = read_row(path)
        assert path.parent.name == row.dataset
        if row.dataset == "emoji":
            dataset = load("emoji")
            assert row.dataset_hash == dataset.hash, path
            assert row.sketch_ids == tuple(dataset.sketch_ids[dataset.indices(row.split)].tolist()), path
