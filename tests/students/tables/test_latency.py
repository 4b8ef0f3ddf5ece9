"""Latency: what is timed, in which order, and what is kept of it. No test looks at a real clock's figures."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import students
from sketchcanvas_env.outcomes.table import OutcomeTable
from students.network.embedder import Student
from students.tables import latency
from students.tables.latency import Latency, add_latency, machine, measure, with_latency
from tests.helpers import Toy, toy_sketch, toy_table

CANVASES = (16, 32, 64)
SKETCHES = [toy_sketch(row) for row in range(4)]


@pytest.fixture(scope="module")
def student() -> Student:
    """Random weights; the canvases of the toy data set."""
    return students.create("mobilenet_v2", canvases=(16, 32, 64, 128))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A made-up clock: drawing takes a tenth of the side in milliseconds, the forward pass the side.

    The thirtieth query is a hundred times slower. No network runs. Returns the (side, torch threads) of every query.
    """
    now = 0.0
    queries: list[tuple[int, int]] = []
    rasterise = latency.rasterise_batch

    def slow_draw(sketches: Any, side: int) -> Any:
        nonlocal now
        now += side / 10 / 1e3
        return rasterise(sketches, side)

    def slow_forward(self: Student, x: torch.Tensor, domain: str) -> torch.Tensor:
        nonlocal now
        assert not self.training
        assert torch.is_inference_mode_enabled()
        assert x.shape == (1, 3, int(domain), int(domain))
        queries.append((int(domain), torch.get_num_threads()))
        now += int(domain) / 1e3 * (100 if len(queries) == 30 else 1)
        return torch.zeros(1, self.dim)

    monkeypatch.setattr(latency, "perf_counter", lambda: now)
    monkeypatch.setattr(latency, "rasterise_batch", slow_draw)
    monkeypatch.setattr(Student, "forward", slow_forward)
    return queries


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def made_up(table: OutcomeTable, **changes: Any) -> Latency:
    """A record with one millisecond for each pixel of the side."""
    sides = tuple(table.canvases.tolist())
    part = latency.Part(tuple(float(side) for side in sides), tuple(2.0 * side for side in sides))
    record = Latency(
        table.student, table.student_hash, sides, part, part, part, 1, 1, "2026-01-01T00:00:00+00:00", machine()
    )
    return replace(record, **changes)


# ---------------------------------------------------------------- measuring


@pytest.mark.usefixtures("three_threads")
def test_what_is_timed(student: Student, clock: list[tuple[int, int]]) -> None:
    student.train()
    found = measure(student, CANVASES, sketches=SKETCHES, repeats=5)
    assert student.training
    assert torch.get_num_threads() == 3
    # 3 to warm up and 5 x 4 at each canvas, all on one thread.
    assert Counter(clock) == {(side, 1): 23 for side in CANVASES}
    assert found.drawing.median_ms == pytest.approx([side / 10 for side in CANVASES])
    assert found.forward.median_ms == pytest.approx([float(side) for side in CANVASES])
    assert found.total.median_ms == pytest.approx([1.1 * side for side in CANVASES])
    assert (found.sketches, found.repeats, found.canvases) == (4, 5, CANVASES)
    assert (found.student, found.student_hash) == (student.name, student.weights_hash)


def test_one_slow_query_moves_no_median(student: Student, clock: list[tuple[int, int]]) -> None:
    found = measure(student, CANVASES, sketches=SKETCHES, repeats=5)
    slow = CANVASES.index(clock[29][0])
    assert found.forward.median_ms[slow] == pytest.approx(CANVASES[slow])
    # The 95th percentile of 20 lies a twentieth of the way from the last but one to the last.
    assert found.forward.p95_ms[slow] == pytest.approx(CANVASES[slow] * (1 + 0.05 * 99))
    assert found.drawing.p95_ms == pytest.approx(found.drawing.median_ms)


def test_canvases_take_turns_in_changing_order(student: Student, clock: list[tuple[int, int]]) -> None:
    measure(student, CANVASES, sketches=SKETCHES, repeats=5)
    sides = [side for side, _ in clock]
    assert sides[:9] == [16] * 3 + [32] * 3 + [64] * 3
    rounds = [tuple(sides[start : start + 3]) for start in range(9, len(sides), 3)]
    assert len(rounds) == 20
    assert all(sorted(turn) == list(CANVASES) for turn in rounds)
    assert len(set(rounds)) > 3


@pytest.mark.usefixtures("three_threads")
def test_threads_are_put_back_after_an_error(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no paper")

    monkeypatch.setattr(latency, "rasterise_batch", broken)
    with pytest.raises(RuntimeError, match="no paper"):
        measure(student, CANVASES, sketches=SKETCHES)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"canvases": (16, 48)}, r"no canvas 48; it has \[16, 32, 64, 128\]"),
        ({"canvases": (32, 16)}, "rise"),
        ({"canvases": ()}, "empty"),
        ({"sketches": []}, "at least one sketch"),
        ({"repeats": 0}, "one repeat"),
    ],
)
def test_what_cannot_be_measured(student: Student, arguments: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"canvases": CANVASES, "sketches": SKETCHES, **arguments}
    with pytest.raises(ValueError, match=message):
        measure(student, settings.pop("canvases"), **settings)


