"""QMUL's ChairV2 and ShoeV2: people's sketches of a photo that they had just seen, with their strokes.

The data sets are read from where the user keeps them; nothing of them comes with the package. Published counts differ
between releases, so the files themselves say what there is:

    ROOT/ChairV2_Coordinate     a pickle {"/train/<photo>_<suffix>": float array (N, 3), "/test/<photo>_<suffix>": ...}
    ROOT/photo/<photo>.png      or ROOT/photo_chairV2/; ShoeV2 likewise

A suffix is a number nearly always; in three test sketches of ChairV2 it is a worker's id.
A row of the array is x, y on a canvas of 256 x 256 and whether the point is the last one of its stroke.

Splits: the official test keys are `test`. A fifth of the training photos, chosen by a fixed seed among the sorted ids,
are `val`, and the rest are `student`. `train` is empty: 300 photos are too few for four splits. A gallery holds the
photos that its split's keys name; files that no key names are not part of the data set.

The strokes of a loaded data set are mapped from the disk (`sketchcanvas_env.data.stroke_store`); while it is
loaded, all of the pickle lies in memory.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset, report_skipped
from sketchcanvas_env.data.formats.unpickle import MAX_BYTES, arrays_of
from sketchcanvas_env.data.pictures.photos import on_white, read_png
from sketchcanvas_env.data.stroke_store import Writer, stored
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.cache import key_of
from sketchcanvas_env.storage.untrusted import read_inside

CANVAS = 256.0
"""Side of the canvas that the published coordinates lie on."""
EDGE = 0.5
"""Units of that canvas by which a point may overstep its edge, and is put onto it; more is taken for damage."""
VAL_SHARE = 0.2
VAL_SEED = 0
MAX_PHOTO_BYTES = 8 * 2**20
_VERSION = 1  # of what is made of a file

LICENCE = (
    "unknown; published by QMUL (Queen Mary University of London) for research, used from where it lies and not part "
    "of this package"
)
CITATION = (
    "Q. Yu, F. Liu, Y.-Z. Song, T. Xiang, T. M. Hospedales, C. C. Loy: Sketch Me That Shoe, CVPR 2016; "
    "the QMUL-ShoeV2 and QMUL-ChairV2 data sets, https://sketchx.eecs.qmul.ac.uk/downloads/"
)

# A photo's name is a file's name and nothing more: no folder, no drive, nothing hidden.
_KEY = re.compile(r"/(train|test)/([^/\\:.][^/\\:]{0,160})")
_FORM = "its key is not of the form /train/<photo>_<suffix> or /test/<photo>_<suffix>"


@dataclass(frozen=True)
class _Sketch:
    """A sketch that can be used, with the array that it was read from."""

    sketch_id: str
    photo: str
    points: NDArray[np.floating]
    drawing: VectorSketch


def load_qmul(release: str, root: str | PathLike[str] | None, strict: bool = False) -> SketchDataset:
    """Read a data set from its published folder; the photos are checked now and decoded again when asked for.

    Args:
        release: "ChairV2" or "ShoeV2".
        root: the folder; the text of this module says what is in it.
        strict: refuse the folder for any photo or sketch that cannot be used, instead of leaving it out.

    Returns:
        The data set, named as the release in lower case. `skipped` names what was left out, and why: photos that are
        missing, damaged or huge, with their sketches; sketches that are empty, not finite, off the canvas, of another
        shape, of training photos that are test photos too, or with keys of another form.

    Warns:
        SkippedDataWarning: something was left out: how much, and the first names.

    Raises:
        FileNotFoundError: the folder lacks the pickle or the photos.
        ValueError: no root, or the pickle is not what is published (it is never executed), or nothing in it can be
            used, or `strict` and something cannot.
    """
    layout = f"{release}_Coordinate and {' or '.join(f'{name}/' for name in _photo_folders(release))}"
    if root is None:
        raise ValueError(
            f"{release} does not come with this package: name it as {release.lower()}:DIR, QMUL's folder with {layout}"
        )
    folder = Path(root).expanduser()
    coordinates = folder / f"{release}_Coordinate"
    photo_folder = next((folder / name for name in _photo_folders(release) if (folder / name).is_dir()), None)
    if photo_folder is None or not coordinates.exists():
        raise FileNotFoundError(f"{folder} is not {release} as QMUL publishes it: there must be {layout}")
    try:
        data = read_inside(folder, coordinates, MAX_BYTES)
        arrays = arrays_of(data)
        if not arrays:
            raise ValueError("holds no sketch")
    except ValueError as error:
        raise ValueError(f"{coordinates}: {error}") from None

    skipped: list[tuple[str, str]] = []
    keys = _parsed(sorted(arrays), {path.stem for path in photo_folder.glob("*.png")}, skipped)
    split = _splits({(part, photo) for part, photo, _ in keys.values()})
    digests = _digests(folder, photo_folder, sorted(split), skipped)

    def parse(writer: Writer) -> dict[str, Any]:
        wrong: list[tuple[str, str]] = []
        content = sha256()
        for sketch in _sketches(arrays, keys, split, wrong):
            if sketch.photo in digests:
                _add_to(content, sketch)
                writer.add(sketch.drawing, ids=sketch.sketch_id, photos=sketch.photo, splits=split[sketch.photo])
        for photo, digest in digests.items():
            content.update(f"{photo} {split[photo]} {digest}\n".encode())
        return {"hash": content.hexdigest(), "skipped": wrong}

    key = key_of(release, _VERSION, sha256(data).hexdigest(), digests)
    sketches = stored(key, ("ids", "photos", "splits"), parse)
    skipped += [(name, reason) for name, reason in sketches.note["skipped"]]
    report_skipped(
        f"{release} in {folder}: {len(sketches)} of {len(arrays)} sketches and {len(digests)} of {len(split)} photos",
        skipped,
        refuse=strict or not len(sketches),
    )

    def read_photo(photo_id: str) -> NDArray[np.uint8]:
        if photo_id not in digests:
            raise KeyError(f"{release} in {folder} has no photo {photo_id!r}")
        path = photo_folder / f"{photo_id}.png"
        try:
            data = read_inside(folder, path, MAX_PHOTO_BYTES)
            if sha256(data).hexdigest() != digests[photo_id]:
                raise ValueError("changed since the data set was loaded; load it anew")
            return on_white(read_png(data))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    return SketchDataset(
        name=release.lower(),
        hash=sketches.note["hash"],
        sketch_ids=sketches.texts["ids"],
        photo_ids=sketches.texts["photos"],
        split=sketches.texts["splits"],
        level=np.zeros(len(sketches), dtype=np.int8),
        galleries={name: np.array([p for p in digests if split[p] == name], dtype=np.str_) for name in SPLITS},
        licence=LICENCE,
        citation=CITATION,
        skipped=tuple(skipped),
        read_sketch=sketches.sketch,
        read_photo=read_photo,
    )


def _photo_folders(release: str) -> tuple[str, str]:
    return "photo", f"photo_{release[0].lower()}{release[1:]}"


def _parsed(
    keys: Iterable[str], photos: Collection[str], skipped: list[tuple[str, str]]
) -> dict[str, tuple[str, str, str]]:
    """Part, photo and sketch id of every key, given the photos that are there; what is no key goes to `skipped`."""
    found = {}
    for key in keys:
        match = _KEY.fullmatch(key)
        photo = _photo_of(match[2], photos) if match and key.isprintable() else ""
        if match and photo:
            found[key] = match[1], photo, match[2]
        else:
            skipped.append((key[:200], _FORM))
    return found


def _photo_of(sketch: str, photos: Collection[str]) -> str:
    """The photo of a sketch called <photo>_<suffix>; "" for another name.

    The last underscore decides, unless what stands behind it is no number and a longer suffix leaves a photo's name.
    """
    photo, _, suffix = sketch.rpartition("_")
    if not suffix:
        return ""
    if not suffix.isdecimal():
        shorter = photo
        while shorter and shorter not in photos:
            shorter = shorter.rpartition("_")[0]
        photo = shorter or photo
    return photo


def _splits(photos: set[tuple[str, str]]) -> dict[str, str]:
    """The split of every photo, from all (part, photo) that the keys name.

    Photos that cannot be read count too: a file that goes missing moves no other photo to another split.
    """
    split = {photo: "test" for part, photo in photos if part == "test"}
    trained = sorted({photo for _, photo in photos} - set(split))
    shuffled = np.random.RandomState(VAL_SEED).permutation(len(trained))
    held_out = set(shuffled[: round(VAL_SHARE * len(trained))].tolist())
    return split | {photo: "val" if i in held_out else "student" for i, photo in enumerate(trained)}


def _digests(root: Path, folder: Path, photos: Iterable[str], skipped: list[tuple[str, str]]) -> dict[str, str]:
    """sha256 of every photo's file that can be decoded, by id in the order of `photos`; the others go to `skipped`."""
    digests = {}
    for photo in photos:
        path = folder / f"{photo}.png"
        try:
            data = read_inside(root, path, MAX_PHOTO_BYTES)
            read_png(data)
        except ValueError as error:
            skipped.append((f"{folder.name}/{path.name}", str(error)))
        else:
            digests[photo] = sha256(data).hexdigest()
    return digests


