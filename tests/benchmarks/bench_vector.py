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
from tests.benchmarks.steps import made_up

ENV_ID = "SketchCanvas-v0"
SYNC_ENVS = 64


@pytest.fixture(scope="module")
def kwargs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments of an environment on the embedded sketches with a made-up table."""
    table = made_up(sketchcanvas_env.load_dataset())
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
