"""Embeddings of a gallery: its photos, or for recognition a prototype of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data import RECOGNITION, SketchDataset
from students.network.protocol import Embedder

REFERENCES = 200
"""The most sketches that make up a prototype; of a class with more, the first in the data set's order."""


def embed_gallery(student: Embedder, dataset: SketchDataset, ids: Sequence[str]) -> NDArray[np.float32]:
    """Embeddings of photos, or of classes where the data set is for recognition.

    A class that the student learnt has the embedding that was learnt with it. Of other classes it is the mean of the
    embeddings of their sketches in the split `student` (at most `REFERENCES`), all drawn on the student's largest
    canvas, brought to length one. Both are computed beforehand, once for all canvases, like photos' embeddings.

    Args:
        student: frozen.
        dataset: has the photos, or the sketches of the classes.
        ids: ids of photos, or names of classes, out of the data set's galleries.

    Returns:
        (len(ids), D) float32 unit vectors.

    Raises:
        KeyError: no such photo or class.
        ValueError: the embeddings of a class cancel each other out: their mean points nowhere.
    """
    if dataset.task == RECOGNITION:
        learnt: dict[str, NDArray[np.float32]] = getattr(student, "class_embeddings", {})
        return np.stack([learnt[name] if name in learnt else _prototype(student, dataset, name) for name in ids])
    return student.embed_photos(np.stack([dataset.photo(photo) for photo in ids]))


def _prototype(student: Embedder, dataset: SketchDataset, name: str) -> NDArray[np.float32]:
    rows = dataset.indices("student")
    own = rows[dataset.photo_ids[rows] == name][:REFERENCES]
    if not len(own):
        raise KeyError(f"the data set {dataset.name!r} has no class {name!r}")
    sketches = [dataset.sketch(int(row)) for row in own]
    mean = student.embed(sketches, max(student.canvases)).astype(np.float64).mean(axis=0)
    length = np.linalg.norm(mean)
    if length < 1e-6:
        raise ValueError(f"the embeddings of class {name!r} cancel each other out: it has no prototype")
    return np.asarray(mean / length, dtype=np.float32)
