"""Training for retrieval: what a run draws its batches from, and the gradient of one step.

A step embeds one batch of photos, and the matching sketches at several canvases: small ones, then a large one. Without
a teacher the loss is the task's alone (contrastive or triplet). With a teacher it is

    mix * task + (1 - mix) * sum of weighted distillation terms,

the mean over the step's canvases (Sain et al., "Sketch Down the FLOPs", CVPR 2025). Distillation targets belong to the
drawings of the pool: a freehand variant drawn during a step has the target of its drawing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sketchcanvas_env.sketches.raster import rasterise_batch
from students.backbones.switch_norm import PHOTO
from students.network.embedder import Student
from students.training import losses, recognition
from students.training.config import TrainConfig
from students.training.pool.augment import jittered, jittered_photos
from students.training.pool.pairs import Neighbours, Pairs, batch, neighbours
from students.training.recognition import RecognitionMaterial, choose_canvas
from students.training.teacher import TeacherTargets

NEIGHBOURHOOD = 8
"""Identities of a neighbourhood in a batch of hard negatives."""


@dataclass(eq=False)
class RetrievalMaterial:
    """The data of a run for retrieval.

    Attributes:
        pairs: sketches and photos by identity.
        targets: the teachers' embeddings of the pairs by canvas of the student; None without a teacher.
        doodle_classes: classes of people's doodles for the extra loss `DoodleConfig.classes`; None without that loss.
        neighbours: nearest identities for batches of hard negatives, renewed at every checkpoint; None without them.
    """

    pairs: Pairs
    targets: Mapping[int, TeacherTargets] | None
    doodle_classes: RecognitionMaterial | None = None
    neighbours: Neighbours | None = None


def update_neighbours(config: TrainConfig, material: RetrievalMaterial, student: Student) -> None:
    """Find each identity's nearest ones by the student's embeddings of their own photos, if the run needs them."""
    if not config.hard:
        return
    pairs = material.pairs
    rows = [int(pairs.photo_rows[identity][0]) for identity in range(pairs.own)]
    images = pairs.photos[rows].permute(0, 2, 3, 1).contiguous().numpy()
    material.neighbours = neighbours(student.embed_photos(images), NEIGHBOURHOOD)


def backward(
    config: TrainConfig, material: RetrievalMaterial, student: Student, step: int, device: str
) -> dict[str, float]:
    """Add the gradient of one step to the student's; returns the loss and its parts by name.

    Args:
        config: the run's settings.
        material: the run's data.
        student: in training mode.
        step: counted from 0; every random choice follows from it and the run's seed.
        device: the student's.
    """
    pairs, targets = material.pairs, material.targets
    rng = np.random.RandomState([config.seed, 2, step])
    identities = _identities(config, material, step)
    flip = rng.rand(len(identities)) < 0.5
    photo_rows = _choose_rows(pairs.photo_rows, pairs.photo_shares, identities, rng)
    pixels = jittered_photos(
        pairs.photos[photo_rows].to(device).float(),
        config.student.photo_side,
        rng,
        flip,
        config.augment,
        pairs.subjects[photo_rows].to(device),
        pairs.photos,
    )
    photos = student(student.normalised(pixels), PHOTO)
    # Each pass leaves its gradient on a detached copy, so that the photos' graph is walked back only once.
    detached = photos.detach().requires_grad_()
    negative = np.roll(np.arange(len(identities)), rng.randint(1, len(identities)))
    passes = config.passes
    parts: dict[str, float] = {}
    for shares in passes:
        canvas = choose_canvas(shares, rng)
        chosen = _choose_sketches(config.most_pixels, canvas, len(identities), rng)
        sketch_rows = _choose_rows(pairs.sketch_rows, pairs.sketch_shares, identities[chosen], rng)
        drawings = [pairs.sketch(int(row), config.pool.levels, rng) for row in sketch_rows]
        sketches = [jittered(one, rng, bool(f), config.augment) for one, f in zip(drawings, flip[chosen], strict=True)]
        embedded = student(student.sketch_tensor(rasterise_batch(sketches, canvas)), str(canvas))
        terms = {"task": _task_loss(config, embedded, detached, chosen, negative)}
        weights = {"task": 1.0}
        if targets is not None:
            here = targets[canvas]
            taught = here.of_sketches(sketch_rows, flip[chosen]), here.of_photos(photo_rows, flip)
            weights = {"task": config.mix} | {n: (1.0 - config.mix) * w for n, w in config.terms.items()}
            for name in config.terms:
                terms[name] = distillation_term(name, (embedded, detached), taught, chosen, negative)
        loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum() / len(passes)
        loss.backward()  # type: ignore[no-untyped-call]
        parts["loss"] = parts.get("loss", 0.0) + float(loss.detach())
        for name, value in terms.items():
            parts[name] = parts.get(name, 0.0) + float(value.detach()) / len(passes)
    photos.backward(detached.grad)
    if material.doodle_classes is not None and config.doodles is not None:
        # Every third step at a large canvas.
        one = [config.large if step % 3 == 0 or not config.small else config.small]
        weight = config.doodles.classes
        parts["classes"] = recognition.backward(config, material.doodle_classes, student, step, one, weight)
        parts["loss"] += parts["classes"]
    return parts


def distillation_term(
    name: str,
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    chosen: NDArray[np.int64],
    negative: NDArray[np.int64],
) -> Tensor:
    """Scalar value of a distillation term.

    Args:
        name: one of `students.training.losses.TERMS`.
        student: embeddings of sketches (b, D) and of the batch's photos (B, D).
        teacher: the same of the teacher, (b, T) and (B, T).
        chosen: (b,) places of the sketches' identities in the batch.
        negative: (B,) place of the negative photo of each identity.
    """
    (sketches, photos), (target_sketches, target_photos) = student, teacher
    if name == "relational_triplet":
        other = negative[chosen]
        return losses.relational_triplet(
            sketches, photos[chosen], photos[other], target_sketches, target_photos[chosen], target_photos[other]
        )
    return losses.PAIR_TERMS[name](sketches, photos[chosen], target_sketches, target_photos[chosen])


def _identities(config: TrainConfig, material: RetrievalMaterial, step: int) -> NDArray[np.int64]:
    """Identities of the step's batch, (B,) int64."""
    hard = bool(config.hard) and np.random.RandomState([config.seed, 6, step]).rand() < config.hard
    people = config.doodles.people if config.doodles is not None else 0.0
    near = material.neighbours if hard else None
    return batch(material.pairs, config.batch, config.outside, config.seed, step, people, near)


