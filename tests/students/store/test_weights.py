"""Saving and loading students: round trips, and every way a file can be bad."""

from __future__ import annotations

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
from students.store import cards
from students.store.weights import KIND, load_card, load_student, save_student, weights_path
from tests.students.support import fit_norms

HEADS = [{"stride": 32, "grid": 2, "dim": 8, "share": 0.5}, {"stride": 8, "grid": 2, "dim": 4, "share": 0.5}]

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    model = students.create(canvases=(32, 48), photo_side=32, heads=HEADS, ink="light")
    for domain, side in (("photo", 32), ("32", 32), ("48", 48)):
        fit_norms(model, domain, torch.rand(4, 3, side, side) * 2 - 1)
    return model


@pytest.fixture
def saved(student: Student, tmp_path: Path) -> Path:
    return save_student(student, tmp_path / "toy-mobilenet_v2.safetensors", {"data": "toy", "accuracy": {"32": 0.5}})


def rasters(n: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (n, 48, 48), dtype=np.uint8)


def rewrite(path: Path, of_state: Change | None = None, of_card: Change | None = None) -> None:
    """Change tensors or card; the SHA-256 on the card stays right, so that the later checks are reached."""
    card, state = cards.read(path, KIND, lambda card: 1 << 30)
    for change, whole in ((of_state, state), (of_card, card)):
        if change is not None:
            change(whole)
    cards.write(path, state, card, KIND)


def test_round_trip(student: Student, saved: Path) -> None:
    loaded = load_student(saved)
    assert loaded.config == student.config and not loaded.training
    np.testing.assert_array_equal(loaded.embed_rasters(rasters()), student.embed_rasters(rasters()))
    for name, t in student.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], t), name
    card = load_card(saved)
    assert card["data"] == "toy" and card["accuracy"] == {"32": 0.5}
    assert loaded.weights_hash == card["sha256"]
    assert card["params"] == student.params and card["dim"] == student.dim
    assert [p.name for p in saved.parent.iterdir()] == ["toy-mobilenet_v2.safetensors"]


def test_saving_twice_gives_the_same_bytes(student: Student, saved: Path) -> None:
    first = saved.read_bytes()
    save_student(load_student(saved), saved, load_card(saved))
    assert saved.read_bytes() == first


def test_half_precision(student: Student, saved: Path, tmp_path: Path) -> None:
    small = save_student(student, tmp_path / "half" / "x.safetensors", {}, half=True)
    assert small.stat().st_size < 0.52 * saved.stat().st_size
    loaded = load_student(small)
    assert {t.dtype for t in loaded.state_dict().values()} == {torch.float32}
    np.testing.assert_allclose(loaded.embed_rasters(rasters()), student.embed_rasters(rasters()), atol=0.02)


def test_paths_that_mean_the_same_file(student: Student, saved: Path, tmp_path: Path) -> None:
    assert weights_path(saved) == weights_path(saved.parent) == saved
    assert students.load(saved.parent).config == student.config
    assert students.load(str(saved)).config == student.config
    named = save_student(student, tmp_path / "out", {"name": "mine"})
    assert named == tmp_path / "out" / "mine.safetensors"
    save_student(student, tmp_path / "out", {})
    with pytest.raises(ValueError, match=r"\['mine.safetensors', 'mobilenet_v2.safetensors'\]"):
        load_student(tmp_path / "out")


def test_missing_files_list_what_is_there(saved: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"other.*holds \['toy-mobilenet_v2.safetensors'\]"):
        load_student(saved.parent / "other.safetensors")
    with pytest.raises(FileNotFoundError, match="holds no students"):
        load_student(saved.parent / "nowhere" / "x.safetensors")


def test_damage_is_noticed(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ValueError, match="do not have the SHA-256 on its card"):
        load_student(saved)


def test_a_file_that_is_not_safetensors(saved: Path) -> None:
    saved.write_bytes(b"junk" * 9)
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_student(saved)


def put(name: str, value: torch.Tensor) -> Change:
    return lambda state: state.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("heads.32.bias"), r"1 missing \['heads.32.bias'\], 0 extra"),
        (put("classifier.weight", torch.zeros(1)), r"0 missing \[\], 1 extra \['classifier.weight'\]"),
        (put("heads.32.bias", torch.zeros(9)), r"heads.32.bias has shape \(9,\), expected \(8,\)"),
        (put("heads.32.bias", torch.full((8,), float("nan"))), "heads.32.bias holds NaN or infinity"),
        (put("heads.32.bias", torch.full((8,), float("inf"))), "heads.32.bias holds NaN or infinity"),
    ],
)
def test_bad_tensors_are_refused(saved: Path, change: Change, message: str) -> None:
    rewrite(saved, of_state=change)
    with pytest.raises(ValueError, match=message):
        load_student(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("config"), r"no settings of a network \('config'\)"),
        (lambda c: c.update(format=99), "format 99"),
        (lambda c: c["config"].update(colour=1), r"unknown student settings \['colour'\]"),
        (lambda c: c["config"].update(grid="three"), "toy-mobilenet_v2.safetensors"),
    ],
)
def test_bad_cards_are_refused(saved: Path, change: Change, message: str) -> None:
    rewrite(saved, of_card=change)
    with pytest.raises(ValueError, match=message):
        load_student(saved)


def test_nothing_is_written_when_the_student_or_card_is_bad(student: Student, saved: Path, tmp_path: Path) -> None:
    before = saved.read_bytes()
    broken = load_student(saved)
    with torch.no_grad():
        broken.heads["32"].bias[0] = float("nan")
    with pytest.raises(ValueError, match=r"NaN or infinity.*heads.32.bias"):
        save_student(broken, saved, {})
    with pytest.raises(ValueError, match="not JSON"):
        save_student(student, saved, {"when": object()})
    with pytest.raises(ValueError, match="not JSON"):
        save_student(student, saved, {"loss": float("nan")})
    with pytest.raises(ValueError, match=r"\.safetensors, not x\.pth"):
        save_student(student, tmp_path / "x.pth", {})
    assert saved.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_unknown_names_list_what_is_shipped() -> None:
    with pytest.raises(ValueError, match=r"unknown student 'emoji-alexnet'; there are .*emoji-mobilenet_v2"):
        students.load("emoji-alexnet")


def test_shipped_names(saved: Path, student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(students, "WEIGHTS_FOLDER", saved.parent)
    assert students.available() == ("toy-mobilenet_v2",)
    assert students.load("toy-mobilenet_v2").config == student.config
    with pytest.raises(ValueError, match=r"unknown student 'emoji'.*toy-mobilenet_v2"):
        students.load("emoji")
    save_student(student, saved.parent / "emoji-mobilenet_v2.safetensors", {})
    assert students.load("emoji").config == student.config


def test_importing_students_is_light() -> None:
    code = "import sys, students; students.available(); "
    code += (
        "from students.store.weights import load_card; load_card(students.find('emoji')); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
