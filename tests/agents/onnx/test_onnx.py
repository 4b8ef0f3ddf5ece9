"""Exported selectors choose as with torch; the pipeline runs on exports alone; the cost of int8 is measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
import students
from agents.onnx import export as onnx_export
from agents.onnx.export import TOLERANCE, TRADEOFFS, export, record_int8_cost
from agents.onnx.selector import OnnxSelector, selector_graph
from agents.reports.studies import int8_table
from agents.search.pipeline import Pipeline
from agents.selectors import networks as selectors
from agents.store.saved import SavedSelector
from agents.store.saved import shipped as saved_selectors
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.embedder import Student
from students.onnx.export import export as export_student
from students.onnx.export import export_int8
from students.onnx.runtime import OnnxStudent
from students.search.index import PhotoIndex
from students.store.weights import save_student
from students.tables.evaluation import ranks_of
from tests.helpers import Toy, toy_sketch
from tests.students.support import fit_norms

CANVASES = (16, 32, 64, 128)
MAX_POINTS = 40
DOT = VectorSketch.from_strokes([[[0.5, 0.5]]])
SKETCHES = [DOT, *(toy_sketch(row) for row in range(24))]  # 1 to 120 points
CARD: dict[str, Any] = {"sha256": "a" * 64, "algorithm": "by hand", "trained_on": {}}


def make(name: str, conditioned: bool = False) -> SavedSelector:
    """A selector with large random weights, so that its choices differ."""
    torch.manual_seed(3)
    network = selectors.create(name, len(CANVASES), 16, conditioned=conditioned)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return SavedSelector(network.eval(), CANVASES, MAX_POINTS, CARD)


def logits(saved: SavedSelector, sketch: VectorSketch, tradeoff: float | None) -> np.ndarray:
    with torch.inference_mode():
        return saved.selector(saved.selector.observe(sketch, saved.max_points, tradeoff))[0].numpy()


ONE_LOOK = sorted(selectors.SELECTORS)


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("name", ONE_LOOK)
def test_every_kind_chooses_as_torch_does(name: str, conditioned: bool, tmp_path: Path) -> None:
    saved = make(name, conditioned)
    exported = export(saved, tmp_path, SKETCHES[:2])
    assert (exported.canvases, exported.max_points) == (CANVASES, MAX_POINTS)
    seen = []
    for sketch in SKETCHES:
        for tradeoff in (0.01, 0.9) if conditioned else (None,):
            ours = logits(saved, sketch, tradeoff)
            np.testing.assert_allclose(exported.logits(sketch, tradeoff), ours, atol=TOLERANCE)
            assert exported(sketch, tradeoff) == saved(sketch, tradeoff)
            assert exported.gflops(sketch, tradeoff) == saved.gflops(sketch, tradeoff)
            seen.append(ours)
    assert np.ptp(seen, axis=0).max() > 100 * TOLERANCE  # it depends on the sketch
    wrong = None if conditioned else 0.5
    with pytest.raises(ValueError, match="tradeoff"):
        exported(SKETCHES[0], wrong)
    with pytest.raises(ValueError, match="tradeoff"):
        exported.gflops(SKETCHES[0], wrong)


def test_the_shipped_selector(tmp_path: Path) -> None:
    saved = agents.load("emoji")
    exported = export(saved, tmp_path, SKETCHES)
    assert [exported(sketch) for sketch in SKETCHES] == [saved(sketch) for sketch in SKETCHES]
    assert exported.card["source"]["weights_sha256"] == saved.card["sha256"]
    assert exported.card["source"]["trained_on"]["student_hash"] == students.load("emoji").weights_hash


@pytest.mark.parametrize("name", saved_selectors())
def test_every_shipped_selector_comes_with_its_graph(name: str) -> None:
    saved, exported = agents.load(name), OnnxSelector.load(selector_graph(name))
    assert exported.card["source"]["weights_sha256"] == saved.card["sha256"]
    for tradeoff in TRADEOFFS if saved.selector.conditioned else (None,):
        assert [exported(sketch, tradeoff) for sketch in SKETCHES] == [saved(sketch, tradeoff) for sketch in SKETCHES]


@pytest.mark.parametrize("name", ["..", "../emoji", "/tmp", "", "nowhere"])
def test_only_names_of_shipped_selectors_have_graphs(name: str) -> None:
    assert not selector_graph(name).is_dir()


def test_what_cannot_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="sketches"):
        export(make("stats"), tmp_path, [])
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="not exported: logits of torch and onnxruntime lie up to"):
        export(make("stats"), tmp_path, SKETCHES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(format=0), "not the card of an exported selector"),
        (lambda card: card.update(canvases=[16, 32]), "damaged"),
        (lambda card: card.update(canvases=[16, 32, 64, "many"]), "damaged"),
        (lambda card: card.update(max_points=10**9), "damaged"),
        (lambda card: card.update(max_points=20), "damaged"),
        (lambda card: card["flops"].__setitem__(3, float("inf")), "damaged"),
        (lambda card: card.update(reads=["points"]), "damaged"),
        (lambda card: card.update(reads=["secrets"]), "damaged"),
        (lambda card: card["files"].update({"selector.onnx": "0" * 64}), "is not the file"),
    ],
)
def test_a_damaged_card_is_noticed(tmp_path: Path, change: Callable[[dict], object], message: str) -> None:
    export(make("stats"), tmp_path, SKETCHES[:1])
    path = tmp_path / "selector.json"
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))
    with pytest.raises(ValueError, match=message):
        OnnxSelector.load(tmp_path)


# ---- a student beside it


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    torch.manual_seed(0)
    made = students.create("mobilenet_v2", canvases=(16, 32), photo_side=32)
    generator = torch.Generator().manual_seed(1)
    for domain, side in (("photo", 32), ("16", 16), ("32", 32)):
        fit_norms(made, domain, torch.rand(8, 3, side, side, generator=generator) * 2 - 1)
    path = tmp_path_factory.mktemp("student") / "student.safetensors"
    return students.load(save_student(made, path, {"name": "small"}))


@pytest.fixture(scope="module")
def folder(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of the student, at int8 too, and of a selector between its canvases."""
    path = tmp_path_factory.mktemp("export")
    export_student(student, path, SKETCHES[:4])
    export_int8(student, path, SKETCHES[:4])
    torch.manual_seed(3)
    network = selectors.create("stats", 2, 16)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=2.0)
    export(SavedSelector(network.eval(), (16, 32), MAX_POINTS, CARD), path, SKETCHES[:4])
    return path


