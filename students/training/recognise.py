"""Training for recognition: drawings of a class near each other and far from those of other classes, at every canvas.

Each class has a proxy, a unit vector that is learnt beside the network. The loss is the cross-entropy of a softmax over
the cosine similarities of an embedding and all proxies (Zhai and Wu, "Classification is a Strong Baseline for Deep
Metric Learning", BMVC 2019). One set of proxies serves all canvases, so embeddings from different canvases agree. The
proxies are left behind afterwards: what stands for a class is the mean of embeddings of its drawings
(`students.tables.gallery`), so that classes can be added without training.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

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
from students.training.pool.fresh import Weights, fresh, strength, weights_of

_BEGUN_FROM = 8
"""Drawings of a class whose mean embedding its proxy starts from."""
_BEGUN_AT = 64
"""Pixels; the nearest canvas of the student is taken."""
_WATCHED = 600
"""The most drawings of val that are looked at during a run."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The drawings of the split `student` by class.

    Attributes:
        names: the classes.
        sketches: all drawings.
        weights: of the points of each (`students.training.pool.fresh.weights_of`).
        rows: per class the rows of `sketches`.
        shares: (C,) float64, how often each class is drawn: in proportion to the square root of its drawings, which
            lies between all drawings alike and all classes alike. Sums to 1.
    """

    names: tuple[str, ...]
    sketches: tuple[VectorSketch, ...]
    weights: tuple[Weights, ...]
    rows: tuple[NDArray[np.int64], ...]
    shares: NDArray[np.float64]


class Proxies(nn.Module):
    """A unit vector for each class."""

    def __init__(self, start: NDArray[np.float32]) -> None:
        """Begin with rows (C, D) of any length above 0."""
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.from_numpy(start.astype(np.float32)), dim=1))

    def forward(self, embedded: Tensor) -> Tensor:
        """Cosine similarities (B, C) of unit vectors (B, D) and all proxies."""
        return embedded @ F.normalize(self.weight, dim=1).T


@dataclass(frozen=True, eq=False)
class Recognition:
    """What the steps of a run draw from, and the proxies that they change."""

    classes: Classes
    proxies: Proxies


def make_classes(dataset: SketchDataset, without: Collection[str] = ()) -> Classes:
    """The `student` split of a data set for recognition, as it was drawn (level 0), but for some classes."""
    known = ~np.isin(dataset.photo_ids, sorted(without))
    rows = np.flatnonzero((dataset.split == "student") & (dataset.level == 0) & known)
    names, labels = np.unique(dataset.photo_ids[rows], return_inverse=True)
    sketches = tuple(dataset.sketch(int(row)) for row in rows)
    own = tuple(np.flatnonzero(labels == label) for label in range(len(names)))
    often = np.sqrt([len(one) for one in own])
    return Classes(tuple(names.tolist()), sketches, tuple(map(weights_of, sketches)), own, often / often.sum())


def begun_proxies(student: Student, classes: Classes) -> Proxies:
    """Proxies that start from the mean embedding of a few drawings of each class."""
    side = min(student.canvases, key=lambda canvas: abs(canvas - _BEGUN_AT))
    few = [own[:_BEGUN_FROM] for own in classes.rows]
    embedded = student.embed([classes.sketches[row] for rows in few for row in rows], side)
    parts = np.split(embedded, np.cumsum([len(rows) for rows in few])[:-1])
    # Proxies that all point one way would take long to part: what the classes have in common is left out.
    means = np.stack([part.mean(axis=0) for part in parts])
    return Proxies(means - means.mean(axis=0) + 1e-4)


def empty_proxies(student: Student, classes: Classes) -> Proxies:
    """Proxies to read a checkpoint into."""
    return Proxies(np.ones((len(classes.names), student.dim), dtype=np.float32))


def backward(
    config: TrainConfig,
    material: Recognition,
    student: Student,
    step: int,
    passes: Sequence[Mapping[int, float]],
    weight: float = 1.0,
) -> float:
    """Leave the gradient of one step on the student and the proxies; gives the loss.

    Args:
        config: of the run.
        material: drawings and proxies.
        student: in training mode.
        step: counted from 0.
        passes: for each pass over drawings of the step's classes, the canvases and how often each is drawn.
        weight: of the loss, which is the mean over the passes.
    """
    classes, proxies = material.classes, material.proxies
    rng = np.random.RandomState([config.seed, 7, step])
    labels = rng.choice(len(classes.names), config.batch, p=classes.shares)
    total = 0.0
    for shares in passes:
        canvas = int(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
        count = config.batch if config.most_pixels is None else min(config.batch, config.most_pixels // canvas**2)
        chosen = labels[:count]  # drawn independently: the first are as good as any
        rows = [int(rng.choice(classes.rows[label])) for label in chosen]
        sketches = _drawn(config, classes, rows, rng)
        embedded = student(student.sketch_tensor(rasterise_batch(sketches, canvas)), str(canvas))
        similar = proxies(embedded) / config.temperature
        loss = weight * F.cross_entropy(similar, torch.from_numpy(chosen).to(similar.device)) / len(passes)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def all_passes(config: TrainConfig) -> list[Mapping[int, float]]:
    """The passes of a run for recognition alone: small canvases, then a large one."""
    return [*([config.small] * config.small_passes if config.small else []), config.large]


def one_pass(config: TrainConfig, step: int) -> list[Mapping[int, float]]:
    """The pass beside those of a run for retrieval: every third one at a large canvas."""
    return [config.large if step % 3 == 0 or not config.small else config.small]


def _drawn(
    config: TrainConfig, classes: Classes, rows: Sequence[int], rng: np.random.RandomState
) -> list[VectorSketch]:
    """Freehand variants of drawings, moved and mirrored at random."""
    drawings = [
        fresh(classes.sketches[row], classes.weights[row], strength(config.pool.levels, rng), rng) for row in rows
    ]
    return [jittered(one, rng, bool(rng.rand() < 0.5), config.augment) for one in drawings]


def scores(
    student: Student, material: Recognition, dataset: SketchDataset, canvases: Sequence[int]
) -> dict[int, float]:
    """acc@1 on val by the proxies, at some canvases; of at most some hundred drawings, evenly spaced.

    Quicker than prototypes, which take the embeddings of all classes at the largest canvas.
    """
    rows = dataset.indices("val")
    if not len(rows):
        return {}
    rows = rows[:: -(-len(rows) // _WATCHED)]
    place = {name: label for label, name in enumerate(material.classes.names)}
    true = np.array([place[name] for name in dataset.photo_ids[rows].tolist()])
    sketches = [dataset.sketch(int(row)) for row in rows]
    found = {}
    for side in canvases:
        with torch.inference_mode():
            similar = material.proxies(torch.from_numpy(student.embed(sketches, side)))
        found[side] = float((similar.argmax(1).numpy() == true).mean())
    return found
