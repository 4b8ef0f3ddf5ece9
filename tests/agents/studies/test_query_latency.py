"""Times of whole queries: policies, order and accuracy, with made-up times."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
from agents.evaluation import baselines
from agents.evaluation.evaluate import evaluate
from agents.reports import saving
from agents.search.answers import STAGES
from agents.search.pipeline import Pipeline
from agents.selectors.policy import actions_of, flops_of
from agents.studies import query_latency
from agents.studies.query_latency import FIXED, SELECTOR, TOSS, measure
from sketchcanvas_env import load_dataset, load_table
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.search import index as indexes
from tests.agents.support import stored_latency

POLICIES = [*(f"fixed:{side}" for side in FIXED), SELECTOR, TOSS]
STORED = Path(agents.__file__).parent / "results"


class Blind:
    """A student whose embeddings are all equal."""

    def __init__(self, name: str, weights_hash: str, dim: int) -> None:
        self.name, self.weights_hash, self.canvases = name, weights_hash, (32, 48, 64, 96, 128, 160, 192, 256)
        self._embedding = np.full(dim, dim**-0.5, dtype=np.float32)

    def flops(self, canvas: int) -> float:
        return 1e6

    def embed_rasters(self, rasters: np.ndarray) -> np.ndarray:
        return np.tile(self._embedding, (len(rasters), 1))


class Exported:
    """An exported selector without a graph."""

    def __init__(self, saved: Any) -> None:
        self._saved = saved
        self.card = {"source": {"weights_sha256": saved.card["sha256"]}}

    def __call__(self, sketch: VectorSketch) -> int:
        return int(self._saved(sketch))

    def gflops(self, sketch: VectorSketch) -> float:
        return 0.0


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def parts(n: int = 3, **changes: Any) -> dict[str, Any]:
    dataset, index, saved = load_dataset("emoji"), indexes.load("emoji-test"), agents.load("emoji")
    dim = index.embeddings.shape[1]
    given: dict[str, Any] = {
        "student": Blind("torch", index.student_hash, dim),
        "selector": saved,
        "exported": (Blind("onnx", index.student_hash, dim), Exported(saved)),
        "index": index,
        "table": load_table("emoji"),
        "sketches": [dataset.sketch(int(row)) for row in dataset.indices("val")[:n]],
        "split": "val",
        "repeats": 2,
    }
    return {**given, **changes}


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Replace real milliseconds by made-up ones; returns (engine, canvas, torch threads) of each search."""
    asked: list[tuple[str, int, int]] = []
    search = Pipeline.search

    def timed(self: Pipeline, sketch: VectorSketch) -> Any:
        answer = search(self, sketch)
        asked.append((self.student.name, answer.canvas, torch.get_num_threads()))  # type: ignore[attr-defined]
        speed = {"torch": 3.0, "onnx": 1.0}[asked[-1][0]]
        spent = {"selector": 0.5, "raster": 1.0, "student": speed * answer.canvas, "rank": 2.0}
        return replace(answer, milliseconds={**spent, "total": sum(spent.values())})

    monkeypatch.setattr(Pipeline, "search", timed)
    return asked


def test_what_is_timed(searches: list[tuple[str, int, int]]) -> None:
    found = measure(**parts())
    assert [(row.engine, row.policy) for row in found.rows] == [
        (engine, policy) for engine in ("torch", "onnx") for policy in POLICIES
    ]
    # 3 to warm up and 2 x 3 of each row, all on one thread.
    assert Counter(engine for engine, _, _ in searches) == {"torch": 9 * len(POLICIES), "onnx": 9 * len(POLICIES)}
    assert {threads for _, _, threads in searches} == {1}
    for engine, speed in (("torch", 3.0), ("onnx", 1.0)):
        for side in FIXED:
            row = found.row(engine, f"fixed:{side}")
            assert row.p50_ms == row.p95_ms == pytest.approx(3.5 + speed * side)
            assert row.stages == pytest.approx({"selector": 0.5, "raster": 1.0, "student": speed * side, "rank": 2.0})
            assert found.share_of_largest(row) == pytest.approx((3.5 + speed * side) / (3.5 + speed * 256))
    assert (found.sketches, found.repeats, found.photos, found.split) == (3, 2, 350, "val")


