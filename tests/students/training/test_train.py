"""Student training on a toy data set: it learns, resumes bit by bit, and refuses settings that do not fit."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import students
from sketchcanvas_env import data
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.embedder import Student
from students.store import checkpoint
from students.store.weights import load_card, load_student, save_student
from students.training import prepare
from students.training.config import CONFIGS_FOLDER, TrainConfig, configs
from students.training.losses import TERMS
from students.training.pool.augment import AugmentConfig
from students.training.pool.doodles import DoodleConfig
from students.training.pool.pairs import PoolConfig, training_rows
from students.training.publish import publish, val_scores
from students.training.train import run, train
from tests.helpers import toy_dataset
from tests.students.training.support import TINY, train_until_interrupted


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

    train_until_interrupted(TINY, tmp_path / "broken", monkeypatch)
    settings = json.loads(json.dumps(asdict(TINY)))
    assert checkpoint.load(tmp_path / "broken" / "checkpoint.safetensors", settings)[1]["step"] == 2
    resumed = weights(train(TINY, tmp_path / "broken"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4]
    assert list((tmp_path / "whole").glob("events.out.tfevents*"))


def full_config(folder: Path) -> TrainConfig:
    """Settings with freehand variants, doodles and their classes, backgrounds, hard negatives and few pixels."""
    for k, category in enumerate(("anvil", "boot", "cup")):
        lines = [
            json.dumps({"key_id": f"{k}{n:03}", "word": category, "drawing": [[[0, 50 + n, 99], [k * 9, 40, 80]]]})
            for n in range(12)
        ]
        (folder / f"{category}.ndjson").write_text("\n".join(lines))
    (folder / "names.json").write_text(json.dumps({"anvil": ["student-0"], "boot": ["student-1"], "cup": ["val-2"]}))
    return replace(
        TINY,
        pool=PoolConfig(variants=0, doodles=0.5),
        doodles=DoodleConfig(str(folder), str(folder / "names.json"), people=0.4, classes=0.5),
        augment=AugmentConfig(sketch_moves=0.5, photo_moves=0.5, backgrounds=0.5, lost=0.5),
        small_passes=2,
        most_pixels=2048,  # room for two of three sketches at 32 px
        hard=0.5,
    )


def test_a_run_with_everything_resumes_too(toy: SketchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = full_config(tmp_path)
    whole = weights(train(config, tmp_path / "whole"))
    row = json.loads((tmp_path / "whole" / "log.jsonl").read_text())
    assert row["loss"] == pytest.approx(row["task"] + row["classes"]) and row["classes"] > 0.0
    assert set(row["doodles_acc1_5_10"]) == {"val"} and set(row["val_acc1"]) == {"32"}
    train_until_interrupted(config, tmp_path / "broken", monkeypatch)
    resumed = weights(train(config, tmp_path / "broken"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_classes_of_held_out_photos_are_not_trained_on(toy: SketchDataset, tmp_path: Path) -> None:
    config = full_config(tmp_path)
    sources, student = prepare.read_sources(config), prepare.initial_student(config)
    material = prepare.prepare_retrieval(config, sources, student, [], tmp_path, "cpu", resumed=False)
    assert material.doodle_classes is not None and material.doodle_classes.classes.names == ("anvil", "boot")


def test_the_folder_of_doodles_is_not_on_the_card(toy: SketchDataset, tmp_path: Path) -> None:
    card = load_card(run(replace(full_config(tmp_path), steps=1), tmp_path / "run", None, "a command"))
    assert card["recipe"]["doodles"] == {"people": 0.4, "classes": 0.5}


def test_a_finished_run_is_not_prepared_again(
    toy: SketchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = weights(train(replace(TINY, steps=2), tmp_path))
    monkeypatch.setattr(prepare, "make_pairs", lambda *args: pytest.fail("prepared again"))
    again = weights(train(replace(TINY, steps=2), tmp_path))
    assert all(torch.equal(done[name], again[name]) for name in done)


def test_checkpoint_of_another_configuration(toy: SketchDataset, tmp_path: Path) -> None:
    train(replace(TINY, steps=2), tmp_path)
    with pytest.raises(ValueError, match="other settings: steps differ"):
        train(TINY, tmp_path)


def test_it_learns_its_own_pairs(toy: SketchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On six pairs whose photos show the drawing, the loss falls far below log 6, that of guessing."""
    first = {photo: toy.photo_ids.tolist().index(photo) for photo in set(toy.photo_ids.tolist())}

    def photo_of_drawing(photo: str) -> np.ndarray:
        return np.repeat(rasterise(toy.sketch(first[photo]), 48)[..., None], 3, axis=2)

    shown = replace(
        toy, read_photo=photo_of_drawing, read_sketch=lambda row: toy.read_sketch(first[str(toy.photo_ids[row])])
    )
    monkeypatch.setitem(data.DATASETS, "toy", lambda: shown)
    config = replace(TINY, pretrained="mobilenet_v2", steps=80, checkpoint_every=80, evaluate_every=80, batch=6)
    train(config, tmp_path)
    assert json.loads((tmp_path / "log.jsonl").read_text())["loss"] < 0.5 * np.log(6)


