"""Quick, Draw!: people's drawings of 345 categories, with their strokes; there are no photos.

The data set is read from where the user keeps it; nothing of it comes with the package. Some or all of its files lie
in one folder, one file a category, in any of the published forms:

    ROOT/<any name>.ndjson      a JSON object a line: key_id, word (the category), drawing; raw or simplified
    ROOT/<category>.npz         of sketch-rnn: train, valid and test, each an array of int16 arrays (points, 3)

A drawing in ndjson is a list of strokes [[x, ...], [y, ...]] or, raw, [[x, ...], [y, ...], [t, ...]]; the times are
not kept. Rows in .npz are offsets, and whether the pen is lifted. Both are scaled by their bounding box, aspect kept.

Parsing takes about 0.1 ms a drawing, once for each content of the files: what comes of it is kept on the disk and
mapped (`sketchcanvas_env.data.stroke_store`). So a loaded data set takes next to no memory, and stays what it was
when its files change; memory while they are parsed is a matter of the largest file.

A data set without photos: what a sketch belongs to is its category. So `photo_ids` holds categories, the gallery of
every split holds all of them, and `photo` raises a ValueError that says so. Retrieval among photos is not possible
(`tabulate` ends with that message); recognition among categories is, see `sketchcanvas_env.data.recognition`.

Splits divide the drawings, not the categories. In .npz the halves of `train`, as they alternate, are `student` and
`train`; `valid` is `val` and `test` is `test`. In ndjson the SHA-256 of a drawing's id decides: half are `student`, a
fifth `train`, a tenth `val`, a fifth `test`. So no drawing moves when files or lines are added.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.dataset import SPLITS, SketchDataset, report_skipped
from sketchcanvas_env.data.formats.conventions import quickdraw_strokes, stroke3_strokes
from sketchcanvas_env.data.formats.parse import npy_header, read_json
from sketchcanvas_env.data.formats.unpickle import drawings_of
from sketchcanvas_env.data.stroke_store import Writer, stored
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.cache import key_of
from sketchcanvas_env.storage.npz import check_members, check_zip
from sketchcanvas_env.storage.untrusted import find_inside

MAX_FILE_BYTES = 2**30
"""Largest file that is read; the largest raw categories take several hundred MB."""
MAX_LINE_BYTES = 2**20
"""Longest line of an ndjson file that is read."""
MAX_MEMBER_BYTES = 256 * 2**20
"""Largest array of a .npz that is read."""
MAX_NAME = 100
MAX_WRONG = 1_000
"""Most drawings of a file that are named where they cannot be used."""

LICENCE = (
    "Creative Commons Attribution 4.0 International (https://creativecommons.org/licenses/by/4.0/); made available by "
    "Google, Inc., drawn by the players of Quick, Draw!"
)
CITATION = (
    "D. Ha, D. Eck: A Neural Representation of Sketch Drawings, ICLR 2018; "
    "the Quick, Draw! data set, https://github.com/googlecreativelab/quickdraw-dataset"
)
_PARTS = {"train": None, "valid": "val", "test": "test"}
_SHARES = {"student": 0.5, "train": 0.7, "val": 0.8, "test": 1.0}  # each up to its number
_LAYOUT = "one <category>.ndjson or <category>.npz for each category"
_VERSION = 1  # of what is made of a file


class _Drawing(NamedTuple):
    """A drawing that can be used."""

    sketch_id: str
    category: str
    split: str
    sketch: VectorSketch


def load_quickdraw(root: str | PathLike[str] | None, strict: bool = False) -> SketchDataset:
    """Read categories of Quick, Draw! from a folder; what was read before is found again by its content.

    Args:
        root: the folder; the text of this module says what is in it.
        strict: refuse the folder for any drawing that cannot be used, instead of leaving it out.

    Returns:
        The data set `quickdraw`; `photo_ids` are categories and there are no photos. `skipped` names the drawings that
        were left out, and why: not JSON, without points, not finite, of another shape, or of an id that occurs twice.

    Warns:
        SkippedDataWarning: something was left out: how much, and the first names.

    Raises:
        FileNotFoundError: no such folder, or none of these files in it.
        ValueError: no root, a category in two files, a .npz that is damaged (it is never executed) or unpacks to far
            more than its size, nothing that can be used, or `strict` and something cannot.
    """
    if root is None:
        raise ValueError(
            f"Quick, Draw! does not come with this package: name it as quickdraw:DIR, a folder with {_LAYOUT}"
        )
    folder = Path(root).expanduser()
    files = sorted([*folder.glob("*.ndjson"), *folder.glob("*.npz")])
    if not files:
        raise FileNotFoundError(f"{folder} holds nothing of Quick, Draw!: there must be {_LAYOUT}")

    real = {path: _inside(folder, path) for path in files}
    state = _state(real.values())
    digest = _digest(real.values())
    key = key_of("quickdraw", _VERSION, digest, [path.name for path in files])

    def parse(writer: Writer) -> dict[str, Any]:
        note = _parse(real, writer)
        if _state(real.values()) != state:
            raise ValueError(f"{folder}: its files changed while they were read")
        return note

    drawings = stored(key, ("ids", "categories", "splits"), parse)
    skipped = tuple((str(name), str(reason)) for name, reason in drawings.note["skipped"])
    report_skipped(
        f"quickdraw in {folder}: {len(drawings):,} drawings",
        skipped or [(path.name, "holds no drawing") for path in files if not len(drawings)],
        refuse=strict or not len(drawings),
    )

    def read_photo(photo_id: str) -> NDArray[np.uint8]:
        raise ValueError(f"quickdraw has no photos, only categories: there is none of {photo_id!r}")

    categories = np.array(drawings.note["categories"], dtype=np.str_)
    classes, split = drawings.texts["categories"], drawings.texts["splits"]
    return SketchDataset(
        name="quickdraw",
        hash=digest,
        sketch_ids=drawings.texts["ids"],
        photo_ids=classes,
        split=split,
        level=np.zeros(len(drawings), dtype=np.int8),
        galleries={name: categories if (split == name).any() else categories[:0] for name in SPLITS},
        licence=LICENCE,
        citation=CITATION,
        skipped=skipped,
        classes=classes,
        read_sketch=drawings.sketch,
        read_photo=read_photo,
    )


def _inside(folder: Path, path: Path) -> Path:
    try:
        return find_inside(folder, path, MAX_FILE_BYTES)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _state(files: Iterable[Path]) -> list[tuple[int, int]]:
    """Changes when one of the files is written."""
    return [(state.st_mtime_ns, state.st_size) for state in map(Path.stat, files)]


def _digest(files: Iterable[Path]) -> str:
    """sha256 (hex) of the content of files."""
    digest = sha256()
    for path in files:
        with path.open("rb") as stream:
            digest.update(b"%d\n" % path.stat().st_size)
            for block in iter(partial(stream.read, 1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()


class _Skipped(list[tuple[str, str]]):
    """(name, reason) of the drawings of one file that cannot be used: of many, the first, and how many more."""

    def __init__(self, file: str) -> None:
        """Begin without drawings."""
        super().__init__()
        self._file, self.found = file, 0

    def add(self, place: str, reason: str, used: int) -> None:
        """Add a drawing.

        Args:
            place: where in the file.
            reason: what is wrong with it.
            used: how many drawings of the file could be used so far.

        Raises:
            ValueError: hardly any drawing of the file can be used: it need not be read to its end.
        """
        self.found += 1
        if self.found <= MAX_WRONG:
            self.append((f"{self._file}, {place}", reason))
        elif self.found > MAX_WRONG + 10 * used:
            raise ValueError(f"of its first {self.found + used:,} drawings {used:,} can be used ({place}: {reason})")

    def all(self) -> list[tuple[str, str]]:
        """Those that are named, and a line for the others."""
        rest = self.found - len(self)
        return [*self, *([(self._file, f"and {rest:,} more drawings that cannot be used")] if rest else [])]


def _parse(files: Mapping[Path, Path], writer: Writer) -> dict[str, Any]:
    """Add the drawings of all files, given with where each really lies; the categories, and what had to be skipped."""
    skipped: list[tuple[str, str]] = []
    owner: dict[str, str] = {}
    for path, real in files.items():
        wrong = _Skipped(path.name)
        try:
            for drawing in (_of_lines if path.suffix == ".ndjson" else _of_arrays)(path.name, real, wrong):
                if owner.setdefault(drawing.category, path.name) != path.name:
                    raise ValueError(f"{owner[drawing.category]} has drawings of {drawing.category!r} as well")
                writer.add(drawing.sketch, ids=drawing.sketch_id, categories=drawing.category, splits=drawing.split)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        skipped += wrong.all()
    return {"skipped": skipped, "categories": sorted(owner)}


def _checked_name(name: object) -> str:
    """A category or an id, which may come into messages and names of runs."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable() or "/" in name:
        raise ValueError(f"{str(name)[:40]!r} is no name of up to {MAX_NAME} characters without a slash")
    return name


