"""Milliseconds of a whole query on one thread: selector, raster, student and ranking, by torch and by onnxruntime.

FLOPs count arithmetic; a user also waits for everything else. Every policy searches the same sketches in the same index
through `agents.search.pipeline`: fixed canvases, a selector, and the coin toss between two canvases with the same mean
FLOPs as the selector. acc@1 is that of the whole split, from the outcome table.

    OMP_NUM_THREADS=1 sketchcanvas report query-latency

The record describes the machine; measure on one that does nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.algorithms.common.training import pinned_threads
from agents.evaluation import baselines
from agents.evaluation.evaluate import evaluate
from agents.onnx.selector import OnnxSelector
from agents.search.answers import STAGES
from agents.search.parts import FixedCanvas, QueryStudent
from agents.search.pipeline import Pipeline
from agents.selectors.policy import actions_of, flops_of
from agents.store.saved import SavedSelector
from agents.studies.timing import in_turns
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.finding import load_table
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.embedder import Student
from students.onnx.runtime import OnnxStudent
from students.search.index import PhotoIndex
from students.tables import latency

FIXED = (32, 64, 96, 128, 256)
"""Fixed canvases that are measured, pixels, whether the selector may choose them or not; times are compared with the
last."""

SELECTOR, TOSS = "selector", "coin toss"
SKETCHES = 100
REPEATS = 3
_COMPARED = 8


@dataclass(frozen=True)
class QueryRow:
    """One policy on one engine.

    Attributes:
        engine: one of `students.onnx.graphs.ENGINES`.
        policy: "fixed:SIDE", `SELECTOR` or `TOSS`.
        acc1: share of the split's sketches whose true photo comes first; for the coin toss its expectation.
        acc1_low: lower end of its 95 % interval, photos resampled.
        acc1_high: upper end.
        gflops: mean GFLOPs (2 x MAC) of a query over the split, selector included.
        p50_ms: median milliseconds of a whole query.
        p95_ms: 95th percentile.
        stages: median milliseconds of each stage; medians do not add up to the median of the sum.
    """

    engine: str
    policy: str
    acc1: float
    acc1_low: float
    acc1_high: float
    gflops: float
    p50_ms: float
    p95_ms: float
    stages: dict[str, float]


@dataclass(frozen=True)
class QueryLatency:
    """Times of whole queries on one machine.

    Attributes:
        rows: by engine, then policy.
        dataset: name of the data set.
        split: of the sketches and of acc@1.
        photos: number of photos in the index.
        student: name of the student.
        student_hash: SHA-256 of its weights, hex.
        selector: network and algorithm of the selector.
        selector_hash: SHA-256 of its weights, hex.
        table_hash: of the outcome table.
        toss: probability of each canvas in the coin toss, by its side.
        sketches: number of different sketches that were timed.
        repeats: times that each row searched for each sketch.
        load: the system's load average over a minute, before and after; this process is about 1 of it.
        date: of the measurement, UTC, ISO 8601.
        machine: see `students.tables.latency.machine`.
    """

    rows: tuple[QueryRow, ...]
    dataset: str
    split: str
    photos: int
    student: str
    student_hash: str
    selector: str
    selector_hash: str
    table_hash: str
    toss: dict[str, float]
    sketches: int
    repeats: int
    load: tuple[float, float]
    date: str
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)

    def row(self, engine: str, policy: str) -> QueryRow:
        """The row of a policy on an engine; KeyError if there is none."""
        for row in self.rows:
            if (row.engine, row.policy) == (engine, policy):
                return row
        raise KeyError(f"no row of {policy!r} on {engine!r}")

    def engines(self) -> list[str]:
        """The engines, in the order of the rows."""
        return list(dict.fromkeys(row.engine for row in self.rows))

    def share_of_largest(self, row: QueryRow) -> float:
        """A row's median milliseconds over those of the largest fixed canvas on the same engine."""
        return row.p50_ms / self.row(row.engine, f"fixed:{FIXED[-1]}").p50_ms


