"""The names of all data sets, and `load`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import sha256
from os import PathLike
from pathlib import Path

from sketchcanvas_env.data.dataset import SketchDataset
from sketchcanvas_env.data.emoji import load_emoji
from sketchcanvas_env.data.folds import FOLDS, crossfitted, fold
from sketchcanvas_env.data.formats.folder import load_folder
from sketchcanvas_env.data.formats.fscoco import load_fscoco
from sketchcanvas_env.data.formats.qmul import load_qmul
from sketchcanvas_env.data.formats.quickdraw import load_quickdraw
from sketchcanvas_env.data.formats.sketchy import load_sketchy
from sketchcanvas_env.data.known import new_drawings
from sketchcanvas_env.data.recognition import recognition


@lru_cache(maxsize=1)
def _emoji_known() -> SketchDataset:
    return new_drawings(load_emoji(), "train", "emoji_known")


DATASETS: dict[str, Callable[[], SketchDataset]] = {
    "emoji": load_emoji,
    "emoji_known": _emoji_known,
    "emoji_recognition": lambda: recognition(load_emoji()),
}
"""Loader of every data set that needs no folder, by name."""

FOLDER_DATASETS: dict[str, Callable[[str | PathLike[str] | None, bool], SketchDataset]] = {
    "chairv2": partial(load_qmul, "ChairV2"),
    "shoev2": partial(load_qmul, "ShoeV2"),
    "sketchy": load_sketchy,
    "fscoco": load_fscoco,
    "quickdraw": load_quickdraw,
    "quickdraw_recognition": lambda root, strict: recognition(load_quickdraw(root, strict)),
    "folder": load_folder,
}
"""Loader of every data set that is read from a folder of the user's, by name; called with `root` and `strict`."""


def _part(
    make: Callable[[SketchDataset, int], SketchDataset],
    number: int,
    root: str | PathLike[str] | None,
    strict: bool,
) -> SketchDataset:
    # Under the one name, so that the whole is read once for all its parts.
    whole = load(f"chairv2:{os.fspath(root)}") if root is not None and not strict else load("chairv2", root, strict)
    return make(whole, number)


# ChairV2 is too small for four splits: `sketchcanvas_env.data.folds`.
for _number in range(FOLDS):
    FOLDER_DATASETS[f"chairv2_fold{_number}"] = partial(_part, fold, _number)
    FOLDER_DATASETS[f"chairv2_crossfit{_number}"] = partial(_part, crossfitted, _number)

_FOR_SELECTORS = {"train": "be trained", "val": "be chosen"}
"""What selectors cannot do without sketches in a split."""


def what_lacks(dataset: str, split: str) -> str:
    """What selectors cannot do where a data set has no sketch in a split, and the way out; "" where nothing is lost.

    Example:
        >>> what_lacks("folder", "val")
        "no selector can be chosen without sketches in 'val': list photos that have some under 'val' in splits.json"
    """
    if split not in _FOR_SELECTORS:
        return ""
    crossfits = [name for name in FOLDER_DATASETS if name.startswith(f"{dataset.partition('_fold')[0]}_crossfit")]
    if crossfits:
        way = f"take {', '.join(crossfits)}, made of the same photos (students/tables/crossfit.py has the commands)"
    else:
        way = f"list photos that have some under {split!r} in splits.json"
        if dataset != "folder":
            way = f"write it as a folder of yours with 'sketchcanvas data import', and {way}"
    return f"no selector can {_FOR_SELECTORS[split]} without sketches in {split!r}: {way}"


_loaded: dict[tuple[str, str], tuple[str, SketchDataset]] = {}


def load(
    name: str = "emoji",
    root: str | PathLike[str] | None = None,
    strict: bool = False,
    format: str | None = None,
    keep_place: bool = False,
) -> SketchDataset:
    """Load a data set.

    Args:
        name: one of `DATASETS` or `FOLDER_DATASETS`; "NAME:ROOT" says name and root in one string, which is how an
            environment is told where its data are: `gym.make("SketchCanvas-v0", dataset="folder:DIR", table=FILE)`.
            So named, a data set is read once in a process for each state of its files: equal names give one object.
        root: the folder that holds it, for those of `FOLDER_DATASETS`.
        strict: refuse files and sketches that cannot be used, instead of leaving them out with a warning.
        format: of `folder` only: what its `.json` and `.npy` files are, where they do not tell
            (`sketchcanvas_env.data.formats.conventions`).
        keep_place: of `folder` only: scale SVGs by their page and not by their bounding box.

    Warns:
        SkippedDataWarning: something was left out: how much, and the first names.

    Raises:
        ValueError: unknown name (the message lists what exists), a root that is missing (it says what must be there),
            given twice or not needed, `format` or `keep_place` for another data set than `folder`, data that are not
            what their name says, or `strict` and something cannot be used.
        FileNotFoundError: the folder is not laid out as it must be.
    """
    short, colon, inner = name.partition(":")
    if format is not None or keep_place:
        if short != "folder":
            raise ValueError(f"the data set {short!r} takes no format and keeps no places: only 'folder' does")
        if colon and root is not None:
            raise ValueError(f"say where the data are once, as 'folder:DIR' or by themselves, not with {name!r}")
        return load_folder(inner or root, strict, format, keep_place)
    if colon and short in FOLDER_DATASETS:
        if root is not None or not inner:
            raise ValueError(f"say where the data are once, as {short + ':DIR'!r} or by themselves, not with {name!r}")
        if strict:
            return FOLDER_DATASETS[short](inner, strict)
        key, state = (short, os.path.realpath(Path(inner).expanduser())), _state_of(inner)
        if key not in _loaded or _loaded[key][0] != state:
            _loaded[key] = state, FOLDER_DATASETS[short](inner, strict)
        return _loaded[key][1]
    if name in FOLDER_DATASETS:
        return FOLDER_DATASETS[name](root, strict)
    if short not in DATASETS:
        known = ", ".join([*sorted(DATASETS), *FOLDER_DATASETS])
        raise ValueError(f"unknown data set {name!r}; there are {known}")
    if root is not None or colon:
        raise ValueError(f"the data set {short!r} needs no root: it is not read from a folder")
    return DATASETS[short]()


def _state_of(root: str) -> str:
    """Changes when a file below a folder is added, removed, renamed or written."""
    digest = sha256()
    for place, folders, files in os.walk(Path(root).expanduser()):
        folders.sort()
        for file in sorted(files):
            path = os.path.join(place, file)
            # A link is followed, a broken one is not: only the state matters here, whatever the file is.
            state = os.stat(path) if os.path.exists(path) else os.lstat(path)
            digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
