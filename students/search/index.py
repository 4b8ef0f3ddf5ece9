"""The index that a search reads: pictures embedded once, their names and where they lie.

An index is one file of `students.store.cards`, NAME.safetensors. Its tensors:

    embeddings   (G, D) float32 or float16 unit vectors
    ids          UTF-8 text, one picture's name a line
    skipped      UTF-8 text, one line for each picture left out: name, tab, reason
    states       (G, 2) int64, size and time of change of each file, to know which ones to embed anew

Its card names the student, the folder or data set of the pictures, and the versions of the packages that made it. The
pictures' names are a tensor, so the card stays small.

The path of a folder beside or below the index is stored relative to the index, so that both can be moved together; any
other path is absolute. The path of your own student is stored likewise, with "./" before it to tell it from the name of
a shipped one. Searching reads the index only; pictures are opened when they are shown.

    python -m students.search.index emoji:all students/indexes/emoji --half
    python -m students.search.index emoji:test students/indexes/emoji-test

build the shipped indexes: all emoji, many of which students and selectors were trained on, and the gallery of the test
split, which is new to them. Your own folder can stand in place of `emoji:test`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data import load as load_dataset
from students import DEFAULT_STUDENT, available
from students.search.pictures import DATASET, FOLDER, MAX_ID, MAX_PHOTOS, parse_split, read_photo, told, unfit
from students.store import cards, provenance

FORMAT = 1
KIND = "index"

INDEXES_FOLDER = Path(__file__).parents[1] / "indexes"
"""Folder of the shipped indexes."""

MAX_DIM = 1 << 16
MAX_REASON = 200
"""Characters at most of the reason why a picture was left out."""
_NORM_SLACK = 1e-3
_TENSORS = ("embeddings", "ids", "skipped", "states")
_FROM_HERE = "./"


@dataclass(frozen=True, eq=False)
class PhotoIndex:
    """Embedded pictures.

    Attributes:
        ids: the pictures' names, unique: paths below the folder with "/" between parts, or ids of a data set.
        embeddings: (G, D) float32, unit vectors, read-only.
        student: name or absolute path of the student that embedded them, as `students.load` takes it.
        student_hash: SHA-256 of that student's weights, hex.
        kind: what `source` is, "folder" or "dataset".
        source: a folder, or "NAME:SPLIT" of a data set, SPLIT perhaps `ALL`.
        skipped: (name, reason) of the pictures that could not be used.
        states: (G, 2) int64, size in bytes and modification time (ns since 1970) of each file when it was embedded;
            None where unknown.
    """

    ids: tuple[str, ...]
    embeddings: NDArray[np.float32]
    student: str
    student_hash: str
    kind: str
    source: str
    skipped: tuple[tuple[str, str], ...] = ()
    states: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check all fields.

        Raises:
            ValueError: names that are unsafe or not unique, arrays of another shape or dtype, or vectors that do not
                have length 1.
        """
        if self.kind not in (FOLDER, DATASET):
            raise ValueError(f"kind must be {FOLDER!r} or {DATASET!r}, not {self.kind[:100]!r}")
        if self.kind == DATASET:
            parse_split(self.source)
        for name in self.ids:
            if reason := unfit(name):
                raise ValueError(f"{name[:100]!r} cannot be the name of a picture: {reason}")
        if not self.ids or len(set(self.ids)) != len(self.ids):
            raise ValueError("an index needs pictures, each with a name of its own")
        wanted = (len(self.ids), *self.embeddings.shape[1:2])
        if self.embeddings.shape != wanted or len(wanted) != 2 or self.embeddings.dtype != np.float32:
            raise ValueError(f"embeddings are {self.embeddings.shape} {self.embeddings.dtype}, not {wanted} float32")
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(self.embeddings, axis=1)
        if not (np.abs(lengths - 1.0) <= _NORM_SLACK).all():  # NaN is near nothing
            raise ValueError("embeddings must be unit vectors: one is not, or holds NaN or infinity")
        if self.states is not None and (self.states.shape != (len(self.ids), 2) or self.states.dtype != np.int64):
            raise ValueError(f"states are {self.states.shape} {self.states.dtype}, not {(len(self.ids), 2)} int64")
        frozen = self.embeddings.view()
        frozen.flags.writeable = False
        object.__setattr__(self, "embeddings", frozen)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.ids)

    def __repr__(self) -> str:
        """One line: the names would fill many."""
        return f"<PhotoIndex of {self.kind} {self.source}: {len(self)} pictures embedded by {self.student}>"

    def photo(self, name: str) -> NDArray[np.uint8]:
        """A picture as the student saw it, (256, 256, 3) uint8 on white.

        Raises:
            KeyError: not in the index.
            ValueError: the file or folder is missing or unreadable; the message names it.
        """
        if name not in self._names:
            raise KeyError(f"picture {name!r} is not in this index of {len(self)}")
        if self.kind == DATASET:
            return load_dataset(parse_split(self.source)[0]).photo(name)
        if not os.path.isdir(self.source):
            raise ValueError(f"{told(self.source)}: the folder with the pictures of this index is not there any more")
        try:
            return read_photo(Path(self.source), name)
        except ValueError as error:
            raise ValueError(f"{told(self.source)}/{name}: {error}") from None

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.ids)

    def save(self, path: str | os.PathLike[str], half: bool = False) -> Path:
        """Write the index, atomically.

        Args:
            path: with or without ".safetensors".
            half: store the embeddings as float16: half the bytes, distances off by some 1e-4.

        Returns:
            The file.

        Raises:
            OSError: the disk is full.
        """
        file = file_of(path)
        tensors = {
            "embeddings": self.embeddings.astype(np.float16 if half else np.float32, copy=False),
            "ids": _as_bytes(self.ids),
            "skipped": _as_bytes(f"{name}\t{reason}" for name, reason in self.skipped),
            "states": np.zeros((len(self), 2), np.int64) if self.states is None else self.states,
        }
        card = {
            "format": FORMAT,
            "pictures": self.kind,
            "source": self.source if self.kind == DATASET else _named_from(file.parent, self.source),
            "photos": len(self),
            "dim": self.embeddings.shape[1],
            "skipped": len(self.skipped),
            "student": _named_student(file.parent, self.student),
            "student_hash": self.student_hash,
            "commit": provenance.commit(),
            "versions": provenance.versions((*provenance.PACKAGES, "sketchcanvas")),
        }
        cards.write(file, tensors, card, KIND)
        return file


