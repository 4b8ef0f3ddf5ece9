"""Saved cascades: look by look they decide as in the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
from agents.algorithms import registry as algorithms
from agents.algorithms.common.training import Run
from agents.evaluation.setting import CascadeConfig
from agents.search.parts import CascadeSelector
from agents.search.pipeline import Pipeline
from agents.selectors.observation import SeenLook
from agents.store.saved import SavedCascade
from sketchcanvas_env.outcomes.looks import LookTable
from students.store import cards
from tests.agents.support import weights

MakeEnv = Callable[..., CascadeConfig]


def lively_run(env: CascadeConfig, algorithm: str = "reinforce") -> Run:
    """A short run whose network chooses differently from sketch to sketch."""
    more = {"batch_size": 32} if algorithm == "ppo" else {}
    run = algorithms.train_run(
        algorithms.make_config(algorithm, env=env, total_steps=512, num_envs=16, hidden=8, **more)
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in run.selector.parameters():
            torch.nn.init.normal_(weight, std=2.0)
    return run


@pytest.fixture
def saved(doubt_env: MakeEnv, tmp_path: Path) -> Path:
    env = doubt_env()
    return agents.save(tmp_path / "cascade", lively_run(env), env.outcomes("train"))


@pytest.mark.parametrize("algorithm", ["reinforce", "ppo"])
def test_look_by_look_it_ends_as_in_the_environment(doubt_env: MakeEnv, tmp_path: Path, algorithm: str) -> None:
    env = doubt_env(canvases=(16, 64, 128))
    run = lively_run(env, algorithm)
    found = agents.load(agents.save(tmp_path / "it", run, env.outcomes("train")))
    assert isinstance(found, SavedCascade)
    assert isinstance(found, CascadeSelector)
    assert found.env == env
    assert found.selector.settings() == run.selector.settings()
    assert weights(found.selector) == weights(run.selector)
    cascade, whole = env.cascade("test"), env.outcomes("test")
    assert env.table is not None
    everything = LookTable.load(LookTable.path_beside(env.table))
    rows = np.flatnonzero(cascade.task.dataset.split == "test")
    nodes, thinking = env.decide(found.selector, "test")
    names = np.array(env.options("test").names)[nodes]
    several = 0
    for row in range(0, len(cascade), 7):
        sketch = cascade.task.sketch(row)
        looks: list[SeenLook] = []
        asked = 0
        while (canvas := found.next(sketch, looks)) is not None:
            asked += 1
            column = env.canvases.index(canvas)
            top = [str(whole.photos[place]) for place in whole.top[row, column] if place >= 0]
            stored = everything.distances[rows[row], (16, 32, 64, 128).index(canvas)]
            looks.append(SeenLook(canvas, top, stored[: len(top)].tolist()))
        asked += 1
        taken = [look.canvas for look in looks]
        before = "+".join(str(side) for side in sorted(taken[:-1]))
        assert names[row] == (f"{before}>{taken[-1]}" if before else str(taken[-1]))
        assert found(sketch) == taken[0]
        assert found.gflops(sketch) * asked == pytest.approx(thinking[row] / 1e9)
        several += len(looks) > 1
    assert several > 2  # else looks were never shown to it


def test_wrong_looks_and_tradeoffs_are_refused(saved: Path, doubt_env: MakeEnv) -> None:
    found = agents.load(saved)
    assert isinstance(found, SavedCascade)
    sketch = doubt_env().cascade("test").task.sketch(0)
    look = SeenLook(16, ["a", "b"], [0.5, 0.6])
    with pytest.raises(ValueError, match=r"knows the canvases \[16, 32, 64, 128\], not 48"):
        found.next(sketch, [SeenLook(48, ["a"], [0.5])])
    with pytest.raises(ValueError, match="looked at twice"):
        found.next(sketch, [look, look])
    for call in (found, found.gflops):
        with pytest.raises(ValueError, match=r"cannot choose at 0\.3"):
            call(sketch, 0.3)
    # Fewer than five photos are allowed; of more the first five are read.
    found.next(sketch, [look])
    many = SeenLook(16, list("abcdefgh"), [0.5] * 8)
    assert found.next(sketch, [many]) == found.next(sketch, [SeenLook(16, list("abcde"), [0.5] * 5)])


def test_it_stops_when_every_canvas_was_seen(saved: Path, doubt_env: MakeEnv) -> None:
    found = agents.load(saved)
    assert isinstance(found, SavedCascade)
    looks = [SeenLook(side, list("abcde"), [0.5, 0.6, 0.7, 0.8, 0.9]) for side in (16, 32, 64, 128)]
    assert found.next(doubt_env().cascade("test").task.sketch(0), looks) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("costs"), "costs must be 4 numbers"),
        (lambda c: c.update(costs=[1.0, 2.0]), "costs must be 4 numbers"),
        (lambda c: c.update(costs=[1.0, 2.0, 3.0, "4"]), "costs must be 4 numbers"),
        (lambda c: c.update(costs=[1.0, 2.0, 3.0, -4.0]), "finite numbers above zero"),
        (lambda c: c["selector"].update(n_actions=4), "4 actions for 4 canvases"),
        (lambda c: c["config"]["env"].pop("ranking"), "damaged.*looks"),
        (lambda c: (c["config"]["env"].pop("ranking"), c["config"]["env"].pop("looks")), "5 actions for 4 canvases"),
        (
            lambda c: (
                c["config"]["env"].pop("ranking"),
                c["config"]["env"].pop("looks"),
                c["selector"].update(n_actions=4),
            ),
            "'looks' reads last, looks, which only a cascade shows",
        ),
        (lambda c: c.update(costs=[10**400] * 4), "too large to be added up"),
        (lambda c: c["selector"].update(n_actions=10), "damaged.*1 to 8 canvases"),
        (lambda c: c["config"]["env"].update(preferences=[0.1, 0.2]), "damaged.*no preferences"),
    ],
)
def test_damaged_cards(saved: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    card, tensors = cards.read(saved, "selector", lambda _: 1 << 20)
    assert set(card["trained_on"]) >= {"table_hash", "looks_hash"}
    change(card)
    cards.write(saved, tensors, card, "selector")
    with pytest.raises(ValueError, match=message):
        agents.load(saved)


def test_it_searches(tmp_path: Path) -> None:
    # On the shipped index: every look and every decision is charged.
    env = CascadeConfig()
    path = agents.save(tmp_path / "it", lively_run(env), env.outcomes("train"))
    pipeline, found = Pipeline.load(selector=path), agents.load(path)
    task = env.task("val")
    sketches = [task.sketch(row) for row in range(8)]
    answers = pipeline.search_many(sketches, top=3)
    assert isinstance(found, SavedCascade)
    for sketch, answer in zip(sketches, answers, strict=True):
        sides = [look.canvas for look in answer.looks]
        assert len(set(sides)) == len(sides) >= 1
        assert sides[0] == found(sketch)
        assert answer.canvas == sides[-1]
        assert answer.selector_gflops == pytest.approx((len(sides) + 1) * found.gflops(sketch))
    assert max(len(answer.looks) for answer in answers) > 1
