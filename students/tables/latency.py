"""Latency of a student: milliseconds of one query on one thread at each canvas, measured once and stored.

Latency is not proportional to FLOPs: even the smallest picture takes some time. `measure` times drawing and embedding;
`add_latency` stores the medians in an outcome table, where the environment reads them (`cost="latency"`).

    sketchcanvas latency runs/table.npz --student emoji

The description of the machine is stored with the milliseconds. Measure on an idle machine.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.outcomes.finding import check_dataset
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import write_json
from students.network.embedder import Student
from students.network.modes import evaluating
from students.store.provenance import versions

REPEATS = 5
"""Measurements of each sketch at each canvas."""

SKETCHES = 50
"""Number of sketches to measure a table's latency on."""

_WARM_UP = 3
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Part:
    """Times of one part of a query, milliseconds, one number for each canvas.

    Attributes:
        median_ms: medians over sketches and repeats.
        p95_ms: 95th percentiles.
    """

    median_ms: tuple[float, ...]
    p95_ms: tuple[float, ...]


@dataclass(frozen=True)
class Latency:
    """Times of one query on one thread.

    Attributes:
        student: name of the student.
        student_hash: SHA-256 of its weights, hex.
        canvases: sides in pixels, rising.
        total: drawing and forward pass together; its medians are not the sums of the parts' medians.
        drawing: strokes to raster.
        forward: raster to network input to embedding, in inference mode.
        sketches: number of different sketches.
        repeats: times each was measured at each canvas.
        date: of the measurement, UTC, ISO 8601.
        machine: what it was measured on, see `machine`.
    """

    student: str
    student_hash: str
    canvases: tuple[int, ...]
    total: Part
    drawing: Part
    forward: Part
    sketches: int
    repeats: int
    date: str
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        fields: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return fields

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record as JSON, atomically."""
        write_json(path, self.to_json(), indent=2)
        return Path(path)


def measure(
    student: Student, canvases: Sequence[int], *, sketches: Sequence[VectorSketch], repeats: int = REPEATS
) -> Latency:
    """Time one query, drawing and embedding one sketch, at each canvas on one torch thread.

    Canvases take turns in a new order for every sketch, so that other load affects all of them alike. A few queries at
    each canvas come first and are not counted.

    Args:
        student: on the CPU.
        canvases: sides in pixels, rising.
        sketches: the sketches to draw.
        repeats: measurements of each sketch at each canvas.

    Returns:
        Medians and 95th percentiles over `repeats * len(sketches)` queries a canvas.

    Raises:
        ValueError: no sketch, fewer than one repeat, a canvas that the student lacks, a student that is not on
            the CPU.
    """
    sides = check_canvases(canvases)
    lacking = [side for side in sides if side not in student.canvases]
    if lacking:
        raise ValueError(f"the student has no canvas {', '.join(map(str, lacking))}; it has {list(student.canvases)}")
    if not len(sketches) or repeats < 1:
        raise ValueError(f"give at least one sketch and one repeat, got {len(sketches)} and {repeats}")
    if student.device.type != "cpu":
        raise ValueError("latency is that of one CPU thread: move the student to the CPU first")

    drawing = np.empty((repeats, len(sketches), len(sides)))
    forward = np.empty_like(drawing)
    order = np.random.default_rng(0)
    # In evaluation mode throughout: `Student.embed` asks hundreds of modules for theirs in every call, which takes a
    # millisecond and is no part of the network.
    with _one_thread(), evaluating(student), torch.inference_mode():
        for side in sides:
            for turn in range(_WARM_UP):
                _query(student, sketches[turn % len(sketches)], side)
        for turn, row in np.ndindex(repeats, len(sketches)):
            for k in order.permutation(len(sides)).tolist():
                drawing[turn, row, k], forward[turn, row, k] = _query(student, sketches[row], sides[k])
    return Latency(
        student=student.name,
        student_hash=student.weights_hash,
        canvases=sides,
        total=_part(drawing + forward),
        drawing=_part(drawing),
        forward=_part(forward),
        sketches=len(sketches),
        repeats=repeats,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
    )


def with_latency(table: OutcomeTable, latency: Latency) -> OutcomeTable:
    """The table with the medians of `latency.total` as `milliseconds` and the record in `meta`.

    Raises:
        ValueError: a latency of another student, of other weights, or without one of the table's canvases.
    """
    _check_same(table, latency.student, latency.student_hash)
    median = dict(zip(latency.canvases, latency.total.median_ms, strict=True))
    lacking = [side for side in table.canvases.tolist() if side not in median]
    if lacking:
        raise ValueError(f"no latency at canvas {', '.join(map(str, lacking))}: measure at all the table's canvases")
    return replace(
        table,
        milliseconds=np.array([median[side] for side in table.canvases.tolist()]),
        meta={**table.meta, "latency": latency.to_json()},
    )


def add_latency(
    path: str | os.PathLike[str], student: Student, dataset: SketchDataset, repeats: int = REPEATS
) -> Latency:
    """Measure a student at all canvases of its outcome table and write the table anew, with its latency.

    Args:
        path: the table's file.
        student: whose outcomes the table holds.
        dataset: the data set that the table was made from; `SKETCHES` sketches of it are drawn.
        repeats: see `measure`.

    Returns:
        What was measured.

    Raises:
        ValueError: the table is of another student or of other data, or as `measure`.
        FileNotFoundError: no file at `path`.
    """
    table = OutcomeTable.load(path)
    check_dataset(table, dataset)
    _check_same(table, student.name, student.weights_hash)
    rows = dataset.indices(table.splits[0])
    chosen = np.random.default_rng(0).permutation(rows)[:SKETCHES]
    sketches = [dataset.sketch(int(row)) for row in chosen]
    latency = measure(student, table.canvases.tolist(), sketches=sketches, repeats=repeats)
    with_latency(table, latency).save(path)
    return latency


def machine() -> dict[str, Any]:
    """This machine: processor, cores, system, versions of Python and of packages."""
    return {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform(), "versions": versions()}


def _cpu() -> str:
    """The processor's name."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # there is no such file outside Linux
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _query(student: Student, sketch: VectorSketch, side: int) -> tuple[float, float]:
    """Milliseconds of drawing one sketch and of embedding it; the student is in evaluation mode."""
    start = perf_counter()
    rasters = rasterise_batch([sketch], side)
    drawn = perf_counter()
    student(student.sketch_tensor(rasters), student.domain_of(side)).numpy()
    return 1e3 * (drawn - start), 1e3 * (perf_counter() - drawn)


def _part(times: NDArray[np.float64]) -> Part:
    """Medians and percentiles of (repeats, sketches, K) milliseconds."""
    median, p95 = np.quantile(times, [0.5, 0.95], axis=(0, 1))
    return Part(tuple(median.tolist()), tuple(p95.tolist()))


def _check_same(table: OutcomeTable, student: str, student_hash: str) -> None:
    if (table.student, table.student_hash) != (student, student_hash):
        raise ValueError(
            f"the outcome table is of student {table.student!r} ({table.student_hash[:12]}), the latency of "
            f"{student!r} ({student_hash[:12]}): measure the student that the table was made with"
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
