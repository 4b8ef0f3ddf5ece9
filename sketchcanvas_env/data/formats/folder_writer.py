"""Writes any data set with photos as a folder of one's own (`sketchcanvas_env.data.formats.folder`)."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset
from sketchcanvas_env.data.formats.folder import (
    CITATION_FILE,
    CONDITIONS_FILE,
    LICENCE_FILE,
    MAX_TEXT_BYTES,
    PHOTO_ID,
    SKETCH_NAME,
    SPLITS_FILE,
)
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import atomic_write, write_text
from sketchcanvas_env.storage.untrusted import read_inside

_MARKER = ".imported"
"""Says which data set a folder was begun with."""


def write_folder(
    dataset: SketchDataset, root: str | PathLike[str], on_file: Callable[[], object] = lambda: None
) -> tuple[str, ...]:
    """Write a data set as such a folder; the same call goes on where one was interrupted.

    Photos are written as PNG with the pixels that the data set gives, sketches as stroke-5 with all their points, and
    splits, conditions or abstraction levels, licence and citation beside them. Sketches keep the names that they have
    in the data set, where these can be names of files and differ. Every file is written atomically.

    Args:
        dataset: one that has photos.
        root: the folder: missing, empty, or one in which this data set has been begun.
        on_file: called after every photo and every sketch.

    Returns:
        What such a folder cannot say, one sentence each: candidates from another split.

    Raises:
        ValueError: an id that cannot be the name of a file, a data set without photos, or a folder with something else.
    """
    folder = Path(root).expanduser()
    galleries = {name: dataset.gallery(name).tolist() for name in SPLITS}
    split = {} if dataset.known_gallery else dict(zip(dataset.photo_ids.tolist(), dataset.split.tolist(), strict=True))
    for name, gallery in galleries.items():
        split |= {photo: name for photo in gallery if photo not in split}
    wrong = next((photo for photo in split if not PHOTO_ID.fullmatch(photo)), None)
    if wrong is not None:
        raise ValueError(f"photo {wrong[:100]!r} cannot be the name of a file there")
    dataset.photo(next(iter(split)))  # what has no photos ends here, before anything is written
    _begin(folder, dataset)
    names = list(_names(dataset))
    parts = zip(names, dataset.split.tolist(), strict=True) if dataset.known_gallery else split.items()
    lists: dict[str, list[str]] = {name: [] for name in SPLITS}
    for listed, name in parts:
        lists[name].append(listed)
    write_text(folder / SPLITS_FILE, json.dumps({name: sorted(listed) for name, listed in lists.items()}, indent=1))
    conditions = dataset.conditions
    if conditions is None and dataset.level.any():
        conditions = dataset.level.astype(np.str_)
    if conditions is not None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [("sketch", "name"), *(row for row in zip(names, conditions.tolist(), strict=True) if row[1])]
        )
        write_text(folder / CONDITIONS_FILE, text.getvalue())
    for name, text_of_file in ((LICENCE_FILE, dataset.licence), (CITATION_FILE, dataset.citation)):
        if text_of_file:
            write_text(folder / name, text_of_file.rstrip() + "\n")
    # Files are written atomically: one that is there is whole.
    for photo in sorted(split):
        if not (path := folder / "photos" / f"{photo}.png").exists():
            with atomic_write(path) as temporary:
                _save_photo(temporary, dataset.photo(photo))
        on_file()
    for row, name in enumerate(names):
        if not (path := folder / "sketches" / f"{name}.npy").exists():
            with atomic_write(path) as temporary:
                _save_sketch(temporary, dataset.sketch(row))
        on_file()
    if not dataset.known_gallery and any(split[p] != name for name, gallery in galleries.items() for p in gallery):
        return ("galleries: each holds the photos of its own split, without those borrowed from another",)
    return ()


def _names(dataset: SketchDataset) -> Iterator[str]:
    """The name of each sketch's file, <photo>__<what its id says beside the photo>; numbers where ids do not do."""
    photos = dataset.photo_ids.tolist()
    tails = [
        sketch.removeprefix(photo).lstrip("_-/ ") if sketch.startswith(photo) else sketch
        for sketch, photo in zip(dataset.sketch_ids.tolist(), photos, strict=True)
    ]
    names = [f"{photo}__{tail}" for photo, tail in zip(photos, tails, strict=True)]
    # Small and capital letters are one name on some systems.
    if all(tails) and all(map(SKETCH_NAME.fullmatch, names)) and len({name.lower() for name in names}) == len(names):
        yield from names
        return
    written: Counter[str] = Counter()
    width = len(str(max(Counter(photos).values())))
    for photo in photos:
        written[photo] += 1
        yield f"{photo}__{written[photo]:0{width}}"


def _begin(folder: Path, dataset: SketchDataset) -> None:
    """Mark the folder as one of this data set; refuse what holds another, or something else."""
    marker = folder / _MARKER
    own = f"{dataset.name} {dataset.hash}\n"
    if marker.exists():
        if read_inside(folder, marker, MAX_TEXT_BYTES) != own.encode():
            raise ValueError(f"{folder} holds another data set, or another version of {dataset.name}: choose another")
        return
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: choose another folder")
    write_text(marker, own)


def _save_photo(path: Path, photo: NDArray[np.uint8]) -> None:
    from PIL import Image

    Image.fromarray(photo).save(path, format="PNG")


def _save_sketch(path: Path, sketch: VectorSketch) -> None:
    np.save(path, sketch.to_stroke5(max(2, sketch.n_points)), allow_pickle=False)
