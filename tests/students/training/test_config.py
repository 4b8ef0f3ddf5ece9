"""Configurations: every mistake is an error of one line that names the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from students.training.config import TrainConfig

FOLDER = {
    "dataset": "folder",
    "student": {"backbone": "mobilenet_v2", "photo_side": 128, "canvases": [32, 64]},
    "small": {"32": 1.0},
    "large": {"64": 1.0},
    "steps": 8,
    "batch": 8,
}
NAN = float("nan")


def write_config(folder: Path, changes: dict[str, Any]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(FOLDER | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"steps": -1}, "steps"),
        ({"steps": 0}, "steps"),
        ({"steps": "a"}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"steps": True}, "steps"),
        ({"batch": 0}, "batch"),
        ({"batch": 1}, "batch"),
        ({"batch": 1_000_000_000_000}, "batch"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"evaluate_every": 0}, "evaluate_every"),
        ({"learning_rate": NAN}, "learning_rate"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": None}, "learning_rate"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**40}, "seed"),
        ({"threads": 0}, "threads"),
        ({"warmup": -1}, "warmup"),
        ({"weight_decay": NAN}, "weight_decay"),
        ({"temperature": 0}, "temperature"),
        ({"average": 1.5}, "average"),
        ({"mix": NAN}, "mix"),
        ({"hard": 2}, "hard"),
        ({"outside": 1.0}, "outside"),
        ({"small_passes": 0}, "small_passes"),
        ({"most_pixels": 100}, "most_pixels"),
        ({"dataset": 3}, "dataset"),
        ({"start": 3}, "start"),
        ({"small": 5}, "small"),
        ({"small": {"32": NAN}}, r"small\[32\]"),
        ({"small": {"32": -1.0}}, r"small\[32\]"),
        ({"small": {"32": 0.0}}, "small"),
        ({"small": {"a": 1.0}}, "small"),
        ({"large": {}}, "large"),
        ({"large": {"64": "often"}}, r"large\[64\]"),
        ({"large": [64]}, "large"),
        ({"terms": {"mimic": NAN}}, r"terms\[mimic\]"),
        ({"terms": {}}, "terms"),
        ({"more_teachers": "emoji"}, "more_teachers"),
        ({"more_teachers": [3]}, r"more_teachers\[0\]"),
        ({"teacher_canvases": []}, "teacher_canvases"),
        ({"teacher_canvases": [NAN]}, "teacher_canvases"),
        ({"teacher_canvases": 64}, "teacher_canvases"),
        ({"teacher_canvases_at": [64]}, "teacher_canvases_at"),
        ({"teacher_canvases_at": {"48": [64]}}, r"teacher_canvases_at names \[48\]"),
        ({"teacher_canvases_at": {"32": 64}}, r"teacher_canvases_at\[32\]"),
        ({"student": 3}, "student"),
        ({"student": {"canvases": [32, 64], "photo_side": NAN}}, "student: photo_side"),
        ({"pool": {"variants": -1}}, "pool.variants"),
        ({"pool": {"levels": [1.0]}}, "pool.levels"),
        ({"pool": {"levels": [0, 0, 0, 0]}}, "pool.levels"),
        ({"pool": {"levels": [NAN, 1, 1, 1]}}, r"pool.levels\[0\]"),
        ({"pool": {"edges": NAN}}, "pool.edges"),
        ({"pool": {"edges": 0.6, "doodles": 0.6}}, "pool.edges and pool.doodles"),
        ({"pool": {"doodles": 0.5}}, "pool.doodles needs doodles"),
        ({"pool": {"strokes": 1}}, r"pool: unknown fields \['strokes'\]"),
        ({"augment": {"backgrounds": NAN}}, "augment.backgrounds"),
        ({"augment": {"lost": 2}}, "augment.lost"),
        ({"doodles": {"people": -1}}, "doodles.people"),
        ({"doodles": {"root": 3}}, "doodles.root"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_field(changes: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"config\.json: {field}") as raised:
        TrainConfig.read(write_config(tmp_path, changes))
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_every_part_is_read(tmp_path: Path) -> None:
    parts = {
        "pool": {"variants": 0, "levels": [1, 0.5, 0, 0], "doodles": 0.2},
        "augment": {"backgrounds": 0.5},
        "doodles": {"root": "mine", "names": "names.json", "people": 0.1},
    }
    config = TrainConfig.read(write_config(tmp_path, parts))
    assert config.pool.levels == (1, 0.5, 0, 0)
    assert config.augment.backgrounds == 0.5
    assert config.doodles is not None and config.doodles.people == 0.1
    assert TrainConfig.read(write_config(tmp_path, {"doodles": None})).doodles is None
