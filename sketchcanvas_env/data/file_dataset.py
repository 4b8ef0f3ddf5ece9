"""Builds a data set out of files that belong together by their names: checked once, read again when asked for.

Nothing but digests and names stays in memory, some 80 bytes a sketch beside the columns of the data set: there may be
many more sketches than would fit. A loader says which files there are and how they are read; what is common to all of
them is here.
"""

from __future__ import annotations

from array import array
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
from sketchcanvas_env.data.photos import on_white, read_picture
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.names import NameList, Places
from sketchcanvas_env.storage.untrusted import read_inside

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PHOTO_BYTES = 20 * 2**20
"""Most bytes of a photo's file; it is twice in memory beside what its decoder takes (`photos.MAX_PIXELS`)."""
_DIGEST = sha256().digest_size


@dataclass(frozen=True)
class Layout:
    """What a data set is, and how its files are read."""

    name: str  # the data set's name
    root: Path  # the folder that nothing is read outside of
    fetch: Callable[[str], bytes]  # content of a sketch by name; ValueError says why there is none
    parse: Callable[[str, bytes], VectorSketch]  # name and content to strokes; ValueError says what is wrong
    square: Callable[[Picture], Picture] | None = None  # done to photos before they are resized to a square
    licence: str = ""
    citation: str = ""


class Drawings:
    """Sketches that ought to be there, in the order of the rows.

    Attributes:
        ids: of the sketches.
        photos: id of the true photo of each.
        names: what `Layout.fetch` finds each by, and what its user is told.
    """

    def __init__(self) -> None:
        """Begin without sketches."""
        self.ids, self.photos, self.names = NameList(), NameList(), NameList()

    def add(self, sketch_id: str, photo: str, name: str) -> None:
        """Add a sketch."""
        self.ids.append(sketch_id)
        self.photos.append(photo)
        self.names.append(name)

    def __len__(self) -> int:
        """Number of sketches."""
        return len(self.ids)


@dataclass(frozen=True)
class Contents:
    """What ought to be there; not kept once it has been looked for."""

    photos: Mapping[str, str]  # file of every photo by id, below the root
    drawings: Drawings  # each of one of these photos
    split: Mapping[str, str]  # of every photo


@dataclass(frozen=True)
class _Photos:
    """The photos that can be used."""

    ids: NDArray[np.str_]  # rising
    files: NameList
    digests: bytes  # sha256 of each file


def in_folder(root: Path, limit: int) -> Callable[[str], bytes]:
    """A `fetch` for sketches that are files of at most `limit` bytes, named by their path below `root`."""
    return lambda name: read_inside(root, root / name, limit)