# --------------------------------------------------------------------------------------------------------- ndjson


def _of_lines(name: str, path: Path, skipped: _Skipped) -> Iterator[_Drawing]:
    """The drawings of the ndjson file `name`, which lies at `path`; the wrong ones go to `skipped`."""
    seen: set[str] = set()
    with path.open("rb") as stream:
        number = 0
        while True:
            line = stream.readline(MAX_LINE_BYTES + 1)
            if not line:
                return
            number += 1
            if not line.strip():
                continue
            try:
                if len(line) > MAX_LINE_BYTES:
                    # The rest of the line is not read as lines of its own.
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(MAX_LINE_BYTES)
                    raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes")
                key, category, sketch = _parsed(line)
                if key in seen:
                    raise ValueError(f"key_id {key} occurs twice")
            except ValueError as error:
                skipped.add(f"line {number}", str(error), len(seen))
                continue
            seen.add(key)
            yield _Drawing(f"{category}/{key}", category, _split_of(key), sketch)


def _parsed(line: bytes) -> tuple[str, str, VectorSketch]:
    """Id, category and strokes of a line."""
    entry = read_json(line)
    if not isinstance(entry, dict) or not {"key_id", "word", "drawing"} <= entry.keys():
        raise ValueError("not an object with key_id, word and drawing")
    sketch = VectorSketch.fit(quickdraw_strokes(entry["drawing"]))
    return _checked_name(entry["key_id"]), _checked_name(entry["word"]), sketch


