"""Exported students: as torch embeds, without torch, and nothing is read that its card does not vouch for."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import students
from sketchcanvas_env.data import load as load_dataset
from students.backbones.layers import pool_to
from students.network.embedder import Student
from students.onnx import export as onnx_export
from students.onnx.export import TOLERANCE, export, export_int8
from students.onnx.runtime import OnnxStudent, resized
from students.store.weights import save_student
from students.tables.ranking import euclidean, nearest
from tests.helpers import toy_sketch
from tests.students.support import fit_norms

SKETCHES = [toy_sketch(row) for row in range(6)]
PHOTOS = np.random.default_rng(1).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
CANVASES = (32, 48)


def make(seed: int, folder: Path) -> Student:
    """A small student whose statistics differ by domain, saved and read back."""
    torch.manual_seed(seed)
    student = students.create("mobilenet_v2", canvases=CANVASES, photo_side=32, ink="light")
    generator = torch.Generator().manual_seed(seed)
    for domain, side in (("photo", 32), ("32", 32), ("48", 48)):
        fit_norms(student, domain, torch.rand(8, 3, side, side, generator=generator) * 2 - 1)
    return students.load(save_student(student, folder / f"student{seed}.safetensors", {"name": f"small{seed}"}))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return make(0, tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def folder(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export")
    export(student, path, SKETCHES)
    return path


@pytest.fixture(scope="module")
def both(student: Student, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export at float32 and int8."""
    path = tmp_path_factory.mktemp("both") / "export"
    shutil.copytree(folder, path)
    export_int8(student, path, SKETCHES)
    return path


