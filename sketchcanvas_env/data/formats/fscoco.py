"""FS-COCO: scenes of MS-COCO that a hundred people drew from memory, with their strokes.

The data set is read from where the user keeps it; nothing of it comes with the package. As it is published:

    ROOT/images/<user>/<id>.jpg
    ROOT/vector_sketches/<user>/<id>.npy     users 1 to 100
    ROOT/val_normal.txt                      one id a line: some scenes of every user
    ROOT/val_unseen_user.txt                 all scenes of some users

An array has rows x, y, flag in drawing order: 0 where the pen stays down, 1 at the last point of a stroke, 2 at the
last of the drawing. The size of its canvas is not published. So a drawing is scaled by its bounding box, with its
aspect kept, and photos are laid on a white square: nothing is stretched on either side. The authors' own baseline pads
both in the same way.

Splits: `test` is val_normal.txt. `val` is what val_unseen_user.txt names beside that; the users who drew it have scenes
in `test` as well, but in no other split. The rest is training data: `train` takes half of it, but no more than `test`
has, and `student` what is left. Every scene was drawn once, so no photo lies in two splits.
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

import numpy as np

from sketchcanvas_env.data.dataset import SketchDataset
from sketchcanvas_env.data.file_dataset import Contents, Drawings, Layout, in_folder, read_files, reported
from sketchcanvas_env.data.formats.parse import MAX_NPY_BYTES, cut, read_npy
from sketchcanvas_env.data.pictures.photos import padded
from sketchcanvas_env.data.splits import divided
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.untrusted import read_text_inside

USERS = 100
MAX_LIST_BYTES = 2**20

LICENCE = (
    "the licence of FS-COCO is stated where it is published, https://fscoco.github.io; the photos are of MS-COCO and "
    "have licences of their own; used from where it lies and not part of this package"
)
CITATION = (
    "P. N. Chowdhury, A. Sain, A. K. Bhunia, T. Xiang, Y. Gryaditskaya, Y.-Z. Song: FS-COCO: Towards Understanding of "
    "Freehand Sketches of Common Objects in Context, ECCV 2022"
)
_ID = re.compile(r"[0-9]{1,20}")
_VERSION = 1  # of what `_sketch` makes of a file
_LISTS = ("val_normal.txt", "val_unseen_user.txt")
_LAYOUT = "vector_sketches/, images/, val_normal.txt and val_unseen_user.txt"


def load_fscoco(root: str | PathLike[str] | None, strict: bool = False) -> SketchDataset:
    """Read FS-COCO from its published folder; everything is checked now.

    Args:
        root: the folder; the text of this module says what is in it.
        strict: refuse the folder for any photo or sketch that cannot be used, instead of leaving it out.

    Returns:
        The data set `fscoco`. `skipped` names what was left out, and why: photos that are missing, damaged or huge,
        with their sketches; sketches that are empty, not finite, of another shape, or of an id that occurs twice.

    Warns:
        SkippedDataWarning: something was left out: how much, and the first names.

    Raises:
        FileNotFoundError: the folder is not laid out so.
        ValueError: no root, a damaged list, nothing that can be used, or `strict` and something cannot.
    """
    if root is None:
        raise ValueError(f"FS-COCO does not come with this package: name it as fscoco:DIR, the folder with {_LAYOUT}")
    folder = Path(root).expanduser()
    wanted = [folder / name for name in ("vector_sketches", "images", *_LISTS)]
    if not all(path.exists() for path in wanted):
        raise FileNotFoundError(f"{folder} is not FS-COCO as it is published: there must be {_LAYOUT}")
    normal, unseen = (_ids(folder, name) for name in _LISTS)

    skipped: list[tuple[str, str]] = []
    drawings = Drawings()
    photos: dict[str, str] = {}
    names: dict[str, str] = {}
    found = {path.stem: path.relative_to(folder).as_posix() for path in sorted(folder.glob("images/*/*.jpg"))}
    for user in map(str, range(1, USERS + 1)):
        for path in sorted((folder / "vector_sketches" / user).glob("*.npy")):
            name, scene = path.relative_to(folder).as_posix(), path.stem
            if not _ID.fullmatch(scene):
                skipped.append((name, "its name is not a number"))
            elif scene in names:
                skipped.append((name, f"{names[scene]} has the same id"))
            else:
                drawings.add(scene, scene, name)
                names[scene] = name
                photos[scene] = found.get(scene, f"images/{user}/{scene}.jpg")
    split = dict.fromkeys(photos.keys() & normal, "test")
    size = len(split)
    split |= dict.fromkeys((photos.keys() & unseen) - normal, "val")
    rest = photos.keys() - split.keys()
    split |= divided(rest, {"train": min(size, len(rest) // 2)})

    layout = Layout(
        name="fscoco",
        root=folder,
        fetch=in_folder(folder, MAX_NPY_BYTES),
        parse=lambda _, data: _sketch(data),
        version=_VERSION,
        square=padded,
        licence=LICENCE,
        citation=CITATION,
    )
    contents = Contents(photos, drawings, split)
    return reported(read_files(layout, contents, skipped), layout, contents, strict)


def _ids(folder: Path, name: str) -> set[str]:
    """The ids that a list names, one a line."""
    words = read_text_inside(folder, folder / name, MAX_LIST_BYTES).split()
    wrong = [word for word in words if not _ID.fullmatch(word)]
    if wrong:
        raise ValueError(f"{folder / name}: {wrong[0][:100]!r} is not an id, a whole number")
    return set(words)


def _sketch(data: bytes) -> VectorSketch:
    rows = read_npy(data)
    if rows.size == 0:
        raise ValueError("empty: it has no points")
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise ValueError(f"an array of shape {rows.shape}, not (points, 3)")
    if not np.isin(rows[:, 2], (0.0, 1.0, 2.0)).all():
        raise ValueError("a flag (third column) other than 0, 1 and 2")
    over = np.flatnonzero(rows[:, 2] == 2.0)
    rows = rows[: over[0] + 1] if len(over) else rows
    return VectorSketch.fit(cut(rows[:, :2], rows[:, 2] > 0.0))