def _split_of(key: str) -> str:
    """The split of a drawing by its id."""
    place = int.from_bytes(sha256(key.encode()).digest()[:8], "big") / 2**64
    return next(split for split, end in _SHARES.items() if place < end)


# ----------------------------------------------------------------------------------------------------- sketch-rnn


def _of_arrays(name: str, path: Path, skipped: _Skipped) -> Iterator[_Drawing]:
    """The drawings of the .npz file `name` of sketch-rnn, which lies at `path`; the wrong ones go to `skipped`."""
    category = _checked_name(name.removesuffix(".npz").removesuffix(".full"))
    used = 0
    try:
        check_zip(path, MAX_FILE_BYTES)
        with zipfile.ZipFile(path) as archive:
            check_members(archive.infolist(), path.stat().st_size)
            members = {member.filename: member for member in archive.infolist()}
            if not {f"{part}.npy" for part in _PARTS} <= members.keys():
                raise ValueError("lacks one of the arrays train, valid and test")
            for part, split in _PARTS.items():
                for index, rows in enumerate(_arrays(part, _member(archive, members[f"{part}.npy"]))):
                    try:
                        sketch = VectorSketch.fit(stroke3_strokes(rows))
                    except ValueError as error:
                        skipped.add(f"{part}, drawing {index}", str(error), used)
                    else:
                        used += 1
                        own = split or ("student", "train")[index % 2]
                        yield _Drawing(f"{category}/{part}-{index}", category, own, sketch)
    except (ValueError, OSError):
        raise
    except Exception as error:  # zipfile raises whatever a damaged file makes it stumble over
        raise ValueError(f"a damaged .npz file: {error}") from None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > MAX_MEMBER_BYTES:
        raise ValueError(f"{member.filename}: unpacks to {member.file_size:,} bytes; at most {MAX_MEMBER_BYTES:,}")
    with archive.open(member) as stream:
        return stream.read(MAX_MEMBER_BYTES)


def _arrays(part: str, data: bytes) -> list[NDArray[np.int16]]:
    """The drawings of a .npy file that holds a pickled array of arrays."""
    try:
        _, _, dtype, start = npy_header(data)
        if dtype.kind != "O":
            raise ValueError(f"holds {dtype}, not arrays of different lengths")
        return drawings_of(data[start:])
    except ValueError as error:
        raise ValueError(f"{part}: {error}") from None
