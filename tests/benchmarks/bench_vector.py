"""Steps a second of the vector environment, beside Gymnasium's SyncVectorEnv over single ones.

Nothing is asserted about time. Run it with

    python -m pytest tests/benchmarks/bench_vector.py

and see the printed lines, or `extra_info` of the JSON (`--benchmark-json`): steps a second of each, and the
ratio. The table is made up, so that no network is needed; the sketches are those of the embedded data set, at
200 points each, 4 KB an observation.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sketchcanvas_env
from sketchcanvas_env.outcomes.table import OutcomeTable

ENV_ID = "SketchCanvas-v0"
SYNC_ENVS = 64


@pytest.fixture(scope="module")
def kwargs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments of an environment on the embedded sketches with a made-up table."""
    dataset = sketchcanvas_env.load_dataset()
    rows = dataset.indices("train")
    gallery = np.unique(dataset.photo_ids[rows])
    true = np.searchsorted(gallery, dataset.photo_ids[rows])
    shape = (len(rows), 4)
    rng = np.random.default_rng(0)
    ranks = rng.integers(1, len(gallery) + 1, shape)
    top = np.repeat(((true[:, None] + 1 + np.arange(5)) % len(gallery))[:, None], 4, axis=1)
    for place in range(5):
        top[..., place] = np.where(ranks == place + 1, true[:, None], top[..., place])
    table = OutcomeTable(
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        student="made_up",
        student_hash="0",
        canvases=np.array([32, 64, 128, 256]),
        flops=0.782e9 * np.array([1 / 64, 1 / 16, 1 / 4, 1.0]),
        ranks=ranks,
        distances=rng.uniform(0, 2, shape).astype(np.float32),
        triplet=rng.uniform(0, 2, shape).astype(np.float32),
        top=top,
        photos=gallery,
        sketch_ids=dataset.sketch_ids[rows],
        photo_ids=dataset.photo_ids[rows],
        split=dataset.split[rows],
        level=dataset.level[rows],
        gallery_size={"train": len(gallery)},
    )
    return {"table": str(table.save(tmp_path_factory.mktemp("bench") / "made_up.npz")), "max_points": 200}


@pytest.fixture(scope="module")
def sync_rate(kwargs: dict[str, Any]) -> float:
    """Steps a second of SyncVectorEnv, the best of five runs."""
    envs = gym.make_vec(ENV_ID, SYNC_ENVS, "sync", {"autoreset_mode": "SameStep"}, **kwargs)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 4, SYNC_ENVS)
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(50):
            envs.step(actions)
        rates.append(50 * SYNC_ENVS / (time.perf_counter() - start))
    return max(rates)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("num_envs", [256, 1024, 4096])
def test_steps_a_second(benchmark: Any, kwargs: dict[str, Any], sync_rate: float, num_envs: int, copy: bool) -> None:
    """One call of `step`, with the autoreset and the next observations in it."""
    envs = gym.make_vec(ENV_ID, num_envs, copy=copy, **kwargs)
    envs.reset(seed=0)
    batches = np.random.default_rng(0).integers(0, 4, (16, num_envs))
    turn = 0

    def step() -> None:
        nonlocal turn
        turn = (turn + 1) % len(batches)
        envs.step(batches[turn])

    for _ in range(10):
        step()
    benchmark(step)
    rate = num_envs / benchmark.stats["min"]
    benchmark.extra_info.update(
        steps_per_second=round(rate),
        steps_per_second_median=round(num_envs / benchmark.stats["median"]),
        sync_steps_per_second=round(sync_rate),
        ratio_to_sync=round(rate / sync_rate, 1),
        observation_bytes=200 * 5 * 4,
    )
    print(f"\n{num_envs} envs, copy={copy}: {benchmark.extra_info}")


def test_seeded_reset(benchmark: Any, kwargs: dict[str, Any]) -> None:
    """`reset(seed=...)` of 1,024 streams, which makes as many generators."""
    envs = gym.make_vec(ENV_ID, 1024, copy=False, **kwargs)
    benchmark(lambda: envs.reset(seed=0))
