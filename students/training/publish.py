"""Save a trained student with its card: where it comes from and what it scores on val."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import students
from sketchcanvas_env.data import RECOGNITION, SketchDataset
from students.network.embedder import Student
from students.store import leakage
from students.store.provenance import commit, versions
from students.store.weights import load_card, load_student, save_student
from students.tables.evaluation import ranks_of
from students.training.pool.pairs import training_photos


def publish(student: Student, dataset: SketchDataset, path: Path, recipe: dict[str, Any], command: str) -> None:
    """Save a trained student in half precision, with its card.

    The test split is not used here; `students.tables.evaluation` measures it.

    Args:
        student: the trained network.
        dataset: what it was trained on.
        path: the .safetensors file to write.
        recipe: the run's settings, for the card; "teacher", "more_teachers" and "start" name students.
        command: the command line, for the card.
    """
    names = [recipe["teacher"], *recipe.get("more_teachers", ())] if recipe.get("teacher") is not None else []
    card = {
        "name": student.config.backbone,
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        "trained_on": "split 'student'",
        "seen": leakage.to_card(_seen(dataset, recipe.get("start"))),
        "teacher": _teacher_entry(names),
        "recipe": recipe,
        "command": command,
        "commit": commit(),
        "versions": versions(),
    }
    save_student(student, path, card, half=True)
    # Scores are of the student in the file, after rounding to half precision.
    scores = val_scores(load_student(path), dataset, student.canvases)
    save_student(student, path, {**card, "measured": {"val": {str(side): acc1 for side, acc1 in scores.items()}}}, True)


def val_scores(student: Student, dataset: SketchDataset, canvases: tuple[int, ...]) -> dict[int, float]:
    """acc@1 (share of all sketches, every level) on val by canvas (pixels); empty without a val split."""
    if not len(dataset.indices("val")):
        return {}
    ranks, _ = ranks_of(student, dataset, "val", canvases)
    return {side: float(share) for side, share in zip(canvases, (ranks == 1).mean(axis=0), strict=True)}


def _teacher_entry(names: Sequence[str]) -> dict[str, str] | None:
    """The card's "teacher": names and hashes of the teachers, each joined by a plus sign; None without teachers."""
    if not names:
        return None
    teachers = [students.load(name) for name in names]
    return {
        "name": " + ".join(teacher.name for teacher in teachers),
        "sha256": "+".join(teacher.weights_hash for teacher in teachers),
    }


def _seen(dataset: SketchDataset, start: str | None) -> set[str]:
    """Fingerprints of the photos trained on, with those on the card of the student it started from."""
    found: set[str] = set()
    if dataset.task != RECOGNITION:  # which has no photos
        found = leakage.fingerprints(dataset, training_photos(dataset))
    if start is not None:
        with suppress(OSError, ValueError):  # the file may be gone since the run began
            found |= leakage.from_card(load_card(students.find(start)))
    return found
