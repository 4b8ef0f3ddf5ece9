"""`sketchcanvas export` from end to end, on made-up data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import students
from agents.cli import app
from agents.onnx.selector import OnnxSelector
from students.onnx.runtime import OnnxStudent
from students.store.weights import save_student
from tests.helpers import Toy, toy_sketch


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return save_student(
        students.create("mobilenet_v2", canvases=(16,), photo_side=32),
        tmp_path / "small.safetensors",
        {"name": "small"},
    )


@pytest.mark.usefixtures("toy")
def test_student_and_selector(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    words = ["export", "--onnx", str(folder), "--student", str(weights), "--dataset", "toy"]
    ran = CliRunner().invoke(app, [*words, "--int8", "--split", "val", "--json"])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert set(said) == {"student", "selector", "student-int8"}
    assert said["student-int8"] == OnnxStudent.load(folder, "int8").card
    assert said["student-int8"]["accuracy"]["split"] == "val"
    assert OnnxStudent.load(folder).card == said["student"]
    assert OnnxSelector.load(folder)(toy_sketch(0)) in (32, 64, 128, 256)
    assert "small-onnx" in CliRunner().invoke(app, [*words, "--selector", ""]).stdout


def test_a_data_set_without_such_sketches(weights: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(toy.dataset), "indices", lambda self, split: [])
    ran = CliRunner().invoke(app, ["export", "--onnx", "x", "--student", str(weights), "--dataset", "toy"])
    assert isinstance(ran.exception, ValueError) and "split student" in str(ran.exception)