def _sketches(
    arrays: Mapping[str, NDArray[np.floating]],
    keys: Mapping[str, tuple[str, str, str]],
    split: Mapping[str, str],
    skipped: list[tuple[str, str]],
) -> Iterator[_Sketch]:
    """The sketches that can be used, in the order of their keys; the others go to `skipped`."""
    for key, (part, photo, sketch_id) in keys.items():
        try:
            if part == "train" and split[photo] == "test":
                raise ValueError("a training sketch of a test photo")
            sketch = _Sketch(sketch_id, photo, arrays[key], _drawing(arrays[key]))
        except ValueError as error:
            skipped.append((key, str(error)))
        else:
            yield sketch


def _drawing(points: NDArray[np.floating]) -> VectorSketch:
    """The sketch of an array (N, 3); a last stroke without an end mark ends with the array."""
    if points.size == 0:
        raise ValueError("empty: it has no points")
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"an array of shape {points.shape}, not (points, 3)")
    if not np.isfinite(points).all():
        raise ValueError("a number that is not finite")
    last = points[:, 2] == 1.0
    if not (last | (points[:, 2] == 0.0)).all():
        raise ValueError("a stroke's end marked with neither 0 nor 1")
    low, high = float(points[:, :2].min()), float(points[:, :2].max())
    if low < -EDGE or high > CANVAS + EDGE:
        raise ValueError(f"off the canvas: coordinates from {low:.6g} to {high:.6g}, not from 0 to {CANVAS:g}")
    unit = np.clip(points[:, :2].astype(np.float64) / CANVAS, 0.0, 1.0)
    return VectorSketch.from_strokes(np.split(unit, np.flatnonzero(last[:-1]) + 1))


def _add_to(content: Any, sketch: _Sketch) -> None:
    """Add what decides a result to a hash."""
    points = np.ascontiguousarray(sketch.points, dtype="<f8")
    content.update(f"{sketch.sketch_id} {sketch.photo} {len(points)}\n".encode())
    content.update(points.tobytes())
