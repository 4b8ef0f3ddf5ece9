"""Readable names for photos of an index: names, emoji characters and file paths instead of ids."""

from __future__ import annotations

import os

from students.search.index import PhotoIndex
from students.search.pictures import FOLDER

ALL_EMOJI = "emoji:all"
"""Source of the shipped index that also holds photos its student was trained on."""

TRAINED = "The student was trained on 747 of these 1,597 emoji; the index emoji-test has 350 that are new to it."
"""Note about that index, shown once."""

_EMOJI = "emoji:"  # sources that are galleries of the data set `emoji` begin with it


def title_of(index: PhotoIndex, photo: str) -> str:
    """Readable name of a photo: of its emoji, such as "placard", else the photo's name in the index."""
    if index.kind != FOLDER and index.source.startswith(_EMOJI):
        from sketchcanvas_env.data.emoji import emoji_names

        return emoji_names().get(photo, photo)
    return photo


def character_of(index: PhotoIndex, photo: str) -> str:
    """The emoji that a photo of the data set `emoji` shows, as text; empty for any other photo."""
    if index.kind == FOLDER or not index.source.startswith(_EMOJI):
        return ""
    return "".join(chr(int(code, 16)) for code in photo.split("-"))


def file_of(index: PhotoIndex, photo: str) -> str | None:
    """Path of a photo's file, relative if below the working directory; None for a data set's photo."""
    if index.kind != FOLDER:
        return None
    path = os.path.join(index.source, photo)
    near = os.path.relpath(path)
    return path if near.startswith(os.pardir) else near