def test_a_student_elsewhere_is_refused(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Student, "device", torch.device("cuda"))
    with pytest.raises(ValueError, match="move the student to the CPU"):
        measure(student, CANVASES, sketches=SKETCHES)


# ---------------------------------------------------------------- the record


def test_the_record_is_json(student: Student, tmp_path: Path) -> None:
    found = measure(student, (16, 32), sketches=SKETCHES[:1], repeats=1)
    fields = json.loads(found.save(tmp_path / "new" / "latency.json").read_text())
    assert fields == found.to_json()
    assert fields["canvases"] == [16, 32]
    for part in ("total", "drawing", "forward"):
        for name in ("median_ms", "p95_ms"):
            assert len(fields[part][name]) == 2
            assert all(math.isfinite(value) and value > 0 for value in fields[part][name])
    assert fields["machine"]["cpu"]
    assert fields["machine"]["cores"] >= 1
    assert set(fields["machine"]["versions"]) >= {"python", "torch"}
    assert fields["date"].endswith("+00:00")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["latency.json"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz: fast\nmodel name\t: Other\n", "Some CPU @ 3 GHz: fast"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", "from platform"),
        ("model name\t:\n", "from platform"),
        (None, "from platform"),
    ],
)
def test_the_name_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, name: str
) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(latency, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(latency.platform, "processor", lambda: "")
    monkeypatch.setattr(latency.platform, "machine", lambda: "from platform")
    assert machine()["cpu"] == name
    monkeypatch.setattr(latency.platform, "machine", lambda: "")
    assert (machine()["cpu"] == "unknown") == (name == "from platform")


# ---------------------------------------------------------------- in the table


def test_a_table_takes_the_medians_of_its_canvases() -> None:
    table = toy_table(milliseconds=None, meta={"kept": 1})
    record = made_up(table)
    timed = with_latency(table, record)
    assert timed.costs("latency").tolist() == [16.0, 32.0, 64.0, 128.0]
    assert timed.meta == {"kept": 1, "latency": record.to_json()}
    # Fewer columns than were measured, and a second measurement in the place of the first.
    assert with_latency(table.select(canvases=(32, 128)), record).costs("latency").tolist() == [32.0, 128.0]
    slower = made_up(table, total=latency.Part((9.0,) * 4, (9.0,) * 4))
    assert with_latency(timed, slower).costs("latency").tolist() == [9.0] * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student": "other"}, "of student 'made_up'.*measure the student that the table was made with"),
        ({"student_hash": "f" * 64}, "measure the student"),
        ({"canvases": (16, 32, 64, 100)}, "no latency at canvas 128"),
    ],
)
def test_a_latency_that_does_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_latency(toy_table(), made_up(toy_table(), **changes))


@pytest.fixture
def table_path(toy: Toy, student: Student, tmp_path: Path) -> Path:
    """A table of `student` on the toy data set, without latency."""
    names = {"student": student.name, "student_hash": student.weights_hash}
    return toy_table(toy.dataset, milliseconds=None, meta={"made_by": "tests"}, **names).save(tmp_path / "t.npz")


def test_adding_it_to_a_file(
    toy: Toy, student: Student, table_path: Path, clock: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "SKETCHES", 5)
    before = OutcomeTable.load(table_path)
    kwargs: dict[str, Any] = {**toy.kwargs, "table": str(table_path), "cost": "latency", "tradeoff": 1.0}
    with pytest.raises(ValueError, match="no latency"):
        gym.make("SketchCanvas-v0", **kwargs)
    record = add_latency(table_path, student, toy.dataset, repeats=3)
    assert len(clock) == 4 * (3 + 5 * 3)
    after = OutcomeTable.load(table_path)
    assert after.costs("latency").tolist() == pytest.approx([17.6, 35.2, 70.4, 140.8])
    assert after.meta == {**before.meta, "latency": record.to_json()}
    assert after.hash != before.hash
    assert replace(after, milliseconds=None, meta=before.meta).hash == before.hash
    # The environment charges it: R = R_comp = -q / (q_max - q_min).
    env = gym.make("SketchCanvas-v0", **kwargs)
    env.reset(seed=0)
    assert env.step(np.int64(1))[1] == pytest.approx(-35.2 / (140.8 - 17.6))


def test_another_student_is_not_measured(
    toy: Toy, student: Student, table_path: Path, clock: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = table_path.read_bytes()
    with pytest.raises(ValueError, match="another version"):
        add_latency(table_path, student, replace(toy.dataset, hash="f" * 64))
    monkeypatch.setattr(student, "weights_hash", "someone else's")
    with pytest.raises(ValueError, match="measure the student"):
        add_latency(table_path, student, toy.dataset)
    assert clock == []
    assert table_path.read_bytes() == body
