"""Data sets: `load("emoji")` gives the one that comes with the package."""

from __future__ import annotations

from collections.abc import Callable

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset, check_split
from sketchcanvas_env.data.emoji import load_emoji

__all__ = ["DATASETS", "SPLITS", "SketchDataset", "check_split", "load"]

DATASETS: dict[str, Callable[[], SketchDataset]] = {"emoji": load_emoji}
"""Loader of every data set by name."""


def load(name: str = "emoji") -> SketchDataset:
    """Load a data set.

    Raises:
        ValueError: unknown name; the message lists what exists.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; there are {', '.join(sorted(DATASETS))}")
    return DATASETS[name]()
