"""What deciding costs: parameters, FLOPs and milliseconds of each selector beside the student's cheapest canvas.

A selector must cost less than it saves. FLOPs are counted by the networks themselves; milliseconds are what a user
waits for, on one thread, from the strokes to the chosen canvas: bounding the points or taking the statistics is
part of it. They are those of one machine, so the student is measured on the same one and its description is kept.
Measure on a machine that does nothing else.

    from agents.studies.selector_latency import measure
    measure(students.load("emoji"), sketches).save("runs/selector-costs.json")
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import numpy as np
import torch

from agents.algorithms.common.training import pinned_threads
from agents.evaluation.setting import EnvConfig
from agents.selectors import networks as selectors
from agents.selectors.base import Selector
from agents.selectors.points import stroke5_rows, true_lengths
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import read_json
from students.network.embedder import Student
from students.network.flops import count_params
from students.tables import latency

SMALLEST = 32
"""The canvas that selectors are held against, pixels: the smallest of the default ones."""

MAX_BYTES = 1 << 20
_WARM_UP = 3


@dataclass(frozen=True)
class SelectorCost:
    """What one selector costs.

    Attributes:
        name: of the network.
        settings: what `selectors.create` makes it from.
        params: number of parameters.
        flops: FLOPs (2 x MAC) of deciding about a drawing with the median number of points.
        ms: median milliseconds of one query, strokes to canvas.
        p95_ms: 95th percentile.
        observe_ms: median of the part before the network: bounding the points or taking the statistics.
        forward_ms: median of the network's part.
        flops_share: `flops` over those of the student at the canvas it is held against.
        ms_share: `ms` over those of the student there.
    """

    name: str
    settings: dict[str, Any]
    params: int
    flops: float
    ms: float
    p95_ms: float
    observe_ms: float
    forward_ms: float
    flops_share: float
    ms_share: float


@dataclass(frozen=True)
class SelectorCosts:
    """What selectors cost beside a student, on one machine.

    Attributes:
        selectors: one record each.
        points: median number of points of the drawings, bounded to `max_points`.
        max_points: see `VectorSketch.to_stroke5`.
        student: name of the student.
        student_hash: SHA-256 of its weights, hex.
        canvas: the side that selectors are held against, pixels.
        student_flops: FLOPs (2 x MAC) of the student there.
        student_ms: median milliseconds of drawing and embedding one sketch there.
        sketches: number of different sketches.
        repeats: times each was measured.
        date: of the measurement, UTC, ISO 8601.
        machine: what it was measured on, see `students.tables.latency.machine`.
    """

    selectors: tuple[SelectorCost, ...]
    points: int
    max_points: int
    student: str
    student_hash: str
    canvas: int
    student_flops: float
    student_ms: float
    sketches: int
    repeats: int
    date: str
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        fields: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return fields

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> SelectorCosts:
        """A stored record.

        Raises:
            ValueError: another file.
        """
        try:
            fields = read_json(path, MAX_BYTES)
            return cls(**{**fields, "selectors": tuple(SelectorCost(**one) for one in fields["selectors"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is no record of selector costs: {error}") from None


def default_selectors(n_actions: int = 4) -> list[Selector]:
    """Every network of `selectors.SELECTORS` at its default width; weights do not matter for what it costs."""
    with torch.random.fork_rng(devices=[]):
        return [selectors.create(name, n_actions, len(FEATURE_NAMES)) for name in selectors.SELECTORS]


def measure(
    student: Student,
    sketches: Sequence[VectorSketch],
    networks: Sequence[Selector] | None = None,
    *,
    canvas: int = SMALLEST,
    max_points: int = EnvConfig.max_points,
    repeats: int = latency.REPEATS,
) -> SelectorCosts:
    """Count and time selectors, and time the student at one canvas on the same machine.

    Networks take turns, in a new order for every sketch, so that whatever else the machine does hits all of them
    alike. A few queries of each go before and are not counted.

    Args:
        student: on the CPU.
        sketches: what is looked at.
        networks: selectors on the CPU, None for `default_selectors()`.
        canvas: the side that they are held against, pixels; one of the student's.
        max_points: points that a sketch is bounded to before a selector sees it.
        repeats: times each sketch is measured.

    Returns:
        Medians over `repeats * len(sketches)` queries a network.

    Raises:
        ValueError: no sketch, fewer than one repeat, no network, a network or student that is not on the CPU, a
            canvas that the student lacks.
    """
    chosen = default_selectors() if networks is None else list(networks)
    if not chosen or any(network.device.type != "cpu" for network in chosen):
        raise ValueError("give at least one selector, and have all on the CPU: latency is that of one CPU thread")
    # First, because it checks what was asked for.
    embedding = latency.measure(student, (canvas,), sketches=sketches, repeats=repeats)
    student_flops, student_ms = student.flops(canvas), embedding.total.median_ms[0]
    times = _times(chosen, sketches, max_points, repeats)
    lengths = torch.tensor([_length(sketch, max_points) for sketch in sketches])
    costs = []
    for network, (observe, forward) in zip(chosen, times, strict=True):
        flops = _median_flops(network, sketches, max_points)
        ms, p95 = np.quantile(observe + forward, [0.5, 0.95])
        costs.append(
            SelectorCost(
                name=network.name,
                settings=network.settings(),
                params=count_params(network),
                flops=flops,
                ms=float(ms),
                p95_ms=float(p95),
                observe_ms=float(np.median(observe)),
                forward_ms=float(np.median(forward)),
                flops_share=flops / student_flops,
                ms_share=float(ms) / student_ms,
            )
        )
    return SelectorCosts(
        selectors=tuple(costs),
        points=int(lengths.median()),
        max_points=max_points,
        student=student.name,
        student_hash=student.weights_hash,
        canvas=canvas,
        student_flops=student_flops,
        student_ms=student_ms,
        sketches=len(sketches),
        repeats=repeats,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=latency.machine(),
    )


def _times(
    networks: Sequence[Selector], sketches: Sequence[VectorSketch], max_points: int, repeats: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Milliseconds before and in each network, (networks, 2, repeats * sketches)."""
    times = np.empty((len(networks), 2, repeats, len(sketches)))
    order = np.random.default_rng(0)
    with pinned_threads(1), torch.inference_mode():
        for network in networks:
            for turn in range(_WARM_UP):
                _query(network, sketches[turn % len(sketches)], max_points)
        for turn, row in np.ndindex(repeats, len(sketches)):
            for which in order.permutation(len(networks)).tolist():
                times[which, :, turn, row] = _query(networks[which], sketches[row], max_points)
    return times.reshape(len(networks), 2, -1)


def _query(network: Selector, sketch: VectorSketch, max_points: int) -> tuple[float, float]:
    """Milliseconds of looking at one sketch and of deciding about it."""
    start = perf_counter()
    obs = network.observe(sketch, max_points)
    seen = perf_counter()
    int(network(obs).argmax())
    return 1e3 * (seen - start), 1e3 * (perf_counter() - seen)


def _length(sketch: VectorSketch, max_points: int) -> int:
    return int(true_lengths(stroke5_rows(torch.from_numpy(sketch.to_stroke5(max_points).reshape(1, -1))))[0])


def _median_flops(network: Selector, sketches: Sequence[VectorSketch], max_points: int) -> float:
    # FLOPs never fall with the number of points: the median drawing's are the median. Of an even number of
    # drawings, torch's median is the lower one of the middle two, for points and FLOPs alike.
    flops = torch.cat([network.flops(network.observe(sketch, max_points)) for sketch in sketches])
    return float(flops.median())
