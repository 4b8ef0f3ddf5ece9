"""Agents need to know nothing of recognition: they learn it, and are evaluated on it, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.algorithms import registry as algorithms
from agents.evaluation.evaluate import evaluate
from agents.evaluation.setting import EnvConfig
from agents.selectors import policy
from sketchcanvas_env import data
from sketchcanvas_env.data import recognition
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.tables.tabulate import tabulate
from tests.agents.support import ALGORITHMS, counting_dataset, strokes_of
from tests.helpers import TOY_CANVASES

SETTINGS: dict[str, dict[str, Any]] = {
    "reinforce": {"total_steps": 51_200, "lr": 1e-2, "entropy_coef": 0.1},
    "ppo": {"total_steps": 25_600, "lr": 1e-2},
}


def quadrant(sketch: VectorSketch) -> int:
    """In which quarter of the canvas a drawing starts, 0 to 3."""
    x, y = sketch.strokes[0][0]
    return 2 * int(x > 0.5) + int(y > 0.5)


class Counter:
    """Sees the quarter in which a drawing starts if it has as many strokes as the canvas's place; else its opposite."""

    name = "counter"
    weights_hash = "3" * 64
    canvases = (*TOY_CANVASES, 256)  # on the last, which is not on offer, it sees everything

    def flops(self, canvas: int) -> float:
        return 1e3 * canvas**2

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        place = self.canvases.index(canvas)
        seen = [1.0 if place in (len(sketch.strokes) - 1, 4) else -1.0 for sketch in sketches]
        return (np.eye(4)[[quadrant(s) for s in sketches]] * np.array(seen)[:, None]).astype(np.float32)

    def embed_photos(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        raise AssertionError("there are no photos to look at")


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvConfig:
    """Four classes, and the number of strokes says on which canvas the student names them rightly."""
    whole = counting_dataset()
    sketches = [whole.sketch(row) for row in range(len(whole))]
    dataset = recognition(
        replace(
            whole,
            # The last tenth of `train` is what the student may see.
            split=np.where((whole.split == "train") & (np.arange(len(whole)) % 10 == 0), "student", whole.split),
            classes=np.array([f"quarter {quadrant(sketch)}" for sketch in sketches]),
        )
    )
    monkeypatch.setitem(data.DATASETS, dataset.name, lambda: dataset)
    path = tabulate(Counter(), dataset, TOY_CANVASES).save(tmp_path / "table.npz")
    return EnvConfig(dataset=dataset.name, table=str(path), canvases=TOY_CANVASES, max_points=12)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_is_learnt(env: EnvConfig, algorithm: str) -> None:
    outcomes = env.outcomes("test")
    assert outcomes.gallery_size == {"test": 4}
    task = env.task("test")
    right = np.array([strokes_of(int(row)) - 1 for row in task.index])
    assert (outcomes.ranks == np.where(np.arange(4) == right[:, None], 1, 4)).all()
    config = algorithms.make_config(algorithm, env=env, selector="stats", **SETTINGS[algorithm])
    run = algorithms.train_run(config)
    actions = policy.actions_of(run.selector, task)
    found = evaluate(outcomes, actions, resamples=10, **env.reward_weights())
    assert found.gap_closed >= 0.9
    assert found.acc1 >= 0.9


def test_whole_classes_are_resampled(env: EnvConfig) -> None:
    """All queries of a class are right or wrong together here, so that resampling drawings would promise too much."""
    outcomes = env.outcomes("test")
    of_one = np.where(np.isin(outcomes.photo_ids, ["quarter 0", "quarter 3"]), 1, 4)
    ranks = np.repeat(of_one[:, None], 4, axis=1)
    top = np.where((ranks == 1)[..., None], outcomes.top, -1)
    place = {name: i for i, name in enumerate(outcomes.photos.tolist())}
    true = np.array([place[name] for name in outcomes.photo_ids.tolist()])
    top[..., 0] = np.where(ranks == 1, true[:, None], (true[:, None] + 1) % 4)
    top[..., 3] = np.where(ranks == 4, true[:, None], -1)
    table = replace(outcomes, ranks=ranks, top=top)
    found = evaluate(table, np.zeros(len(table), dtype=np.int64), resamples=400, **env.reward_weights())
    assert found.n_photos == 4
    # Of four classes, two are right: a draw of four is all right or all wrong in 1 of 16 cases each.
    assert tuple(found.acc1_interval) == (0.0, 1.0)
