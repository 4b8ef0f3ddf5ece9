"""Parsed sketches as flat arrays in the user's cache, mapped from the disk: millions of them take little memory.

A loader passes a key, a hash of its files' content, and a function that parses them. The sketches that the function
adds are written to the cache (`sketchcanvas_env.storage.cache`) and mapped; the next process with the same key maps
them without parsing. `Strokes.sketch` returns views of the arrays.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.sketches.sketch import MAX_POINTS, MAX_STROKES, VectorSketch
from sketchcanvas_env.storage import names
from sketchcanvas_env.storage.cache import cached
from sketchcanvas_env.storage.npz import Rows, read_npz, write_mapped

_COLUMN = "text_"
_KINDS = {"header": "U", "points": "f", "stroke_ends": "i", "sketch_ends": "i"}


@dataclass(frozen=True, eq=False)
class Strokes:
    """Sketches as flat arrays, read-only, mapped from the disk.

    Attributes:
        points: (P, 2) float32, in [0, 1].
        stroke_ends: (S,) int64, rising: place after the last point of each stroke.
        sketch_ends: (N,) int64, rising: place after the last stroke of each sketch.
        texts: further columns by name, each (N,) str.
        note: what the parser returned, JSON-able.
    """

    points: NDArray[np.float32]
    stroke_ends: NDArray[np.int64]
    sketch_ends: NDArray[np.int64]
    texts: Mapping[str, NDArray[np.str_]]
    note: Any

    def __len__(self) -> int:
        """Number of sketches, N."""
        return len(self.sketch_ends)

    def sketch(self, row: int) -> VectorSketch:
        """The sketch in a row from 0; its strokes are views of the file."""
        first = int(self.sketch_ends[row - 1]) if row else 0
        ends = self.stroke_ends[first : self.sketch_ends[row]].tolist()
        start = int(self.stroke_ends[first - 1]) if first else 0
        return VectorSketch(tuple(self.points[a:b] for a, b in zip([start, *ends[:-1]], ends, strict=True)))


def stored(key: str, columns: Sequence[str], parse: Callable[[Writer], Any]) -> Strokes:
    """The sketches of a key, parsed if the cache does not hold them.

    Args:
        key: see `sketchcanvas_env.storage.cache.key_of`.
        columns: names of the texts that `parse` gives with each sketch.
        parse: adds the sketches to the writer and returns a note, JSON-able. What it raises ends the call, and nothing
            is kept.

    Raises:
        OSError: the disk is full; the message names the file.
    """

    def write(path: Path) -> None:
        with Writer(path.parent, columns) as writer:
            note = parse(writer)
            writer.save(path, note)

    return cached(key, lambda path: _mapped(path, columns), write)


class Writer:
    """Writes sketches one by one to temporary files, and all of them to one file at the end."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        """Begin.

        Args:
            folder: for the files.
            columns: names of the texts of a sketch.
        """
        self._columns = tuple(columns)
        self._stack = ExitStack()
        self._spools: dict[str, IO[bytes]] = {
            name: self._stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 (it is one)
            for name in ("points", "stroke_ends", "sketch_ends", *(_COLUMN + name for name in columns))
        }
        self._widths = dict.fromkeys(columns, 1)
        self._counts = {"points": 0, "stroke_ends": 0, "sketch_ends": 0}

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the files."""
        self._stack.close()

    def add(self, sketch: VectorSketch, **texts: str) -> None:
        """Add a sketch and the texts of its columns.

        Raises:
            ValueError: a text of several lines, or with a zero in it; nothing is added then.
        """
        for text in texts.values():
            if "\n" in text or "\0" in text:
                raise ValueError(f"{text[:100]!r} is no text of one line")
        lengths = [len(stroke) for stroke in sketch.strokes]
        ends = self._counts["points"] + np.cumsum(lengths, dtype=np.int64)
        self._counts["points"] = int(ends[-1])
        self._counts["stroke_ends"] += len(ends)
        self._counts["sketch_ends"] += 1
        self._spools["points"].write(np.concatenate(sketch.strokes).tobytes())
        self._spools["stroke_ends"].write(ends.tobytes())
        self._spools["sketch_ends"].write(np.int64(self._counts["stroke_ends"]).tobytes())
        for name in self._columns:
            self._widths[name] = max(self._widths[name], len(texts[name]))
            self._spools[_COLUMN + name].write(texts[name].encode() + b"\n")

    def save(self, path: Path, note: Any) -> None:
        """Write everything, atomically."""
        counts = self._counts
        write_mapped(
            path,
            {
                "header": np.array(json.dumps(note)),
                "points": self._numbers("points", np.dtype(np.float32), (counts["points"], 2)),
                "stroke_ends": self._numbers("stroke_ends", np.dtype(np.int64), (counts["stroke_ends"],)),
                "sketch_ends": self._numbers("sketch_ends", np.dtype(np.int64), (counts["sketch_ends"],)),
                **{_COLUMN + name: self._texts(name) for name in self._columns},
            },
        )

    def _numbers(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Rows:
        spool = self._spools[name]

        def blocks() -> Iterator[NDArray[Any]]:
            spool.seek(0)
            while data := spool.read(1 << 20):
                yield np.frombuffer(data, dtype)

        return Rows(dtype, shape, blocks())

    def _texts(self, name: str) -> Rows:
        spool, dtype = self._spools[_COLUMN + name], np.dtype(f"U{self._widths[name]}")

        def blocks() -> Iterator[NDArray[Any]]:
            spool.seek(0)
            for rows in names.blocks(self._counts["sketch_ends"]):
                yield np.array([spool.readline()[:-1].decode() for _ in range(rows.stop - rows.start)], dtype)

        return Rows(dtype, (self._counts["sketch_ends"],), blocks())


def _mapped(path: Path, columns: Sequence[str]) -> Strokes:
    """The sketches of a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it does not hold what `Writer` writes; other errors as of `read_npz`.
    """
    arrays = read_npz(path, {**_KINDS, **{_COLUMN + name: "U" for name in columns}})
    texts = {name: arrays[_COLUMN + name] for name in columns}
    points, strokes, sketches = arrays["points"], arrays["stroke_ends"], arrays["sketch_ends"]
    if points.dtype != np.float32 or points.ndim != 2 or points.shape[1] != 2 or strokes.ndim != 1:
        raise ValueError("points must be (points, 2) of float32")
    if any(array.shape != sketches.shape for array in texts.values()) or sketches.ndim != 1:
        raise ValueError("every sketch must have one text in each column")
    _check_ends(strokes, len(points), MAX_POINTS)
    _check_ends(sketches, len(strokes), MAX_STROKES)
    for rows in names.blocks(len(points)):
        # Not a number is neither.
        if not ((points[rows] >= 0.0) & (points[rows] <= 1.0)).all():
            raise ValueError("a point off the unit canvas")
    return Strokes(points, strokes, sketches, texts, json.loads(str(arrays["header"][()])))


def _check_ends(ends: NDArray[np.int64], length: int, most: int) -> None:
    """Refuse ends that do not cut `length` things into pieces of one to `most`."""
    last = 0
    for rows in names.blocks(len(ends)):
        steps = np.diff(ends[rows], prepend=last)
        last = int(ends[rows][-1])
        if steps.min() < 1 or steps.max() > most:
            raise ValueError("ends that do not rise, or by too much")
    if last != length:
        raise ValueError(f"ends that stop at {last:,} of {length:,}")
