"""Environments made from a dict, as RLlib's `register_env` wants them, and an on-policy loop over its kind of batches.

RLlib itself pins an older Gymnasium than this package needs, so nothing of it is imported here. With a release that
takes Gymnasium 1.4: `ray.tune.register_env("sketch", create)`, then `config.environment("sketch", env_config=...)`.
"""

from typing import Any

import gymnasium as gym
import numpy as np

import sketchcanvas_env  # noqa: F401  (registers the environments)


def create(env_config: dict[str, Any]) -> gym.Env[Any, Any]:
    """RLlib's `env_creator`: a flat observation, and what the caller wants to change of the arguments."""
    arguments = {"split": "train", "tradeoff": 0.2, "max_points": 16, **env_config}
    return gym.wrappers.FlattenObservation(gym.make("SketchCanvas-v0", **arguments))


def sample(env: gym.Env[Any, Any], value: np.ndarray, epsilon: float, steps: int, rng: np.random.Generator) -> dict:
    """One batch, with the columns of RLlib's single-agent episodes; every episode has one step."""
    rows: dict[str, list[Any]] = {name: [] for name in ("obs", "actions", "rewards", "terminateds")}
    for _ in range(steps):
        obs, _ = env.reset()
        action = rng.integers(len(value)) if rng.random() < epsilon else int(value.argmax())
        _, reward, terminated, _, _ = env.step(action)
        for name, one in zip(rows, (obs, action, reward, terminated), strict=True):
            rows[name].append(one)
    return {name: np.array(column) for name, column in rows.items()}


env = create({"dataset": "emoji", "canvases": (32, 64, 128)})
env.reset(seed=0)
rng, value, count = np.random.default_rng(0), np.zeros(3), np.zeros(3)
for number in range(6):
    batch = sample(env, value, 0.5, 200, rng)
    assert batch["terminateds"].all() and batch["obs"].shape == (200, *env.observation_space.shape)
    np.add.at(count, batch["actions"], 1)
    np.add.at(value, batch["actions"], (batch["rewards"] - value[batch["actions"]]) / count[batch["actions"]].clip(1))
    print(f"batch {number}: mean reward {batch['rewards'].mean():+.3f}, canvas {(32, 64, 128)[int(value.argmax())]} px")