def measure(
    student: Student,
    selector: SavedSelector,
    exported: tuple[OnnxStudent, OnnxSelector],
    index: PhotoIndex,
    table: OutcomeTable,
    sketches: Sequence[VectorSketch],
    split: str,
    repeats: int = REPEATS,
) -> QueryLatency:
    """Time whole queries of every policy on every engine.

    Args:
        student: on the CPU.
        selector: one that looks once and takes no tradeoff.
        exported: the exports of both, with one thread.
        index: embedded by this student.
        table: the student's outcomes.
        sketches: some of the split.
        split: of acc@1.
        repeats: times that each row searches for each sketch.

    Raises:
        ValueError: parts that do not belong together, no sketch, fewer than one repeat, or more than one thread.
    """
    if not len(sketches) or repeats < 1:
        raise ValueError(f"give at least one sketch and one repeat, got {len(sketches)} and {repeats}")
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise ValueError("ranking would use all cores: set OMP_NUM_THREADS=1 before Python starts")
    if {student.weights_hash, exported[0].weights_hash} != {table.student_hash}:
        raise ValueError("student, export and outcome table are not of the same weights")
    if exported[1].card["source"]["weights_sha256"] != selector.card["sha256"]:
        raise ValueError("the exported selector is another one")
    chosen = table.select(split, selector.canvases)
    scores, toss = _scores(table, selector, split)
    choosers: dict[str, dict[str, Any]] = {
        engine: {
            **{f"fixed:{side}": FixedCanvas(side) for side in FIXED},
            SELECTOR: one,
            TOSS: _CoinToss(selector.canvases, toss),
        }
        for engine, one in (("torch", selector), ("onnx", exported[1]))
    }
    embedders: dict[str, QueryStudent] = {"torch": student, "onnx": exported[0]}
    pipelines = {
        (engine, policy): Pipeline(index, embedders[engine], chooser)
        for engine, policies in choosers.items()
        for policy, chooser in policies.items()
    }
    before = os.getloadavg()[0]
    with pinned_threads(1):
        times = in_turns([partial(_milliseconds, pipeline) for pipeline in pipelines.values()], sketches, repeats)
    rows = []
    for (engine, policy), spent in zip(pipelines, times, strict=True):
        p50, p95 = np.quantile(spent[-1], [0.5, 0.95])
        medians = np.median(spent[:-1], axis=1).tolist()
        stages = dict(zip(STAGES, medians, strict=True))
        rows.append(QueryRow(engine, policy, **scores[policy], p50_ms=float(p50), p95_ms=float(p95), stages=stages))
    return QueryLatency(
        rows=tuple(rows),
        dataset=table.dataset,
        split=split,
        photos=len(index),
        student=student.name,
        student_hash=student.weights_hash,
        selector=f"{selector.selector.name} by {selector.card['algorithm']}",
        selector_hash=str(selector.card["sha256"]),
        table_hash=chosen.hash,
        toss={str(side): float(share) for side, share in zip(selector.canvases, toss, strict=True)},
        sketches=len(sketches),
        repeats=repeats,
        load=(before, os.getloadavg()[0]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=latency.machine(),
    )


def of_shipped(
    dataset: SketchDataset, split: str, selector: str, sketches: int, repeats: int, folder: Path | None = None
) -> QueryLatency:
    """`measure` with the shipped student, outcome table and index of a data set.

    Args:
        dataset: one that comes with the package.
        split: of acc@1 and of the sketches.
        selector: a shipped one or a path.
        sketches: number to time, drawn with a fixed seed.
        repeats: see `measure`.
        folder: of an export of student and selector, None to export both temporarily.
    """
    import students
    from agents.onnx import export as onnx_export
    from agents.store.saved import load as load_selector
    from students.onnx.export import export
    from students.search import index as indexes

    rows = np.random.default_rng(0).permutation(dataset.indices(split))[:sketches]
    drawn = [dataset.sketch(int(row)) for row in rows]
    student, chooser = students.load(dataset.name), load_selector(selector)
    with TemporaryDirectory(prefix="export-") as scratch:
        if folder is None:
            folder = Path(scratch)
            export(student, folder, drawn[:_COMPARED])
            onnx_export.export(chooser, folder, drawn[:_COMPARED])
        exported = OnnxStudent.load(folder, threads=1), OnnxSelector.load(folder)
        index = indexes.load(f"{dataset.name}-test")
        return measure(student, chooser, exported, index, load_table(dataset.name), drawn, split, repeats)


def _scores(
    table: OutcomeTable, selector: SavedSelector, split: str
) -> tuple[dict[str, dict[str, float]], NDArray[np.float64]]:
    """acc@1, its interval and GFLOPs of each policy; and the coin toss, (K,) probabilities of the canvases."""
    task = selector.env.task(split)
    thinking = flops_of(selector.selector, task)
    chosen, fixed = table.select(split, selector.canvases), table.select(split, FIXED)
    actions = actions_of(selector.selector, task)
    toss = baselines.hull(chosen, float((chosen.flops[actions] + thinking).mean()))
    found = {f"fixed:{side}": evaluate(fixed, baselines.fixed(fixed, side)) for side in FIXED}
    found[SELECTOR] = evaluate(chosen, actions, selector_flops=thinking)
    found[TOSS] = evaluate(chosen, toss)
    scores = {}
    for policy, result in found.items():
        low, high = result.acc1_interval
        scores[policy] = {"acc1": result.acc1, "acc1_low": low, "acc1_high": high, "gflops": result.gflops}
    return scores, toss[0]


class _CoinToss:
    """A random canvas."""

    def __init__(self, canvases: Sequence[int], shares: NDArray[np.float64]) -> None:
        self._canvases = canvases
        self._shares = shares
        self._lots = np.random.default_rng(0)

    def __call__(self, sketch: VectorSketch) -> int:
        return self._canvases[int(self._lots.choice(len(self._canvases), p=self._shares))]

    def gflops(self, sketch: VectorSketch) -> float:
        return 0.0


def _milliseconds(pipeline: Pipeline, sketch: VectorSketch) -> list[float]:
    """Milliseconds of each stage of a search, and of the whole."""
    spent = pipeline.search(sketch).milliseconds
    return [spent[stage] for stage in (*STAGES, "total")]
