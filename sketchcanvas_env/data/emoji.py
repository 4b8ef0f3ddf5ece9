"""The embedded data set `emoji`: OpenMoji line drawings looking for Microsoft's Fluent 3D renders.

Different artists drew the two sides, so the domain gap is real. Level 0 sketches are the designers' line art; levels
1 to 3 are synthetic freehand variants of it (`sketchcanvas_env.sketches.freehand`). `build_emoji.py` made the files.
The classes are Unicode's subgroups, such as "animal-bird" or "musical-instrument", as OpenMoji's own index has them.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset
from sketchcanvas_env.data.pictures.photos import on_white
from sketchcanvas_env.sketches.sketch import VectorSketch

FOLDER = Path(__file__).parent / "emoji_files"
GRID = 4096
"""Coordinates are stored as whole steps of 1/4096 of the canvas."""


@lru_cache(maxsize=1)
def load_emoji() -> SketchDataset:
    """Read the embedded files; about 1,600 photos with four sketches each.

    Raises:
        FileNotFoundError: the installation lacks the files.
    """
    index = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    strokes_bytes = (FOLDER / "strokes.npz").read_bytes()
    photos = {photo["id"]: photo for photo in index["photos"]}
    levels = index["levels"]
    photo_ids = np.array([photo_id for photo_id in photos for _ in range(levels)])
    level = np.tile(np.arange(levels, dtype=np.int8), len(photos))
    split = np.array([photo["split"] for photo in photos.values() for _ in range(levels)])
    galleries = {name: np.array([p for p in photos if photos[p]["split"] == name]) for name in SPLITS}
    galleries["val"] = np.concatenate([galleries["val"], np.array(index["val_distractors"])])
    with np.load(io.BytesIO(strokes_bytes), allow_pickle=False) as arrays:
        points, pens, ends = arrays["points"], arrays["pens"], arrays["ends"]
    starts = np.concatenate([[0], ends[:-1]])

    def read_sketch(row: int) -> VectorSketch:
        piece = slice(starts[row], ends[row])
        cuts = np.flatnonzero(pens[piece])[:-1] + 1
        return VectorSketch.from_strokes(np.split(points[piece].astype(np.float32) / GRID, cuts))

    def read_photo(photo_id: str) -> NDArray[np.uint8]:
        if photo_id not in photos:
            raise KeyError(f"the emoji data set has no photo {photo_id!r}; ids are code points such as '1F600'")
        return _decode(_photo_bytes(photos[photo_id]["file"]))

    digest = sha256(strokes_bytes)
    digest.update((FOLDER / "index.json").read_bytes())  # holds each photo's own sha256
    return SketchDataset(
        name="emoji",
        hash=digest.hexdigest(),
        sketch_ids=np.array([f"{p}/{k}" for p, k in zip(photo_ids, level, strict=True)]),
        photo_ids=photo_ids,
        split=split,
        level=level,
        galleries=galleries,
        licence=(FOLDER / "LICENCES.md").read_text(encoding="utf-8"),
        read_sketch=read_sketch,
        read_photo=read_photo,
        classes=np.array([photos[photo_id]["subgroup"] for photo_id in photo_ids.tolist()]),
    )


@lru_cache(maxsize=1)
def emoji_names() -> dict[str, str]:
    """The English name of each photo's emoji by the photo's id, such as {"1FAA7": "placard"}; OpenMoji's, after CLDR.

    Raises:
        FileNotFoundError: the installation lacks the files.
    """
    index = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    return {photo["id"]: photo["name"] for photo in index["photos"]}


def _photo_bytes(name: str) -> bytes:
    return _archive(os.getpid()).read(name)


@lru_cache(maxsize=1)
def _archive(process: int) -> zipfile.ZipFile:
    """The photos' archive, opened once: reading its directory takes longer than decoding a photo.

    Each process opens its own: after a fork both would move one place in one file.
    """
    return zipfile.ZipFile(FOLDER / "photos.zip")


def _decode(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return on_white(image)  # two renders are 256 x 264; the rest are 256 x 256
