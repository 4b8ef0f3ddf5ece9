"""An own environment made of a task and a registration."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import warnings
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from tests.helpers import Toy
from tests.sketchcanvas_env.envs import guess

ENV_ID = "Guess-v0"


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    gym.register(ENV_ID, "tests.sketchcanvas_env.envs.guess:GuessEnv",
                 vector_entry_point="tests.sketchcanvas_env.envs.guess:GuessVectorEnv")  # fmt: skip
    yield
    del gym.registry[ENV_ID]


def test_it_is_written_in_under_60_lines() -> None:
    source = inspect.getsource(guess)
    first = next(node.lineno for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    assert sum(bool(line.strip()) for line in source.splitlines()[first - 1 :]) < 60


@pytest.mark.parametrize("render_mode", [None, "rgb_array", "ansi"])
def test_both_checkers_pass_without_a_warning(toy: Toy, render_mode: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(ENV_ID, render_mode=render_mode, **toy.kwargs).unwrapped
        check_env(env)
        sb3_check_env(env, skip_render_check=False)


def test_rewards_follow_the_rules_of_the_task(toy: Toy) -> None:
    env = gym.make(ENV_ID, **toy.kwargs)
    found = toy.table.select("train").ranks[:, 0] == 1
    for index in range(len(found)):
        for action in (0, 1):
            env.reset(options={"index": index})
            _, reward, terminated, _, info = env.step(np.int64(action))
            assert reward == float(found[index] == action) == float(info["right"])
            assert terminated
    with pytest.raises(ResetNeeded):
        env.step(np.int64(0))
    env.reset()
    with pytest.raises(ValueError, match="0 says no, 1 says yes"):
        env.step(np.int64(2))


def test_the_vector_environment_equals_single_ones(toy: Toy) -> None:
    ours = gym.make_vec(ENV_ID, 5, **toy.kwargs)
    theirs = gym.make_vec(ENV_ID, 5, "sync", {"autoreset_mode": "SameStep"}, **toy.kwargs)
    assert data_equivalence(list(ours.reset(seed=3)), list(theirs.reset(seed=3)), exact=True)
    for actions in np.random.default_rng(0).integers(0, 2, (50, 5)):
        (*mine, told), (*other, their_told) = ours.step(actions), theirs.step(actions)
        for name in ("final_obs", "_final_obs"):
            their_told.pop(name)
        assert data_equivalence([*mine, told], [*other, their_told], exact=True)


def test_it_can_be_copied_and_pickled_and_has_a_signature(toy: Toy) -> None:
    env = gym.make(ENV_ID, **toy.kwargs)
    env.reset(seed=0)
    for other in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        assert data_equivalence(other.step(np.int64(1)), copy.deepcopy(env).step(np.int64(1)), exact=True)
    assert {"dataset", "tradeoff", "render_mode"} <= set(inspect.signature(guess.GuessEnv).parameters)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'tradeof'; there are .*tradeoff"):
        guess.GuessEnv(tradeof=0.1)
    with pytest.raises(ValueError, match="tradeoff must be"):
        guess.GuessVectorEnv(3, tradeoff=2.0)
