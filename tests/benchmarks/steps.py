"""What the benchmarks of vector environments whose episodes take several steps have in common."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np

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


def rate_of_sync(env_id: str) -> float:
    """Steps a second of SyncVectorEnv over single environments; actions are drawn uniformly."""
    envs = gym.make_vec(env_id, SYNC_ENVS, "sync", {"autoreset_mode": "SameStep"})
    choices = envs.single_action_space.n  # type: ignore[attr-defined]
    return step_rate(envs, np.random.default_rng(0).integers(0, choices, (30, SYNC_ENVS)))


def measure(benchmark: Any, env_id: str, sync_rate: float, num_envs: int, copy: bool, **kwargs: Any) -> None:
    """One call of `step`, with the autoreset and the next observations in it; told and printed beside SyncVectorEnv."""
    envs = gym.make_vec(env_id, num_envs, copy=copy, **kwargs)
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
    print(f"\n{num_envs} envs, copy={copy}, {kwargs}: {benchmark.extra_info}")
