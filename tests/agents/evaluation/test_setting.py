"""The environment as agents name it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from agents.evaluation.setting import CascadeConfig, EnvConfig
from sketchcanvas_env import load_table
from sketchcanvas_env.envs.canvas import SketchCanvasVectorEnv
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks import canvas as task


def test_it_survives_json(toy_env: EnvConfig) -> None:
    for env in (toy_env, replace(toy_env, preferences=(0.1, 0.7))):
        assert EnvConfig(**json.loads(json.dumps(asdict(env)))) == env
        assert hash(EnvConfig(**json.loads(json.dumps(asdict(env))))) == hash(env)


def test_preferences_make_the_preference_environment(toy_env: EnvConfig) -> None:
    plain, ours = (env.make_vec(3).unwrapped for env in (toy_env, replace(toy_env, preferences=(0.1, 0.7))))
    assert isinstance(plain, SketchCanvasVectorEnv)
    assert isinstance(ours, SketchCanvasVectorEnv)
    assert plain.spec is not None
    assert ours.spec is not None
    assert (plain.spec.id, ours.spec.id) == ("SketchCanvas-v0", "SketchCanvasPreference-v0")
    assert plain.preferences is None
    assert ours.preferences == (float(np.float32(0.1)), float(np.float32(0.7)))


def test_one_tradeoff_is_chosen_to_evaluate_at(toy_env: EnvConfig) -> None:
    env = replace(toy_env, preferences=(0.1, 0.7), tradeoff=0.9)
    assert env.at(0.3) == replace(toy_env, tradeoff=0.3)
    assert env.at(0.3).task("val") is replace(toy_env, tradeoff=0.3).task("val")
    assert env.at(0.3).reward_weights()["tradeoff"] == 0.3
    # Outcomes depend on no tradeoff, rewards do.
    assert env.outcomes("val").hash == toy_env.outcomes("val").hash
    for needs_one in (lambda: env.task("val"), env.reward_weights):
        with pytest.raises(ValueError, match=r"choose one to evaluate at, for example env\.at\(0\.2\)"):
            needs_one()


def test_preferences_are_checked_before_any_work(toy_env: EnvConfig) -> None:
    with pytest.raises(ValueError, match="low <= high"):
        replace(toy_env, preferences=(0.7, 0.1)).make_vec(2)


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of outcomes, with looks, of one's own student that has the shipped one's name, as `distill` gives it."""
    shipped = load_table("emoji")
    own = replace(shipped, student_hash="0" * 64)
    path = own.save(tmp_path_factory.mktemp("retrained") / "own.npz")
    replace(LookTable.load_beside(shipped), outcomes_hash=own.hash).save(LookTable.path_beside(path))
    return path


def test_a_table_of_ones_own_student_is_no_shipped_one(retrained: Path) -> None:
    assert EnvConfig(dataset="emoji", table=str(retrained)).outcomes("val").student_hash == "0" * 64
    cascade = CascadeConfig(table=str(retrained)).cascade("val")
    assert cascade.task.table is not None
    assert cascade.task.table.student_hash == "0" * 64


def test_a_shipped_table_must_be_of_the_shipped_student(retrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = OutcomeTable.load(retrained)
    monkeypatch.setattr(task, "load_table", lambda dataset, student: own)
    message = "made with other weights of 'mobilenet_v2' than the shipped ones"
    with pytest.raises(ValueError, match=message):
        EnvConfig(dataset="emoji").task("val")
    with pytest.raises(ValueError, match=message):
        CascadeConfig(looks=str(LookTable.path_beside(retrained))).cascade("val")
