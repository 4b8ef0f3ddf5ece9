"""What the benchmarks of environments have in common."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np

from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.table import OutcomeTable

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


def made_up(dataset: SketchDataset) -> OutcomeTable:
    """A table with outcomes drawn at random, so that no network is needed."""
    rows = np.flatnonzero(dataset.split != "student")
    gallery = np.unique(dataset.photo_ids[rows])
    true = np.searchsorted(gallery, dataset.photo_ids[rows])
    shape = (len(rows), 4)
    rng = np.random.default_rng(0)
    sizes = {split: len(dataset.gallery(split)) for split in ("train", "val", "test")}
    ranks = rng.integers(1, min(sizes.values()) + 1, shape)
    top = np.repeat(((true[:, None] + 1 + np.arange(5)) % len(gallery))[:, None], 4, axis=1)
    for place in range(5):
        top[..., place] = np.where(ranks == place + 1, true[:, None], top[..., place])
    return OutcomeTable(
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
        gallery_size=sizes,
    )
