"""What every data set looks like once loaded: sketches, photos, who belongs to whom, and four splits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.untrusted import printable

SPLITS = ("student", "train", "val", "test")
"""`student` trains teacher and student, `train` the selectors, `val` chooses among them, `test` is touched once.

A student's ranks on its own training sketches are near perfect at every canvas, so a selector learns nothing
from them: hence four splits, not three.
"""

SHARED = ("train", "val", "test")
"""The splits that share a known gallery (`SketchDataset.known_gallery`)."""

RETRIEVAL, RECOGNITION = TASKS = ("retrieval", "recognition")
"""What sketches are ranked among: photos, or classes (`sketchcanvas_env.data.recognition`)."""

_GROUPS, _NAMES = 20, 20
_WARNED = 5


class SkippedDataWarning(UserWarning):
    """Part of a data set could not be used and was left out; `SketchDataset.skipped` says what, and why.

    Attributes:
        summary: the message without what to do about it in Python.
    """

    def __init__(self, summary: str) -> None:
        """Take what was left out, in one line."""
        self.summary = summary
        super().__init__(f"{summary}; the data set's `skipped` lists all, and strict=True refuses them")


MAX_CONDITIONS = 100
"""Most conditions by which reports are split."""
NO_CONDITION = "(none)"
"""The group of sketches without a condition."""


@dataclass(frozen=True, eq=False)
class SketchDataset:
    """Vector sketches paired with photos, in four splits.

    Usually the photos are split: a photo and all its sketches lie in one split, and every split has a gallery of its
    own. With `known_gallery` the sketches are split instead: `train`, `val` and `test` share one gallery, and a photo
    may have sketches in several of them.

    Attributes:
        name: the data set's name.
        hash: sha256 (hex) of everything below that decides a result.
        sketch_ids: (N,) str, unique.
        photo_ids: (N,) str, the true photo of each sketch.
        split: (N,) str, one of `SPLITS`.
        level: (N,) int8, abstraction level 0 to 3; 0 throughout where a data set has none.
        galleries: per split, the ids of the photos that its sketches are ranked among; empty for a split that the data
            set does not have.
        licence: what the data may be used for, and who made it.
        citation: what to cite in a publication; empty where nothing is asked for.
        skipped: (name, reason) of every file or sketch that could not be used.
        classes: (N,) str, the class of each sketch; None where a data set has no classes.
        task: one of `TASKS`. For recognition `photo_ids` and `galleries` hold classes, and `photo` gives a picture of a
            class for people to look at.
        known_gallery: whether the sketches are split and `train`, `val` and `test` share one gallery of photos, so that
            selectors are judged by new drawings of photos whose other drawings they have learned from. False for
            recognition, where the classes are always the same.
        conditions: (N,) str, the condition under which each sketch was made, "" where none is known; None where a data
            set has none. Reports are split by it (`groups`).
        notes: what a user should know of how the data were read, a sentence each.

    Raises:
        ValueError: `known_gallery` with galleries that differ.
    """

    name: str
    hash: str
    sketch_ids: NDArray[np.str_]
    photo_ids: NDArray[np.str_]
    split: NDArray[np.str_]
    level: NDArray[np.int8]
    galleries: Mapping[str, NDArray[np.str_]]
    licence: str
    read_sketch: Callable[[int], VectorSketch]
    read_photo: Callable[[str], NDArray[np.uint8]]
    citation: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    classes: NDArray[np.str_] | None = None
    task: str = RETRIEVAL
    known_gallery: bool = False
    conditions: NDArray[np.str_] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that a known gallery is one gallery."""
        first = self.galleries[SHARED[0]]
        if self.known_gallery and any(not np.array_equal(first, self.galleries[name]) for name in SHARED):
            raise ValueError(f"data set {self.name!r} has a known gallery, but its splits have different ones")

    def __len__(self) -> int:
        """Number of sketches."""
        return len(self.sketch_ids)

    def __repr__(self) -> str:
        """One line: the arrays would fill hundreds."""
        counts = {name: len(self.indices(name)) for name in SPLITS}
        splits = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
        return f"<SketchDataset {self.name} for {self.task}: {len(self)} sketches ({splits})>"

    def groups(self) -> tuple[NDArray[np.int8], tuple[str, ...]]:
        """What reports are split by: the number of each sketch's condition, (N,) int8, and the conditions' names.

        Sketches without a condition belong to `NO_CONDITION`. Without conditions, or with more than
        `MAX_CONDITIONS`, the numbers are the abstraction levels, and there are no names.
        """
        if self.conditions is None:
            return self.level, ()
        names, numbers = np.unique(np.where(self.conditions == "", NO_CONDITION, self.conditions), return_inverse=True)
        if len(names) > MAX_CONDITIONS:
            return self.level, ()
        return numbers.astype(np.int8), tuple(names.tolist())

    def sketch(self, index: int) -> VectorSketch:
        """The sketch in row `index`.

        Raises:
            IndexError: no such row.
            ValueError: its file is gone or changed since the data set was loaded.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"data set {self.name!r} has sketches 0 to {len(self) - 1}, not {index}")
        return self.read_sketch(index)

    def photo(self, photo_id: str) -> NDArray[np.uint8]:
        """A photo on white paper, uint8 of shape (H, W, 3), the same for all photos of the data set.

        Raises:
            KeyError: no such photo.
            ValueError: its file is gone or changed since the data set was loaded, or the data set has no photos, only
                categories.
        """
        return self.read_photo(photo_id)

    def gallery(self, split: str) -> NDArray[np.str_]:
        """Ids of the photos that the sketches of a split are ranked among, (G,) str; G may be 0.

        Raises:
            ValueError: unknown split; the message lists what exists.
        """
        return self.galleries[check_split(split)]

    def indices(self, split: str) -> NDArray[np.int64]:
        """Rows of a split's sketches, (n,) int64, ascending.

        Raises:
            ValueError: unknown split; the message lists what exists.
        """
        return np.flatnonzero(self.split == check_split(split))

    def some_indices(self, split: str) -> NDArray[np.int64]:
        """As `indices`, but at least one.

        Raises:
            ValueError: unknown split, or one without sketches; the message names those that have some.
        """
        rows = self.indices(split)
        if not len(rows):
            there = ", ".join(name for name in SPLITS if len(self.indices(name)))
            raise ValueError(f"data set {self.name!r} has no sketch in split {split!r}, only in {there or 'none'}")
        return rows


def check_split(split: str) -> str:
    """The split's name.

    Raises:
        ValueError: unknown; the message lists what exists.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    return split


