"""The Sketchy database: people's sketches of photos of 125 classes, with their strokes.

The data set is read from where the user keeps it; nothing of it comes with the package. As it is published:

    ROOT/sketches/<class>/<photo>-<k>.svg                        <photo> is <wnid>_<n>, its ImageNet id
    ROOT/256x256/photo/tx_000000000000/<class>/<photo>.jpg
    ROOT/info/testset.txt                                        <class>/<photo>.jpg a line
    ROOT/info/invalid-{ambiguous,context,error,pose}.txt         <photo>-<k> a line

Instead of sketches/ there may be tables of strokes, ROOT/<class>.csv, with the columns x, y, pen, strokeID, sketchID
and photoID (others are not looked at): a row is a point, pen 1 starts a stroke and 2 goes on with it, photoID is
<photo>. sketchID is not <k>: it is the place, counted from 0, of <photo>-<k> among the names of the photo's sketches
sorted as text (-1, -10, -2). The names are those of 256x256/sketch/tx_000000000000/<class>/ where that is there;
otherwise <k> is taken to run from 1 without a gap. Points stand in drawing order.

People drew on a canvas of 640 x 480. The photos were rescaled to a square without keeping their aspect, so strokes are
scaled alike, x / 640 and y / 480, and keep their place on the photo.

Sketches that the info/invalid-*.txt lists name are not part of the data set: its authors judged that they do not show
the photo; `SketchDataset.notes` tells how many each list removed. Splits: the photos of testset.txt are `test`. As
many of the others are `train` and as many `val`, but never more than a quarter of them each; the rest is `student`.

Reading 75,000 SVGs takes minutes, once for each content of the files (`sketchcanvas_env.data.file_dataset`).
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sketchcanvas_env.data.dataset import SketchDataset
from sketchcanvas_env.data.file_dataset import Contents, Drawings, Layout, in_folder, read_files, reported
from sketchcanvas_env.data.splits import divided
from sketchcanvas_env.data.stroke_store import Strokes, Writer, stored
from sketchcanvas_env.sketches.sketch import MAX_POINTS, VectorSketch
from sketchcanvas_env.storage.cache import code_version, key_of
from sketchcanvas_env.storage.untrusted import read_inside, read_text_inside
from sketchcanvas_env.svg import reader as svg

CANVAS = (640.0, 480.0)
"""Width and height of the canvas that the published coordinates lie on."""
EDGE = 0.1
"""Share of the canvas by which a point may overstep its edge, and is put onto it; more is taken for damage."""
MAX_LIST_BYTES = 4 * 2**20
MAX_TABLE_BYTES = 64 * 2**20
"""Largest table of strokes that is read; one class of the data set takes about 20 MB."""

MAX_SKETCHES = 20_000
"""Most sketches of a table; a class of the data set has some 600."""
MAX_PER_PHOTO = 1_000
_MAX_LINE = 1 << 16

PHOTOS = "256x256/photo/tx_000000000000"
DRAWN = "256x256/sketch/tx_000000000000"
"""Pictures of the sketches, which have their names."""
LICENCE = (
    "the terms of the Sketchy database are stated where it is published, https://sketchy.eye.gatech.edu; the photos "
    "are of ImageNet and belong to their authors; used from where it lies and not part of this package"
)
CITATION = (
    "P. Sangkloy, N. Burnell, C. Ham, J. Hays: The Sketchy Database: Learning to Retrieve Badly Drawn Bunnies, "
    "ACM Transactions on Graphics (SIGGRAPH) 2016"
)
_SKETCH = re.compile(r"(n[0-9]{1,12}_[0-9]{1,12})-([0-9]{1,9})")
_INVALID = tuple(f"invalid-{reason}.txt" for reason in ("ambiguous", "context", "error", "pose"))
_COLUMNS = ("x", "y", "pen", "sketchID", "photoID")
_VERSION = 2  # of what is made of a table or an SVG
_BETWEEN = ": "  # in the name of a sketch of a table: the table's name, photoID, sketchID
_LAYOUT = f"sketches/ (or <class>.csv), {PHOTOS}/ and info/testset.txt"


def load_sketchy(root: str | PathLike[str] | None, strict: bool = False) -> SketchDataset:
    """Read the Sketchy database from its published folder; everything is checked now.

    Args:
        root: the folder; the text of this module says what is in it.
        strict: refuse the folder for any photo or sketch that cannot be used, instead of leaving it out.

    Returns:
        The data set `sketchy`. `skipped` names what was left out, and why: photos that are missing, damaged or huge,
        with their sketches; sketches that are empty, not finite, off the canvas, no SVG of shapes, or named otherwise.

    Warns:
        SkippedDataWarning: something was left out: how much, and the first names.

    Raises:
        FileNotFoundError: the folder is not laid out so.
        ValueError: no root, a damaged list or table, nothing that can be used, or `strict` and something cannot.
    """
    if root is None:
        raise ValueError(
            f"the Sketchy database does not come with this package: name it as sketchy:DIR, the folder with {_LAYOUT}"
        )
    folder = Path(root).expanduser()
    tables = [] if (folder / "sketches").is_dir() else sorted(folder.glob("*.csv"))
    there = (folder / "sketches").is_dir() or tables
    if not there or not (folder / PHOTOS).is_dir() or not (folder / "info" / "testset.txt").exists():
        raise FileNotFoundError(f"{folder} is not the Sketchy database as it is published: there must be {_LAYOUT}")
    test = {line.rpartition("/")[2].removesuffix(".jpg") for line in _lines(folder, "info/testset.txt")}
    invalid = {name: set(_lines(folder, f"info/{name}")) for name in _INVALID if (folder / "info" / name).exists()}
    skipped: list[tuple[str, str]] = []

    fetch: Callable[[str], bytes]
    parse: Callable[[str, bytes], VectorSketch]
    if tables:
        found = _tables(folder, tables)
        place = {name: row for row, name in enumerate(found.texts["names"].tolist())}
        wrong = dict(found.note)
        fetch, parse = partial(_fetch_rows, found, place, wrong), _parse_rows
        names = _named(folder, [*place, *wrong], skipped)
    else:
        fetch, parse = in_folder(folder, svg.MAX_BYTES), _parse_svg
        names = [
            (path.parent.name, path.stem, path.relative_to(folder).as_posix())
            for path in sorted((folder / "sketches").glob("*/*.svg"))
        ]
    drawings, photos = _drawings(names, set().union(*invalid.values()), skipped)
    known = {sketch for _, sketch, _ in names}
    split = {photo: "test" for photo in photos if photo in test}
    rest = photos.keys() - split.keys()
    size = min(len(split), len(rest) // 4)
    layout = Layout(
        name="sketchy",
        root=folder,
        fetch=fetch,
        parse=parse,
        version=[_VERSION, code_version("sketchcanvas_env.svg")],
        licence=LICENCE,
        citation=CITATION,
        notes=tuple(f"info/{name} removed {len(known & listed):,} sketches" for name, listed in invalid.items()),
    )
    contents = Contents(photos, drawings, split | divided(rest, {"train": size, "val": size}))
    return reported(read_files(layout, contents, skipped), layout, contents, strict)


def _drawings(
    names: Iterable[tuple[str, str, str]], invalid: set[str], skipped: list[tuple[str, str]]
) -> tuple[Drawings, dict[str, str]]:
    """Every (class, sketch id, name) but the invalid ones, and its photo's file; the wrong ones go to `skipped`."""
    drawings = Drawings()
    group_of: dict[str, str] = {}
    seen: set[str] = set()
    for group, sketch, name in names:
        match = _SKETCH.fullmatch(sketch)
        if match is None:
            skipped.append((name, "its name is not of the form <wnid>_<n>-<k>"))
        elif sketch in invalid:
            continue
        elif sketch in seen or group_of.setdefault(match[1], group) != group:
            skipped.append((name, f"class {group_of[match[1]]!r} has the same photo or sketch"))
        else:
            seen.add(sketch)
            drawings.add(sketch, match[1], name)
    return drawings, {photo: f"{PHOTOS}/{group}/{photo}.jpg" for photo, group in group_of.items()}


