"""Training for recognition: it learns classes, resumes bit by bit, and refuses settings for retrieval."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sketchcanvas_env import data
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.data import recognition as for_recognition
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.embedder import Student
from students.store.weights import load_card, load_student
from students.tables.evaluation import ranks_of
from students.tables.gallery import embed_gallery
from students.training import recognition
from students.training.pool.augment import AugmentConfig
from students.training.pool.pairs import PoolConfig
from students.training.train import run, train
from tests.helpers import toy_dataset
from tests.students.training import support
from tests.students.training.support import train_until_interrupted

TINY = replace(
    support.TINY,
    dataset="toy_recognition",
    batch=6,
    pool=PoolConfig(variants=0, levels=(1.0, 1.0, 0.0, 0.0)),
    augment=AugmentConfig(lost=0.3),
)


def drawing_of(name: str, row: int) -> VectorSketch:
    """A cross, a box or a zigzag, a little different for each row."""
    rng = np.random.RandomState(row)
    shapes = {
        "cross": [[(0.2, 0.2), (0.8, 0.8)], [(0.8, 0.2), (0.2, 0.8)]],
        "box": [[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)]],
        "zigzag": [[(0.2, 0.2), (0.8, 0.35), (0.2, 0.5), (0.8, 0.65), (0.2, 0.8)]],
    }
    return VectorSketch.fit([np.array(stroke) + rng.normal(0, 0.03, (len(stroke), 2)) for stroke in shapes[name]])


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> SketchDataset:
    """The toy data set with three classes of drawings that differ."""
    plain = toy_dataset()
    classes = np.array([("cross", "box", "zigzag")[row % 3] for row in range(len(plain))])
    dataset = replace(
        plain,
        classes=classes,
        level=np.zeros(len(plain), dtype=np.int8),
        read_sketch=lambda row: drawing_of(str(classes[row]), row),
    )
    by_class = for_recognition(dataset)
    monkeypatch.setitem(data.DATASETS, "toy_recognition", lambda: by_class)
    monkeypatch.setitem(data.DATASETS, "toy", lambda: dataset)
    return by_class


def weights(student: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in student.state_dict().items()}


def test_classes_are_drawn_by_the_root_of_their_number(toy: SketchDataset) -> None:
    classes = recognition.make_classes(toy)
    assert classes.names == ("box", "cross", "zigzag")
    own = [len(rows) for rows in classes.rows]
    assert sum(own) == len(classes.sketches) == len(toy.indices("student"))
    np.testing.assert_allclose(classes.shares, np.sqrt(own) / np.sqrt(own).sum())


def test_proxies_begin_as_unit_vectors_that_point_apart(toy: SketchDataset) -> None:
    torch.manual_seed(0)
    proxies = recognition.initial_proxies(Student(TINY.student), recognition.make_classes(toy))
    similar = proxies.weight @ proxies.weight.T
    torch.testing.assert_close(similar.diagonal(), torch.ones(3))
    assert similar.fill_diagonal_(0.0).max() < 0.9


def test_it_learns_to_tell_classes_apart(toy: SketchDataset, tmp_path: Path) -> None:
    config = replace(TINY, pretrained="mobilenet_v2", steps=60, average=0.9, checkpoint_every=60, evaluate_every=60)
    student = train(config, tmp_path)
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert row["val_acc1"]["32"] > 0.9
    ranks, _ = ranks_of(student, toy, "val", (16, 32))
    assert ((ranks == 1).mean(axis=0) > 0.8).all()
    assert (ranks[:, 1] == 1).mean() == row["val_acc1"]["32"]  # by the class embeddings learnt, as during the run
    assert train(config, tmp_path).class_embeddings.keys() == student.class_embeddings.keys()  # the finished run again


def test_resumed_run_equals_an_uninterrupted_one(
    toy: SketchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights(train(TINY, tmp_path / "whole"))
    train_until_interrupted(TINY, tmp_path / "broken", monkeypatch)
    resumed = weights(train(TINY, tmp_path / "broken"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_student_for_recognition_is_published(toy: SketchDataset, tmp_path: Path) -> None:
    card = load_card(run(replace(TINY, steps=1), tmp_path / "run", None, "a command"))
    assert card["dataset"] == "toy_recognition" and card["seen"] == ""
    assert set(card["measured"]["val"]) == {"16", "32"}
    student = load_student(tmp_path / "run" / "student.safetensors")
    classes = sorted(set(toy.photo_ids.tolist()))
    assert list(student.class_embeddings) == classes
    np.testing.assert_array_equal(embed_gallery(student, toy, classes), list(student.class_embeddings.values()))
    np.testing.assert_allclose(np.linalg.norm(list(student.class_embeddings.values()), axis=1), 1.0, atol=1e-5)
    # Another run may start from it: the network is the same, the classes are left behind.
    again = train(replace(TINY, steps=1, start=str(tmp_path / "run" / "student.safetensors")), tmp_path / "again")
    assert list(again.class_embeddings) == classes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "emoji", "teacher_canvases": (32,)}, "teacher: set to null"),
        ({"renderings": "a.npz"}, "renderings"),
    ],
)
def test_settings_for_retrieval_are_refused(
    toy: SketchDataset, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(replace(TINY, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