def _choose_sketches(most_pixels: int | None, canvas: int, count: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """Places in the batch whose sketches are embedded at a canvas: all, or as many random ones as `most_pixels` hold.

    Returns:
        (b,) int64, rising, out of 0 to `count` - 1.
    """
    if most_pixels is None or count * canvas**2 <= most_pixels:
        return np.arange(count)
    return np.sort(rng.permutation(count)[: most_pixels // canvas**2])


def _choose_rows(
    rows: tuple[NDArray[np.int64], ...],
    shares: tuple[NDArray[np.float64], ...],
    identities: NDArray[np.int64],
    rng: np.random.RandomState,
) -> NDArray[np.int64]:
    """One random row of each identity, by its shares."""
    return np.array([rng.choice(rows[identity], p=shares[identity]) for identity in identities])


def _task_loss(
    config: TrainConfig,
    sketches: Tensor,
    photos: Tensor,
    chosen: NDArray[np.int64],
    negative: NDArray[np.int64],
) -> Tensor:
    """The task's loss of sketches (b, D) at the places `chosen` against the batch's photos (B, D)."""
    if config.loss == "triplet":
        return losses.triplet(sketches, photos[chosen], photos[negative[chosen]])
    return losses.contrastive(sketches, photos, config.temperature, chosen)
