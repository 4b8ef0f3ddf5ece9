"""The data set of everybody else: a folder of photos and of sketches that are named after them.

    DIR/photos/<id>.png                 or .jpg, .jpeg, .webp; at most 20 MiB and so many pixels: below
    DIR/sketches/<id>__<anything>.svg   or .json, .npy; as many for a photo as there are
    DIR/splits.json                     optional: {"student": [ids], "train": [ids], "val": [ids], "test": [ids]}
    DIR/LICENCE.txt, DIR/CITATION.txt   optional: texts that are shown with the data

An id is a file's name without its ending, has no "__" in it and no other character than letters, digits and "._- +".
Letters with accents are one, however a system writes them (Unicode's NFC). Files whose names start with a dot, and
Thumbs.db and desktop.ini, are not looked at; any other file in the two folders is reported.

Photos have at most 67 million pixels in a JPEG file as cameras write it, 16 million in a progressive one (32 million
where its colours are stored at half the width and height, as is usual), 16.7 million in a PNG file, 4 million in a WebP
file (`photos.MAX_PIXELS`, `photos.MAX_COEFFICIENTS`). They are turned as their EXIF says.

Strokes:

* `.svg`: shapes in document order (`sketchcanvas_env.svg.reader`), scaled by their bounding box.
* `.json`: strokes [[[x, y], ...], ...], y down. Where all numbers lie in [0, 1] they are taken as they are, as
  fractions of the canvas; other coordinates are scaled by their bounding box.
* `.npy` of shape (points, 3): stroke-3 of sketch-rnn, offsets and whether the pen is lifted; scaled likewise.
* `.npy` of shape (points, 5): absolute stroke-5 on the unit canvas, as `VectorSketch.to_stroke5` writes it.

Scaling keeps the aspect; so photos that are not square are laid on a white square, not stretched.

Without splits.json the photos are divided by a fixed seed: a fifth each to `train`, `val` and `test`, whose galleries
then have one size, and the rest to `student`. Photos that cannot be used count as well, and are then missing from the
gallery of their split: when one is damaged, mended, or read only by a later version, no other moves to another split,
so that nobody is tested on what a student has learned. With splits.json, every photo must be in one list, in one only;
a list may be missing. A photo without a sketch is a candidate in the gallery of its split.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby
from os import PathLike
from os.path import splitext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset
from sketchcanvas_env.data.file_dataset import Contents, Drawings, Layout, in_folder, paired, told
from sketchcanvas_env.data.formats.parse import MAX_NPY_BYTES, numbers, read_json, read_npy, stroke3_strokes
from sketchcanvas_env.data.photos import padded
from sketchcanvas_env.data.splits import divided
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import atomic_write, is_special, write_text
from sketchcanvas_env.storage.untrusted import is_left_behind, read_inside, read_text_inside
from sketchcanvas_env.svg import reader as svg

SPLITS_FILE = "splits.json"
LICENCE_FILE = "LICENCE.txt"
CITATION_FILE = "CITATION.txt"
MAX_SPLITS_BYTES = 64 * 2**20
MAX_JSON_BYTES = 4 * 2**20
_MAX_SKETCH_BYTES = max(MAX_NPY_BYTES, MAX_JSON_BYTES, svg.MAX_BYTES)
MAX_TEXT_BYTES = 2**20
SHARE = 0.2
"""Share of the photos that train, val and test have each where no splits.json says otherwise."""

NO_LICENCE = f"not stated: the folder has no {LICENCE_FILE}"
_MARKER = ".imported"
"""Says which data set a folder was begun with."""
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_ID = re.compile(r"(?!\.)(?!.*__)[\w.\-+ ]{1,150}")
_NAME = re.compile(r"(?!\.)[\w.\-+ ]{1,200}")
_LAYOUT = "photos/<id>.png (or .jpg, .webp) and sketches/<id>__<anything>.svg (or .json, .npy)"


def load_folder(root: str | PathLike[str] | None, strict: bool = False) -> SketchDataset:
    """Read a folder of photos and sketches; everything is checked now and read again when asked for.

    Args:
        root: the folder; the text of this module says what is in it.
        strict: refuse the folder for any file that cannot be used, instead of leaving it out.

    Returns:
        The data set `folder`. `skipped` names what was left out, and why.

    Warns:
        SkippedDataWarning: something was left out: how much, and the first names.

    Raises:
        FileNotFoundError: the folder lacks photos/ or sketches/.
        ValueError: no root, a splits.json that is wrong, nothing that can be used, or `strict` and something cannot.
    """
    layout, contents, skipped = _layout(root)
    return told(paired(layout, contents, skipped), layout, contents, strict)


def check_folder(root: str | PathLike[str]) -> tuple[SketchDataset | None, tuple[tuple[str, str], ...]]:
    """Everything that is wrong with a folder, file by file, without a warning.

    Returns:
        The data set of what can be used, None where nothing can be said about it; and (file, reason) of the rest.

    Raises:
        FileNotFoundError: the folder lacks photos/ or sketches/.
    """
    try:
        layout, contents, skipped = _layout(root)
    except ValueError as error:
        return None, ((str(root), str(error)),)
    dataset = paired(layout, contents, skipped)
    wrong = dataset.skipped
    if not len(dataset) and not wrong:
        wrong = (("sketches", "holds no sketch"),)
    return dataset, wrong


def _layout(root: str | PathLike[str] | None) -> tuple[Layout, Contents, list[tuple[str, str]]]:
    """What the folder's names say there is, and the (file, reason) of names that say nothing."""
    if root is None:
        raise ValueError(f"which folder? Pass root=, or 'folder:DIR' as the name; it holds {_LAYOUT}")
    folder = Path(root).expanduser()
    if not (folder / "photos").is_dir() or not (folder / "sketches").is_dir():
        raise FileNotFoundError(f"{folder} is no folder of sketches and photos: there must be {_LAYOUT}")

    skipped: list[tuple[str, str]] = []
    photos: dict[str, str] = {}
    for name in _names(folder / "photos"):
        photo, ending = splitext(_composed(name))
        if ending.lower() not in _PICTURES:
            skipped.append((f"photos/{name}", _unfit(folder / "photos" / name, _PICTURES)))
        elif not _ID.fullmatch(photo):
            skipped.append((f"photos/{name}", "its name is no id: letters, digits and '._- +', without '__'"))
        elif photo in photos:
            skipped.append((f"photos/{name}", f"{photos[photo]} has the same id"))
        else:
            photos[photo] = f"photos/{name}"

    unlisted: list[tuple[str, str]] = []
    split = _splits(folder, photos, unlisted)
    drawings = Drawings()
    # Names that begin alike stand together: two sketches of one name are found among those of a photo.
    for _, names in groupby(_names(folder / "sketches"), lambda name: _composed(name).partition("__")[0]):
        seen: dict[str, str] = {}
        for name in names:
            sketch, ending = splitext(_composed(name))
            photo, between, _ = sketch.partition("__")
            if ending.lower() not in _PARSERS:
                skipped.append((f"sketches/{name}", _unfit(folder / "sketches" / name, _PARSERS)))
            elif not between or not _ID.fullmatch(photo) or not _NAME.fullmatch(sketch):
                skipped.append((f"sketches/{name}", "its name is not of the form <id>__<anything>"))
            elif sketch in seen:
                skipped.append((f"sketches/{name}", f"sketches/{seen[sketch]} has the same name"))
            elif photo not in photos:
                skipped.append((f"sketches/{name}", f"there is no photo {photo!r}"))
            else:
                seen[sketch] = name
                if photo in split:
                    drawings.add(sketch, photo, f"sketches/{name}")

    contents = Contents({photo: name for photo, name in photos.items() if photo in split}, drawings, split)
    layout = Layout(
        name="folder",
        root=folder,
        fetch=in_folder(folder, _MAX_SKETCH_BYTES),
        parse=lambda name, data: _PARSERS[Path(name).suffix.lower()](data),
        square=padded,
        licence=_text(folder, LICENCE_FILE) or NO_LICENCE,
        citation=_text(folder, CITATION_FILE),
    )
    return layout, contents, [*skipped, *unlisted]