def test_published_student_has_a_card_and_loads(toy: SketchDataset, tmp_path: Path) -> None:
    path = run(replace(TINY, steps=2), tmp_path / "run", tmp_path / "toy.safetensors", "a command")
    card = load_card(path)
    assert card["command"] == "a command"
    assert card["dataset_hash"] == toy.hash
    assert card["recipe"]["steps"] == 2
    assert card["teacher"] is None
    assert "root" not in card["recipe"]  # a path on somebody's machine
    # The test split is not touched by a training run.
    assert set(card["measured"]) == {"val"}
    assert val_scores(load_student(path), toy, (16, 32)) == {int(c): a for c, a in card["measured"]["val"].items()}
    publish(load_student(path), toy, tmp_path / "again.safetensors", {}, "another")
    np.testing.assert_array_equal(
        load_student(tmp_path / "again.safetensors").embed([toy.sketch(0)], 16),
        load_student(path).embed([toy.sketch(0)], 16),
    )


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    torch.manual_seed(1)
    return str(save_student(Student(TINY.student), tmp_path / "teacher.safetensors", {}))


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_every_term_trains(toy: SketchDataset, tmp_path: Path, teacher: str, loss: str) -> None:
    config = replace(TINY, steps=2, loss=loss, teacher=teacher, teacher_canvases=(16,), terms=dict.fromkeys(TERMS, 1.0))
    before = weights(prepare.initial_student(config))
    after = weights(train(config, tmp_path / "run"))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    row = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    parts = {name: row[name] for name in ("task", *TERMS)}
    assert all(np.isfinite(value) and value >= 0 for value in parts.values())
    assert row["loss"] == pytest.approx(0.5 * sum(parts.values()), rel=1e-5)


def test_targets_of_a_canvas_of_their_own(toy: SketchDataset, tmp_path: Path, teacher: str) -> None:
    config = replace(TINY, teacher=teacher, teacher_canvases=(32,), teacher_canvases_at={16: (16,)})
    sources, student = prepare.read_sources(config), prepare.initial_student(config)
    teachers = prepare.load_teachers(config)
    material = prepare.prepare_retrieval(config, sources, student, teachers, tmp_path, "cpu", resumed=True)
    targets, sketch = material.targets, toy.sketch(int(training_rows(toy)[0]))
    assert targets is not None
    row, flip = (
        next(k for k, s in enumerate(material.pairs.sketches) if equal_strokes(s, sketch)),
        np.zeros(1, dtype=bool),
    )
    for canvas in (16, 32):
        theirs = load_student(teacher).embed([sketch], canvas)
        ours = targets[canvas].of_sketches(np.array([row]), flip).numpy()
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_two_teachers_are_one_ensemble(toy: SketchDataset, tmp_path: Path, teacher: str) -> None:
    torch.manual_seed(2)
    other = str(save_student(Student(TINY.student), tmp_path / "other.safetensors", {}))
    config = replace(TINY, steps=1, teacher=teacher, more_teachers=(other,), teacher_canvases=(32,))
    card = load_card(run(config, tmp_path / "run", None, "a command"))
    assert card["teacher"]["name"] == "mobilenet_v2 + mobilenet_v2" and "+" in card["teacher"]["sha256"]
    with pytest.raises(ValueError, match="'mimic' needs a teacher with the student's dimensions"):
        train(replace(config, terms={"mimic": 1.0}), tmp_path / "mimic")


