"""Known galleries: new drawings of photos whose drawings were seen before.

Which canvas a sketch needs depends on the photos it is ranked among, so what is learnt on one gallery carries over to
new drawings of the same photos much better than to new photos. Here the splits train, val and test share one gallery
and are divided by drawing. The drawings are synthetic: freehand variants of clean line art
(`sketchcanvas_env.sketches.freehand`), each by a hand of its own.
"""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset
from sketchcanvas_env.sketches.freehand import N_KINDS, freehand, roughness, seed_of
from sketchcanvas_env.sketches.sketch import VectorSketch

DRAWINGS = {"train": 32, "val": 8, "test": 16}
"""Drawings of each photo, by split."""

GRID = 4096
"""Coordinates are rounded to whole steps of 1/4096 of the canvas, which hides the last bits of a processor's sines."""

_VERSION = 1  # rises when a seed gives other drawings


def new_drawings(source: SketchDataset, split: str, name: str, seed: int = 0) -> SketchDataset:
    """Freehand drawings of the photos of one split of a data set, as a data set whose splits share one gallery.

    A drawing is made when it is first asked for, in about a millisecond, from the photo's sketch of level 0, and kept
    in memory, where it takes about two kilobytes. Its hand: a
    carelessness u, uniform in [0, 1], and for each kind of roughness the strength u * v with v uniform in [0.5, 1.5]
    (`freehand.roughness`); its level is 3 u, rounded.

    Args:
        source: has one sketch of level 0 for each photo.
        split: whose photos to take; a student that was trained on `source` has not seen them, unless it is `student`.
        name: of the new data set.
        seed: of the hands and the drawings; data sets with other seeds have other hashes.

    Returns:
        `DRAWINGS` of each photo, ordered by split, then by photo. Sketch ids are "PHOTO/NUMBER".

    Raises:
        ValueError: a split without sketches, or a negative seed.
    """
    if seed < 0:
        raise ValueError(f"the seed of the drawings must not be negative, got {seed}")
    originals = source.some_indices(split)
    originals = originals[source.level[originals] == 0]
    photos = source.photo_ids[originals]
    total = sum(DRAWINGS.values())
    random = np.random.RandomState(seed)
    care = random.uniform(0.0, 1.0, (len(photos), total))
    strengths = care[..., None] * random.uniform(0.5, 1.5, (len(photos), total, N_KINDS))

    # Rows by split, then photo, then number.
    numbers = np.split(np.arange(total), np.cumsum([*DRAWINGS.values()])[:-1])
    which = np.concatenate([np.repeat(np.arange(len(photos)), len(each)) for each in numbers])
    number = np.concatenate([np.tile(each, len(photos)) for each in numbers])
    sketch_ids = np.array([f"{photos[p]}/{k}" for p, k in zip(which.tolist(), number.tolist(), strict=True)])

    @cache
    def read_sketch(row: int) -> VectorSketch:
        photo, place = which[row], number[row]
        own = np.random.RandomState(seed_of(f"{seed}/{sketch_ids[row]}"))
        drawn = freehand(source.sketch(int(originals[photo])), roughness(strengths[photo, place]), own)
        return VectorSketch.from_strokes([np.round(stroke * GRID) / GRID for stroke in drawn.strokes])

    gallery = np.sort(photos)
    nothing: NDArray[np.str_] = gallery[:0]
    decides = [source.hash, split, _VERSION, seed, DRAWINGS, GRID]
    return SketchDataset(
        name=name,
        hash=sha256(json.dumps(decides).encode()).hexdigest(),
        sketch_ids=sketch_ids,
        photo_ids=photos[which],
        split=np.repeat(list(DRAWINGS), [len(photos) * count for count in DRAWINGS.values()]),
        level=np.round(3.0 * care[which, number]).astype(np.int8),
        galleries={each: gallery if each in DRAWINGS else nothing for each in SPLITS},
        licence=source.licence,
        read_sketch=read_sketch,
        read_photo=source.read_photo,
        citation=source.citation,
        known_gallery=True,
        classes=None if source.classes is None else source.classes[originals][which],
    )
