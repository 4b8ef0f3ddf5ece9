"""Photos that a student was trained on, by the fingerprints on its card, and warnings when it ranks them.

A student finds the photos that it was trained on far too well. A card holds fingerprints of their pixels: names would
not do, since a data set may be written under other names, and other photos may bear these.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from sketchcanvas_env.data import DATASETS, FOLDER_DATASETS, RECOGNITION, SketchDataset

_DIGITS = 12
"""Hexadecimal digits of a SHA-256: 48 bits; accidental matches are unlikely."""
MOST = 40_000
"""Fingerprints that a card holds, half a megabyte; of more photos the smallest ones, which is a fair sample."""


def fingerprints(dataset: SketchDataset, photos: Iterable[str]) -> set[str]:
    """Fingerprints of some of a data set's photos: SHA-256 of their pixels, cut short."""
    return {sha256(dataset.photo(photo).tobytes()).hexdigest()[:_DIGITS] for photo in photos}


def on_card(found: set[str]) -> str:
    """Fingerprints as text, for a card's field "seen"."""
    return " ".join(sorted(found)[:MOST])


def of_card(card: dict[str, Any]) -> set[str]:
    """The fingerprints on a card; none where it does not say."""
    seen = card.get("seen")
    return set(seen.split()) if isinstance(seen, str) else set()


def leakage(card: dict[str, Any], dataset: SketchDataset, splits: Iterable[str]) -> str:
    """A warning that a student was, or may have been, trained on photos of some splits; empty if it was not.

    Args:
        card: the student's.
        dataset: has the photos; every one is read if the card has fingerprints.
        splits: whose galleries.
    """
    if dataset.task == RECOGNITION:  # sketches are ranked among classes: no photo is looked at
        return ""
    if seen := of_card(card):
        photos = {photo for split in splits for photo in dataset.gallery(split).tolist()}
        known = sum(len(fingerprints(dataset, [photo]) & seen) for photo in sorted(photos))
        return (
            f"the student was trained on {known} of these {len(photos)} photos: it finds them too well" if known else ""
        )
    source = card.get("dataset")
    if card.get("dataset_hash") == dataset.hash or _are_apart(source, dataset.name):
        return ""
    told = f"the student was trained on {source or 'a data set that its card does not name'}"
    return f"{told}: whether on these photos as well is not known, and it would find those too well"


def _are_apart(one: Any, other: str) -> bool:
    """Whether two names are of published data sets that share no photo; a folder may hold anybody's."""
    published = {*DATASETS, *FOLDER_DATASETS} - {"folder"}
    if one not in published or other not in published:
        return False
    # A part of a data set, or its task, stands behind its name.
    return str(one).partition("_")[0] != other.partition("_")[0]
