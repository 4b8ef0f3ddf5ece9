"""Pictures to embed: those below a folder, or the photos of a data set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data import DATASETS, SPLITS
from sketchcanvas_env.data.file_dataset import MAX_PHOTO_BYTES
from sketchcanvas_env.data.pictures.photos import on_white, padded, read_picture
from sketchcanvas_env.storage.untrusted import is_left_behind, read_inside

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Endings of picture files; others are skipped."""

FOLDER, DATASET = "folder", "dataset"
ALL = "all"
"""In place of a split: the photos of all galleries."""
MAX_PHOTOS = 1_000_000
MAX_ID = 512
"""Characters of a picture's path below its folder."""


@dataclass(frozen=True)
class Pictures:
    """Pictures to embed."""

    kind: str
    source: str
    ids: tuple[str, ...]
    states: NDArray[np.int64]  # (n, 2), as of an index
    read: Callable[[str], NDArray[np.uint8]]  # (256, 256, 3); ValueError says why there is none
    fingerprint: str  # changes when any picture does
    skipped: tuple[tuple[str, str], ...] = ()  # (name, reason) of files that are not even opened


def open_pictures(source: str | os.PathLike[str]) -> Pictures:
    """The pictures of a folder, or of NAME:SPLIT.

    Raises:
        FileNotFoundError: neither.
        ValueError: more than `MAX_PHOTOS`.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        try:
            name, split = parse_split(os.fspath(source))
        except ValueError as error:
            raise FileNotFoundError(f"{source} is no folder of pictures, and {error}") from None
        dataset = DATASETS[name]()
        splits = SPLITS if split == ALL else (split,)
        ids = tuple(dict.fromkeys(photo for one in splits for photo in dataset.gallery(one).tolist()))
        unknown = np.zeros((len(ids), 2), np.int64)
        return Pictures(DATASET, f"{name}:{split}", ids, unknown, dataset.photo, f"{dataset.hash} {split}")
    names, states, skipped = [], [], []
    digest = hashlib.sha256(os.path.realpath(folder).encode(errors="surrogateescape"))
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        reason = unfit(name)
        if path.suffix.lower() not in PICTURES:
            reason = f"its ending is none of {', '.join(PICTURES)}"
        elif path.is_symlink() and path.is_dir():
            reason = "a link to a folder: only folders themselves are searched"
        try:
            state = os.stat(path)
        except OSError as error:  # a link to nowhere
            reason = reason or f"cannot be read: {error.strerror}"
        if reason:
            skipped.append((told(name), reason))
            continue
        digest.update(f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
        names.append(name)
        states.append((state.st_size, state.st_mtime_ns))
    if len(names) > MAX_PHOTOS:
        raise ValueError(f"{source} holds {len(names):,} pictures; an index has at most {MAX_PHOTOS:,}")
    return Pictures(
        FOLDER,
        os.path.abspath(folder),
        tuple(names),
        np.array(states, np.int64).reshape(-1, 2),
        lambda name: read_photo(folder, name),
        digest.hexdigest(),
        tuple(skipped),
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder in a fixed order, without files such as .DS_Store and Thumbs.db."""
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        folders[:] = sorted(name for name in folders if not is_left_behind(name) and name not in links)
        for name in sorted((*files, *links)):
            if not is_left_behind(name):
                yield Path(place, name)


def parse_split(source: str) -> tuple[str, str]:
    """Data set and split of "NAME:SPLIT"; ValueError if either does not exist."""
    name, _, split = source.partition(":")
    if name not in DATASETS or split not in (*SPLITS, ALL):
        raise ValueError(f"{source[:100]!r} is no split of a data set that comes with the package, as emoji:test is")
    return name, split


def read_photo(folder: Path, name: str) -> NDArray[np.uint8]:
    """A picture below a folder, (256, 256, 3) uint8; ValueError says why there is none."""
    return on_white(padded(read_picture(read_inside(folder, folder / name, MAX_PHOTO_BYTES))))


def unfit(name: str) -> str:
    """Why a path cannot be a picture's name in an index; empty if it can."""
    if not name.isprintable():  # a line break, a terminal's commands, bytes that are no text
        return "its name has characters that cannot be printed"
    if len(name) > MAX_ID:
        return f"its path is longer than {MAX_ID} characters"
    if not name or name.startswith("/") or ".." in name.split("/"):
        return "it is not a path below the folder"
    return ""


def told(name: str) -> str:
    """The name, shortened and escaped so that a terminal can print it."""
    return name[:MAX_ID] if name[:MAX_ID].isprintable() else ascii(name[:MAX_ID])
