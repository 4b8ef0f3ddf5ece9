"""Graphs beside a student's weights: they embed as torch does, without torch, and fit no other weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import students
from students.network.embedder import Student
from students.onnx import graphs
from students.onnx.export import TOLERANCE, write_graphs
from students.onnx.runtime import PHOTO, OnnxStudent
from students.store import cards
from students.store.weights import KIND, save_student
from tests.helpers import toy_sketch
from tests.students.support import fit_norms

HEADS = [{"stride": 32, "grid": 1, "dim": 4, "share": 0.5}, {"stride": 8, "grid": 2, "dim": 4, "share": 0.5}]
SKETCHES = [toy_sketch(i) for i in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small student of two canvases with its graphs."""
    torch.manual_seed(0)
    student = students.create(canvases=(32, 48), photo_side=32, heads=HEADS)
    for domain, side in (("photo", 32), ("32", 32), ("48", 48)):
        fit_norms(student, domain, torch.rand(4, 3, side, side) * 2 - 1)
    folder = tmp_path_factory.mktemp("graphs")
    path = save_student(student, folder / "small.safetensors", {}, half=True)
    write_graphs(students.load(path), path, SKETCHES)
    return folder


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """The weights, copied with their graphs to where they may be damaged."""
    for path in folder.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / "small.safetensors"


def test_graphs_embed_as_torch_does(folder: Path) -> None:
    ours, theirs = students.load(folder), graphs.embedder(folder, threads=1)
    assert isinstance(theirs, OnnxStudent)
    assert (theirs.weights_hash, theirs.canvases, theirs.dim) == (ours.weights_hash, ours.canvases, ours.dim)
    for side in ours.canvases:
        apart = np.linalg.norm(ours.embed(SKETCHES, side) - theirs.embed(SKETCHES, side), axis=1)
        assert apart.max() < TOLERANCE
        assert theirs.flops(side) == ours.flops(side)
    photos = np.random.default_rng(0).integers(0, 256, (3, 60, 70, 3), dtype=np.uint8)
    # Between random pixels and what it was calibrated on, an untrained network magnifies rounding.
    assert np.linalg.norm(ours.embed_photos(photos) - theirs.embed_photos(photos), axis=1).max() < 10 * TOLERANCE


def test_graphs_hold_no_weights(folder: Path) -> None:
    card, found = cards.read(folder / "small.graphs", graphs.KIND, lambda card: graphs.MAX_GRAPH_BYTES, "numpy")
    assert sorted(found) == sorted(["32", "48", PHOTO])
    assert sum(graph.nbytes for graph in found.values()) < 0.2 * (folder / "small.safetensors").stat().st_size
    assert max(card["farthest"].values()) < TOLERANCE


def test_shipped_students_for_search_have_graphs_of_their_weights() -> None:
    for name in students.DEFAULT_STUDENT.values():
        student = graphs.embedder(name)
        assert isinstance(student, OnnxStudent)
        assert student.weights_hash == students.load(name).weights_hash


def test_engines(folder: Path, copied: Path) -> None:
    assert isinstance(graphs.embedder(folder, engine="torch"), Student)
    graphs.graphs_path(copied).unlink()
    assert isinstance(graphs.embedder(copied), Student)
    with pytest.raises(FileNotFoundError, match=r"small.graphs is missing.*engine='torch' needs none"):
        graphs.embedder(copied, engine="onnx")
    with pytest.raises(ValueError, match="unknown engine 'abacus'; there are onnx, torch"):
        graphs.embedder(copied, engine="abacus")


def test_graphs_of_other_weights_are_refused(copied: Path) -> None:
    student = students.load(copied)
    with torch.no_grad():
        student.heads["32"].bias += 1
    save_student(student, copied, {})
    with pytest.raises(ValueError, match=r"it is of other weights: write it anew with .*engine='torch'"):
        graphs.load(copied)


def change_graphs(weights: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> OnnxStudent:
    """A student with some of its graphs exchanged."""
    path = graphs.graphs_path(weights)
    card, found = cards.read(path, graphs.KIND, lambda card: graphs.MAX_GRAPH_BYTES, "numpy")
    cards.write(path, {**found, **change(found)}, card, graphs.KIND)
    return graphs.load(weights)


def of_opset(graph: np.ndarray, version: int) -> np.ndarray:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(graph.tobytes())
    model.opset_import[0].version = version
    return np.frombuffer(model.SerializeToString(), np.uint8)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda found: {"32": found["32"][:-40]}, "is not a graph that onnxruntime can run"),
        (lambda found: {"32": of_opset(found["32"], 9_999)}, "is not a graph that onnxruntime can run: .*[Oo]pset"),
        (lambda found: {"32": found[PHOTO]}, "is not a graph that onnxruntime can run"),
        (lambda found: {"32": found["48"]}, "is not a graph that onnxruntime can run|does not match its card"),
    ],
    ids=["damaged", "opset", "photos", "canvas"],
)
def test_a_graph_that_cannot_be_used_is_one_line_with_the_way_out(copied: Path, change: Any, why: str) -> None:
    student = change_graphs(copied, change)
    with pytest.raises(
        ValueError, match=rf"^.*small\.graphs ({why}).*; export it again, or use engine='torch'$"
    ) as told:
        student.warm_up([32])
    assert "\n" not in str(told.value)
    student.warm_up([48])


def test_weights_that_change_under_way_are_refused(copied: Path) -> None:
    student = graphs.load(copied)
    card, state = cards.read(copied, KIND, lambda card: 1 << 30)
    cards.write(copied, {name: tensor * 2 for name, tensor in state.items()}, card, KIND)
    with pytest.raises(ValueError, match="has changed since it was opened"):
        student.warm_up()


def test_searching_imports_no_torch() -> None:
    code = """
import sys
import numpy as np
from students.onnx import graphs
from students.search import index, nearest
found = index.load("emoji")
student = graphs.embedder(found.student, threads=1)
query = student.embed_rasters(np.full((1, 32, 32), 255, np.uint8))
nearest.nearest_photos(query, found.embeddings, 3)
heavy = {"torch", "onnx", "scipy", "matplotlib", "stable_baselines3", "faiss"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