def _named(folder: Path, stored: Iterable[str], skipped: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """(class, sketch id, name) of the sketches of tables, sorted, given their names."""
    places: dict[tuple[str, str], dict[int, str]] = {}
    for name in stored:
        table, photo, number = name.rsplit(_BETWEEN, 2)
        if number.isdecimal() and len(number) < 10:
            places.setdefault((table.removesuffix(".csv"), photo), {})[int(number)] = name
        else:
            skipped.append((name, "its sketchID is no whole number from 0"))
    published: dict[tuple[str, str], list[str]] = {}
    for group in sorted({group for group, _ in places}):
        for sketch in sorted(path.stem for path in (folder / DRAWN / group).glob("*.png")):
            published.setdefault((group, sketch.rpartition("-")[0]), []).append(sketch)
    named = []
    for (group, photo), sketches in places.items():
        count = min(max(sketches) + 1, MAX_PER_PHOTO)
        ids = published.get((group, photo)) or sorted(f"{photo}-{k}" for k in range(1, count + 1))
        for place, name in sketches.items():
            if place < len(ids):
                named.append((group, ids[place], name))
            else:
                skipped.append((name, f"its photo has {len(ids)} sketches, counted from 0"))
    return sorted(named)


def _lines(folder: Path, name: str) -> list[str]:
    text = read_text_inside(folder, folder / name, MAX_LIST_BYTES)
    return [line.strip() for line in text.splitlines() if line.strip()]


def _parse_svg(_: str, data: bytes) -> VectorSketch:
    return _on_canvas(svg.read_strokes(data))


def _tables(folder: Path, tables: Sequence[Path]) -> Strokes:
    """The sketches of all tables by their names; the note lists (name, reason) of the wrong ones."""

    def parse(writer: Writer) -> list[tuple[str, str]]:
        wrong = []
        for table, digest in zip(tables, digests, strict=True):
            data = _read_table(folder, table)
            if sha256(data).hexdigest() != digest:
                raise ValueError(f"{table}: changed while it was read")
            for name, rows in _rows_of(table, data):
                try:
                    writer.add(_on_canvas(np.split(rows[:, :2], np.flatnonzero(rows[1:, 2]) + 1)), names=name)
                except ValueError as error:
                    wrong.append((name, str(error)))
        return wrong

    digests = [sha256(_read_table(folder, table)).hexdigest() for table in tables]
    return stored(key_of("sketchy", _VERSION, [table.name for table in tables], digests), ("names",), parse)


def _read_table(folder: Path, table: Path) -> bytes:
    try:
        data = read_inside(folder, table, MAX_TABLE_BYTES)
        start = 0
        while len(data) - start > _MAX_LINE:
            end = data.rfind(b"\n", start, start + _MAX_LINE)
            if end < 0:
                raise ValueError(f"a line of more than {_MAX_LINE:,} bytes")
            start = end + 1
    except ValueError as error:
        raise ValueError(f"{table}: {error}") from None
    return data


def _rows_of(table: Path, data: bytes) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """(name, rows) of every sketch of a table, sorted: (points, 3) of x, y and whether a stroke starts."""
    found: dict[str, array[float]] = {}
    try:
        reader = csv.DictReader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=""))
        lacking = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
        if lacking:
            raise ValueError(f"the table lacks the column {lacking[0]!r}")
        for row in reader:
            values = [row[column] for column in _COLUMNS]
            if None in values or values[2] not in ("1", "2"):
                raise ValueError(f"line {reader.line_num}: a row must have x, y, pen (1 or 2), sketchID and photoID")
            x, y, pen, number, photo = values
            try:
                point = float(x), float(y), float(pen == "1")
            except ValueError:
                raise ValueError(f"line {reader.line_num}: {x[:40]!r}, {y[:40]!r} is no point") from None
            rows = found.setdefault(f"{table.name}{_BETWEEN}{photo[:100]}{_BETWEEN}{number[:20]}", array("d"))
            if len(found) > MAX_SKETCHES:
                raise ValueError(f"more than {MAX_SKETCHES:,} sketches")
            if len(rows) <= 3 * MAX_POINTS:  # one too many is enough for the sketch to be refused
                rows.extend(point)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{table}: {error}") from None
    for sketch in sorted(found):
        yield sketch, np.frombuffer(found[sketch]).reshape(-1, 3)


