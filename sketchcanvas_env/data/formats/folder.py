"""A folder of one's own: photos, and sketches that are named after them.

    DIR/photos/<id>.png                 or .jpg, .jpeg, .jfif, .webp; at most 20 MiB and so many pixels: below
    DIR/sketches/<id>__<anything>.svg   or .json, .npy; as many for a photo as there are
    DIR/splits.json                     optional: {"student": [...], "train": [...], "val": [...], "test": [...]}
    DIR/conditions.csv                  optional: lines of sketch,name
    DIR/LICENCE.txt, DIR/CITATION.txt   optional: texts that are shown with the data

An id is a file's name without its ending, has no "__" in it and no other character than letters, digits, spaces and
"._-+()". Letters with accents are one, however a system writes them (Unicode's NFC). Files whose names start with a
dot, and Thumbs.db and desktop.ini, are not looked at; any other file in the two folders is reported. Texts are UTF-8,
with or without a byte order mark.

Photos have at most 67 million pixels in a JPEG file as cameras write it, 16 million in a progressive one (32 million
where its colours are stored at half the width and height, as is usual), 16.7 million in a PNG file, 4 million in a WebP
file (`photos.MAX_PIXELS`, `photos.MAX_COEFFICIENTS`). They are turned as their EXIF says.

Sketches are SVGs (`sketchcanvas_env.svg.reader`), shapes in document order, or files in one of the formats of
`sketchcanvas_env.data.formats.conventions`, which says how these are told apart. SVGs are scaled by their bounding box
unless `keep_place` is given; then by their page (`viewBox`). Scaling keeps the aspect; so photos that are not square
are laid on a white square, not stretched. Sketches are parsed once for each content of the files and kept on the disk.

splits.json names photos, or sketches (`<id>__<anything>`):

* Photos: every photo must be in one list, in one only; a list may be missing. A photo without a sketch is a candidate
  in the gallery of its split.
* Sketches: the gallery is known (`SketchDataset.known_gallery`). `train`, `val` and `test` are ranked among all photos
  but those whose sketches are all in `student`.

Without splits.json the photos are divided by a fixed seed: a fifth each to `train`, `val` and `test`, whose galleries
then have one size, and the rest to `student`. Photos that cannot be used count as well, and are then missing from the
gallery of their split: when one is damaged, mended, or read only by a later version, no other moves to another split,
so that no student is tested on photos that it was trained on.

conditions.csv gives sketches a condition, such as who drew or how long; sketches that it does not name have none. Where
all conditions are called 0, 1, 2 or 3 they are abstraction levels.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from os import PathLike
from os.path import splitext
from pathlib import Path

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset
from sketchcanvas_env.data.file_dataset import Contents, Drawings, Layout, in_folder, read_files, reported
from sketchcanvas_env.data.formats.conventions import (
    MAX_JSON_BYTES,
    check_format,
    read_json_drawing,
    read_npy_drawing,
)
from sketchcanvas_env.data.formats.parse import MAX_NPY_BYTES, read_json
from sketchcanvas_env.data.pictures.photos import padded
from sketchcanvas_env.data.splits import divided
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.cache import code_version
from sketchcanvas_env.storage.files import is_special
from sketchcanvas_env.storage.untrusted import is_left_behind, printable, read_inside, read_text_inside
from sketchcanvas_env.svg import reader as svg

SPLITS_FILE = "splits.json"
CONDITIONS_FILE = "conditions.csv"
LICENCE_FILE = "LICENCE.txt"
CITATION_FILE = "CITATION.txt"
MAX_LIST_BYTES = 64 * 2**20
"""Largest splits.json or conditions.csv."""
MAX_TEXT_BYTES = 2**20
MAX_CONDITION = 100
"""Longest name of a condition, characters."""
SHARE = 0.2
"""Share of the photos that train, val and test have each where no splits.json says otherwise."""

NO_LICENCE = f"not stated: the folder has no {LICENCE_FILE}"
SCALED_SVG = (
    "SVG drawings are scaled by their bounding box; --keep-place (keep_place=True in Python) keeps their place on the "
    "page"
)
_MAX_SKETCH_BYTES = max(MAX_NPY_BYTES, MAX_JSON_BYTES, svg.MAX_BYTES)
_PICTURES = (".png", ".jpg", ".jpeg", ".jfif", ".webp")
_SKETCHES = (".svg", ".json", ".npy")
_CHARACTERS = r"[\w.\-+ ()]"
PHOTO_ID = re.compile(rf"(?!\.)(?!.*__){_CHARACTERS}{{1,150}}")
SKETCH_NAME = re.compile(rf"(?!\.){_CHARACTERS}{{1,200}}")
_ALLOWED = "letters, digits, spaces and ._-+()"
_PARSERS = (
    "sketchcanvas_env.svg",
    "sketchcanvas_env.sketches.sketch",
    "sketchcanvas_env.data.formats.conventions",
    "sketchcanvas_env.data.formats.parse",
)
"""Modules that decide what `_parse` makes of a file."""
_LAYOUT = "photos/<id>.png (or .jpg, .webp) and sketches/<id>__<anything>.svg (or .json, .npy)"


def load_folder(
    root: str | PathLike[str] | None, strict: bool = False, format: str | None = None, keep_place: bool = False
) -> SketchDataset:
    """Read a folder of photos and sketches; everything is checked now.

    Args:
        root: the folder; the text of this module says what is in it.
        strict: refuse the folder for any file that cannot be used, instead of leaving it out.
        format: what `.json` and `.npy` files are, one of `conventions.FORMATS`; by default each file is to tell.
        keep_place: scale SVGs by their page and not by their bounding box.

    Returns:
        The data set `folder`. `skipped` names what was left out, and why.

    Warns:
        SkippedDataWarning: something was left out: how much, and the first names.

    Raises:
        FileNotFoundError: the folder lacks photos/ or sketches/.
        ValueError: no root, an unknown format, a splits.json or conditions.csv that is wrong, nothing that can be used,
            or `strict` and something cannot.
    """
    layout, contents, skipped = _layout(root, format, keep_place)
    return reported(read_files(layout, contents, skipped), layout, contents, strict)


def check_folder(
    root: str | PathLike[str], format: str | None = None, keep_place: bool = False
) -> tuple[SketchDataset | None, tuple[tuple[str, str], ...]]:
    """Everything that is wrong with a folder, without a warning; arguments as of `load_folder`.

    Returns:
        The data set of what can be used, None where nothing can be said about it; and (file, reason) of the rest.

    Raises:
        FileNotFoundError: the folder lacks photos/ or sketches/.
        ValueError: unknown format.
    """
    check_format(format)
    try:
        layout, contents, skipped = _layout(root, format, keep_place)
    except ValueError as error:
        return None, ((str(root), str(error)),)
    dataset = read_files(layout, contents, skipped)
    wrong = dataset.skipped
    if not len(dataset) and not wrong:
        wrong = (("sketches", "holds no sketch"),)
    return dataset, wrong


def read_drawing(path: str | PathLike[str], format: str | None = None, keep_place: bool = False) -> VectorSketch:
    """A drawing from a file as sketches/ holds them, scaled by its bounding box.

    Args:
        path: `.svg`, `.json` or `.npy`.
        format: as of `load_folder`.
        keep_place: leave the drawing where it lies on its page or canvas.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another ending, not a plain file, or one that cannot be used; the message names it.
    """
    check_format(format)
    ending = splitext(path)[1].lower()
    if ending not in _SKETCHES:
        raise ValueError(
            f"{path} is no drawing that can be read: there are .svg, .json (strokes [[[x, y], ...], ...]) and .npy "
            "(stroke-3 or stroke-5)"
        )
    if is_special(path):
        raise ValueError(f"{path}: not a plain file")
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_SKETCH_BYTES + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    try:
        if len(data) > _MAX_SKETCH_BYTES:
            raise ValueError(f"at most {_MAX_SKETCH_BYTES:,} bytes are read")
        sketch = _parse(str(path), data, format, keep_place)
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).removeprefix('SVG: ')}") from None
    return sketch if keep_place else sketch.normalised()


def _parse(name: str, data: bytes, form: str | None, keep_place: bool) -> VectorSketch:
    ending = splitext(name)[1].lower()
    if ending == ".svg":
        return svg.read_svg(data, keep_place=keep_place)
    return (read_json_drawing if ending == ".json" else read_npy_drawing)(data, form)


# ---------------------------------------------------------------------------------------------------------- contents


def _layout(
    root: str | PathLike[str] | None, form: str | None, keep_place: bool
) -> tuple[Layout, Contents, list[tuple[str, str]]]:
    """What the folder's names say there is, and the (file, reason) of names that say nothing."""
    check_format(form)
    if root is None:
        raise ValueError(f"which folder? Name it as folder:DIR; it holds {_LAYOUT}")
    folder = Path(root).expanduser()
    if not (folder / "photos").is_dir() or not (folder / "sketches").is_dir():
        raise FileNotFoundError(f"{folder} is no folder of sketches and photos: there must be {_LAYOUT}")

    skipped: list[tuple[str, str]] = []
    photos = _photos(folder, skipped)
    names = _names(folder / "sketches")
    split, known_gallery = _splits(folder, photos, len(names), skipped)
    drawings = Drawings()
    unlisted: list[tuple[str, str]] = []
    for sketch, photo, file in _sketches(folder, names, photos, skipped):
        if (sketch if known_gallery else photo) in split:
            drawings.add(sketch, photo, file)
        elif known_gallery:
            unlisted.append((file, f"{SPLITS_FILE} does not list it"))
    there = set(drawings.ids) if known_gallery else set()
    if missing := sorted(split.keys() - there) if known_gallery else []:
        raise ValueError(f"{folder / SPLITS_FILE}: lists {_first(missing)}, but there is no such sketch")
    conditions = _conditions(folder, drawings, len(names), skipped)

    listed = photos if known_gallery else {photo: name for photo, name in photos.items() if photo in split}
    contents = Contents(listed, drawings, split, known_gallery, conditions)
    has_svg = any(splitext(name)[1].lower() == ".svg" for name in drawings.names)
    layout = Layout(
        name="folder",
        root=folder,
        fetch=in_folder(folder, _MAX_SKETCH_BYTES),
        parse=lambda name, data: _parse(name, data, form, keep_place),
        version=[code_version(*_PARSERS), form, keep_place],
        square=padded,
        licence=_text(folder, LICENCE_FILE) or NO_LICENCE,
        citation=_text(folder, CITATION_FILE),
        notes=(SCALED_SVG,) if has_svg and not keep_place else (),
    )
    return layout, contents, [*skipped, *unlisted]


