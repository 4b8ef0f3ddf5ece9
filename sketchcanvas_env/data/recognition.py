"""Recognition as a second task: the same sketches, ranked among classes instead of photos.

`recognition(dataset)` is an ordinary data set in which a sketch belongs to its class: `photo_ids` holds classes and the
gallery of every split holds all of them. So a table of its outcomes is an ordinary outcome table, rank is the place of
the true class, and environment, baselines, oracle, hull and agents are the same code as for retrieval.

What stands for a class among the embeddings is its prototype: the normalised mean of the embeddings of the class's
sketches in the split `student` (`students.tables.gallery`), which the student may see. No drawing is both a reference
and a query: of a data set that is split by photo (`emoji`), no photo either.

Statistics that resample by `photo_ids` resample whole classes here. All queries of a class are judged by the one
prototype, made of few drawings, and succeed or fail together: drawings alone would promise intervals too narrow for
any other choice of references or classes. With few classes (say, below 20) such intervals are rough.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import RECOGNITION, SPLITS, SketchDataset
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.names import blocks

SUFFIX = "_recognition"
"""What the name of a data set for recognition ends in."""

PICTURE = 256
"""Side of the picture that stands for a class where one is shown, in pixels."""


@lru_cache(maxsize=8)
def recognition(dataset: SketchDataset) -> SketchDataset:
    """The data set in which a sketch belongs to its class. Equal arguments give the same object.

    Args:
        dataset: has `classes`; one that is for recognition already is given back as it is.

    Returns:
        The data set `<name>_recognition`. Sketches of a class without a sketch in `student` are left out, since nothing
        stands for such a class. `photo(class)` is a picture for people: the first of those sketches.

    Raises:
        ValueError: a data set without classes, or with fewer than two that have a sketch in `student`.
    """
    if dataset.task == RECOGNITION:
        return dataset
    if dataset.classes is None:
        raise ValueError(f"data set {dataset.name!r} has no classes: there is nothing to recognise")
    seen = dataset.indices("student")
    known, first = np.unique(dataset.classes[seen], return_index=True)
    if len(known) < 2:
        raise ValueError(
            f"recognition needs two classes or more with sketches in split 'student', data set {dataset.name!r} has "
            f"{len(known)}"
        )
    kept = np.concatenate([np.isin(dataset.classes[block], known) for block in blocks(len(dataset))])
    rows = np.flatnonzero(kept)

    def part(column: NDArray[Any]) -> NDArray[Any]:
        # What is mapped from the disk stays there where nothing is left out.
        return column if kept.all() else column[rows]

    classes, split = part(dataset.classes), part(dataset.split)
    picture = dict(zip(known.tolist(), seen[first].tolist(), strict=True))

    def read_sketch(row: int) -> VectorSketch:
        return dataset.sketch(int(rows[row]))

    def read_photo(name: str) -> NDArray[np.uint8]:
        from sketchcanvas_env.sketches.raster import rasterise

        if name not in picture:
            raise KeyError(f"the data set {dataset.name!r} has no class {name!r} with sketches in 'student'")
        return np.repeat(rasterise(dataset.sketch(picture[name]), PICTURE)[..., None], 3, axis=2)

    return SketchDataset(
        name=dataset.name + SUFFIX,
        hash=_hash(dataset.hash, dataset.classes),
        sketch_ids=part(dataset.sketch_ids),
        photo_ids=classes,
        split=split,
        level=part(dataset.level),
        galleries={name: known if (split == name).any() else known[:0] for name in SPLITS},
        licence=dataset.licence,
        citation=dataset.citation,
        skipped=dataset.skipped,
        classes=classes,
        task=RECOGNITION,
        read_sketch=read_sketch,
        read_photo=read_photo,
    )


def _hash(of_dataset: str, classes: NDArray[np.str_]) -> str:
    """sha256 of lines: the task, the data set's hash, and the class of each of its sketches."""
    digest = sha256(f"{RECOGNITION}\n{of_dataset}".encode())
    for block in blocks(len(classes)):
        digest.update("".join("\n" + name for name in classes[block].tolist()).encode())
    return digest.hexdigest()