def grouped(skipped: Sequence[tuple[str, str]], groups: int = _GROUPS, names: int = _NAMES) -> list[str]:
    """One line for each reason, of many things the first: "a.png, b.png and 98 more: no such file".

    Args:
        skipped: (name, reason) of each file or sketch.
        groups: most lines; what further ones would say is counted in one more.
        names: most names in a line.
    """
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped:
        by_reason.setdefault(reason, []).append(name)
    lines = []
    for reason, members in list(by_reason.items())[:groups]:
        more = f" and {len(members) - names:,} more" if len(members) > names else ""
        lines.append(printable(f"{', '.join(members[:names])}{more}: {reason}").replace("\n", "\\n"))
    rest = sum(map(len, list(by_reason.values())[groups:]))
    return [*lines, f"and {rest:,} more"] if rest else lines


def report_skipped(what: str, skipped: Sequence[tuple[str, str]], refuse: bool, above: int = 0) -> None:
    """Say what cannot be used: the first of it in a warning, or more of it in an error.

    The warning points at the caller of `sketchcanvas_env.data.load`.

    Args:
        what: how much of which data set can be used, as in "shoes in DIR: 38 of 40 sketches and 19 of 20 photos".
        skipped: (name, reason) of each file or sketch.
        refuse: raise instead of warn.
        above: functions between the loader and this one; 0 where the loader itself calls it.

    Raises:
        ValueError: something is skipped, and `refuse`.
    """
    if skipped and refuse:
        raise ValueError("\n  ".join([f"{what} can be used; these cannot be used:", *grouped(skipped)]))
    if skipped:
        warnings.warn(
            SkippedDataWarning(f"{what} are used; left out: {'; '.join(grouped(skipped, _WARNED, _WARNED))}"),
            stacklevel=4 + above,  # past this function, the loader and `load`
        )