def _photos(folder: Path, skipped: list[tuple[str, str]]) -> dict[str, str]:
    """The file of every photo by id, below the folder."""
    photos: dict[str, str] = {}
    for name in _names(folder / "photos"):
        photo, ending = splitext(_composed(name))
        if ending.lower() not in _PICTURES:
            skipped.append((f"photos/{name}", _unfit(folder / "photos" / name, _PICTURES)))
        elif not PHOTO_ID.fullmatch(photo):
            skipped.append((f"photos/{name}", f"its name is no id: {_ALLOWED}, at most 150, without '__'"))
        elif photo in photos:
            skipped.append((f"photos/{name}", f"{photos[photo]} has the same id"))
        else:
            photos[photo] = f"photos/{name}"
    return photos


def _sketches(
    folder: Path, files: Iterable[str], photos: Mapping[str, str], skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Id, photo and file, below the folder, of every sketch."""
    # Names that begin alike stand together: two sketches of one name are found among those of a photo.
    for _, names in groupby(files, lambda name: _composed(name).partition("__")[0]):
        seen: dict[str, str] = {}
        for name in names:
            sketch, ending = splitext(_composed(name))
            photo, between, _ = sketch.partition("__")
            if ending.lower() not in _SKETCHES:
                skipped.append((f"sketches/{name}", _unfit(folder / "sketches" / name, _SKETCHES)))
            elif not between or not PHOTO_ID.fullmatch(photo) or not SKETCH_NAME.fullmatch(sketch):
                reason = f"its name is not of the form <id>__<anything> of {_ALLOWED}, at most 200"
                skipped.append((f"sketches/{name}", reason))
            elif sketch in seen:
                skipped.append((f"sketches/{name}", f"sketches/{seen[sketch]} has the same name"))
            elif photo not in photos:
                skipped.append((f"sketches/{name}", f"there is no photo {photo!r}"))
            else:
                seen[sketch] = name
                yield sketch, photo, f"sketches/{name}"


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


def _first(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"{names[0][:100]!r}{more}"


# ------------------------------------------------------------------------------------------------- splits, conditions


def _splits(
    folder: Path, photos: Mapping[str, str], sketches: int, skipped: list[tuple[str, str]]
) -> tuple[dict[str, str], bool]:
    """The split of every photo, or that of every sketch that splits.json names, and whether it names sketches.

    What it says of photos that are not there goes to `skipped`.

    Args:
        folder: the folder.
        photos: the photos that are there.
        sketches: how many sketches there may be.
        skipped: (name, reason) of what is left out.
    """
    path = folder / SPLITS_FILE
    if not path.exists() and not path.is_symlink():
        return divided(photos, dict.fromkeys(SPLITS[1:], int(SHARE * len(photos)))), False
    files = len(photos) + sketches
    try:
        # Not many more names than there are files: what is counted first costs no more than these.
        lists = read_json(read_inside(folder, path, _most_bytes(files)), 10, _most_lines(files))
        if not isinstance(lists, dict) or not lists.keys() <= set(SPLITS):
            raise ValueError(f"must be an object with lists named {', '.join(SPLITS)}, no others")
        split: dict[str, str] = {}
        for name, members in lists.items():
            if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
                raise ValueError(f"{name!r} must be a list of ids")
            for member in map(_composed, members):
                if member in split:
                    what = "sketch" if "__" in member else "photo"
                    raise ValueError(f"{what} {member[:100]!r} is listed twice, in {split[member]!r} and in {name!r}")
                split[member] = name
        of_sketch = next((member for member in split if "__" in member), None)
        of_photo = next((member for member in split if "__" not in member), None)
        if of_sketch is not None and of_photo is not None:
            raise ValueError(
                f"lists the photo {of_photo[:100]!r} and the sketch {of_sketch[:100]!r}: list either photos or sketches"
            )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if of_sketch is not None:
        return split, True
    if missing := sorted(split.keys() - photos.keys()):
        skipped.append((SPLITS_FILE, f"lists {_first(missing)}, but there is no such photo"))
    skipped += [(photos[photo], f"{SPLITS_FILE} does not list it") for photo in sorted(photos.keys() - split.keys())]
    return {photo: name for photo, name in split.items() if photo in photos}, False


def _conditions(folder: Path, drawings: Drawings, sketches: int, skipped: list[tuple[str, str]]) -> dict[str, str]:
    """The condition of each sketch that conditions.csv names; what it says of others goes to `skipped`."""
    path = folder / CONDITIONS_FILE
    if not path.exists() and not path.is_symlink():
        return {}
    text = read_text_inside(folder, path, _most_bytes(sketches))
    found: dict[str, str] = {}
    try:
        if (lines := text.count("\n")) > _most_lines(sketches):
            raise ValueError(f"{lines:,} lines for {sketches:,} sketches")
        for number, row in enumerate(csv.reader(text.splitlines()), start=1):
            if not row or (number == 1 and [cell.strip().lower() for cell in row] == ["sketch", "name"]):
                continue
            if len(row) != 2:
                raise ValueError(f"line {number}: {len(row)} cells, not a sketch and a name")
            sketch, name = _composed(row[0].strip()), row[1].strip()
            if not name.isprintable() or not 0 < len(name) <= MAX_CONDITION:
                raise ValueError(f"line {number}: {name[:40]!r} is no name of up to {MAX_CONDITION} characters")
            if found.setdefault(sketch, name) != name:
                raise ValueError(f"line {number}: sketch {sketch[:100]!r} has two conditions")
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}") from None
    there = {sketch for sketch in drawings.ids if sketch in found}
    if missing := sorted(found.keys() - there):
        skipped.append((CONDITIONS_FILE, f"names {_first(missing)}, but there is no such sketch"))
    return {sketch: name for sketch, name in found.items() if sketch in there}


def _most_lines(files: int) -> int:
    """Most names in a list about so many files."""
    return 2 * files + 1_000


def _most_bytes(files: int) -> int:
    """Most bytes of a list about so many files."""
    return min(MAX_LIST_BYTES, 1_000 * _most_lines(files))


def _text(folder: Path, name: str) -> str:
    path = folder / name
    if not path.exists() and not path.is_symlink():
        return ""
    return printable(read_text_inside(folder, path, MAX_TEXT_BYTES).strip())
