"""Parameters, FLOPs and milliseconds of each selector network, compared with the student's cheapest canvas.

A selector must cost less than it saves. Milliseconds are on one thread, from the strokes to the chosen canvas, with the
computation of its inputs. The student is measured on the same machine, which the record describes; measure on one that
does nothing else.

    sketchcanvas report selectors
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch

from agents.algorithms.common.training import pinned_threads
from agents.evaluation.setting import EnvConfig
from agents.selectors import networks as selectors
from agents.selectors.base import Selector
from agents.selectors.points import stroke5_rows, true_lengths
from agents.studies.timing import in_turns
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.embedder import Student
from students.network.flops import count_params
from students.tables import latency

SMALLEST = 32
"""Canvas of the student that selectors are compared with, pixels: the smallest of the default ones."""


@dataclass(frozen=True)
class SelectorCost:
    """What one selector costs.

    Attributes:
        name: of the network.
        settings: arguments of `networks.create`.
        params: number of parameters.
        flops: FLOPs (2 x MAC) of deciding about a drawing with the median number of points.
        ms: median milliseconds of a decision, strokes to canvas.
        p95_ms: 95th percentile.
        observe_ms: median of computing the network's inputs.
        forward_ms: median of the network itself.
        flops_share: `flops` over those of the student at `SelectorCosts.canvas`.
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
    """Costs of selectors compared with a student, on one machine.

    Attributes:
        selectors: one record each.
        points: median number of points of the drawings, simplified to `max_points`.
        max_points: see `VectorSketch.to_stroke5`.
        student: name of the student.
        student_hash: SHA-256 of its weights, hex.
        canvas: the student's canvas in the comparison, pixels.
        student_flops: FLOPs (2 x MAC) of the student there.
        student_ms: median milliseconds of drawing and embedding one sketch there.
        sketches: number of different sketches.
        repeats: times that each was measured.
        date: of the measurement, UTC, ISO 8601.
        machine: see `students.tables.latency.machine`.
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


def default_selectors() -> list[Selector]:
    """Every network of `networks.SELECTORS` at its default width, with random weights."""
    with torch.random.fork_rng(devices=[]):
        return [selectors.create(name, len(EnvConfig.canvases), len(FEATURE_NAMES)) for name in selectors.SELECTORS]


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

    Args:
        student: on the CPU.
        sketches: drawings to decide about.
        networks: selectors on the CPU, None for `default_selectors()`.
        canvas: the student's canvas in the comparison, pixels.
        max_points: points that a sketch is simplified to before a selector sees it.
        repeats: times that each sketch is measured.

    Returns:
        Medians over `repeats * len(sketches)` queries a network.

    Raises:
        ValueError: no sketch, fewer than one repeat, no network, a network or student that is not on the CPU, a
            canvas that the student lacks.
    """
    chosen = default_selectors() if networks is None else list(networks)
    if not chosen or any(network.device.type != "cpu" for network in chosen):
        raise ValueError("give at least one selector, and have all on the CPU: latency is that of one CPU thread")
    # First, because it checks the arguments.
    embedding = latency.measure(student, (canvas,), sketches=sketches, repeats=repeats)
    student_flops, student_ms = student.flops(canvas), embedding.total.median_ms[0]
    with pinned_threads(1), torch.inference_mode():
        times = in_turns([partial(_decide, network, max_points) for network in chosen], sketches, repeats)
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


def _decide(network: Selector, max_points: int, sketch: VectorSketch) -> tuple[float, float]:
    """Milliseconds of computing the inputs and of the decision."""
    start = perf_counter()
    obs = network.observe(sketch, max_points)
    seen = perf_counter()
    int(network(obs).argmax())
    return 1e3 * (seen - start), 1e3 * (perf_counter() - seen)


def _length(sketch: VectorSketch, max_points: int) -> int:
    return int(true_lengths(stroke5_rows(torch.from_numpy(sketch.to_stroke5(max_points).reshape(1, -1))))[0])


def _median_flops(network: Selector, sketches: Sequence[VectorSketch], max_points: int) -> float:
    # FLOPs never fall with the number of points, so their median belongs to the median number of points. For an even
    # number of drawings torch's median is the lower of the middle two, for points and FLOPs alike.
    flops = torch.cat([network.flops(network.observe(sketch, max_points)) for sketch in sketches])
    return float(flops.median())
