"""Fingerprints of the photos that a student was trained on, and warnings when it ranks them.

Accuracy on photos of the training is too high. Cards hold fingerprints of the photos' pixels instead of names, since a
data set may be copied under other names, and other photos may have the same names.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from sketchcanvas_env.data import DATASETS, FOLDER_DATASETS, RECOGNITION, SketchDataset

_DIGITS = 12
"""Hexadecimal digits of a SHA-256: 48 bits; accidental matches are unlikely."""
MAX_FINGERPRINTS = 40_000
"""Fingerprints on a card (half a megabyte), at most; of more photos the smallest ones, which are a random sample."""


def fingerprints(dataset: SketchDataset, photos: Iterable[str]) -> set[str]:
    """Fingerprints of some photos of a data set: 12 hexadecimal digits of the SHA-256 of their pixels."""
    return {sha256(dataset.photo(photo).tobytes()).hexdigest()[:_DIGITS] for photo in photos}


def to_card(found: set[str]) -> str:
    """Fingerprints as text, for the card's field "seen"."""
    return " ".join(sorted(found)[:MAX_FINGERPRINTS])


def from_card(card: dict[str, Any]) -> set[str]:
    """The fingerprints on a card; empty for a card without any."""
    seen = card.get("seen")
    return set(seen.split()) if isinstance(seen, str) else set()


def leakage_warning(card: dict[str, Any], dataset: SketchDataset, splits: Iterable[str]) -> str:
    """A warning if a student was, or may have been, trained on photos of the given splits; empty if it was not.

    Args:
        card: the student's card.
        dataset: the data set to rank; all photos of the splits are read if the card has fingerprints.
        splits: splits whose galleries are ranked.
    """
    if dataset.task == RECOGNITION:  # sketches are ranked among classes, not photos
        return ""
    if seen := from_card(card):
        photos = {photo for split in splits for photo in dataset.gallery(split).tolist()}
        common = sum(len(fingerprints(dataset, [photo]) & seen) for photo in sorted(photos))
        if not common:
            return ""
        return f"the student was trained on {common} of these {len(photos)} photos: its accuracy on them is too high"
    source = card.get("dataset")
    if card.get("dataset_hash") == dataset.hash or _share_no_photo(source, dataset.name):
        return ""
    known = source or "a data set that its card does not name"
    return f"the student was trained on {known}: whether also on these photos is not known; accuracy may be too high"


def _share_no_photo(one: Any, other: str) -> bool:
    """Whether two names are of different published data sets; a folder may hold any photos."""
    published = {*DATASETS, *FOLDER_DATASETS} - {"folder"}
    if one not in published or other not in published:
        return False
    # After an underscore a name has the part or the task of a data set.
    return str(one).partition("_")[0] != other.partition("_")[0]
