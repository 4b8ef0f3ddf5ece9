"""Cross-fitting: a data set that is too small for four splits, divided into three folds of photos.

A student's ranks on the sketches that it was trained on teach a selector nothing, so selectors need photos that no
student has seen, and ChairV2 has 300. Here every photo serves both: three students are each trained on two folds and
tell the outcomes of the third (`fold`), and selectors are trained on one fold's outcomes, chosen on the next one's and
reported on the last one's (`crossfitted`), in three rotations. Each fold is ranked among its own photos, so the three
galleries are of one size, or differ by a photo.

Only what a data set has beside its `test` split is divided: that stays untouched.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset
from sketchcanvas_env.data.splits import divided
from sketchcanvas_env.sketches.sketch import VectorSketch

FOLDS = 3
"""Number of folds: as many as there are splits for selectors."""


def fold(dataset: SketchDataset, number: int) -> SketchDataset:
    """What the student of one fold may see, as `student`, and the fold itself, as `val`.

    Args:
        dataset: the whole.
        number: 0 to `FOLDS` - 1.

    Returns:
        The data set `<name>_fold<number>`.

    Raises:
        ValueError: no such fold, fewer photos than folds, or a data set that is split by drawing.
    """
    folds = _folds(dataset)
    return _divided(dataset, f"fold{_checked(number)}", {k: "val" if k == number else "student" for k in folds})


def crossfitted(dataset: SketchDataset, first: int = 0) -> SketchDataset:
    """The folds as `train`, `val` and `test` of selectors, beginning with fold `first`.

    Its outcomes come from three students, each of which has seen the other two folds only (`students.tables.crossfit`).

    Args:
        dataset: the whole.
        first: the fold that selectors are trained on, 0 to `FOLDS` - 1; the next is `val`, the last is `test`.

    Returns:
        The data set `<name>_crossfit<first>`.

    Raises:
        ValueError: no such fold, fewer photos than folds, or a data set that is split by drawing.
    """
    names = {(_checked(first) + place) % FOLDS: split for place, split in enumerate(SPLITS[1:])}
    return _divided(dataset, f"crossfit{first}", names)


@lru_cache(maxsize=16)
def _divided_once(dataset: SketchDataset, suffix: str, splits: tuple[tuple[int, str], ...]) -> SketchDataset:
    folds = _folds(dataset)
    split_of = {photo: split for number, split in splits for photo in folds[number]}
    rows = np.flatnonzero(np.isin(dataset.photo_ids, list(split_of)))
    split = np.array([split_of[photo] for photo in dataset.photo_ids[rows].tolist()])

    def read_sketch(row: int) -> VectorSketch:
        return dataset.sketch(int(rows[row]))

    return replace(
        dataset,
        name=f"{dataset.name}_{suffix}",
        hash=sha256("\n".join([suffix, dataset.hash, *split.tolist()]).encode()).hexdigest(),
        sketch_ids=dataset.sketch_ids[rows],
        photo_ids=dataset.photo_ids[rows],
        split=split,
        level=dataset.level[rows],
        conditions=None if dataset.conditions is None else dataset.conditions[rows],
        classes=None if dataset.classes is None else dataset.classes[rows],
        galleries={name: _of_split(split_of, name) for name in SPLITS},
        read_sketch=read_sketch,
    )


def _divided(dataset: SketchDataset, suffix: str, splits: dict[int, str]) -> SketchDataset:
    return _divided_once(dataset, suffix, tuple(sorted(splits.items())))


def _folds(dataset: SketchDataset) -> dict[int, list[str]]:
    """The photos of each fold; sizes differ by one at most."""
    if dataset.known_gallery:
        raise ValueError(f"data set {dataset.name!r} is split by drawing; only one that is split by photo has folds")
    photos = sorted(set(dataset.photo_ids[dataset.split != "test"].tolist()))
    if len(photos) < FOLDS:
        raise ValueError(f"data set {dataset.name!r} has {len(photos)} photos to divide into {FOLDS} folds")
    sizes = {str(number): len(photos[number::FOLDS]) for number in range(FOLDS)}
    of_photo = divided(photos, sizes)
    return {number: [photo for photo in photos if of_photo[photo] == str(number)] for number in range(FOLDS)}


def _of_split(split_of: dict[str, str], name: str) -> NDArray[np.str_]:
    return np.array(sorted(photo for photo, split in split_of.items() if split == name), dtype=np.str_)


def _checked(number: int) -> int:
    if number not in range(FOLDS):
        raise ValueError(f"there are folds 0 to {FOLDS - 1}, not {number}")
    return number