def equal_strokes(one: VectorSketch, other: VectorSketch) -> bool:
    return len(one.strokes) == len(other.strokes) and all(
        np.array_equal(a, b) for a, b in zip(one.strokes, other.strokes, strict=True)
    )


def test_mix_of_one_is_direct_training(toy: SketchDataset, tmp_path: Path, teacher: str) -> None:
    """With mix 1 the distillation terms have weight 0: the weights equal those without a teacher, bit by bit."""
    direct = weights(train(replace(TINY, steps=2), tmp_path / "direct"))
    mixed = replace(TINY, steps=2, teacher=teacher, teacher_canvases=(16,), mix=1.0)
    alike = weights(train(mixed, tmp_path / "mixed"))
    assert all(torch.equal(direct[name], alike[name]) for name in direct)


def test_distillation_approaches_the_teacher(toy: SketchDataset, tmp_path: Path) -> None:
    """By the distillation term alone, a student of the same network with other heads approaches its teacher."""
    config = replace(TINY, pretrained="mobilenet_v2", mix=0.0, terms={"mimic": 1.0}, average=0.9, steps=60)
    pairs = prepare.make_pairs(toy, config.pool, 24, workers=1)
    initial = [prepare.initial_student(replace(config, seed=seed)) for seed in (config.seed, 3)]
    for student in initial:
        prepare.calibrate_on_pairs(student, pairs)
    teacher, fresh = save_student(initial[0], tmp_path / "teacher.safetensors", {}), initial[1].eval()
    config = replace(config, teacher=str(teacher), teacher_canvases=(32,), seed=3)
    student = train(config, tmp_path / "run").eval()
    sketches = [toy.sketch(int(row)) for row in toy.indices("student")]
    theirs = load_student(teacher).embed(sketches, 32)
    far, near = (np.square(s.embed(sketches, 32) - theirs).sum(1).mean() for s in (fresh, student))
    assert near < 0.5 * far


def test_training_starts_from_a_trained_student(toy: SketchDataset, tmp_path: Path, teacher: str) -> None:
    started = weights(prepare.initial_student(replace(TINY, start=teacher)))
    theirs = weights(load_student(teacher))
    assert all(torch.equal(started[name], theirs[name]) for name in theirs)
    other = replace(TINY.student, photo_side=32)
    with pytest.raises(
        ValueError, match=r"is another network than the one to be trained: it has photo_side 24, not 32$"
    ):
        prepare.initial_student(replace(TINY, start=teacher, student=other))


