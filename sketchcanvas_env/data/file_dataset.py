"""Data sets of files that belong together by their names; a loader says which there are and how they are read.

Photos are checked now and read again when asked for. Sketches are parsed once for each content of the files and then
mapped from the disk (`sketchcanvas_env.data.stroke_store`): a data set stays what it was when files of sketches change,
and millions of sketches take next to no memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import SHARED, SPLITS, SketchDataset, report_skipped
from sketchcanvas_env.data.pictures.photos import on_white, read_picture
from sketchcanvas_env.data.stroke_store import Strokes, Writer, stored
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.cache import key_of
from sketchcanvas_env.storage.names import NameList, Places, blocks
from sketchcanvas_env.storage.untrusted import read_inside

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PHOTO_BYTES = 20 * 2**20
"""Most bytes of a photo's file; it is twice in memory beside what its decoder takes (`photos.MAX_PIXELS`)."""
_DIGEST = sha256().digest_size
_VERSION = 1  # of what is kept of parsed sketches


@dataclass(frozen=True)
class Layout:
    """What a data set is, and how its files are read."""

    name: str  # the data set's name
    root: Path  # the folder that nothing is read outside of
    fetch: Callable[[str], bytes]  # content of a sketch by name; ValueError says why there is none
    parse: Callable[[str, bytes], VectorSketch]  # name and content to strokes; ValueError says what is wrong
    version: object  # everything but name and content that decides what `parse` returns, JSON-able
    square: Callable[[Picture], Picture] | None = None  # done to photos before they are resized to a square
    licence: str = ""
    citation: str = ""
    notes: tuple[str, ...] = ()


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
    split: Mapping[str, str]  # of every photo; of every sketch where the gallery is known
    known_gallery: bool = False
    conditions: Mapping[str, str] = field(default_factory=dict)  # of sketches, by id


@dataclass(frozen=True)
class _Photos:
    """The photos that can be used."""

    ids: NDArray[np.str_]  # rising
    files: NameList
    digests: bytes  # sha256 of each file


def in_folder(root: Path, limit: int) -> Callable[[str], bytes]:
    """A `fetch` for sketches that are files of at most `limit` bytes, named by their path below `root`."""
    return lambda name: read_inside(root, root / name, limit)


def read_files(layout: Layout, contents: Contents, skipped: Sequence[tuple[str, str]] = ()) -> SketchDataset:
    """Read every photo and sketch, leave out what cannot be used, and make the data set of the rest.

    A gallery holds the photos of its split that can be used, those without a sketch among them. A known gallery holds
    all photos but those whose sketches are all in `student`.

    Args:
        layout: how it is read.
        contents: what there should be.
        skipped: (name, reason) of what the loader has left out already.

    Returns:
        The data set, perhaps an empty one: its loader says what that means. Its `skipped` begins with the given one.

    Raises:
        ValueError: a file changed while it was read.
    """
    left_out = list(skipped)
    photos = _find_photos(layout, contents, left_out)
    drawings = contents.drawings
    photo_ids = drawings.photos.array()
    true = Places(photos.ids).of(photo_ids)
    there = array("q")
    digests = bytearray()
    for row, name in enumerate(drawings.names):
        if true[row] >= 0:  # otherwise its photo is in `skipped`
            try:
                digests += sha256(layout.fetch(name)).digest()
            except ValueError as error:
                left_out.append((name, str(error)))
            else:
                there.append(row)
    strokes = _parsed(layout, drawings.names, there, digests)
    wrong = dict(strokes.note["wrong"])
    left_out += [(drawings.names[there[place]], reason) for place, reason in wrong.items()]
    rows = np.array([row for place, row in enumerate(there) if place not in wrong], dtype=np.int64)
    sketch_ids = drawings.ids.array()[rows]
    by = sketch_ids if contents.known_gallery else photo_ids[rows]
    split = np.array([contents.split[name] for name in by.tolist()], dtype=np.str_)
    conditions, level = _conditions(contents.conditions, sketch_ids)
    galleries = _galleries(contents, photos.ids, photo_ids, drawings.ids)
    columns = [sketch_ids, photo_ids[rows], split, level.astype(np.str_)]
    if conditions is not None:
        columns.append(conditions)

    return SketchDataset(
        name=layout.name,
        hash=_hash(strokes.note["hash"], photos, columns, galleries),
        sketch_ids=sketch_ids,
        photo_ids=photo_ids[rows],
        split=split,
        level=level,
        galleries=galleries,
        licence=layout.licence,
        citation=layout.citation,
        skipped=tuple(left_out),
        read_sketch=strokes.sketch,
        read_photo=partial(_read_photo, layout, photos),
        known_gallery=contents.known_gallery,
        conditions=conditions,
        notes=layout.notes,
    )


