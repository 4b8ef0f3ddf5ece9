"""Builds a data set out of files that belong together by their names: checked once, read again when asked for.

Nothing but digests and names stays in memory, some 500 bytes a sketch, so a data set may have many more sketches than
would fit. A loader says which files there are and how they are read; what is common to all of them is here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset, report_skipped
from sketchcanvas_env.data.inside import read_inside
from sketchcanvas_env.data.photos import on_white, read_picture
from sketchcanvas_env.sketch import VectorSketch

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PHOTO_BYTES = 8 * 2**20
_DIGEST = sha256().digest_size


@dataclass(frozen=True, slots=True)
class Drawing:
    """A sketch that ought to be there."""

    sketch_id: str
    photo: str  # id of its true photo
    name: str  # what `fetch` finds it by, and what its user is told


@dataclass(frozen=True)
class Layout:
    """Where a data set keeps what belongs together, and how it is read."""

    name: str  # the data set's name
    root: Path  # the folder that nothing is read outside of
    photos: Mapping[str, str]  # file of every photo by id, below `root`
    drawings: Sequence[Drawing]  # in the order of the rows
    split: Mapping[str, str]  # of every photo
    fetch: Callable[[str], bytes]  # content of a sketch by name; ValueError says why there is none
    parse: Callable[[str, bytes], VectorSketch]  # name and content to strokes; ValueError says what is wrong
    square: Callable[[Picture], Picture] | None = None  # done to photos before they are resized to a square
    licence: str = ""
    citation: str = ""


def in_folder(root: Path, limit: int) -> Callable[[str], bytes]:
    """A `fetch` for sketches that are files of at most `limit` bytes, named by their path below `root`."""
    return lambda name: read_inside(root, root / name, limit)


def paired(layout: Layout, skipped: Sequence[tuple[str, str]] = ()) -> SketchDataset:
    """Read every photo and sketch once, leave out what cannot be used, and make the data set of the rest.

    A gallery holds the photos of its split that can be used, those without a sketch among them.

    Args:
        layout: what there should be.
        skipped: (name, reason) of what the loader has left out already.

    Returns:
        The data set, perhaps an empty one: its loader says what that means. Its `skipped` begins with the given one.
    """
    left_out = list(skipped)
    photos = _photo_digests(layout, left_out)
    content = sha256()
    rows: list[Drawing] = []
    digests = bytearray()
    for drawing in layout.drawings:
        if drawing.photo not in photos:
            continue  # told with its photo
        try:
            data = layout.fetch(drawing.name)
            strokes = layout.parse(drawing.name, data).strokes
        except ValueError as error:
            left_out.append((drawing.name, str(error)))
            continue
        rows.append(drawing)
        digests += sha256(data).digest()
        content.update(f"{drawing.sketch_id} {drawing.photo} {[len(stroke) for stroke in strokes]}\n".encode())
        content.update(np.concatenate(strokes).astype("<f4").tobytes())
    for photo, digest in photos.items():
        content.update(f"{photo} {layout.split[photo]} {digest.hex()}\n".encode())

    def read_sketch(row: int) -> VectorSketch:
        name = rows[row].name
        try:
            return layout.parse(name, _unchanged(layout.fetch(name), digests[_DIGEST * row : _DIGEST * (row + 1)]))
        except ValueError as error:
            raise ValueError(f"{layout.root / name}: {error}") from None

    return SketchDataset(
        name=layout.name,
        hash=content.hexdigest(),
        sketch_ids=np.array([row.sketch_id for row in rows], dtype=np.str_),
        photo_ids=np.array([row.photo for row in rows], dtype=np.str_),
        split=np.array([layout.split[row.photo] for row in rows], dtype=np.str_),
        level=np.zeros(len(rows), dtype=np.int8),
        galleries={
            name: np.array([photo for photo in photos if layout.split[photo] == name], dtype=np.str_) for name in SPLITS
        },
        licence=layout.licence,
        citation=layout.citation,
        skipped=tuple(left_out),
        read_sketch=read_sketch,
        read_photo=partial(_read_photo, layout, photos),
    )


def told(dataset: SketchDataset, layout: Layout, strict: bool) -> SketchDataset:
    """The same data set, once its user has been told what had to be left out; called by the loader itself.

    Raises:
        ValueError: nothing is left, or something was left out and `strict`.
    """
    photos = sum(len(gallery) for gallery in dataset.galleries.values())
    where = f"{layout.name} in {layout.root}"
    if not len(dataset) and not dataset.skipped:
        raise ValueError(f"{where}: holds no sketch")
    report_skipped(
        f"{where}: {len(layout.drawings) - len(dataset)} of {len(layout.drawings)} sketches and "
        f"{len(layout.photos) - photos} of {len(layout.photos)} photos",
        dataset.skipped,
        refuse=strict or not len(dataset),
        above=1,
    )
    return dataset


def _photo_digests(layout: Layout, skipped: list[tuple[str, str]]) -> dict[str, bytes]:
    """sha256 of every photo's file that can be decoded, by id in the order of the ids; the others go to `skipped`."""
    sketches = Counter(drawing.photo for drawing in layout.drawings)
    digests = {}
    for photo, name in sorted(layout.photos.items()):
        try:
            data = read_inside(layout.root, layout.root / name, MAX_PHOTO_BYTES)
            read_picture(data)
        except ValueError as error:
            skipped.append((name, f"{error} (sketches that go with it: {sketches[photo]})"))
        else:
            digests[photo] = sha256(data).digest()
    return digests


def _read_photo(layout: Layout, digests: Mapping[str, bytes], photo: str) -> NDArray[np.uint8]:
    if photo not in digests:
        raise KeyError(f"{layout.name} in {layout.root} has no photo {photo!r}")
    path = layout.root / layout.photos[photo]
    try:
        data = _unchanged(read_inside(layout.root, path, MAX_PHOTO_BYTES), digests[photo])
        picture = read_picture(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return on_white(picture if layout.square is None else layout.square(picture))


def _unchanged(data: bytes, digest: bytes | bytearray) -> bytes:
    if sha256(data).digest() != digest:
        raise ValueError("changed since the data set was loaded; load it anew")
    return data