def test_one_pass_when_small_is_empty(toy: SketchDataset, tmp_path: Path) -> None:
    student = replace(TINY.student, canvases=(32,))
    assert train(replace(TINY, steps=1, small={}, student=student), tmp_path).canvases == (32,)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"batch": 9},
            ValueError,
            "batch of 9 needs more than the 6 photos with sketches in the student split: put a smaller",
        ),
        ({"teacher": "nobody"}, ValueError, "unknown student 'nobody'"),
        ({"teacher": "emoji", "teacher_canvases": (16, 64)}, ValueError, r"teacher emoji has no canvases \[16\]"),
        (
            {"teacher": "emoji", "teacher_canvases": (64,), "terms": {"relational_triplet": 1.0, "mimic": 1.0}},
            ValueError,
            "'mimic' needs a teacher with the student's dimensions",
        ),
        ({"start": "nowhere.safetensors"}, FileNotFoundError, "nowhere.safetensors"),
        ({"start": "emoji"}, ValueError, r"the start emoji is another network .* it has heads .*; canvases .*; photo"),
        (
            {"pretrained": "vgg16"},
            ValueError,
            "'vgg16' are of another network than the backbone 'mobilenet_v2': give 'mob",
        ),
        ({"pretrained": "nowhere.pth"}, FileNotFoundError, "no weights file nowhere.pth"),
        ({"renderings": "nowhere.npz"}, FileNotFoundError, "nowhere.npz"),
        ({"dataset": "nothing"}, ValueError, "unknown data set 'nothing'"),
    ],
)
def test_mistakes_are_found_before_anything_is_prepared_or_written(
    toy: SketchDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr(prepare, "make_pairs", lambda *args: pytest.fail("pairs were made"))
    with pytest.raises(error, match=message):
        train(replace(TINY, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, r"unknown fields \['stepz'\]"),
        ({"small": {"32": 1.0}}, "disagree on"),
        ({"student": {"backbone": "alexnet"}}, "unknown backbone"),
        ({"loss": "hinge"}, "loss must be"),
        ({"terms": {"hints": 1.0}}, r"unknown distillation terms \['hints'\]"),
        ({"mix": 1.5}, "mix must be a number from 0 to 1, got 1.5"),
        ({"outside": 0.3}, "outside needs renderings"),
        ({"pool": {"stroke": 1}}, r"pool: unknown fields \['stroke'\]"),
    ],
)
def test_bad_configurations(values: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        TrainConfig.read(path)


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[1]", "must be a JSON object")])
def test_files_of_another_kind(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"config\.json {message}"):
        TrainConfig.read(path)


@pytest.mark.parametrize("name", configs())
def test_shipped_configurations_read(name: str) -> None:
    config = TrainConfig.read(name)
    assert config == TrainConfig.read(CONFIGS_FOLDER / f"{name}.json")
    assert Path(name).name.startswith(f"{config.dataset}-{config.student.backbone}")


def test_configurations_by_name_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names are not looked up in the working directory
    assert {"emoji-mobilenet_v2", "folder-mobilenet_v2", "gpu/emoji-vgg16"} <= set(configs())
    with pytest.raises(ValueError, match=r"unknown configuration 'emoji'; shipped: .*folder-mobilenet_v2, gpu/emoji-"):
        TrainConfig.read("emoji")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        TrainConfig.read("nowhere.json")
    (tmp_path / "mine").write_text('{"steps": 3}')
    assert TrainConfig.read("mine").steps == 3


def test_the_configuration_with_the_papers_losses(toy: SketchDataset, tmp_path: Path, teacher: str) -> None:
    """It differs from the shipped student's first recipe in its losses only, and a run with these works."""
    paper, shipped = TrainConfig.read("emoji-mobilenet_v2-paper"), TrainConfig.read("emoji-mobilenet_v2")
    losses = {"loss": "triplet", "terms": {"relational_triplet": 1.0}}
    assert paper == replace(shipped, **losses) != shipped
    small = replace(TINY, loss=paper.loss, terms=paper.terms, mix=paper.mix, teacher=teacher, teacher_canvases=(16,))
    train(small, tmp_path / "run")
    row = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert row["loss"] == pytest.approx(0.5 * row["task"] + 0.5 * row["relational_triplet"], rel=1e-5)


def test_the_configuration_for_a_folder_of_ones_own_trains(tmp_path: Path) -> None:
    """40 photos with a drawing each, without renderings or teacher, fill its batch; fewer raise an error."""
    for name in ("photos", "sketches"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    for i in range(40):
        Image.new("RGB", (40, 30), (6 * i, 99, 255 - 6 * i)).save(tmp_path / "mine" / "photos" / f"p{i}.jpg")
        line = [[[0, 0], [i + 1, 40], [40, 20 + i], [9, 9]]]
        (tmp_path / "mine" / "sketches" / f"p{i}__0.json").write_text(json.dumps(line))
    shipped = TrainConfig.read("folder-mobilenet_v2")
    config = replace(shipped, root=str(tmp_path / "mine"), steps=2, threads=1)
    path = run(config, tmp_path / "run", None, "a command")
    card = load_card(path)
    assert card["dataset"] == "folder" and card["teacher"] is None and card["recipe"]["steps"] == 2
    before, after = weights(students.load(str(config.start))), weights(load_student(path))
    assert any(not torch.equal(before[name].half(), after[name].half()) for name in before)
    (tmp_path / "mine" / "sketches" / "p0__0.json").unlink()
    dataset = data.load("folder", tmp_path / "mine")
    few = replace(shipped, root=str(tmp_path / "mine"), batch=1 + len(dataset.gallery("student")), threads=1)
    with pytest.raises(ValueError, match="put a smaller 'batch' into the configuration"):
        train(few, tmp_path / "few")


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