def _names(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if not is_left_behind(path.name))
    return sorted(names, key=_composed)  # by both at once, a pair for each of a million names would be in memory


def _composed(name: str) -> str:
    """A name with each accent in its letter: some systems and archives write it behind."""
    return unicodedata.normalize("NFC", name)


def _unfit(path: Path, endings: Iterable[str]) -> str:
    """Why a file of another ending is left out."""
    return (
        "a folder: those inside are not looked at" if path.is_dir() else f"its ending is none of {', '.join(endings)}"
    )


def _splits(folder: Path, photos: Iterable[str], skipped: list[tuple[str, str]]) -> dict[str, str]:
    """The split of every photo; what splits.json does not agree about with the folder goes to `skipped`."""
    ids = set(photos)
    path = folder / SPLITS_FILE
    if not path.exists() and not path.is_symlink():
        return divided(ids, dict.fromkeys(SPLITS[1:], int(SHARE * len(ids))))
    try:
        lists = read_json(read_inside(folder, path, MAX_SPLITS_BYTES))
        if not isinstance(lists, dict) or not lists.keys() <= set(SPLITS):
            raise ValueError(f"must be an object with lists named {', '.join(SPLITS)}, no others")
        split: dict[str, str] = {}
        for name, members in lists.items():
            if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
                raise ValueError(f"{name!r} must be a list of ids")
            for member in map(_composed, members):
                if member in split:
                    raise ValueError(f"photo {member[:100]!r} is listed twice, in {split[member]!r} and in {name!r}")
                split[member] = name
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    skipped += [
        (SPLITS_FILE, f"lists {photo[:100]!r}, but there is no such photo") for photo in sorted(split.keys() - ids)
    ]
    skipped += [(SPLITS_FILE, f"photo {photo!r} is in no split") for photo in sorted(ids - split.keys())]
    return {photo: name for photo, name in split.items() if photo in ids}