def reported(dataset: SketchDataset, layout: Layout, contents: Contents, strict: bool) -> SketchDataset:
    """The same data set, once its user has been told what had to be left out; called by the loader itself.

    Raises:
        ValueError: nothing is left, or something was left out and `strict`.
    """
    where = f"{layout.name} in {layout.root}"
    if not len(dataset) and not dataset.skipped:
        raise ValueError(f"{where}: holds no sketch")
    photos = {photo for gallery in dataset.galleries.values() for photo in gallery.tolist()}
    report_skipped(
        f"{where}: {len(dataset)} of {len(contents.drawings)} sketches and {len(photos)} of {len(contents.photos)} "
        "photos",
        dataset.skipped,
        refuse=strict or not len(dataset),
        above=1,
    )
    return dataset


def _parsed(layout: Layout, names: NameList, rows: Sequence[int], digests: bytearray) -> Strokes:
    """The sketches in some rows of `names`; the note has (place among them, reason) of the wrong ones, and a hash."""

    def parse(writer: Writer) -> dict[str, Any]:
        wrong: list[tuple[int, str]] = []
        content = sha256()
        for place, row in enumerate(rows):
            data = layout.fetch(names[row])
            if sha256(data).digest() != _digest(digests, place):
                raise ValueError(f"{layout.root / names[row]}: changed while the data set was read; load it anew")
            try:
                sketch = layout.parse(names[row], data)
            except ValueError as error:
                wrong.append((place, str(error)))
            else:
                writer.add(sketch)
                content.update(f"{[len(stroke) for stroke in sketch.strokes]}\n".encode())
                content.update(np.concatenate(sketch.strokes).astype("<f4").tobytes())
        return {"wrong": wrong, "hash": content.hexdigest()}

    listed = sha256()
    for row in rows:
        listed.update(f"{names[row]}\n".encode(errors="surrogatepass"))
    key = key_of("files", _VERSION, layout.name, layout.version, listed.hexdigest(), sha256(digests).hexdigest())
    return stored(key, (), parse)


def _galleries(
    contents: Contents, ids: NDArray[np.str_], photo_ids: NDArray[np.str_], sketch_ids: NameList
) -> dict[str, NDArray[np.str_]]:
    """Photos of each split among those that can be used, `ids`, given the photo and the id of every sketch."""
    if not contents.known_gallery:
        split = np.array([contents.split[photo] for photo in ids.tolist()], dtype=np.str_)
        return {name: ids[split == name] for name in SPLITS}
    owned: dict[str, set[str]] = {}
    for photo, sketch in zip(photo_ids.tolist(), sketch_ids, strict=True):
        owned.setdefault(photo, set()).add(contents.split[sketch])
    drawn = np.array(["student" in owned.get(photo, ()) for photo in ids.tolist()], dtype=bool)
    shared = np.array([owned.get(photo) != {"student"} for photo in ids.tolist()], dtype=bool)
    return {name: ids[shared if name in SHARED else drawn] for name in SPLITS}


def _conditions(
    conditions: Mapping[str, str], sketch_ids: NDArray[np.str_]
) -> tuple[NDArray[np.str_] | None, NDArray[np.int8]]:
    """Condition and abstraction level of each sketch: conditions called 0 to 3 are levels."""
    level = np.zeros(len(sketch_ids), dtype=np.int8)
    if not conditions:
        return None, level
    found = np.array([conditions.get(sketch, "") for sketch in sketch_ids.tolist()], dtype=np.str_)
    if set(conditions.values()) <= set("0123"):
        return None, np.where(found == "", "0", found).astype(np.int8)
    return found, level


def _hash(
    strokes: str,
    photos: _Photos,
    columns: Sequence[NDArray[np.str_]],
    galleries: Mapping[str, NDArray[np.str_]],
) -> str:
    content = sha256(strokes.encode())
    for rows in blocks(len(columns[0])):
        for row in zip(*(column[rows].tolist() for column in columns), strict=True):
            content.update(f"{' '.join(row)}\n".encode())
    for place, photo in enumerate(photos.ids.tolist()):
        content.update(f"{photo} {_digest(photos.digests, place).hex()}\n".encode())
    for name, gallery in galleries.items():
        content.update(f"{name} {' '.join(gallery.tolist())}\n".encode())
    return content.hexdigest()


def _find_photos(layout: Layout, contents: Contents, skipped: list[tuple[str, str]]) -> _Photos:
    """The photos whose files can be decoded; the others go to `skipped`."""
    ids, files, digests = NameList(), NameList(), bytearray()
    for photo in sorted(contents.photos):
        name = contents.photos[photo]
        try:
            data = read_inside(layout.root, layout.root / name, MAX_PHOTO_BYTES)
            read_picture(data)
        except ValueError as error:
            skipped.append((name, str(error)))
        else:
            ids.append(photo)
            files.append(name)
            digests += sha256(data).digest()
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
