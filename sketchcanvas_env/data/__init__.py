"""Data sets: `load("emoji")` gives the one that comes with the package, `load("chairv2", root)` one of your own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from os import PathLike

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset, SkippedDataWarning, check_split
from sketchcanvas_env.data.emoji import load_emoji
from sketchcanvas_env.data.qmul import load_qmul

__all__ = ["DATASETS", "FOLDER_DATASETS", "SPLITS", "SketchDataset", "SkippedDataWarning", "check_split", "load"]

DATASETS: dict[str, Callable[[], SketchDataset]] = {"emoji": load_emoji}
"""Loader of every data set that needs no folder, by name."""

FOLDER_DATASETS: dict[str, Callable[[str | PathLike[str] | None, bool], SketchDataset]] = {
    "chairv2": partial(load_qmul, "ChairV2"),
    "shoev2": partial(load_qmul, "ShoeV2"),
}
"""Loader of every data set that is read from a folder of the user's, by name; called with `root` and `strict`."""


def load(name: str = "emoji", root: str | PathLike[str] | None = None, strict: bool = False) -> SketchDataset:
    """Load a data set.

    Args:
        name: one of `DATASETS` or `FOLDER_DATASETS`.
        root: the folder that holds it, for those of `FOLDER_DATASETS`.
        strict: refuse files and sketches that cannot be used, instead of leaving them out with a warning.

    Warns:
        SkippedDataWarning: something was left out: how much, and the first names.

    Raises:
        ValueError: unknown name (the message lists what exists), a root that is missing (it says what must be there)
            or not needed, data that are not what their name says, or `strict` and something cannot be used.
        FileNotFoundError: the folder is not laid out as it must be.
    """
    if name in FOLDER_DATASETS:
        return FOLDER_DATASETS[name](root, strict)
    if name not in DATASETS:
        known = ", ".join([*sorted(DATASETS), *sorted(FOLDER_DATASETS)])
        raise ValueError(f"unknown data set {name!r}; there are {known}")
    if root is not None:
        raise ValueError(f"the data set {name!r} needs no root: it is not read from a folder")
    return DATASETS[name]()