def _text(folder: Path, name: str) -> str:
    path = folder / name
    if not path.exists() and not path.is_symlink():
        return ""
    return read_text_inside(folder, path, MAX_TEXT_BYTES).strip()


# ------------------------------------------------------------------------------------------------------- sketches


def _parse_json(data: bytes) -> VectorSketch:
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(f"{len(data):,} bytes; at most {MAX_JSON_BYTES:,} are read")
    strokes = read_json(data)
    if not isinstance(strokes, list) or not strokes:
        raise ValueError("empty, or no list of strokes [[[x, y], ...], ...]")
    points = [numbers(stroke) for stroke in strokes]
    on_canvas = all(stroke.size and stroke.min() >= 0.0 and stroke.max() <= 1.0 for stroke in points)
    return VectorSketch.from_strokes(points) if on_canvas else VectorSketch.fit(points)


def _parse_npy(data: bytes) -> VectorSketch:
    rows = read_npy(data)
    if rows.size == 0:
        raise ValueError("empty: it has no points")
    if rows.ndim == 2 and rows.shape[1] == 3:
        return VectorSketch.fit(stroke3_strokes(rows))
    if rows.ndim == 2 and rows.shape[1] == 5:
        return VectorSketch.from_stroke5(rows)
    raise ValueError(f"an array of shape {rows.shape}, not (points, 3) or (points, 5)")


