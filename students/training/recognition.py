"""Training for recognition: drawings of one class near each other and far from other classes, at every canvas.

Each class has a proxy, a unit vector learnt beside the network. The loss is the cross-entropy of a softmax over the
cosine similarities of an embedding and all proxies (Zhai and Wu, "Classification is a Strong Baseline for Deep Metric
Learning", BMVC 2019). All canvases share one set of proxies, so that their embeddings agree. The proxies become
the student's class embeddings. Other classes, which need no training, are represented by the mean embedding of their
drawings (`students.tables.gallery`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.embedder import Student
from students.training.config import TrainConfig
from students.training.pool.augment import jittered
from students.training.pool.variants import PointWeights, draw_variant, point_weights, random_strength

_START_DRAWINGS = 8
"""Drawings of a class whose mean embedding its proxy starts from."""
_START_CANVAS = 64
"""Pixels; the student's nearest canvas is used."""
_MAX_VAL_DRAWINGS = 600
"""Drawings of val that are scored during a run, at most."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The drawings of the split `student` by class.

    Attributes:
        names: the C classes.
        sketches: all drawings.
        weights: point weights of each drawing (`students.training.pool.variants.point_weights`).
        rows: rows of `sketches` per class.
        shares: (C,) float64, probability of each class in a batch, sums to 1. Proportional to the square root of its
            number of drawings: a compromise between equal drawings and equal classes.
    """

    names: tuple[str, ...]
    sketches: tuple[VectorSketch, ...]
    weights: tuple[PointWeights, ...]
    rows: tuple[NDArray[np.int64], ...]
    shares: NDArray[np.float64]


class Proxies(nn.Module):
    """A learnt unit vector per class."""

    def __init__(self, start: NDArray[np.float32]) -> None:
        """Start from rows (C, D) of any length above 0."""
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.from_numpy(start.astype(np.float32)), dim=1))

    def forward(self, embedded: Tensor) -> Tensor:
        """Cosine similarities (B, C) of unit vectors (B, D) and all proxies."""
        return embedded @ F.normalize(self.weight, dim=1).T


@dataclass(frozen=True, eq=False)
class RecognitionMaterial:
    """Drawings by class, and the proxies that training changes."""

    classes: Classes
    proxies: Proxies


def make_classes(dataset: SketchDataset, without: Collection[str] = ()) -> Classes:
    """The original drawings (level 0) of the split `student` by class, except those of the classes `without`."""
    included = ~np.isin(dataset.photo_ids, sorted(without))
    rows = np.flatnonzero((dataset.split == "student") & (dataset.level == 0) & included)
    names, labels = np.unique(dataset.photo_ids[rows], return_inverse=True)
    sketches = tuple(dataset.sketch(int(row)) for row in rows)
    rows_of_class = tuple(np.flatnonzero(labels == label) for label in range(len(names)))
    roots = np.sqrt([len(some) for some in rows_of_class])
    weights = tuple(map(point_weights, sketches))
    return Classes(tuple(names.tolist()), sketches, weights, rows_of_class, roots / roots.sum())


def initial_proxies(student: Student, classes: Classes) -> Proxies:
    """Proxies that start from the mean embedding of a few drawings of each class."""
    side = min(student.canvases, key=lambda canvas: abs(canvas - _START_CANVAS))
    few = [rows[:_START_DRAWINGS] for rows in classes.rows]
    embedded = student.embed([classes.sketches[row] for rows in few for row in rows], side)
    parts = np.split(embedded, np.cumsum([len(rows) for rows in few])[:-1])
    means = np.stack([part.mean(axis=0) for part in parts])
    # Without their common mean: nearly parallel proxies would take long to separate.
    return Proxies(means - means.mean(axis=0) + 1e-4)


def blank_proxies(student: Student, classes: Classes) -> Proxies:
    """Proxies of the right shape, to load a checkpoint into."""
    return Proxies(np.ones((len(classes.names), student.dim), dtype=np.float32))


def backward(
    config: TrainConfig,
    material: RecognitionMaterial,
    student: Student,
    step: int,
    passes: Sequence[Mapping[int, float]],
    weight: float = 1.0,
) -> float:
    """Add the gradient of one step to the student's and the proxies'; returns the loss.

    Args:
        config: the run's settings.
        material: drawings and proxies.
        student: in training mode.
        step: counted from 0; every random choice follows from it and the run's seed.
        passes: shares of the canvases in each pass over the step's classes.
        weight: factor of the loss, which is the mean over the passes.
    """
    classes, proxies = material.classes, material.proxies
    rng = np.random.RandomState([config.seed, 7, step])
    labels = rng.choice(len(classes.names), config.batch, p=classes.shares)
    total = 0.0
    for shares in passes:
        canvas = choose_canvas(shares, rng)
        count = config.batch if config.most_pixels is None else min(config.batch, config.most_pixels // canvas**2)
        chosen = labels[:count]  # the labels are independent, so the first ones are a random choice
        rows = [int(rng.choice(classes.rows[label])) for label in chosen]
        sketches = _augmented(config, classes, rows, rng)
        embedded = student(student.sketch_tensor(rasterise_batch(sketches, canvas)), str(canvas))
        similar = proxies(embedded) / config.temperature
        loss = weight * F.cross_entropy(similar, torch.from_numpy(chosen).to(similar.device)) / len(passes)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def choose_canvas(shares: Mapping[int, float], rng: np.random.RandomState) -> int:
    """A random canvas (pixels), by shares of any sum."""
    return int(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))


def _augmented(
    config: TrainConfig, classes: Classes, rows: Sequence[int], rng: np.random.RandomState
) -> list[VectorSketch]:
    """Freehand variants of drawings, moved and mirrored at random."""
    drawings = [
        draw_variant(classes.sketches[row], classes.weights[row], random_strength(config.pool.levels, rng), rng)
        for row in rows
    ]
    return [jittered(one, rng, bool(rng.rand() < 0.5), config.augment) for one in drawings]


def with_classes(student: Student, material: RecognitionMaterial) -> Student:
    """A copy of the student that holds the proxies as its class embeddings, in evaluation mode."""
    copy = Student(replace(student.config, classes=material.classes.names))
    proxies = F.normalize(material.proxies.weight.detach(), dim=1)
    copy.load_state_dict({**student.state_dict(), "classes": proxies.to(student.device)})
    return copy.to(student.device).eval()


def scores(
    student: Student, material: RecognitionMaterial, dataset: SketchDataset, canvases: Sequence[int]
) -> dict[int, float]:
    """acc@1 on val by canvas (pixels), by nearest proxy; empty without a val split.

    At most 600 evenly spaced drawings are scored. Quicker than the mean embeddings that evaluation uses, since those
    take every class's drawings at the largest canvas.
    """
    rows = dataset.indices("val")
    if not len(rows):
        return {}
    rows = rows[:: -(-len(rows) // _MAX_VAL_DRAWINGS)]
    label_of = {name: label for label, name in enumerate(material.classes.names)}
    true = np.array([label_of[name] for name in dataset.photo_ids[rows].tolist()])
    sketches = [dataset.sketch(int(row)) for row in rows]
    acc1 = {}
    for side in canvases:
        with torch.inference_mode():
            similar = material.proxies(torch.from_numpy(student.embed(sketches, side)))
        acc1[side] = float((similar.argmax(1).numpy() == true).mean())
    return acc1
