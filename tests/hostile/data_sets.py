"""Reads data sets that mean harm, each under a watch: `python -m tests.hostile.data_sets FOLDER OUT`.

OUT is JSON: for each case its error, the processor's seconds, and memory at most in bytes.
"""

from __future__ import annotations

import gc
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sketchcanvas_env.data import load
from sketchcanvas_env.data.formats.folder import read_drawing
from sketchcanvas_env.data.formats.sketchy import PHOTOS
from tests.hostile.memory import forget, peak

Case = tuple[Callable[[Path], Callable[[], object]], str]
"""Writes the files and returns what reads them; and the reason that must be given."""

MIB = 1 << 20


def _filled(piece: str, size: int, around: str = "{}") -> bytes:
    """A text of about `size` bytes, full of one piece."""
    return around.format(piece * (size // len(piece))).encode()


def _drawing(name: str, content: Callable[[], bytes]) -> Callable[[Path], Callable[[], object]]:
    """A drawing's file."""

    def make(folder: Path) -> Callable[[], object]:
        (folder / name).write_bytes(content())
        return lambda: read_drawing(folder / name)

    return make


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _own(name: str, content: Callable[[], bytes]) -> Callable[[Path], Callable[[], object]]:
    """A folder of one's own with two photos, a sketch each, and one more file."""

    def make(folder: Path) -> Callable[[], object]:
        for part in ("photos", "sketches"):
            (folder / part).mkdir()
        for photo in "ab":
            Image.new("L", (9, 9)).save(folder / "photos" / f"{photo}.png")
            (folder / "sketches" / f"{photo}__1.json").write_text("[[[0, 0], [1, 1]]]")
        (folder / name).write_bytes(content())
        return lambda: load("folder", folder, strict=True)

    return make


def _quickdraw(name: str, content: Callable[[], bytes]) -> Callable[[Path], Callable[[], object]]:
    def make(folder: Path) -> Callable[[], object]:
        (folder / name).write_bytes(content())
        return lambda: load("quickdraw", folder, strict=True)

    return make


def _bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in ("train", "valid", "test"):
            with archive.open(f"{part}.npy", "w") as member:
                for _ in range(100):
                    member.write(bytes(MIB))
    return file.getvalue()


def _sketchy(rows: Callable[[], bytes]) -> Callable[[Path], Callable[[], object]]:
    """A table of the Sketchy database."""

    def make(folder: Path) -> Callable[[], object]:
        (folder / PHOTOS).mkdir(parents=True)
        (folder / "info").mkdir()
        (folder / "info" / "testset.txt").write_text("")
        (folder / "cat.csv").write_bytes(b"x,y,pen,strokeID,sketchID,photoID\n" + rows())
        return lambda: load("sketchy", folder, strict=True)

    return make


def _many_sketches() -> bytes:
    return b"".join(b"1,1,1,0,%d,n1_1\n" % number for number in range(500_000))


def _fscoco(folder: Path) -> Callable[[], object]:
    for part in ("vector_sketches", "images"):
        (folder / part).mkdir()
    (folder / "val_normal.txt").write_bytes(_filled("a ", MIB - 2))
    (folder / "val_unseen_user.txt").write_text("")
    return lambda: load("fscoco", folder, strict=True)


CASES: dict[str, Case] = {
    "empty strokes": (_drawing("a.json", lambda: _filled("[],", 4 * MIB - 9, "[{}[]]")), "lists; at most"),
    "open lists": (_drawing("a.json", lambda: _filled("[", 4 * MIB)), "lists; at most"),
    "nested lists": (_drawing("a.json", lambda: b"[" * 50_000), "nested too deep"),
    "objects": (_drawing("a.json", lambda: _filled("{},", 4 * MIB - 9, "[{}0]")), "lists; at most"),
    "many numbers": (_drawing("a.json", lambda: _filled("1,", 4 * MIB - 9, "[{}1]")), "values; at most"),
    "digits": (_drawing("a.json", lambda: _filled("1", 4 * MIB - 99, "[[[0.{},0],[1,1],[2,3]]]")), ""),
    "digits of a whole number": (_drawing("a.json", lambda: _filled("1", 4 * MIB - 99, "[[[{},0]]]")), "not JSON"),
    "a long text among short ones": (
        _drawing("a.json", lambda: _filled('"",', 300_000, '[["' + "a" * 3 * MIB + '",{}""]]')),
        "something else than numbers",
    ),
    "blanks": (_drawing("a.json", lambda: _filled(" ", 4 * MIB - 9, "[{}]")), "empty"),
    "points in one stroke": (_drawing("a.json", lambda: _filled("[1,2],", 330_000, "[[{}[3,4]]]")), "at most"),
    "strokes of a point": (_drawing("a.json", lambda: _filled("[[1,2]],", 200_000, "[{}[[3,4]]]")), "at most"),
    "more than is read": (_drawing("a.json", lambda: bytes(64 * MIB)), "at most"),
    "a size that is a truth": (
        _drawing("a.npy", lambda: _npy(np.zeros((1, 3), np.float32)).replace(b"(1, 3), }  ", b"(True,3), }")),
        "is no shape",
    ),
    "rows of truths": (_drawing("a.npy", lambda: _npy(np.zeros((8 * MIB // 3 - 99, 3), bool))), "numbers; a drawing"),
    "rows that all end a stroke": (_drawing("a.npy", lambda: _npy(np.ones((99_999, 3), np.int8))), "give the format"),
    "a long array": (_drawing("a.npy", lambda: _npy(np.zeros(99_999, np.int8))), "an array of shape"),
    "splits of many names": (
        _own("splits.json", lambda: _filled('"aaaaaaa",', 57 * MIB, '{{"train": [{}""]}}')),
        "bytes; at most",
    ),
    "splits of many short names": (
        _own("splits.json", lambda: _filled('"",', 900_000, '{{"train": [{}""]}}')),
        "values; at most 1,008",
    ),
    "splits of many lists": (_own("splits.json", lambda: _filled("[],", 900_000, '{{"train": [{}[]]}}')), "lists; at"),
    "splits of one name": (_own("splits.json", lambda: _filled("a", 900_000, '{{"train": ["{}"]}}')), "does not list"),
    "conditions of many lines": (_own("conditions.csv", lambda: _filled("a__1,b\n", 57 * MIB)), "bytes; at most"),
    "conditions of many short lines": (_own("conditions.csv", lambda: _filled("a\n", 900_000)), "lines for 2"),
    "conditions of many cells": (_own("conditions.csv", lambda: _filled("a,", 900_000)), "cells, not a sketch"),
    "conditions of one line": (_own("conditions.csv", lambda: _filled("a__1,", 57 * MIB)), "bytes; at most"),
    "a licence too long": (_own("LICENCE.txt", lambda: _filled("a", 9 * MIB)), "at most"),
    "100 KB of bad lines": (_quickdraw("a.ndjson", lambda: _filled("x\n", 100_000)), "drawings 0 can be used"),
    "8 MiB of bad lines": (_quickdraw("a.ndjson", lambda: _filled("x\n", 8 * MIB)), "drawings 0 can be used"),
    "8 MiB of empty objects": (_quickdraw("a.ndjson", lambda: _filled("{}\n", 8 * MIB)), "0 can be used"),
    "8 MiB of lines of lists": (
        _quickdraw("a.ndjson", lambda: (_filled("[],", MIB - 9) + b"\n") * 8),
        "lists; at most",
    ),
    "a line of 64 MiB": (_quickdraw("a.ndjson", lambda: bytes(64 * MIB)), "longer than"),
    "an archive of 300 MiB": (_quickdraw("a.npz", _bomb), "unpacks to more than"),
    "a table of many sketches": (_sketchy(_many_sketches), "more than 20,000 sketches"),
    "a table of bad rows": (_sketchy(lambda: _filled("x\n", 57 * MIB)), "line 2: a row must have"),
    "a table without a line end": (_sketchy(lambda: _filled("x", 57 * MIB)), "a line of more than"),
    "a table too large": (_sketchy(lambda: bytes(80 * MIB)), "at most"),
    "a list of words": (_fscoco, "'a' is not an id"),
}


def main(root: Path, out: Path) -> None:
    """Read a good folder, so that what it imports is there, then every case."""
    (root / "good").mkdir()
    _own("README", lambda: b"")(root / "good")()
    gc.collect()
    gc.freeze()
    report: dict[str, dict[str, Any]] = {}
    for number, (name, (make, _)) in enumerate(CASES.items()):
        folder = root / str(number)
        folder.mkdir()
        read = make(folder)
        forget()
        before, start, error = peak(), time.process_time(), None
        try:
            read()
        except (ValueError, OSError) as caught:
            error = str(caught)
        seconds, most = time.process_time() - start, peak()
        memory = None if most is None or before is None else most - before
        report[name] = {"error": error, "seconds": seconds, "memory": memory, "folder": str(folder)}
    out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
