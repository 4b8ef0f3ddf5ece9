"""Search from end to end: what it finds, what it says that it cost, and who may take part."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agents
import students
from agents.evaluation.setting import EnvConfig
from agents.experiments import pack
from agents.experiments.sweep import FOR_ALL
from agents.search import pipeline as module
from agents.search.answers import Answer
from agents.search.parts import FixedCanvas
from agents.search.pipeline import Pipeline
from agents.selectors import policy
from sketchcanvas_env import load_dataset, load_table
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.search import index as indexes
from students.search.index import PhotoIndex
from tests.helpers import toy_sketch, unit

HASH = "a" * 64


class Cells:
    """Embeds a raster as the ink in each of 16 cells; notes what it was shown, and that nobody disturbs it."""

    weights_hash = HASH
    canvases = (16, 32, 64)

    def __init__(self) -> None:
        self.shown: list[tuple[int, ...]] = []
        self.busy = False
        self.disturbed = False

    def flops(self, canvas: int) -> float:
        return 1e6 * canvas**2

    def embed_rasters(self, rasters: np.ndarray) -> np.ndarray:
        self.disturbed |= self.busy
        self.busy = True
        time.sleep(0.002)
        self.shown.append(rasters.shape)
        self.busy = False
        return cells(rasters)


def cells(rasters: np.ndarray) -> np.ndarray:
    n, side, _ = rasters.shape
    ink = (255 - rasters.astype(np.float64)).reshape(n, 4, side // 4, 4, side // 4).mean(axis=(2, 4))
    return unit(ink.reshape(n, 16) + 1.0)


def photo_index(n: int = 12, **changes: Any) -> PhotoIndex:
    """Drawings in the place of photos; the last is a copy of the first."""
    embeddings = cells(np.stack([rasterise(toy_sketch(100 + i), 64) for i in range(n - 1)]))
    fields: dict[str, Any] = {
        "ids": tuple(f"p{i}.png" for i in range(n)),
        "embeddings": np.concatenate([embeddings, embeddings[:1]]),
        "student": "cells",
        "student_hash": HASH,
        "kind": "folder",
        "source": "pictures",
    }
    return PhotoIndex(**{**fields, **changes})


class ByStrokes:
    """16 px for a single stroke, 32 px for two, 64 px for more."""

    def __call__(self, sketch: VectorSketch) -> int:
        return (16, 32, 64)[min(sketch.n_strokes, 3) - 1]

    def gflops(self, sketch: VectorSketch) -> float:
        return 0.001 * sketch.n_strokes


class Told:
    """A tradeoff above a half goes to 16 px."""

    def __call__(self, sketch: VectorSketch, tradeoff: float | None = None) -> int:
        assert tradeoff is not None
        return 16 if tradeoff > 0.5 else 64

    def gflops(self, sketch: VectorSketch, tradeoff: float | None = None) -> float:
        assert tradeoff is not None
        return 0.5


class Cascade:
    """Goes through a list of canvases; stops where the first photo is the wanted one, or the list ends."""

    def __init__(self, *canvases: int | None, wanted: str = "nobody") -> None:
        self._canvases = canvases
        self._wanted = wanted
        self.told: list[list[tuple[int, tuple[str, ...], tuple[float, ...]]]] = []

    def next(self, sketch: VectorSketch, looks: Sequence[Any]) -> int | None:
        self.told.append([(look.canvas, tuple(look.top), tuple(look.distances)) for look in looks])
        if looks and looks[-1].top[0] == self._wanted:
            return None
        return self._canvases[len(looks)] if len(looks) < len(self._canvases) else None

    def gflops(self, sketch: VectorSketch) -> float:
        return 0.01


def brute_force(sketch: VectorSketch, canvas: int, index: PhotoIndex) -> list[tuple[str, float]]:
    query = cells(rasterise(sketch, canvas)[None])[0].astype(np.float64)
    far = [float(np.linalg.norm(query - photo.astype(np.float64))) for photo in index.embeddings]
    # Equal photos in the index's order.
    return sorted(zip(index.ids, far, strict=True), key=lambda pair: (round(pair[1], 9), index.ids.index(pair[0])))


SKETCHES = [toy_sketch(row) for row in range(12)]


# ---------------------------------------------------------------- what is found


@pytest.mark.parametrize("top", [1, 3, 12, 50])
def test_it_finds_the_nearest_photos_on_the_canvas_that_is_chosen(top: int) -> None:
    index = photo_index()
    pipeline = Pipeline(index, Cells(), ByStrokes())
    chosen = set()
    for sketch in SKETCHES:
        answer = pipeline.search(sketch, top)
        expected = brute_force(sketch, ByStrokes()(sketch), index)[:top]
        assert [hit.photo for hit in answer.hits] == [name for name, _ in expected]
        assert [hit.distance for hit in answer.hits] == pytest.approx([far for _, far in expected], abs=1e-6)
        assert answer.canvas == ByStrokes()(sketch)
        assert [look.canvas for look in answer.looks] == [answer.canvas]
        assert answer.looks[0].hits == answer.hits
        assert answer.gflops == pytest.approx(1e-3 * answer.canvas**2)
        assert answer.selector_gflops == pytest.approx(0.001 * sketch.n_strokes)
        assert (answer.fixed_canvas, answer.fixed_gflops) == (64, pytest.approx(1e-3 * 64**2))
        chosen.add(answer.canvas)
    assert chosen == {16, 32, 64}


def test_many_are_searched_together_canvas_by_canvas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 8)
    student = Cells()
    pipeline = Pipeline(photo_index(), student, ByStrokes())
    together = pipeline.search_many(SKETCHES, top=4)
    counts: dict[tuple[int, int], int] = {}
    for i, sketch in enumerate(SKETCHES):
        place = (i // 8, ByStrokes()(sketch))
        counts[place] = counts.get(place, 0) + 1
    warmed = [(1, side, side) for side in student.canvases]  # the first look at a canvas is taken twice
    assert sorted(student.shown) == sorted([*warmed, *((n, side, side) for (_, side), n in counts.items())])
    for sketch, found in zip(SKETCHES, together, strict=True):
        alone = pipeline.search(sketch, top=4)
        assert [hit.photo for hit in found.hits] == [hit.photo for hit in alone.hits]
        assert [hit.distance for hit in found.hits] == pytest.approx([hit.distance for hit in alone.hits], abs=1e-6)
        assert (found.canvas, found.gflops, found.selector_gflops) == (
            alone.canvas,
            alone.gflops,
            alone.selector_gflops,
        )
    assert pipeline.search_many([]) == []


def test_time_is_told_by_stage() -> None:
    answer = Pipeline(photo_index(), Cells(), ByStrokes()).search(SKETCHES[0])
    spent = dict(answer.milliseconds)
    assert set(spent) == {"selector", "raster", "student", "rank", "total"}
    assert spent.pop("total") == pytest.approx(sum(spent.values()))
    assert all(value > 0 for value in spent.values())
    assert spent["student"] >= 2.0  # it slept
    assert {stage: spent[stage] for stage in ("raster", "student", "rank")} == answer.looks[0].milliseconds


def test_what_only_a_first_search_takes_is_no_cost_of_an_answer() -> None:
    class Slow(Cells):
        def embed_rasters(self, rasters: np.ndarray) -> np.ndarray:
            if not any(shape[1] == rasters.shape[1] for shape in self.shown):
                time.sleep(0.5)
            return super().embed_rasters(rasters)

    class SlowToStart(ByStrokes):
        asked = False

        def __call__(self, sketch: VectorSketch) -> int:
            if not self.asked:
                self.asked = True
                time.sleep(0.5)
            return super().__call__(sketch)

    pipeline = Pipeline(photo_index(), Slow(), SlowToStart())
    for sketch in SKETCHES[:6]:
        spent = pipeline.search(sketch).milliseconds
        assert spent["student"] < 400 and spent["selector"] < 400
    assert pipeline.at(16).search(SKETCHES[0]).milliseconds["student"] < 400


def test_sketches_that_are_searched_together_share_the_time() -> None:
    same = [SKETCHES[0]] * 10
    shares = [
        answer.milliseconds["student"] for answer in Pipeline(photo_index(), Cells(), ByStrokes()).search_many(same)
    ]
    assert len(set(shares)) == 1
    assert shares[0] >= 0.2  # a tenth of the sleep


def test_an_answer_is_json() -> None:
    answer = Pipeline(photo_index(), Cells(), Cascade(16, 32)).search(SKETCHES[3], top=2)
    told = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    assert set(told) == set(Answer.__dataclass_fields__)
    assert told["hits"] == [{"photo": hit.photo, "distance": hit.distance} for hit in answer.hits]
    assert [look["canvas"] for look in told["looks"]] == [16, 32]


# ---------------------------------------------------------------- selectors


def test_a_cascade_is_asked_after_each_look() -> None:
    index = photo_index()
    cascade = Cascade(16, 64, 32)
    answer = Pipeline(index, Cells(), cascade).search(SKETCHES[2], top=2)
    assert [look.canvas for look in answer.looks] == [16, 64, 32]
    assert answer.canvas == 32
    for look in answer.looks:
        assert [hit.photo for hit in look.hits] == [n for n, _ in brute_force(SKETCHES[2], look.canvas, index)[:2]]
    assert answer.hits == answer.looks[-1].hits
    assert answer.gflops == pytest.approx(1e-3 * (16**2 + 64**2 + 32**2))
    assert answer.selector_gflops == pytest.approx(0.04)  # it was asked where to stop, too
    # It is shown the first five, however few are asked for; the first question of all is asked twice.
    told = cascade.told[1:]
    assert [[canvas for canvas, _, _ in looks] for looks in told] == [[], [16], [16, 64], [16, 64, 32]]
    _, top, distances = told[1][0]
    expected = brute_force(SKETCHES[2], 16, index)[:5]
    assert list(top) == [name for name, _ in expected]
    assert list(distances) == pytest.approx([far for _, far in expected], abs=1e-6)
    for stage in ("raster", "student", "rank"):
        assert answer.milliseconds[stage] == pytest.approx(sum(look.milliseconds[stage] for look in answer.looks))


def test_looks_are_fused_where_the_selector_was_trained_for_it() -> None:
    index = photo_index()
    last = Pipeline(index, Cells(), Cascade(16, 64)).search_many(SKETCHES, top=3)
    fused = Pipeline(index, Cells(), Cascade(16, 64), ranking="fused").search_many(SKETCHES, top=3)
    for sketch, ours, theirs in zip(SKETCHES, fused, last, strict=True):
        far = [dict(brute_force(sketch, side, index)) for side in (16, 64)]
        together = {name: ((far[0][name] ** 2 + far[1][name] ** 2) / 2) ** 0.5 for name in index.ids}
        first = sorted(index.ids, key=lambda name: (round(together[name], 9), index.ids.index(name)))[:3]
        assert [hit.photo for hit in ours.hits] == first
        assert [hit.distance for hit in ours.hits] == pytest.approx([together[name] for name in first], abs=1e-6)
        assert [[hit.photo for hit in look.hits] for look in ours.looks] == [
            [hit.photo for hit in look.hits] for look in theirs.looks
        ]
        assert ours.milliseconds["rank"] > sum(look.milliseconds["rank"] for look in ours.looks)
    assert any(ours.hits != theirs.hits for ours, theirs in zip(fused, last, strict=True))
    with pytest.raises(ValueError, match="unknown ranking 'first'; there are last, fused"):
        Pipeline(index, Cells(), ByStrokes(), ranking="first")


def test_a_cascade_stops_for_each_sketch_by_itself() -> None:
    index = photo_index()
    wanted = brute_force(SKETCHES[0], 16, index)[0][0]
    firsts = [brute_force(sketch, 16, index)[0][0] for sketch in SKETCHES]
    answers = Pipeline(index, Cells(), Cascade(16, 64, wanted=wanted)).search_many(SKETCHES)
    expected = [[16] if first == wanted else [16, 64] for first in firsts]
    assert [[look.canvas for look in answer.looks] for answer in answers] == expected
    assert len({len(looks) for looks in expected}) == 2


def test_asking_for_a_canvas_again_is_stopping() -> None:
    answer = Pipeline(photo_index(), Cells(), Cascade(16, 32, 16, 64)).search(SKETCHES[0])
    assert [look.canvas for look in answer.looks] == [16, 32]


def test_a_search_needs_a_look() -> None:
    with pytest.raises(ValueError, match="stopped before it had looked"):
        Pipeline(photo_index(), Cells(), Cascade(None)).search(SKETCHES[0])


def test_a_tradeoff_goes_to_the_selector_that_is_told_it() -> None:
    made = []

    def preference() -> Told:
        made.append(1)
        return Told()

    pipeline = Pipeline(photo_index(), Cells(), FixedCanvas(32), preference)
    assert pipeline.search(SKETCHES[0]).canvas == 32
    assert made == []
    for tradeoff, canvas in ((0.9, 16), (0.1, 64), (0.0, 64)):
        answer = pipeline.search(SKETCHES[0], tradeoff=tradeoff)
        assert (answer.canvas, answer.selector_gflops) == (canvas, 0.5)
    assert made == [1]
    assert [answer.canvas for answer in pipeline.search_many(SKETCHES[:3], tradeoff=0.9)] == [16] * 3
    # Without one of its own for tradeoffs, the selector is told.
    assert Pipeline(photo_index(), Cells(), Told()).search(SKETCHES[0], tradeoff=0.9).canvas == 16


@pytest.mark.parametrize("selector", [FixedCanvas(32), Cascade(32)])
def test_some_cannot_be_told_a_tradeoff(selector: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot be told a tradeoff: leave out 0\.3"):
        Pipeline(photo_index(), Cells(), selector).search(SKETCHES[0], tradeoff=0.3)


def test_what_cannot_be_searched() -> None:
    with pytest.raises(ValueError, match=r"with other weights than this student's .sha256 bbbbbbbbbbbb against aaaa"):
        Pipeline(photo_index(student_hash="b" * 64), Cells(), ByStrokes())
    pipeline = Pipeline(photo_index(), Cells(), FixedCanvas(48))
    with pytest.raises(ValueError, match=r"chose canvas 48; the student has \[16, 32, 64\]"):
        pipeline.search(SKETCHES[0])
    with pytest.raises(ValueError, match="top must be at least 1"):
        pipeline.search(SKETCHES[0], top=0)
    path: Any = "drawing.svg"
    with pytest.raises(TypeError, match=r"a VectorSketch, as read_svg.PATH. gives it, not 'drawing.svg'"):
        pipeline.search(path)


def test_threads_take_turns_at_the_student() -> None:
    student = Cells()
    pipeline = Pipeline(photo_index(), student, ByStrokes())
    fixed = pipeline.at(64)
    alone = [(pipeline.search(sketch).hits, fixed.search(sketch).hits) for sketch in SKETCHES]
    found: dict[int, Any] = {}

    def work(i: int) -> None:
        found[i] = (pipeline.search(SKETCHES[i]).hits, fixed.search(SKETCHES[i]).hits)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(SKETCHES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not student.disturbed
    assert [found[i] for i in range(len(SKETCHES))] == alone


@pytest.mark.parametrize("parallel", [False, True])
def test_threads_share_many_sketches(monkeypatch: pytest.MonkeyPatch, parallel: bool) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    student = Cells()
    student.parallel = parallel  # type: ignore[attr-defined]
    pipeline = Pipeline(photo_index(), student, ByStrokes())
    alone = [answer.hits for answer in pipeline.search_many(SKETCHES)]
    assert [answer.hits for answer in pipeline.search_many(SKETCHES, threads=3)] == alone
    assert parallel or not student.disturbed


# ---------------------------------------------------------------- the shipped parts


@pytest.fixture(scope="module")
def shipped() -> Pipeline:
    return Pipeline.load("emoji-test")


def test_fixed_canvases_give_what_the_outcome_table_says(shipped: Pipeline) -> None:
    dataset, table = load_dataset("emoji"), load_table("emoji").select("test")
    assert table.student_hash == shipped.student.weights_hash
    rows = np.random.default_rng(0).choice(len(table), 6, replace=False)
    sketches = [dataset.sketch(int(dataset.indices("test")[row])) for row in rows]
    assert table.sketch_ids[rows].tolist() == dataset.sketch_ids[dataset.indices("test")[rows]].tolist()
    for column, side in enumerate(table.canvases.tolist()):
        pipeline = Pipeline(shipped.index, shipped.student, FixedCanvas(side))
        answers = pipeline.search_many(sketches, top=len(shipped.index))
        for row, answer in zip(rows, answers, strict=True):
            true = str(table.photo_ids[row])
            [(rank, distance)] = [
                (place, hit.distance) for place, hit in enumerate(answer.hits, start=1) if hit.photo == true
            ]
            assert rank == table.ranks[row, column]
            assert distance == pytest.approx(float(table.distances[row, column]), abs=1e-5)
            nearest = table.photos[table.top[row, column]].tolist()
            assert [hit.photo for hit in answer.hits[: len(nearest)]] == nearest
            assert answer.gflops == pytest.approx(table.flops[column] / 1e9)


def test_the_default_is_the_shipped_selector(shipped: Pipeline) -> None:
    dataset = load_dataset("emoji")
    selector = agents.load("emoji")
    for row in dataset.indices("val")[:5]:
        sketch = dataset.sketch(int(row))
        answer = shipped.search(sketch)
        assert answer.canvas == selector(sketch)
        assert answer.selector_gflops == selector.gflops(sketch)
    assert shipped.search(sketch, tradeoff=1.0).canvas < shipped.search(sketch, tradeoff=0.02).canvas
    with pytest.raises(ValueError, match="tradeoff"):
        shipped.search(sketch, tradeoff=1.5)


def test_parts_are_found_by_name_and_path(shipped: Pipeline, tmp_path: Path) -> None:
    sketch = SKETCHES[0]
    assert Pipeline.load(selector="fixed:96").search(sketch).canvas == 96
    path = agents.store.saved.WEIGHTS_FOLDER / "emoji-preference.safetensors"
    told = Pipeline.load(
        indexes.INDEXES_FOLDER / "emoji-test.safetensors",
        path,
        students.WEIGHTS_FOLDER / "emoji-mobilenet_v2.safetensors",
    )
    assert told.search(sketch, tradeoff=1.0).hits == shipped.search(sketch, tradeoff=1.0).hits
    with pytest.raises(ValueError, match="say at which one"):
        told.search(sketch)
    with pytest.raises(ValueError, match="trained for one tradeoff"):
        Pipeline.load(selector="emoji").search(sketch, tradeoff=0.1)
    for side in ("33", "x"):
        with pytest.raises(ValueError, match="the student has no canvas "):
            Pipeline.load(selector=f"fixed:{side}")
    with pytest.raises(ValueError, match="unknown engine 'abacus'; there are onnx, torch"):
        Pipeline.load(engine="abacus")
    with pytest.raises(ValueError, match="embedded by 'emoji-mobilenet_v2' with other weights"):
        Pipeline.load(student="chairv2")
    with pytest.raises(FileNotFoundError, match="no index"):
        Pipeline.load(tmp_path / "nothing")


def test_the_selector_that_is_told_the_tradeoff_is_the_sweeps_best_on_val() -> None:
    folder = Path(agents.__file__).parent / "results" / "emoji-sweep"
    sweep = json.loads((folder / "sweep.json").read_text())
    names = sorted({one["run"] for one in sweep["candidates"] if one["agent"].endswith(FOR_ALL)})
    assert len(names) == 3
    runs = pack.read(folder)
    earned = {}
    for name in names:
        rewards = []
        for tradeoff in sweep["config"]["tradeoffs"]:
            options = EnvConfig(dataset="emoji", tradeoff=tradeoff).options("val")
            rewards.append(options.rewards_of(runs[name].decide("val", tradeoff)).mean())
        earned[name] = np.mean(rewards)
    best, shipped = runs[max(earned, key=lambda name: earned[name])], agents.load("emoji-preference")
    assert shipped.card["config"] == best.card["config"]
    for tradeoff in sweep["config"]["tradeoffs"]:
        choice = policy.actions_of(
            shipped.selector, EnvConfig(dataset="emoji", tradeoff=tradeoff).task("val"), tradeoff
        )
        np.testing.assert_array_equal(choice, best.decide("val", tradeoff))


def test_the_example_of_the_module() -> None:
    result = doctest.testmod(module)
    assert result.attempted >= 4 and result.failed == 0


def test_it_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from agents.search.parts import FixedCanvas\n"
        "from agents.search.pipeline import Pipeline\n"
        "from students.search import index\n"
        "from sketchcanvas_env import load_dataset\n"
        "found = index.load()\n"
        "class Student:\n"
        "    weights_hash, canvases = found.student_hash, (32,)\n"
        "    def flops(self, canvas): return 1.0\n"
        "    def embed_rasters(self, rasters): return found.embeddings[:1]\n"
        "answer = Pipeline(found, Student(), FixedCanvas(32)).search(load_dataset('emoji').sketch(0))\n"
        "assert answer.hits[0].photo == found.ids[0]\n"
        "assert not {'torch', 'stable_baselines3'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(agents.__file__).parents[1])
