"""`tabulate` and `evaluate` warn in one line if a student may have been trained on photos that it must find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sketchcanvas_env import data
from sketchcanvas_env.data import SPLITS
from students.network.config import Head, StudentConfig
from students.network.embedder import Student
from students.store import leakage
from students.store.weights import save_student
from tests.agents.cli.test_cli import run
from tests.helpers import Toy


@pytest.mark.parametrize("command", ["tabulate", "evaluate"])
def test_leakage_is_told(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    config = StudentConfig(heads=(Head(8, 2, 4, 1.0),), canvases=(16,), photo_side=32)
    gallery = toy.dataset.gallery("val").tolist()
    card = {"dataset": "toy", "dataset_hash": toy.dataset.hash}
    known = {**card, "seen": leakage.to_card(leakage.fingerprints(toy.dataset, gallery[:2]))}
    photos = len({photo for split in SPLITS[1:] for photo in toy.dataset.gallery(split).tolist()})
    out = ("--out", tmp_path / "out.npz") if command == "tabulate" else ("--split", "val")
    among = photos if command == "tabulate" else len(gallery)
    for written, dataset, told in (
        (card, "toy", None),
        (known, "toy", f"the student was trained on 2 of these {among} photos: its accuracy on them is too high"),
        (card, "other", "the student was trained on toy: whether also on these photos is not known"),
    ):
        path = save_student(Student(config), tmp_path / "tiny.safetensors", written)
        monkeypatch.setitem(data.DATASETS, "other", lambda: replace(toy.dataset, name="toy", hash="1" * 64))
        assert run(command, "--student", path, "--dataset", dataset, *out) == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "was trained on" in line]
        assert len(lines) == (told is not None)
        assert told is None or told in lines[0]
