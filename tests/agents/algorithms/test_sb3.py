"""The adapter between Gymnasium's vector environments and SB3's, against SB3's own; and what SB3 trains on it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from sb3_contrib import QRDQN, TRPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from agents.algorithms.sb3.adapter import SketchCanvasVecEnv, policy_settings, selector_of, start_from
from agents.evaluation.setting import ENV_ID, EnvConfig
from agents.selectors.networks import create
from sketchcanvas_env.envs.canvas import SketchCanvasEnv, SketchCanvasVectorEnv
from tests.helpers import Toy

N = 5


def vector(toy: Toy, num_envs: int = N, **changes: Any) -> SketchCanvasVectorEnv:
    return SketchCanvasVectorEnv(num_envs, **{**toy.kwargs, **changes})  # type: ignore[arg-type]


def adapted(toy: Toy, num_envs: int = N, **changes: Any) -> SketchCanvasVecEnv:
    return SketchCanvasVecEnv(vector(toy, num_envs, **changes))


def actions_for(steps: int, num_envs: int = N) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 4, (steps, num_envs))


def equal(one: Any, other: Any) -> bool:
    return set(one) == set(other) and all(
        np.array_equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one
    )


# ---------------------------------------------------------------- equality


@pytest.mark.parametrize("copy", [True, False])
def test_it_passes_on_what_the_vector_environment_says(toy: Toy, copy: bool) -> None:
    ours, theirs = adapted(toy, copy=copy), vector(toy)
    ours.seed(17)
    obs, (their_obs, info) = ours.reset(), theirs.reset(seed=17)
    assert equal(obs, their_obs)
    assert [i["sketch_index"] for i in ours.reset_infos] == info["sketch_index"].tolist()
    for actions in actions_for(100):
        obs, rewards, dones, infos = ours.step(actions)
        their_obs, their_rewards, terminated, _, info = theirs.step(actions)
        assert equal(obs, their_obs)
        assert rewards.dtype == np.float32
        assert np.array_equal(rewards, their_rewards.astype(np.float32))
        assert np.array_equal(dones, terminated)
        assert equal(ours.final_info, info["final_info"])
        for i in range(N):
            assert infos[i]["episode"]["r"] == their_rewards[i]
            assert infos[i]["episode"]["l"] == 1


def test_it_equals_sb3s_own_road(toy: Toy) -> None:
    ours = adapted(toy)
    theirs = DummyVecEnv([lambda: Monitor(SketchCanvasEnv(**toy.kwargs))] * N)  # type: ignore[arg-type]
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.seed(4) == theirs.seed(4) == [4, 5, 6, 7, 8]
    assert equal(ours.reset(), theirs.reset())
    assert ours.reset_infos == theirs.reset_infos
    for actions in actions_for(50):
        (obs, rewards, dones, infos), (their_obs, *rest, their_infos) = ours.step(actions), theirs.step(actions)
        assert equal(obs, their_obs)
        assert np.array_equal(rewards, rest[0])
        assert rewards.dtype == rest[0].dtype
        assert np.array_equal(dones, rest[1])
        assert dones.dtype == rest[1].dtype
        for info, other in zip(infos, their_infos, strict=True):
            # Monitor rounds.
            assert info["episode"]["r"] == pytest.approx(other["episode"]["r"], abs=1e-6)
            assert info["episode"]["l"] == other["episode"]["l"] == 1
            assert info.get("TimeLimit.truncated", False) is other["TimeLimit.truncated"] is False
    # Without a seed both go on with the streams they have.
    assert equal(ours.reset(), theirs.reset())


def test_what_it_gave_stays_as_it_was(toy: Toy) -> None:
    # The environment's two buffers take turns: without copies the third observation is written over the first.
    env = adapted(toy, copy=False)
    env.seed(0)
    kept = [env.reset()]
    then = [{name: array.copy() for name, array in kept[0].items()}]
    for actions in actions_for(6):
        kept.append(env.step(actions)[0])
        then.append({name: array.copy() for name, array in kept[-1].items()})
    assert all(equal(one, other) for one, other in zip(kept, then, strict=True))


def test_a_synchronous_vector_environment_will_do(toy: Toy) -> None:
    ours = adapted(toy)
    sync = gym.make_vec(ENV_ID, N, "sync", {"autoreset_mode": "SameStep"}, **toy.kwargs)
    theirs = SketchCanvasVecEnv(sync)
    for env in (ours, theirs):
        env.seed(2)
    assert equal(ours.reset(), theirs.reset())
    for actions in actions_for(10):
        (obs, rewards, dones, _), (their_obs, *rest, _) = ours.step(actions), theirs.step(actions)
        assert equal(obs, their_obs)
        assert np.array_equal(rewards, rest[0])
        assert np.array_equal(dones, rest[1])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_other_autoreset_modes_are_refused(toy: Toy, mode: AutoresetMode) -> None:
    sync = gym.make_vec(ENV_ID, 2, "sync", {"autoreset_mode": mode}, **toy.kwargs)
    with pytest.raises(ValueError, match=r"SAME_STEP.*not .*" + mode.name):
        SketchCanvasVecEnv(sync)


# ---------------------------------------------------------------- seeds and options


def test_a_seed_is_used_once(toy: Toy) -> None:
    env = adapted(toy, 30)
    env.seed(8)
    first, second = env.reset(), env.reset()
    assert not equal(first, second)
    env.seed(8)
    assert equal(env.reset(), first)
    assert equal(env.reset(), second)


def test_a_seed_of_none_is_random(toy: Toy) -> None:
    env = adapted(toy, 30)
    state = np.random.get_state()
    try:
        np.random.seed(1)
        first = env.seed()
        obs = env.reset()
        env.seed()
        other = env.reset()
        assert first == list(range(first[0], first[0] + 30))  # type: ignore[operator,arg-type]
        assert not equal(obs, other)
    finally:
        np.random.set_state(state)


def test_options_are_used_once(toy: Toy) -> None:
    env = adapted(toy)
    env.set_options({"index": 7})
    env.reset()
    assert [info["sketch_index"] for info in env.reset_infos] == [7] * N
    env.reset()
    assert [info["sketch_index"] for info in env.reset_infos] != [7] * N
    env.set_options([{"index": i} for i in range(N)])
    with pytest.raises(ValueError, match="one set of options for all"):
        env.reset()


# ---------------------------------------------------------------- attributes and methods


def test_attributes_are_those_of_the_vector_environment(toy: Toy) -> None:
    env = adapted(toy)
    assert env.get_attr("canvases") == [(16, 32, 64, 128)] * N
    assert env.get_attr("canvases", indices=2) == [(16, 32, 64, 128)]
    assert env.get_attr("canvases", indices=[0, 3]) == [(16, 32, 64, 128)] * 2
    assert env.has_attr("flops")
    assert not env.has_attr("colour")
    with pytest.raises(AttributeError, match="colour"):
        env.get_attr("colour")
    env.set_attr("note", "for all")
    assert env.get_attr("note") == ["for all"] * N
    env.set_attr("note", "named one by one", indices=range(N))
    assert env.get_attr("note", 0) == ["named one by one"]
    with pytest.raises(ValueError, match="only be set for all"):
        env.set_attr("note", "for one", indices=1)


def test_methods_are_called_once(toy: Toy) -> None:
    env = adapted(toy, render_mode="ansi")
    env.set_options({"index": 3})
    env.reset()
    lines = env.env.render()
    assert lines is not None
    assert env.env_method("render") == list(lines)
    assert env.env_method("render", indices=[4, 1]) == [lines[4], lines[1]]
    # What is no tuple of N results is handed to everyone.
    assert env.env_method("__repr__", indices=0) == [repr(env.env)]
    with pytest.raises(AttributeError):
        env.env_method("dance")


def test_monitor_is_the_only_wrapper(toy: Toy) -> None:
    env = adapted(toy)
    assert env.env_is_wrapped(Monitor) == [True] * N
    assert env.env_is_wrapped(Monitor, indices=[1, 2]) == [True] * 2
    assert env.env_is_wrapped(gym.wrappers.TimeLimit) == [False] * N


def test_pictures_are_tiled(toy: Toy) -> None:
    env = adapted(toy, 2, render_mode="rgb_array")
    env.reset()
    single = env.env.render()
    assert single is not None
    whole = env.render()
    assert whole is not None
    height, width, _ = single[0].shape
    assert whole.shape == (2 * height, width, 3)
    assert np.array_equal(whole[:height], single[0])
    assert np.array_equal(whole[height:], single[1])


def test_a_step_needs_actions(toy: Toy) -> None:
    env = adapted(toy)
    env.reset()
    with pytest.raises(RuntimeError, match="step_async"):
        env.step_wait()
    env.step(np.zeros(N, dtype=int))
    with pytest.raises(RuntimeError, match="step_async"):
        env.step_wait()


# ---------------------------------------------------------------- longer episodes


class Corridor(gym.Env[np.ndarray, int]):
    """Walk for ever, one point a step; action 1 ends it."""

    observation_space = gym.spaces.Box(0.0, 100.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.place = 0
        return self._see(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place += 1
        return self._see(), 1.5, bool(action), False, {}

    def _see(self) -> np.ndarray:
        return np.array([self.place], dtype=np.float32)


def test_truncated_episodes_bring_their_last_observation() -> None:
    def make() -> gym.Env[Any, Any]:
        return gym.wrappers.TimeLimit(Corridor(), 3)

    env = SketchCanvasVecEnv(SyncVectorEnv([make, make], autoreset_mode=AutoresetMode.SAME_STEP))
    theirs = DummyVecEnv([lambda: Monitor(make())] * 2)
    env.reset()
    theirs.reset()
    # The second walker ends its episode in the second step; the first runs out of time in the third.
    for actions in ([0, 0], [0, 1], [0, 0], [0, 0], [0, 0], [1, 0]):
        obs, rewards, dones, infos = env.step(np.array(actions))
        their_obs, their_rewards, their_dones, their_infos = theirs.step(np.array(actions))
        assert np.array_equal(obs, their_obs)
        assert np.array_equal(rewards, their_rewards)
        assert np.array_equal(dones, their_dones)
        for info, other in zip(infos, their_infos, strict=True):
            assert info.get("TimeLimit.truncated", False) == other["TimeLimit.truncated"]
            assert ("episode" in info) == ("episode" in other)
            if "episode" in info:
                assert info["episode"]["r"] == other["episode"]["r"]
                assert info["episode"]["l"] == other["episode"]["l"]
            if info.get("TimeLimit.truncated"):
                assert info["terminal_observation"].tolist() == other["terminal_observation"].tolist() == [3]


def test_a_truncated_episode_without_a_last_observation_is_an_error(toy: Toy) -> None:
    env = vector(toy)
    step = env.step

    def truncating(actions: Any) -> Any:
        obs, rewards, ended, cut, info = step(actions)
        return obs, rewards, cut, ended, info

    env.step = truncating  # type: ignore[method-assign]
    adapter = SketchCanvasVecEnv(env)
    adapter.reset()
    with pytest.raises(ValueError, match="last observation"):
        adapter.step(np.zeros(N, dtype=int))


# ---------------------------------------------------------------- SB3's algorithms


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (PPO, {"n_steps": 8, "batch_size": 40, "n_epochs": 2}),
        (A2C, {"n_steps": 4}),
        (DQN, {"learning_starts": 20, "train_freq": 2, "buffer_size": 200, "batch_size": 16}),
    ],
)
def test_sb3_trains_on_it(toy: Toy, algorithm: Any, settings: dict[str, Any]) -> None:
    env = adapted(toy)
    model = algorithm("MultiInputPolicy", env, seed=0, device="cpu", **settings)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    model.learn(80)
    assert model.num_timesteps == 80
    assert len(model.ep_info_buffer) == 80
    assert {episode["l"] for episode in model.ep_info_buffer} == {1}
    after = model.policy.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    # `evaluate_policy` warns of an environment without Monitor, and warnings are errors here.
    rewards, lengths = evaluate_policy(model, env, n_eval_episodes=20, return_episode_rewards=True)
    assert lengths == [1] * 20
    low, high = env.get_attr("reward_range", 0)[0]
    assert all(low <= reward <= high for reward in rewards)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (PPO, {"n_steps": 8, "batch_size": 20, "n_epochs": 2}),
        (A2C, {"n_steps": 4}),
        (DQN, {"learning_starts": 20, "train_freq": 2, "buffer_size": 200, "batch_size": 16}),
    ],
)
def test_training_gives_the_weights_of_sb3s_own_road(toy: Toy, algorithm: Any, settings: dict[str, Any]) -> None:
    def trained(env: Any) -> dict[str, torch.Tensor]:
        model = algorithm("MultiInputPolicy", env, seed=0, device="cpu", **settings)
        model.learn(160)
        found: dict[str, torch.Tensor] = model.policy.state_dict()
        return found

    ours = trained(adapted(toy))
    theirs = trained(DummyVecEnv([lambda: Monitor(SketchCanvasEnv(**toy.kwargs))] * N))  # type: ignore[arg-type]
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_sb3s_wrappers_wrap_it(toy: Toy) -> None:
    with pytest.warns(UserWarning, match="already wrapped with a `Monitor`"):
        monitored = VecMonitor(adapted(toy))
    env = VecNormalize(monitored, norm_obs=False, gamma=0.5)
    model = A2C("MultiInputPolicy", env, seed=0, device="cpu", n_steps=2)
    model.learn(20)
    assert env.ret_rms.count == pytest.approx(20, abs=0.1)


ROLLOUTS: dict[str, Any] = {"n_steps": 8}
REPLAY: dict[str, Any] = {"learning_starts": 5, "train_freq": 1, "buffer_size": 200}


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (PPO, {**ROLLOUTS, "batch_size": 40}),
        (A2C, ROLLOUTS),
        (TRPO, {**ROLLOUTS, "batch_size": 40}),
        (DQN, REPLAY),
        (QRDQN, REPLAY),
    ],
)
@pytest.mark.parametrize("name", ["gru", "stats"])
def test_the_network_that_acted_is_the_one_that_is_kept(
    toy: Toy, toy_env: EnvConfig, algorithm: Any, settings: dict[str, Any], name: str
) -> None:
    given = create(name, 4, n_stats=16, hidden=8)
    env = SketchCanvasVecEnv(vector(toy), given.reads)
    model = algorithm(
        "MultiInputPolicy",
        env,
        seed=0,
        device="cpu",
        learning_rate=0.01,
        policy_kwargs=policy_settings(given),
        **settings,
    )
    start = {key: tensor.clone() for key, tensor in given.state_dict().items()}
    start_from(model, given)
    begun = selector_of(model).state_dict()
    assert all(torch.equal(begun["head" + end], start["head" + end]) for end in (".weight", ".bias"))
    model.learn(120)
    kept = selector_of(model)
    task = toy_env.task("val")
    obs = {"points": torch.tensor(task.points), "stats": torch.tensor(task.stats)}
    read = {part: obs[part] for part in given.reads}
    with torch.no_grad():
        if algorithm is DQN:
            torch.testing.assert_close(kept(obs), model.q_net(read))
        elif algorithm is QRDQN:
            assert model.quantile_net(read).std(dim=1).min() > 0.0
            torch.testing.assert_close(kept(obs), model.quantile_net(read).mean(dim=1))
        else:
            acted = model.policy.get_distribution(read).distribution.probs
            torch.testing.assert_close(torch.softmax(kept(obs), dim=1), acted)
    greedy, _ = model.predict({part: tensor.numpy() for part, tensor in read.items()}, deterministic=True)
    assert np.array_equal(kept(obs).argmax(dim=1).numpy(), greedy)
    assert kept.settings() == given.settings()
    assert not kept.training
    assert all(parameter.requires_grad for parameter in kept.parameters())
    # What was given is a start, and stays one.
    assert all(torch.equal(start[key], tensor) for key, tensor in given.state_dict().items())
    assert all(not torch.equal(start[key], tensor) for key, tensor in kept.state_dict().items())


def test_only_what_is_read_is_handed_over(toy: Toy) -> None:
    whole, part = adapted(toy), SketchCanvasVecEnv(vector(toy), ("stats",))
    assert set(part.observation_space) == {"stats"}  # type: ignore[call-overload]
    for env in (whole, part):
        env.seed(3)
    one, other = whole.reset(), part.reset()
    assert set(other) == {"stats"}
    for actions in actions_for(3):
        assert np.array_equal(one["stats"], other["stats"])  # type: ignore[call-overload,index]
        one, other = whole.step(actions)[0], part.step(actions)[0]
        assert set(other) == {"stats"}
    with pytest.raises(ValueError, match="has no colour"):
        SketchCanvasVecEnv(vector(toy), ("colour",))


def test_a_network_of_another_make_is_not_taken_for_ours(toy: Toy) -> None:
    with pytest.raises(ValueError, match="SelectorFeatures"):
        selector_of(PPO("MultiInputPolicy", adapted(toy), device="cpu", n_steps=8, batch_size=40))
    with pytest.raises(ValueError, match="SelectorFeatures"):
        selector_of(DQN("MultiInputPolicy", adapted(toy), device="cpu", buffer_size=200))
