"""Distillation targets: the teacher's embeddings of the pool, as drawn and mirrored, computed once and cached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from students.network.config import Head, StudentConfig
from students.network.embedder import Student
from students.store.weights import load_student, save_student
from students.training.pool.pairs import Pairs, PoolConfig, make_pairs
from students.training.teacher import combined, mirrored, teacher_targets
from tests.helpers import toy_dataset

CONFIG = StudentConfig(canvases=(16, 32), photo_side=16, heads=(Head(8, 2, 8, 1.0),))


@pytest.fixture
def pairs() -> Pairs:
    return make_pairs(toy_dataset(), PoolConfig(variants=1), CONFIG.photo_side, workers=1)


@pytest.fixture
def teacher(tmp_path: Path) -> Student:
    torch.manual_seed(0)
    return load_student(save_student(Student(CONFIG), tmp_path / "teacher.safetensors", {}))


def test_targets_are_means_over_canvases(pairs: Pairs, teacher: Student, tmp_path: Path) -> None:
    targets = teacher_targets(teacher, (16, 32), pairs, tmp_path, "cpu", progress=False)
    rows = np.array([0, 5, 3])
    flip = np.array([False, True, False])
    sketches = [mirrored(pairs.sketches[r]) if f else pairs.sketches[r] for r, f in zip(rows, flip, strict=True)]
    total = teacher.embed(sketches, 16) + teacher.embed(sketches, 32)
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(targets.of_sketches(rows, flip).numpy(), expected, atol=2e-3)  # stored in half precision
    photos = pairs.photos[[0, 1, 2]].permute(0, 2, 3, 1)
    photos[1] = photos[1].flip(1)
    np.testing.assert_allclose(
        targets.of_photos(np.array([0, 1, 2]), flip).numpy(), teacher.embed_photos(photos.numpy()), atol=2e-3
    )


def test_targets_are_cached_for_one_teacher(
    pairs: Pairs, teacher: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = teacher_targets(teacher, (16,), pairs, tmp_path, "cpu", progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(Student, "embed", lambda *args, **kwargs: pytest.fail("embedded again"))
        again = teacher_targets(teacher, (16,), pairs, tmp_path, "cpu", progress=False)
    torch.testing.assert_close(again.sketches, first.sketches)
    other = load_student(save_student(Student(CONFIG), tmp_path / "other.safetensors", {}))
    assert not torch.equal(teacher_targets(other, (16,), pairs, tmp_path, "cpu", progress=False).photos, first.photos)


def test_mirrored_exchanges_left_and_right() -> None:
    sketch = toy_dataset().sketch(0)
    mirror = mirrored(sketch)
    for a, b in zip(sketch.strokes, mirror.strokes, strict=True):
        np.testing.assert_allclose(b, np.stack([1.0 - a[:, 0], a[:, 1]], axis=1), atol=1e-6)
        assert b.dtype == np.float32


def test_distances_of_combined_teachers_are_those_of_an_ensemble(pairs: Pairs, tmp_path: Path) -> None:
    targets = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        one = load_student(save_student(Student(CONFIG), tmp_path / f"{seed}.safetensors", {}))
        targets.append(teacher_targets(one, (32,), pairs, tmp_path, "cpu", progress=False))
    both = combined(targets)
    cosines = [one.photos[0].float() @ one.photos[0].float().T for one in (*targets, both)]
    torch.testing.assert_close(cosines[2], (cosines[0] + cosines[1]) / 2, atol=4e-3, rtol=0)
