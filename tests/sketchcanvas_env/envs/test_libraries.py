"""Environments in other libraries' hands; each test runs where its library is installed (extra `interop`)."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import sketchcanvas_env
from tests.helpers import Toy

OURS = [
    spec.id
    for spec in gym.registry.values()
    if str(spec.entry_point).startswith("sketchcanvas_env") and not spec.id.startswith("mo-")
]


@pytest.mark.parametrize("name", OURS)
def test_only_vector_rewards_have_a_reward_space(toy: Toy, name: str) -> None:
    """TorchRL takes `reward_space` for the space of what `step` returns."""
    env = gym.make(name, **toy.kwargs).unwrapped
    envs = gym.make_vec(name, 2, **toy.kwargs)
    assert not hasattr(env, "reward_space")
    assert not hasattr(envs, "reward_space")
    assert env.reward_vector_space == envs.reward_vector_space  # type: ignore[attr-defined]
    assert hasattr(sketchcanvas_env.MOSketchCanvasEnv, "reward_space")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", OURS)
def test_torchrl_rolls_out_what_gymnasium_steps(toy: Toy, name: str) -> None:
    pytest.importorskip("torchrl")
    from torchrl.envs import GymWrapper
    from torchrl.envs.utils import check_env_specs

    env, plain = (gym.make(name, **toy.kwargs) for _ in range(2))
    wrapped = GymWrapper(env)
    check_env_specs(wrapped)
    wrapped.set_seed(3)
    env.reset(seed=3)
    plain.reset(seed=3)
    wrapped.reset()
    obs, _ = plain.reset()
    found = wrapped.rollout(5, auto_reset=True)
    obs, _ = plain.reset()
    for step in range(len(found)):
        assert np.array_equal(found["points"][step].numpy(), obs["points"])
        obs, reward, ended, _, _ = plain.step(int(found["action"][step].int().argmax()))
        assert found["next", "reward"][step].item() == np.float32(reward)
        assert found["next", "terminated"][step].item() == ended


@pytest.mark.filterwarnings("default")
def test_tianshou_collects_whole_episodes(toy: Toy) -> None:
    pytest.importorskip("tianshou")
    from tianshou.env import DummyVectorEnv

    envs = DummyVectorEnv([lambda: gym.make("SketchCanvasStroke-v0", **toy.kwargs)] * 3)
    obs, _ = envs.reset(seed=0)
    assert len(obs) == 3
    _, rewards, terminated, truncated, infos = envs.step(np.array([5, 5, 0]))
    assert terminated.tolist() == [True, True, False]
    assert not truncated.any()
    assert infos[0]["return"] == pytest.approx(rewards[0])