def farthest(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape and theirs.dtype == np.float32
    return float(np.linalg.norm(ours.astype(np.float64) - theirs, axis=1).max())


def test_embeds_as_torch_does(student: Student, folder: Path) -> None:
    exported = OnnxStudent.load(folder)
    assert exported.canvases == CANVASES
    assert exported.weights_hash == student.weights_hash
    assert exported.name == "small0-onnx"
    for side in CANVASES:
        ours = student.embed(SKETCHES, side)
        assert farthest(ours, exported.embed(SKETCHES, side)) < TOLERANCE
        assert farthest(ours, exported.embed(SKETCHES, side, batch_size=4, progress=True)) < TOLERANCE
        assert exported.flops(side) == student.flops(side)
    # Other canvases are other functions: a graph with another's norms would not pass.
    assert farthest(student.embed(SKETCHES, 32), student.embed(SKETCHES, 48)) > 100 * TOLERANCE
    assert farthest(student.embed_photos(PHOTOS), exported.embed_photos(PHOTOS, batch_size=2)) < TOLERANCE
    assert exported.embed([], 32).shape == (0, student.dim)


def test_the_shipped_student_at_every_canvas(tmp_path: Path) -> None:
    dataset = load_dataset("emoji")
    gallery = dataset.gallery("val")[:40]
    rows = [int(row) for row in dataset.indices("val") if dataset.photo_ids[row] in set(gallery.tolist())][:10]
    sketches = [dataset.sketch(row) for row in rows]
    photos = np.stack([dataset.photo(photo) for photo in gallery])
    student = students.load("emoji")
    exported = export(student, tmp_path, sketches[:2])
    ours, theirs = student.embed_photos(photos), exported.embed_photos(photos)
    assert farthest(ours, theirs) < TOLERANCE
    assert exported.canvases == student.canvases
    assert len(exported.canvases) == 8
    for side in student.canvases:
        left, right = student.embed(sketches, side), exported.embed(sketches, side)
        assert farthest(left, right) < TOLERANCE
        np.testing.assert_array_equal(nearest(euclidean(left, ours), 1), nearest(euclidean(right, theirs), 1))
    # Nine graphs share their weights (the student itself is stored at half precision).
    own = (students.WEIGHTS_FOLDER / "emoji-mobilenet_v2.safetensors").stat().st_size
    assert sum(file.stat().st_size for file in tmp_path.glob("student*")) < 2.5 * own


def test_torch_is_not_needed(student: Student, folder: Path) -> None:
    script = """
import json, sys
from pathlib import Path
import numpy as np
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.onnx.runtime import OnnxStudent
from students.tables.ranking import euclidean

student = OnnxStudent.load(sys.argv[1])
sketch = VectorSketch.from_strokes([[[0.25, 0.5], [0.75, 0.4]]])
photos = student.embed_photos(np.arange(2 * 40 * 30 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 40, 30, 3))
print(json.dumps([euclidean(student.embed([sketch], side), photos).tolist() for side in student.canvases]))
assert "torch" not in sys.modules, "torch was imported"
"""
    ran = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    sketch = type(SKETCHES[0]).from_strokes([[[0.25, 0.5], [0.75, 0.4]]])
    photos = np.arange(2 * 40 * 30 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 40, 30, 3)
    wanted = [euclidean(student.embed([sketch], side), student.embed_photos(photos)).tolist() for side in CANVASES]
    np.testing.assert_allclose(json.loads(ran.stdout), wanted, atol=2 * TOLERANCE)


def test_rasters_are_embedded_as_drawings(student: Student, folder: Path) -> None:
    from sketchcanvas_env.sketches.raster import rasterise_batch

    exported = OnnxStudent.load(folder)
    rasters = rasterise_batch(SKETCHES, 48)
    np.testing.assert_array_equal(exported.embed_rasters(rasters), exported.embed(SKETCHES, 48))
    with pytest.raises(ValueError, match="not exported for canvas 64"):
        exported.embed(SKETCHES, 64)
    with pytest.raises(ValueError, match="uint8"):
        exported.embed_rasters(rasters.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint8"):
        exported.embed_photos(PHOTOS[..., :2])


@pytest.mark.parametrize("size", [(40, 50), (32, 32), (256, 100), (20, 90), (5, 7)])
def test_photos_are_resized_as_torch_does(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    wanted = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    if size != (32, 32):
        wanted = F.interpolate(wanted, (32, 32), mode="bilinear", antialias=True, align_corners=False)
    np.testing.assert_allclose(resized(images, 32), wanted.permute(0, 2, 3, 1).numpy(), atol=2e-3)


@pytest.mark.parametrize("size", [1, 3, 4, 6, 8, 20])
@pytest.mark.parametrize("grid", [2, 4, 8])
def test_exported_pooling_is_adaptive_pooling(size: int, grid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(2, 3, size, size + 1)
    wanted = F.adaptive_avg_pool2d(x, grid)
    assert torch.equal(pool_to(x, grid), wanted)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    torch.testing.assert_close(pool_to(x, grid), wanted)


# ---- int8


def test_int8(student: Student, both: Path) -> None:
    whole, small = OnnxStudent.load(both), OnnxStudent.load(both, "int8")
    assert small.name == "small0-onnx-int8"
    assert small.weights_hash == student.weights_hash
    for side in CANVASES:
        ours = whole.embed(SKETCHES, side)
        apart = euclidean(ours, ours)[~np.eye(len(ours), dtype=bool)].mean()
        assert 0.0 < farthest(ours, small.embed(SKETCHES, side)) < apart
        assert small.flops(side) == student.flops(side)
        assert (both / f"student-int8-{side}.onnx").stat().st_size < 4_000_000  # of 9.5 million at float32
    np.testing.assert_array_equal(small.embed_photos(PHOTOS), whole.embed_photos(PHOTOS))
    assert small.card["calibration"]["sketches"] == len(SKETCHES)


def test_int8_weights_leave_room_for_sums(both: Path) -> None:
    """Seven bits: products of eight saturate on processors without VNNI, whatever the one is that runs this test."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(both / f"student-int8-{CANVASES[0]}.onnx")
    weights = [onnx.numpy_helper.to_array(one) for one in model.graph.initializer]
    small = [one for one in weights if one.dtype == np.int8 and one.ndim == 4]
    assert len(small) > 50
    assert max(np.abs(one.astype(int)).max() for one in small) == 64


def test_int8_needs_the_float32_export(student: Student, both: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no exported student"):
        export_int8(student, tmp_path, SKETCHES)
    with pytest.raises(ValueError, match="another student"):
        export_int8(make(1, tmp_path), both, SKETCHES)
    with pytest.raises(ValueError, match="unknown precision"):
        OnnxStudent.load(both, "int4")
    for name in ("student.json", "student-int8.json"):
        shutil.copy(both / name, tmp_path)
    change_card(tmp_path, lambda card: card["source"].update(weights_sha256="0" * 64))
    with pytest.raises(ValueError, match="another student"):
        OnnxStudent.load(tmp_path, "int8")


# ---- what is refused


def test_what_cannot_be_exported(student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="never saved"):
        export(students.create("mobilenet_v2", canvases=(32,)), tmp_path, SKETCHES)
    with pytest.raises(ValueError, match="sketches"):
        export(student, tmp_path, [])
    monkeypatch.setattr(onnx_export, "TOLERANCE", 1e-12)
    with pytest.raises(ValueError, match="not exported: embeddings of torch and onnxruntime lie up to"):
        export(student, tmp_path, SKETCHES)
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(student: Student, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"sketchcanvas\[onnx\]"):
        export(student, folder, SKETCHES)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        OnnxStudent.load(folder)


@pytest.mark.parametrize("name", ["student.bin", "student-48.onnx"])
def test_a_damaged_file_is_noticed(folder: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "export"
    shutil.copytree(folder, path)
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name} is not the file"):
        OnnxStudent.load(path).embed(SKETCHES, 48)
    (path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        OnnxStudent.load(path).embed(SKETCHES, 48)


def change_card(path: Path, change: Callable[[dict], object], name: str = "student.json") -> None:
    card = json.loads((path / name).read_text())
    change(card)
    (path / name).write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(format=2), "not the card of an exported student in format 1"),
        (lambda card: card.update(kind="selector"), "not the card of an exported student"),
        (lambda card: card.update(files={}), "names no files"),
        (lambda card: card["files"].update({"../student.bin": "0"}), "not the name of a file beside it"),
        (lambda card: card["files"].update({"/etc/passwd": "0"}), "not the name of a file beside it"),
        (lambda card: card["files"].update({"student.bin": 5}), "must be a text"),
        (lambda card: card.pop("canvases"), "damaged"),
        (lambda card: card["canvases"][0].update(side=1e300), "damaged"),
        (lambda card: card.update(dim="many"), "damaged"),
        (lambda card: card.update(precision="int8"), "damaged"),
        (lambda card: card["photo"].update(side=10**9), "damaged"),
    ],
)
def test_a_damaged_card_is_noticed(
    folder: Path, tmp_path: Path, change: Callable[[dict], object], message: str
) -> None:
    shutil.copy(folder / "student.json", tmp_path)
    change_card(tmp_path, change)
    with pytest.raises(ValueError, match=message):
        OnnxStudent.load(tmp_path)


def test_a_graph_is_held_against_its_card(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "export"
    shutil.copytree(folder, path)
    change_card(path, lambda card: card["canvases"][0].update(file="student-48.onnx"))
    with pytest.raises(ValueError, match="does not match its card"):
        OnnxStudent.load(path).embed(SKETCHES, 32)
    change_card(path, lambda card: card["canvases"][0].update(file="student.json"))
    with pytest.raises(ValueError, match="names no file"):
        OnnxStudent.load(path).embed(SKETCHES, 32)
    (path / "student-48.onnx").write_bytes(b"no graph")
    digest = hashlib.sha256(b"no graph").hexdigest()
    change_card(path, lambda card: card["files"].update({"student-48.onnx": digest}))
    with pytest.raises(ValueError, match="not a graph that onnxruntime can run"):
        OnnxStudent.load(path).embed(SKETCHES, 48)


def test_the_card_says_what_an_engineer_needs(student: Student, folder: Path) -> None:
    card = json.loads((folder / "student.json").read_text())
    assert card["source"]["weights_sha256"] == student.weights_hash
    assert [one["side"] for one in card["canvases"]] == list(CANVASES)
    assert card["bytes"] == sum((folder / name).stat().st_size for name in card["files"])
    assert set(card["files"]) == {path.name for path in folder.iterdir()} - {"student.json"}
    assert card["versions"]["onnxruntime"] != "absent"
    assert set(card["farthest"]) == {"32", "48", "photo"}
    assert max(card["farthest"].values()) <= card["tolerance"] == TOLERANCE
