"""Costs of selectors: counting, timing and its order, with a made-up clock."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import students
from agents.reports import saving
from agents.selectors import networks as selectors
from agents.selectors.base import Selector
from agents.studies import selector_latency
from agents.studies.selector_latency import default_selectors, measure
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.embedder import Student
from students.tables.latency import Latency, Part
from tests.agents.support import stored_costs
from tests.helpers import toy_sketch

SKETCHES = [toy_sketch(row) for row in (5, 7, 8, 10, 12)]  # 28, 5, 63, 20 and 22 points


@pytest.fixture(scope="module")
def student() -> Student:
    """Random weights; the canvases of the toy data set."""
    return students.create("mobilenet_v2", canvases=(16, 32, 64, 128))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace the measurement of the student by 20 ms; returns the arguments of its calls."""
    calls: list[dict[str, Any]] = []

    def made_up(student: Student, canvases: Any, *, sketches: Any, repeats: int) -> Latency:
        calls.append({"canvases": tuple(canvases), "sketches": list(sketches), "repeats": repeats})
        part = Part((20.0,), (30.0,))
        return Latency("made up", "0" * 64, tuple(canvases), part, part, part, 1, 1, "2026-01-01", {})

    monkeypatch.setattr(selector_latency.latency, "measure", made_up)
    return calls


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """A made-up clock: observing takes 1 ms, deciding 2 ms with "stats", 4 ms with others, and 400 ms the tenth time.

    Returns the (network, torch threads) of every query.
    """
    now = 0.0
    queries: list[tuple[str, int]] = []
    observe, forward = Selector.observe, Selector.forward

    def slow_observe(self: Selector, sketch: VectorSketch, max_points: int) -> dict[str, torch.Tensor]:
        nonlocal now
        now += 1e-3
        return observe(self, sketch, max_points)

    def slow_forward(self: Selector, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        nonlocal now
        assert torch.is_inference_mode_enabled()
        queries.append((self.name, torch.get_num_threads()))
        now += 0.4 if len(queries) == 10 else 2e-3 if self.name == "stats" else 4e-3
        return forward(self, obs)

    monkeypatch.setattr(selector_latency, "perf_counter", lambda: now)
    monkeypatch.setattr(Selector, "observe", slow_observe)
    monkeypatch.setattr(Selector, "forward", slow_forward)
    return queries


def test_what_is_timed(student: Student, asked: list[dict[str, Any]], clock: list[tuple[str, int]]) -> None:
    torch.set_num_threads(2)
    try:
        found = measure(student, SKETCHES, repeats=3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    # 3 to warm up and 3 x 5 of each network, all on one thread, and the student on the same sketches.
    assert Counter(clock) == {(name, 1): 18 for name in selectors.SELECTORS}
    assert asked == [{"canvases": (32,), "sketches": SKETCHES, "repeats": 3}]
    assert [cost.name for cost in found.selectors] == list(selectors.SELECTORS)
    for cost in found.selectors:
        forward = 2.0 if cost.name == "stats" else 4.0
        assert cost.observe_ms == pytest.approx(1.0)
        assert cost.forward_ms == pytest.approx(forward)
        assert cost.ms == pytest.approx(1.0 + forward)
        assert cost.ms_share == pytest.approx((1.0 + forward) / 20.0)
    assert (found.sketches, found.repeats, found.canvas, found.student_ms) == (5, 3, 32, 20.0)


def test_networks_take_turns_in_changing_order(
    student: Student, asked: list[dict[str, Any]], clock: list[tuple[str, int]]
) -> None:
    measure(student, SKETCHES, repeats=2)
    names = [name for name, _ in clock]
    n = len(selectors.SELECTORS)
    assert names[: 3 * n] == [name for name in selectors.SELECTORS for _ in range(3)]
    rounds = [tuple(names[start : start + n]) for start in range(3 * n, len(names), n)]
    assert len(rounds) == 10
    assert all(sorted(turn) == sorted(selectors.SELECTORS) for turn in rounds)
    assert len(set(rounds)) > 3


@pytest.mark.usefixtures("asked", "clock")
def test_what_is_counted(student: Student) -> None:
    found = measure(student, SKETCHES, max_points=40, repeats=1)
    lengths = sorted(sketch.bounded(40).n_points for sketch in SKETCHES)
    assert found.points == lengths[2]
    assert lengths == [5, 20, 22, 28, 40]
    assert found.student_flops == student.flops(32)
    for cost, net in zip(found.selectors, default_selectors(), strict=True):
        # The median is that of the third of the five drawings.
        middle = next(sketch for sketch in SKETCHES if sketch.bounded(40).n_points == found.points)
        assert cost.flops == float(net.flops(net.observe(middle, 40))[0])
        assert cost.flops_share == cost.flops / student.flops(32)
        assert cost.params == sum(parameter.numel() for parameter in net.parameters())
        assert cost.settings == net.settings()
        assert selectors.create(**cost.settings).name == cost.name


@pytest.mark.usefixtures("asked", "clock")
def test_the_record_goes_to_json(student: Student, tmp_path: Path) -> None:
    found = measure(student, SKETCHES, [selectors.create("gru", 4, hidden=8)], canvas=64, repeats=1)
    file = saving.save(found, tmp_path)[0]
    read = json.loads(file.read_text())
    assert read == found.to_json()
    assert stored_costs(file) == found
    assert [row["settings"]["hidden"] for row in read["selectors"]] == [8]
    assert (read["canvas"], read["student"], read["student_hash"]) == (64, student.name, student.weights_hash)
    assert read["machine"]["cpu"]
    assert read["machine"]["versions"]["torch"]


def test_a_real_clock_runs(student: Student) -> None:
    found = measure(student, SKETCHES[:2], repeats=1)
    for cost in found.selectors:
        assert cost.observe_ms > 0
        assert cost.forward_ms > 0
        assert cost.ms <= cost.p95_ms
        assert np.isfinite(cost.ms_share)


def test_making_the_default_networks_draws_nothing() -> None:
    before = torch.get_rng_state()
    assert [net.name for net in default_selectors()] == list(selectors.SELECTORS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sketches": []}, "at least one sketch"),
        ({"repeats": 0}, "one repeat"),
        ({"networks": []}, "at least one selector"),
        ({"networks": [selectors.create("gru", 4, hidden=8).to("meta")]}, "on the CPU"),
        ({"canvas": 48}, "no canvas 48"),
    ],
)
def test_what_cannot_be_measured(student: Student, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(student, **{"sketches": SKETCHES, **arguments})