def shipped() -> tuple[str, ...]:
    """Names of the shipped indexes."""
    return tuple(sorted(path.stem for path in INDEXES_FOLDER.glob("[!.]*.safetensors")))


def load(name_or_path: str | os.PathLike[str] = "emoji") -> PhotoIndex:
    """Read an index file; every field is checked.

    Args:
        name_or_path: of a shipped one ("emoji"), or of a file, with or without ".safetensors".

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file.
    """
    known = isinstance(name_or_path, str) and name_or_path in shipped()
    file = file_of(INDEXES_FOLDER / name_or_path if known else name_or_path)
    if not file.exists():
        raise FileNotFoundError(
            f"no index {file} ('sketchcanvas index FOLDER --out NAME' makes NAME.safetensors; shipped: "
            f"{', '.join(shipped()) or 'none'})"
        )
    card, tensors = cards.read(file, KIND, lambda card: _most_bytes(card, file), "numpy")
    try:
        if sorted(tensors) != sorted(_TENSORS):
            raise ValueError(f"holds {sorted(tensors)[:5]}, not {', '.join(_TENSORS)}")
        skipped = tuple(line.partition("\t")[::2] for line in _lines(tensors["skipped"]))
        index = PhotoIndex(
            ids=tuple(_lines(tensors["ids"])),
            embeddings=_widened(tensors["embeddings"]),
            student=_found_student(file.parent, card["student"]),
            student_hash=card["student_hash"],
            kind=card["pictures"],
            source=_found_from(file.parent, card["source"]) if card["pictures"] == FOLDER else card["source"],
            skipped=skipped,
            states=tensors["states"],
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{file} is damaged: {error}") from None
    if (len(index), index.embeddings.shape[1], len(skipped)) != (card["photos"], card["dim"], card["skipped"]):
        raise ValueError(f"{file} does not hold what its card says")
    return index


def file_of(path: str | os.PathLike[str]) -> Path:
    """The file of an index; a name may have dots in it."""
    plain = Path(path)
    return plain if plain.suffix == ".safetensors" else plain.with_name(f"{plain.name}.safetensors")


def _named_from(place: Path, folder: str) -> str:
    """The name of a folder on a card in `place`: relative if the folder lies there or below, else absolute."""
    whole, home = os.path.abspath(folder), os.path.abspath(place)
    return Path(whole).relative_to(home).as_posix() if Path(whole).is_relative_to(home) else whole


def _found_from(place: Path, source: str) -> str:
    """The folder of pictures, or the student, that a card in `place` names by a path."""
    return os.path.normpath(os.path.join(os.path.abspath(place), source))


def whole_name(name: str) -> str:
    """A shipped student by its name, one's own by its whole path."""
    name = DEFAULT_STUDENT.get(name, name)
    return os.path.abspath(name) if name not in available() and os.path.exists(name) else name


def _named_student(place: Path, student: str) -> str:
    """The name of a student on a card in `place`."""
    if not os.path.isabs(student):
        return student
    named = _named_from(place, student)
    return named if os.path.isabs(named) else f"{_FROM_HERE}{named}"


def _found_student(place: Path, student: str) -> str:
    """The student that a card in `place` names."""
    return _found_from(place, student) if student.startswith(_FROM_HERE) else student


def _most_bytes(card: dict[str, Any], file: Path) -> int:
    """The most bytes that an index with this card can take; ValueError for a card that is none."""
    if type(card.get("format")) is not int or card["format"] != FORMAT:
        raise ValueError(f"{file} is no index in format {FORMAT}")
    for name in ("pictures", "source", "student", "student_hash"):
        if not isinstance(card.get(name), str):
            raise ValueError(f"{file}: {name!r} must be a text")
    for name, low, high in (("photos", 1, MAX_PHOTOS), ("dim", 1, MAX_DIM), ("skipped", 0, MAX_PHOTOS)):
        value = card.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{file}: {name!r} must be a whole number from {low} to {high:,}")
    row: int = 4 * card["dim"] + 4 * MAX_ID + 16
    most: int = card["photos"] * row + card["skipped"] * 4 * (MAX_ID + MAX_REASON)
    return most


def _widened(embeddings: NDArray[Any]) -> NDArray[np.float32]:
    """float16 as float32; other types as they are, for `PhotoIndex` to check."""
    return embeddings.astype(np.float32) if embeddings.dtype == np.float16 else embeddings


def _as_bytes(lines: Sequence[str] | Iterator[str]) -> NDArray[np.uint8]:
    # Of what is skipped, a reason may quote what is no text.
    return np.frombuffer("\n".join(lines).encode(errors="backslashreplace"), np.uint8)


def _lines(text: NDArray[np.uint8]) -> list[str]:
    if text.dtype != np.uint8 or text.ndim != 1:
        raise ValueError(f"a text is {text.shape} {text.dtype}, not bytes")
    return text.tobytes().decode().split("\n") if len(text) else []


if __name__ == "__main__":
    import argparse

    import students
    from students.search.building import build

    parser = argparse.ArgumentParser(description="Embed a folder of pictures, or NAME:SPLIT of a data set.")
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--student", default="emoji")
    parser.add_argument("--half", action="store_true", help="store embeddings as float16")
    asked = parser.parse_args()
    found = build(students.load(asked.student), asked.student, asked.source, asked.out, progress=True, half=asked.half)
    print(f"{len(found)} pictures, {len(found.skipped)} left out")