def read_drawing(path: str | PathLike[str]) -> VectorSketch:
    """A drawing from a file as sketches/ holds them, `.svg`, `.json` or `.npy`, scaled to fill the canvas as SVGs are.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another ending, not a plain file, or one that cannot be used; the message names it.
    """
    ending = splitext(path)[1].lower()
    if ending == ".svg":
        return svg.read_svg(Path(path))
    if ending not in _PARSERS:
        raise ValueError(
            f"{path} is no drawing that can be read: there are .svg, .json (strokes [[[x, y], ...], ...]) and .npy "
            "(stroke-3 or stroke-5)"
        )
    if is_special(path):
        raise ValueError(f"{path}: not a plain file")
    with open(path, "rb") as file:
        data = file.read(_MAX_SKETCH_BYTES + 1)
    try:
        if len(data) > _MAX_SKETCH_BYTES:
            raise ValueError(f"at most {_MAX_SKETCH_BYTES:,} bytes are read")
        return _PARSERS[ending](data).normalised()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


_PARSERS: dict[str, Callable[[bytes], VectorSketch]] = {
    ".svg": svg.read_svg,
    ".json": _parse_json,
    ".npy": _parse_npy,
}


# ------------------------------------------------------------------------------------------------------- writing


def write_folder(
    dataset: SketchDataset, root: str | PathLike[str], on_file: Callable[[], object] = lambda: None
) -> tuple[str, ...]:
    """Write a data set as such a folder; the same call goes on where one was interrupted.

    Photos are written as PNG with the pixels that the data set gives, sketches as stroke-5 with all their points, and
    splits, licence and citation beside them. Every file is written atomically.

    Args:
        dataset: one that has photos.
        root: the folder: missing, empty, or one in which this data set has been begun.
        on_file: called after every photo and every sketch.

    Returns:
        What such a folder cannot say, one sentence each: abstraction levels, and candidates from another split.

    Raises:
        ValueError: an id that cannot be the name of a file, a data set without photos, or a folder with something else.
    """
    folder = Path(root).expanduser()
    split = dict(zip(dataset.photo_ids.tolist(), dataset.split.tolist(), strict=True))
    galleries = {name: dataset.gallery(name).tolist() for name in SPLITS}
    for name, gallery in galleries.items():
        split |= {photo: name for photo in gallery if photo not in split}
    wrong = next((photo for photo in split if not _ID.fullmatch(photo)), None)
    if wrong is not None:
        raise ValueError(f"photo {wrong[:100]!r} cannot be the name of a file there")
    dataset.photo(next(iter(split)))  # what has no photos ends here, before anything is written
    _begin(folder, dataset)
    lists = {name: sorted(photo for photo in split if split[photo] == name) for name in SPLITS}
    write_text(folder / SPLITS_FILE, json.dumps(lists, indent=1))
    for name, text in ((LICENCE_FILE, dataset.licence), (CITATION_FILE, dataset.citation)):
        if text:
            write_text(folder / name, text.rstrip() + "\n")
    # Files are written atomically: one that is there is whole.
    for photo in sorted(split):
        if not (path := folder / "photos" / f"{photo}.png").exists():
            with atomic_write(path) as temporary:
                _save_photo(temporary, dataset.photo(photo))
        on_file()
    written: Counter[str] = Counter()
    width = len(str(max(Counter(dataset.photo_ids.tolist()).values())))
    for row, photo in enumerate(dataset.photo_ids.tolist()):
        written[photo] += 1
        if not (path := folder / "sketches" / f"{photo}__{written[photo]:0{width}}.npy").exists():
            with atomic_write(path) as temporary:
                _save_sketch(temporary, dataset.sketch(row))
        on_file()
    lost = []
    if dataset.level.any():
        lost.append("abstraction levels: the sketches of all of them are there, but nothing says which is which")
    if any(split[photo] != name for name, gallery in galleries.items() for photo in gallery):
        lost.append("galleries: each holds the photos of its own split, without those borrowed from another")
    return tuple(lost)


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