def test_rows_take_turns_in_changing_order(searches: list[tuple[str, int, int]]) -> None:
    measure(**parts(4))
    n = 2 * len(POLICIES)
    rounds = [tuple(searches[start : start + n]) for start in range(3 * n, len(searches), n)]
    assert len(rounds) == 8
    for turn in rounds:
        assert Counter(engine for engine, _, _ in turn) == {"torch": len(POLICIES), "onnx": len(POLICIES)}
        assert {canvas for _, canvas, _ in turn} >= set(FIXED)
    assert len(set(rounds)) > 3


@pytest.mark.usefixtures("searches")
def test_accuracy_is_that_of_the_outcome_table() -> None:
    found = measure(**parts())
    saved = agents.load("emoji")
    table, task = load_table("emoji").select("val", saved.canvases), saved.env.task("val")
    thinking = flops_of(saved.selector, task)
    chosen = evaluate(table, actions_of(saved.selector, task), selector_flops=thinking)
    for engine in ("torch", "onnx"):
        row, toss = found.row(engine, SELECTOR), found.row(engine, TOSS)
        assert (row.acc1, row.acc1_low, row.acc1_high) == (chosen.acc1, *chosen.acc1_interval)
        assert row.gflops == chosen.gflops
        assert toss.gflops == pytest.approx(row.gflops)
        assert toss.acc1 == pytest.approx(evaluate(table, baselines.hull(table, 1e9 * row.gflops)).acc1)
        assert found.row(engine, "fixed:128").acc1 == pytest.approx((table.ranks[:, 2] == 1).mean())
    assert sum(found.toss.values()) == pytest.approx(1.0)


def test_the_coin_toss_has_its_probabilities() -> None:
    toss = query_latency._CoinToss((32, 64, 128, 256), np.array([0.0, 0.25, 0.75, 0.0]))
    drawn = Counter(toss(VectorSketch.from_strokes([[[0.5, 0.5]]])) for _ in range(2000))
    assert set(drawn) == {64, 128}
    assert drawn[64] / 2000 == pytest.approx(0.25, abs=0.04)


@pytest.mark.usefixtures("searches")
def test_the_record_is_saved_and_reported(tmp_path: Path) -> None:
    found = measure(**parts())
    files = saving.save(found, tmp_path)
    assert stored_latency(files[0]) == found
    text = files[1].read_text(encoding="utf-8")
    assert text == saving.report_of(found).markdown
    # 3.5 ms besides the student, which takes 1 ms per pixel of the side.
    assert "The student takes 32.00 ms at 32 px, 12 % of its 256.00 ms at 256 px, for 2 % of the FLOPs." in text
    assert "take 3.50 ms" in text
    with pytest.raises(KeyError, match="abacus"):
        found.row("abacus", SELECTOR)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sketches": []}, "at least one sketch"),
        ({"repeats": 0}, "at least one sketch and one repeat"),
        ({"student": Blind("torch", "b" * 64, 8)}, "not of the same weights"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(**parts(**changes))


def test_the_export_of_another_selector_is_refused() -> None:
    given = parts()
    given["exported"][1].card["source"]["weights_sha256"] = "0" * 64
    with pytest.raises(ValueError, match="exported selector is another one"):
        measure(**given)


def test_more_threads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    with pytest.raises(ValueError, match="set OMP_NUM_THREADS=1"):
        measure(**parts())


def test_the_stored_table_is_the_stored_record() -> None:
    stored = stored_latency(STORED / "query-latency.json")
    assert (STORED / "query-latency.md").read_text(encoding="utf-8") == saving.report_of(stored).markdown
    table = load_table("emoji")
    assert (stored.student_hash, stored.selector_hash) == (
        table.student_hash,
        agents.load("emoji").card["sha256"],
    )
    saved = agents.load("emoji")
    chosen = table.select(stored.split, saved.canvases)
    assert stored.table_hash == chosen.hash
    scores, _ = query_latency._scores(table, saved, stored.split)
    for row in stored.rows:
        assert (row.acc1, row.gflops) == pytest.approx((scores[row.policy]["acc1"], scores[row.policy]["gflops"]))
        assert set(row.stages) == set(STAGES)
