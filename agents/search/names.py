"""What photos of an index are called: names, emoji characters and file paths instead of ids."""

from __future__ import annotations

import os

from students.search.index import PhotoIndex
from students.search.pictures import FOLDER

ALL_EMOJI = "emoji:all"
"""Source of the shipped index that holds photos that its student was trained on, too."""

TRAINED = "The student was trained on 747 of these 1,597 emoji; the index emoji-test has 350 that are new to it."
"""What to say of that index, once."""

_EMOJI = "emoji:"  # sources that are galleries of the data set `emoji` begin with it


def title_of(index: PhotoIndex, photo: str) -> str:
    """A photo's name for people: that of its emoji, such as "placard", else the photo's name in the index."""
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
    """The path of a photo's file, from the working directory where it lies below; None for a data set's photo."""
    if index.kind != FOLDER:
        return None
    path = os.path.join(index.source, photo)
    near = os.path.relpath(path)
    return path if near.startswith(os.pardir) else near