@pytest.fixture(scope="module")
def index(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of sketches instead of photos."""
    found = PhotoIndex(
        ids=tuple(f"p{i}.png" for i in range(12)),
        embeddings=student.embed([toy_sketch(100 + i) for i in range(12)], 32),
        student="small",
        student_hash=student.weights_hash,
        kind="folder",
        source="pictures",
    )
    path = tmp_path_factory.mktemp("index") / "toy"
    found.save(path)
    return path


def test_the_pipeline_on_onnxruntime(student: Student, folder: Path, index: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.load(index, student=folder, engine="onnx")
    chooser = OnnxSelector.load(folder)
    reference = Pipeline(pipeline.index, student, chooser)
    for sketch in SKETCHES:
        ours, theirs = reference.search(sketch, top=3), pipeline.search(sketch, top=3)
        assert theirs.canvas == ours.canvas == chooser(sketch)
        assert theirs.gflops == ours.gflops
        assert theirs.hits[0].photo == ours.hits[0].photo
        assert [hit.distance for hit in theirs.hits] == pytest.approx([hit.distance for hit in ours.hits], abs=1e-4)
    assert len({chooser(sketch) for sketch in SKETCHES}) == 2
    assert Pipeline.load(index, "fixed:16", folder, "onnx").search(SKETCHES[0]).canvas == 16
    with pytest.raises(ValueError, match="trained for one tradeoff"):
        pipeline.search(SKETCHES[0], tradeoff=0.3)
    with pytest.raises(ValueError, match=r"not an exported selector: .* or use engine='torch'"):
        Pipeline.load(index, tmp_path / "mine", folder, "onnx")


def test_a_search_without_torch(folder: Path, index: Path) -> None:
    script = """
import json, sys
from agents.search.pipeline import Pipeline
from sketchcanvas_env.sketches.sketch import VectorSketch

pipeline = Pipeline.load(sys.argv[1], student=sys.argv[2], engine="onnx")
answer = pipeline.search(VectorSketch.from_strokes([[[0.25, 0.5], [0.75, 0.4]]]))
loaded = [name for name in ("torch", "stable_baselines3", "onnx") if name in sys.modules]
print(json.dumps([answer.to_json(), loaded]))
"""
    command = [sys.executable, "-c", script, str(index), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    answer, loaded = json.loads(ran.stdout)
    assert loaded == []
    here = Pipeline.load(index, student=folder, engine="onnx")
    wanted = here.search(VectorSketch.from_strokes([[[0.25, 0.5], [0.75, 0.4]]]))
    assert answer["canvas"] == wanted.canvas
    assert [hit["photo"] for hit in answer["hits"]] == [hit.photo for hit in wanted.hits]


def test_the_cost_of_int8_is_measured_and_written_down(folder: Path, toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "export"
    shutil.copytree(folder, path)
    cost = record_int8_cost(path, toy.dataset, "val")
    assert (cost["dataset"], cost["split"], cost["gallery"]) == ("toy", "val", len(toy.dataset.gallery("val")))
    assert [one["side"] for one in cost["canvases"]] == [16, 32]
    for column, one in enumerate(cost["canvases"]):
        for precision in ("float32", "int8"):
            exported = OnnxStudent.load(path, precision)
            ranks, _ = ranks_of(exported, toy.dataset, "val", exported.canvases)
            assert one[precision] == pytest.approx((ranks[:, column] == 1).mean())
        assert one["difference"] == pytest.approx(one["int8"] - one["float32"])
        assert one["low"] <= one["difference"] <= one["high"]
    assert OnnxStudent.load(path, "int8").card["accuracy"] == cost
    assert [cells[0] for cells in int8_table(cost, 1).rows] == ["16", "32"]
    assert OnnxStudent.load(path, "int8").embed(SKETCHES, 16).shape == (len(SKETCHES), OnnxStudent.load(path).dim)
