"""Warnings about photos that a student was trained on, whatever their names; none about photos of other data sets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import students
from sketchcanvas_env import data
from sketchcanvas_env.data import SPLITS, SketchDataset, load, recognition
from sketchcanvas_env.data.formats.folder_writer import write_folder
from students.store.leakage import MAX_FINGERPRINTS, from_card, leakage_warning, to_card
from students.store.weights import load_card, load_student
from students.training.pool.pairs import training_rows
from students.training.publish import publish
from tests.helpers import toy_dataset, toy_photo
from tests.students.training.test_train import TINY, train


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> SketchDataset:
    """The toy data set with photos of 256 px, as in published data sets and folders."""
    dataset = replace(toy_dataset(), read_photo=lambda name: np.pad(toy_photo(name), ((0, 216), (0, 216), (0, 0))))
    monkeypatch.setitem(data.DATASETS, "toy", lambda: dataset)
    return dataset


def test_photos_trained_on_are_found_in_a_folder(toy: SketchDataset, tmp_path: Path) -> None:
    student = train(replace(TINY, steps=1), tmp_path / "run")
    path = tmp_path / "student.safetensors"
    publish(student, toy, path, {}, "a command")
    write_folder(toy, tmp_path / "mine")
    # The folder keeps the splits, so nothing in its galleries was trained on.
    assert leakage_warning(load_card(path), load("folder", tmp_path / "mine"), SPLITS[1:]) == ""
    (tmp_path / "mine" / "splits.json").unlink()
    resplit = load("folder", tmp_path / "mine")
    trained_on = set(toy.photo_ids[training_rows(toy)].tolist())
    galleries = {photo for split in SPLITS[1:] for photo in resplit.gallery(split).tolist()}
    both = len(trained_on & galleries)
    assert 0 < both < len(galleries)
    warning = f"the student was trained on {both} of these {len(galleries)} photos"
    assert leakage_warning(load_card(path), resplit, SPLITS[1:]).startswith(warning)
    # Photos of the student that training started from count, too.
    other = replace(toy_dataset("other"), read_photo=lambda name: 255 - toy.photo(name))
    after = tmp_path / "after.safetensors"
    publish(load_student(path), other, after, {"start": str(path)}, "a command")
    assert leakage_warning(load_card(after), resplit, SPLITS[1:]).startswith(warning)
    assert leakage_warning(load_card(after), other, ("student",)).startswith(
        f"the student was trained on {len(trained_on)} of"
    )
    publish(load_student(path), other, after, {"start": "gone.safetensors"}, "a command")
    assert leakage_warning(load_card(after), resplit, SPLITS[1:]) == ""


def dataset_named(name: str, digest: str) -> SketchDataset:
    return replace(toy_dataset(name), hash=digest)


@pytest.mark.parametrize(
    ("student", "dataset", "unknown"),
    [
        ("emoji", "emoji", False),
        ("emoji", "chairv2", False),
        ("emoji", "chairv2_fold0", False),
        ("chairv2", "chairv2", False),
        ("chairv2", "emoji", False),
        ("emoji", "folder", True),
        ("chairv2", "folder", True),
        ("chairv2", "chairv2_fold0", True),
        ("chairv2", "somebody's", True),
    ],
)
def test_cards_without_fingerprints(student: str, dataset: str, unknown: bool) -> None:
    """No warning for their own and other published data sets, "not known" for all others."""
    card = {name: value for name, value in load_card(students.find(student)).items() if name != "seen"}
    own = card["dataset_hash"] if card["dataset"] == dataset else "1" * 64
    warning = leakage_warning(card, dataset_named(dataset, own), SPLITS[1:])
    assert ("is not known" in warning) is unknown
    assert not unknown or warning.startswith(f"the student was trained on {card['dataset']}:")
    # Another version of its own data set may have other splits.
    assert "is not known" in leakage_warning(card, dataset_named(card["dataset"], "1" * 64), SPLITS[1:])


def test_the_student_of_a_fold_on_its_fold() -> None:
    card = {"name": "small", "dataset": "chairv2_fold1", "dataset_hash": "1" * 64}
    assert leakage_warning(card, dataset_named("chairv2_fold1", "1" * 64), ("val",)) == ""
    assert "is not known" in leakage_warning(card, dataset_named("chairv2_fold2", "2" * 64), ("val",))


def test_recognition_looks_at_no_photo() -> None:
    dataset = toy_dataset()
    classes = replace(dataset, classes=dataset.photo_ids, split=dataset.split.copy())
    classes.split[:] = "student"
    assert leakage_warning({}, recognition(classes), SPLITS[1:]) == ""
    assert "does not name" in leakage_warning({}, dataset, SPLITS[1:])


def test_a_card_of_many_photos_stays_readable() -> None:
    many = {f"{number:012x}" for number in range(MAX_FINGERPRINTS + 5)}
    card = {"seen": to_card(many)}
    assert from_card(card) == set(sorted(many)[:MAX_FINGERPRINTS])
    assert len(json.dumps(card)) < 1 << 20
    assert from_card({"seen": 3}) == from_card({}) == set()
