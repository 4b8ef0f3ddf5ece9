"""Environment steps a second of training, beside SB3's own road, and seconds until nothing is left to gain.

Nothing is asserted about time. Run it with

    OMP_NUM_THREADS=1 python -m pytest tests/benchmarks/bench_training.py -s

and see the printed lines, or `extra_info` of the JSON (`--benchmark-json`). Everything is measured in one process on
the shipped table, one torch thread each, 30,720 steps with the selector on statistics and default settings, start-up
included. SB3's own road is what its documentation does: `PPO("MultiInputPolicy", ...)` with default settings over a
`DummyVecEnv` of eight single environments, for 4 of its rollouts (a network of its own kind on points and statistics).
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.algorithms import registry as algorithms
from agents.algorithms.common.training import pinned_threads, preserved_generators
from agents.evaluation.setting import ENV_ID, EnvConfig
from agents.selectors import policy

SB3_ENVS = 8
ROLLOUTS = 4
SB3_N_STEPS = 2_048  # SB3's default
STEPS = 30_720
NEAR = 0.01
"""How close to its final reward a selector is to come, as a share of it."""


@pytest.fixture(scope="module")
def sb3_rate() -> float:
    """Steps a second of SB3's own road with its defaults, start-up left out (which favours it)."""
    kwargs = EnvConfig().kwargs("train")

    def make() -> Any:
        return Monitor(gym.make(ENV_ID, **kwargs))

    steps = ROLLOUTS * SB3_N_STEPS * SB3_ENVS
    with pinned_threads(1), preserved_generators():
        model = PPO("MultiInputPolicy", DummyVecEnv([make] * SB3_ENVS), seed=0, device="cpu")
        start = time.perf_counter()
        model.learn(steps)
        return steps / (time.perf_counter() - start)


@pytest.mark.parametrize("algorithm", list(algorithms.ALGORITHMS))
def test_steps_a_second(benchmark: Any, sb3_rate: float, algorithm: str) -> None:
    """One whole run with default settings."""
    env = EnvConfig()
    env.task("train")  # made ready once in a process
    kind = "linear" if algorithm in ("linucb", "linear_ts", "epsilon_greedy") else "stats"
    config = algorithms.make_config(algorithm, env=env, selector=kind, total_steps=STEPS)
    benchmark.pedantic(lambda: algorithms.train_run(config), rounds=3, warmup_rounds=1)
    rate = STEPS / benchmark.stats["min"]
    benchmark.extra_info.update(
        steps_per_second=round(rate),
        sb3_default_steps_per_second=round(sb3_rate),
        ratio=round(rate / sb3_rate, 1),
    )
    print(f"\n{algorithm}: {benchmark.extra_info}")


@pytest.mark.parametrize("selector", ["stats", "gru"])
@pytest.mark.parametrize("algorithm", ["reinforce", "cost_sensitive"])
def test_seconds_until_the_final_reward(algorithm: str, selector: str) -> None:
    """When the greedy reward on train comes within `NEAR` of its final value for good; evaluation time left out."""
    env = EnvConfig()
    task, rewards = env.task("train"), env.outcomes("train").rewards(**env.reward_weights())
    rows = np.arange(len(rewards))
    points: list[tuple[float, float]] = []
    evaluating = 0.0
    start = time.perf_counter()

    class Watch:
        """Stands in for a learning curve: on train, after every tenth update."""

        def start(self, steps: int = 0) -> None:
            pass

        def due(self, steps: int) -> bool:
            return steps % 2_560 == 0

        def add(self, steps: int, network: Any) -> None:
            nonlocal evaluating
            now = time.perf_counter()
            training = network.training
            chosen = policy.actions_of(network.eval(), task)
            network.train(training)
            points.append((now - start - evaluating, float(rewards[rows, chosen].mean())))
            evaluating += time.perf_counter() - now

    config = algorithms.make_config(algorithm, env=env, selector=selector, total_steps=STEPS)
    algorithms.train_run(config, curve=Watch())  # type: ignore[arg-type]
    final = points[-1][1]
    far = [i for i, (_, reward) in enumerate(points) if abs(reward - final) > NEAR * abs(final)]
    reached = points[far[-1] + 1 if far else 0][0]
    print(f"\n{algorithm}, {selector}: {reached:.2f} s to within 1 % of {final:.4f}, {points[-1][0]:.2f} s in all")
