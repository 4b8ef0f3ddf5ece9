"""Steps a second of the vector environment of unfinished drawings, beside Gymnasium's SyncVectorEnv over single ones.

Nothing is asserted about time. Run it with

    python -m pytest tests/benchmarks/bench_stroke.py -s

and see the printed lines, or `extra_info` of the JSON (`--benchmark-json`): steps a second of each, and the ratio. It
runs on the embedded sketches and the shipped outcomes, at 200 points a sketch; actions are drawn uniformly, so that
an episode takes three steps or so.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

ENV_ID = "sketchcanvas_env:SketchCanvasStroke-v0"
SYNC_ENVS = 64


def step_rate(envs: gym.vector.VectorEnv, batches: np.ndarray) -> float:
    """Steps a second, the best of five runs."""
    envs.reset(seed=0)
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        for actions in batches:
            envs.step(actions)
        rates.append(batches.size / (time.perf_counter() - start))
    return max(rates)


@pytest.fixture(scope="module")
def sync_rate() -> float:
    """Steps a second of SyncVectorEnv."""
    envs = gym.make_vec(ENV_ID, SYNC_ENVS, "sync", {"autoreset_mode": "SameStep"})
    return step_rate(envs, np.random.default_rng(0).integers(0, 6, (30, SYNC_ENVS)))


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("num_envs", [256, 1024, 4096])
def test_steps_a_second(benchmark: Any, sync_rate: float, num_envs: int, copy: bool) -> None:
    """One call of `step`, with the autoreset and the next observations in it."""
    envs = gym.make_vec(ENV_ID, num_envs, copy=copy)
    envs.reset(seed=0)
    choices = envs.single_action_space.n  # type: ignore[attr-defined]
    batches = np.random.default_rng(0).integers(0, choices, (16, num_envs))
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
    )
    print(f"\n{num_envs} envs, copy={copy}: {benchmark.extra_info}")
