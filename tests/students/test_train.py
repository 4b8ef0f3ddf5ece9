"""Student training on a toy data set: it learns, resumes bit by bit, and refuses what does not fit."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sketchcanvas_env import data
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.raster import rasterise
from students import checkpoint
from students import train as training
from students.embedder import Head, StudentConfig
from students.train import TrainConfig, publish, train, val_scores
from students.weights import load_card, load_student
from tests.helpers import toy_dataset

TINY = TrainConfig(
    dataset="toy",
    student=StudentConfig(canvases=(16, 32), photo_side=24, heads=(Head(8, 2, 8, 0.5), Head(16, 1, 8, 0.5))),
    pretrained=None,
    steps=4,
    batch=3,
    small={16: 1.0},
    large={32: 1.0},
    variants=1,
    warmup=1,
    threads=1,
    checkpoint_every=2,
    evaluate_every=4,
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> SketchDataset:
    dataset = toy_dataset()
    monkeypatch.setitem(data.DATASETS, "toy", lambda: dataset)
    return dataset


def weights(student: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in student.state_dict().items()}


def test_resumed_run_equals_an_uninterrupted_one(
    toy: SketchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights(train(TINY, tmp_path / "whole"))

    real = training._step

    def breaks_at_three(*args: object) -> float:
        if args[4] == 3:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "_step", breaks_at_three)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, tmp_path / "broken")
    settings = json.loads(json.dumps(asdict(TINY)))
    assert checkpoint.load(tmp_path / "broken" / "checkpoint.safetensors", settings)[1]["step"] == 2
    monkeypatch.setattr(training, "_step", real)
    resumed = weights(train(TINY, tmp_path / "broken"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4]
    assert list((tmp_path / "whole").glob("events.out.tfevents*"))


def test_checkpoint_of_another_configuration(toy: SketchDataset, tmp_path: Path) -> None:
    train(replace(TINY, steps=2), tmp_path)
    with pytest.raises(ValueError, match="other settings: steps differ"):
        train(TINY, tmp_path)


def test_it_learns_its_own_pairs(toy: SketchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On six pairs whose photos show the drawing, the loss must fall far below that of guessing, log 6."""
    first = {photo: toy.photo_ids.tolist().index(photo) for photo in set(toy.photo_ids.tolist())}

    def drawn(photo: str) -> np.ndarray:
        return np.repeat(rasterise(toy.sketch(first[photo]), 48)[..., None], 3, axis=2)

    shown = replace(toy, read_photo=drawn, read_sketch=lambda row: toy.read_sketch(first[str(toy.photo_ids[row])]))
    monkeypatch.setitem(data.DATASETS, "toy", lambda: shown)
    config = replace(TINY, pretrained="mobilenet_v2", steps=80, checkpoint_every=80, evaluate_every=80, batch=6)
    train(config, tmp_path)
    assert json.loads((tmp_path / "log.jsonl").read_text())["loss"] < 0.5 * np.log(6)


def test_published_student_has_a_card_and_loads(toy: SketchDataset, tmp_path: Path) -> None:
    student = train(replace(TINY, steps=2), tmp_path / "run")
    recipe = asdict(TINY)
    publish(student, toy, tmp_path / "toy.safetensors", recipe, "a command")
    card = load_card(tmp_path / "toy.safetensors")
    assert card["command"] == "a command"
    assert card["dataset_hash"] == toy.hash
    assert set(card["measured"]) == {"val", "test"}
    again = load_student(tmp_path / "toy.safetensors")
    np.testing.assert_array_equal(again.embed([toy.sketch(0)], 16), student.eval().embed([toy.sketch(0)], 16))
    assert val_scores(again, toy, (16,))[16] == pytest.approx(card["measured"]["val"]["16"]["acc@1"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, r"unknown fields \['stepz'\]"),
        ({"small": {"32": 1.0}}, "disagree on"),
        ({"student": {"backbone": "alexnet"}}, "unknown backbone"),
    ],
)
def test_bad_configurations(values: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        TrainConfig.read(path)


def test_shipped_configuration_reads() -> None:
    config = TrainConfig.read(Path(training.__file__).parent / "configs" / "emoji-mobilenet_v2.json")
    assert config.dataset == "emoji"
    assert config.pretrained == "mobilenet_v2"


def test_checkpoint_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        checkpoint.load(tmp_path / "none.safetensors", {})
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        checkpoint.load(tmp_path / "bad.safetensors", {})


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    tensors = {**checkpoint.module_tensors(net, "net"), **checkpoint.optimiser_tensors(optimiser)}
    checkpoint.save(tmp_path / "c.safetensors", tensors, {"config": {"a": 1}, "step": 7})
    loaded, state = checkpoint.load(tmp_path / "c.safetensors", {"a": 1})
    other = torch.nn.Linear(2, 2)
    fresh = torch.optim.AdamW(other.parameters())
    checkpoint.restore_module(other, loaded, "net")
    checkpoint.restore_optimiser(fresh, loaded)
    assert state["step"] == 7
    assert torch.equal(other.weight, net.weight)
    assert torch.equal(fresh.state[other.weight]["exp_avg_sq"], optimiser.state[net.weight]["exp_avg_sq"])
    with pytest.raises(ValueError, match="a differ"):
        checkpoint.load(tmp_path / "c.safetensors", {"a": 2})