def paired(layout: Layout, contents: Contents, skipped: Sequence[tuple[str, str]] = ()) -> SketchDataset:
    """Read every photo and sketch once, leave out what cannot be used, and make the data set of the rest.

    A gallery holds the photos of its split that can be used, those without a sketch among them.

    Args:
        layout: how it is read.
        contents: what there should be.
        skipped: (name, reason) of what the loader has left out already.

    Returns:
        The data set, perhaps an empty one: its loader says what that means. Its `skipped` begins with the given one.
    """
    left_out = list(skipped)
    photos = _find_photos(layout, contents, left_out)
    content = sha256()
    drawings = contents.drawings
    photo_ids = drawings.photos.array()
    true = Places(photos.ids).of(photo_ids)
    kept = array("q")
    digests = bytearray()
    for row, (sketch_id, photo, name) in enumerate(zip(drawings.ids, drawings.photos, drawings.names, strict=True)):
        if true[row] < 0:
            continue  # told with its photo
        try:
            data = layout.fetch(name)
            strokes = layout.parse(name, data).strokes
        except ValueError as error:
            left_out.append((name, str(error)))
            continue
        kept.append(row)
        digests += sha256(data).digest()
        content.update(f"{sketch_id} {photo} {[len(stroke) for stroke in strokes]}\n".encode())
        content.update(np.concatenate(strokes).astype("<f4").tobytes())
    split = np.array([contents.split[photo] for photo in photos.ids.tolist()], dtype=np.str_)
    for place, photo in enumerate(photos.ids.tolist()):
        content.update(f"{photo} {split[place]} {_digest(photos.digests, place).hex()}\n".encode())
    rows = np.array(kept, dtype=np.int64)
    names = drawings.names

    def read_sketch(row: int) -> VectorSketch:
        name = names[kept[row]]
        try:
            return layout.parse(name, _unchanged(layout.fetch(name), _digest(digests, row)))
        except ValueError as error:
            raise ValueError(f"{layout.root / name}: {error}") from None

    return SketchDataset(
        name=layout.name,
        hash=content.hexdigest(),
        sketch_ids=drawings.ids.array()[rows],
        photo_ids=photo_ids[rows],
        split=split[true[rows]],
        level=np.zeros(len(rows), dtype=np.int8),
        galleries={name: photos.ids[split == name] for name in SPLITS},
        licence=layout.licence,
        citation=layout.citation,
        skipped=tuple(left_out),
        read_sketch=read_sketch,
        read_photo=partial(_read_photo, layout, photos),
    )


def told(dataset: SketchDataset, layout: Layout, contents: Contents, strict: bool) -> SketchDataset:
    """The same data set, once its user has been told what had to be left out; called by the loader itself.

    Raises:
        ValueError: nothing is left, or something was left out and `strict`.
    """
    sketches, photos = len(contents.drawings), len(contents.photos)
    where = f"{layout.name} in {layout.root}"
    if not len(dataset) and not dataset.skipped:
        raise ValueError(f"{where}: holds no sketch")
    report_skipped(
        f"{where}: {sketches - len(dataset)} of {sketches} sketches and "
        f"{photos - sum(map(len, dataset.galleries.values()))} of {photos} photos",
        dataset.skipped,
        refuse=strict or not len(dataset),
        above=1,
    )
    return dataset


def _find_photos(layout: Layout, contents: Contents, skipped: list[tuple[str, str]]) -> _Photos:
    """The photos whose files can be decoded; the others go to `skipped`."""
    ids, files, digests = NameList(), NameList(), bytearray()
    wrong: dict[str, str] = {}
    for photo in sorted(contents.photos):
        name = contents.photos[photo]
        try:
            data = read_inside(layout.root, layout.root / name, MAX_PHOTO_BYTES)
            read_picture(data)
        except ValueError as error:
            wrong[photo] = str(error)
        else:
            ids.append(photo)
            files.append(name)
            digests += sha256(data).digest()
    sketches = Counter(photo for photo in contents.drawings.photos if photo in wrong)
    for photo, reason in wrong.items():
        skipped.append((contents.photos[photo], f"{reason} (sketches that go with it: {sketches[photo]})"))
    return _Photos(ids.array(), files, bytes(digests))


def _read_photo(layout: Layout, photos: _Photos, photo: str) -> NDArray[np.uint8]:
    place = int(np.searchsorted(photos.ids, photo))
    if place == len(photos.ids) or photos.ids[place] != photo:
        raise KeyError(f"{layout.name} in {layout.root} has no photo {photo!r}")
    path = layout.root / photos.files[place]
    try:
        data = _unchanged(read_inside(layout.root, path, MAX_PHOTO_BYTES), _digest(photos.digests, place))
        picture = read_picture(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return on_white(picture if layout.square is None else layout.square(picture))


def _digest(digests: bytes | bytearray, place: int) -> bytes:
    return bytes(digests[_DIGEST * place : _DIGEST * (place + 1)])


def _unchanged(data: bytes, digest: bytes) -> bytes:
    if sha256(data).digest() != digest:
        raise ValueError("changed since the data set was loaded; load it anew")
    return data
