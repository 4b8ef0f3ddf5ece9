"""Everything that a run needs before its first step: data, teachers, the student to start from.

`read_sources`, `load_teachers`, `initial_student` and `check_terms` find the mistakes that `TrainConfig` cannot see, as
missing files, and write nothing. The other functions do the long work: drawing variants, embedding the pool with the
teachers, calibrating norms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import students
from sketchcanvas_env.data import RECOGNITION, SketchDataset, load, recognition
from sketchcanvas_env.sketches.raster import rasterise_batch
from students.backbones.switch_norm import PHOTO
from students.network.calibration import calibrate_all
from students.network.embedder import Student
from students.store.pretrained import load_published
from students.training.config import TrainConfig
from students.training.pool import doodles as people
from students.training.pool.doodles import Doodles
from students.training.pool.pairs import Pairs, make_pairs, training_photos
from students.training.pool.renderings import Renderings
from students.training.pool.renderings import read as read_renderings
from students.training.recognition import RecognitionMaterial, blank_proxies, initial_proxies, make_classes
from students.training.retrieval import RetrievalMaterial, distillation_term
from students.training.teacher import combined, teacher_targets

_CALIBRATION_SKETCHES = 128


@dataclass(frozen=True)
class Sources:
    """The data that a configuration names: its data set, other artists' renderings, people's doodles by split."""

    dataset: SketchDataset
    renderings: Renderings | None = None
    doodles: Mapping[str, Doodles] | None = None


def read_sources(config: TrainConfig) -> Sources:
    """Read the data that a configuration names.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: a file of another kind, or data that does not fit the other settings.
    """
    dataset = load(config.dataset, config.root)
    if dataset.task == RECOGNITION:
        unused = [name for name in ("teacher", "renderings", "doodles") if getattr(config, name) is not None]
        if unused:
            raise ValueError(f"{', '.join(unused)}: set to null for {config.dataset}, which has classes and no photos")
        if not len(dataset.indices("student")):
            raise ValueError(f"data set {dataset.name!r} has no sketches in the split 'student' to train on")
        return Sources(dataset)
    available = len(training_photos(dataset))
    if available < config.batch * (1.0 - config.outside):
        raise ValueError(
            f"a batch of {config.batch} needs more than the {available} photos with sketches in the student split: "
            "put a smaller 'batch' into the configuration"
        )
    return Sources(
        dataset,
        read_renderings(config.renderings) if config.renderings is not None else None,
        people.read(config.doodles, dataset) if config.doodles is not None else None,
    )


def load_teachers(config: TrainConfig) -> list[Student]:
    """The teachers, empty for direct training. Raises ValueError if one lacks a canvas that the run needs."""
    needed = {side for canvas in config.student.canvases for side in config.taught_at(canvas)}
    teachers = []
    for name in config.teachers:
        teacher = students.load(name)
        if lacking := sorted(needed - set(teacher.canvases)):
            raise ValueError(f"the teacher {name} has no canvases {lacking}; it has {list(teacher.canvases)}")
        teachers.append(teacher)
    return teachers


def initial_student(config: TrainConfig) -> Student:
    """The student before the first step; norms of published weights are not calibrated yet.

    Raises ValueError where the student to start from, or the published weights, are of another network.
    """
    torch.manual_seed(config.seed)  # here, so that runs with and without a teacher start alike
    student = Student(config.student)
    if config.start is not None:
        start = students.load(config.start)
        wanted, found = ({**asdict(one), "classes": ()} for one in (config.student, start.config))
        if differing := [f"{name} {found[name]}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]]:
            raise ValueError(
                f"the start {config.start} is another network than the one to be trained: it has {'; '.join(differing)}"
            )
        weights = start.state_dict()
        weights.pop("classes", None)  # those of another task
        student.load_state_dict(weights)
    elif config.pretrained is not None:
        load_published(student, config.pretrained)
    return student


def check_terms(config: TrainConfig, student: Student, teachers: Sequence[Student]) -> None:
    """Raise ValueError for a distillation term that cannot compare this student with these teachers."""
    embedded, taught = torch.ones(3, student.dim), torch.ones(3, sum(teacher.dim for teacher in teachers))
    for name in config.terms:
        distillation_term(name, (embedded, embedded), (taught, taught), np.arange(3), np.array([1, 2, 0]))


def prepare_recognition(config: TrainConfig, sources: Sources, student: Student, resumed: bool) -> RecognitionMaterial:
    """The data of a run for recognition; calibrates the student where it starts from published weights."""
    classes = make_classes(sources.dataset)
    if resumed:
        return RecognitionMaterial(classes, blank_proxies(student, classes))
    if _needs_calibration(config):
        few = classes.sketches[:: max(1, len(classes.sketches) // _CALIBRATION_SKETCHES)]
        inputs = {side: student.sketch_tensor(rasterise_batch(few, side)) for side in student.canvases}
        calibrate_all(student, {str(side): [rasters] for side, rasters in inputs.items()})
    return RecognitionMaterial(classes, initial_proxies(student, classes))


def prepare_retrieval(
    config: TrainConfig,
    sources: Sources,
    student: Student,
    teachers: Sequence[Student],
    cache: Path,
    device: str,
    resumed: bool,
) -> RetrievalMaterial:
    """The data of a run for retrieval; calibrates the student where it starts from published weights.

    Args:
        config: the run's settings.
        sources: the data that they name.
        student: the network to train.
        teachers: to distil from; may be empty.
        cache: folder for the teachers' embeddings, shared by runs.
        device: a torch device, for the teachers.
        resumed: the student and what is learnt beside it come from a checkpoint.
    """
    pairs = make_pairs(
        sources.dataset,
        config.pool,
        config.student.photo_side,
        sources.renderings,
        config.threads,
        (sources.doodles or {}).get("student"),
    )
    targets = None
    if teachers:
        sides_of = {canvas: config.taught_at(canvas) for canvas in config.student.canvases}
        targets_at = {
            sides: combined([teacher_targets(teacher, sides, pairs, cache, device) for teacher in teachers])
            for sides in dict.fromkeys(sides_of.values())
        }
        targets = {canvas: targets_at[sides] for canvas, sides in sides_of.items()}
    if not resumed and _needs_calibration(config):
        calibrate_on_pairs(student, pairs)
    doodle_classes = None
    if config.doodles is not None and config.doodles.classes:
        drawings = recognition(load("quickdraw", config.doodles.root))
        classes = make_classes(drawings, people.held_out_categories(config.doodles, sources.dataset))
        proxies = blank_proxies(student, classes) if resumed else initial_proxies(student, classes)
        doodle_classes = RecognitionMaterial(classes, proxies)
    return RetrievalMaterial(pairs, targets, doodle_classes)


def calibrate_on_pairs(student: Student, pairs: Pairs) -> None:
    """Fit the norms of published weights to the pool (`students.network.calibration`)."""
    identities = np.arange(0, pairs.own, max(1, pairs.own // _CALIBRATION_SKETCHES))
    calibrate_all(student, {domain: [_inputs(student, pairs, identities, domain)] for domain in student.config.domains})


def _needs_calibration(config: TrainConfig) -> bool:
    return config.start is None and config.pretrained is not None


def _inputs(student: Student, pairs: Pairs, identities: NDArray[np.int64], domain: str) -> Tensor:
    """Network inputs of some identities' photos, or of one variant each of their sketches, without augmentation."""
    if domain == PHOTO:
        rows = [pairs.photo_rows[identity][0] for identity in identities]
        return student.photo_tensor(pairs.photos[rows].permute(0, 2, 3, 1).contiguous())
    rows = [pairs.sketch_rows[identity][k % len(pairs.sketch_rows[identity])] for k, identity in enumerate(identities)]
    return student.sketch_tensor(rasterise_batch([pairs.sketches[row] for row in rows], int(domain)))