def _fetch_rows(found: Strokes, place: Mapping[str, int], wrong: Mapping[str, str], name: str) -> bytes:
    """A sketch of a table as `_parse_rows` reads it."""
    if name in wrong:
        raise ValueError(wrong[name])
    strokes = found.sketch(place[name]).strokes
    rows = np.zeros((sum(map(len, strokes)), 3), np.float32)
    rows[:, :2] = np.concatenate(strokes)
    rows[np.cumsum([0, *map(len, strokes[:-1])]), 2] = 1.0
    return rows.tobytes()


def _parse_rows(_: str, data: bytes) -> VectorSketch:
    rows = np.frombuffer(data, np.float32).reshape(-1, 3)
    return VectorSketch.from_strokes(np.split(rows[:, :2], np.flatnonzero(rows[1:, 2]) + 1))


def _on_canvas(strokes: Iterable[ArrayLike]) -> VectorSketch:
    """Strokes on the published canvas, scaled to the unit canvas as the photos were."""
    scaled = [np.asarray(stroke, dtype=np.float64) / CANVAS for stroke in strokes]
    everything = np.concatenate(scaled)
    if not np.isfinite(everything).all():
        raise ValueError("a number that is not finite")
    if everything.min() < -EDGE or everything.max() > 1.0 + EDGE:
        raise ValueError(f"off the canvas of {CANVAS[0]:g} x {CANVAS[1]:g} by more than a tenth")
    return VectorSketch.from_strokes([np.clip(stroke, 0.0, 1.0) for stroke in scaled])
