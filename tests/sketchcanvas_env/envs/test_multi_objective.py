"""The environment with a vector reward: rewards, the exact front, and MO-Gymnasium's interface."""

from __future__ import annotations

import copy
import doctest
import pickle
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import given, settings
from hypothesis import strategies as st

import sketchcanvas_env
from sketchcanvas_env.envs import multi_objective as module
from sketchcanvas_env.envs.multi_objective import REFERENCE_POINT, MOSketchCanvasEnv, mean_front
from tests.helpers import TOY_CANVASES, Toy, toy_table

MO_ID = "mo-SketchCanvas-v0"


def make(toy: Toy, **changes: Any) -> MOSketchCanvasEnv:
    return MOSketchCanvasEnv(**{**toy.kwargs, **changes})  # type: ignore[arg-type]


def every_mean(acc: np.ndarray, comp: np.ndarray) -> np.ndarray:
    """Mean (R_acc, R_comp) of each of the K^n ways to pick a canvas for every sketch."""
    n, k = acc.shape
    ways = np.array(list(product(range(k), repeat=n)))
    return np.column_stack([acc[np.arange(n), ways].mean(axis=1), comp[ways].mean(axis=1)])


# ---------------------------------------------------------------- the same task


@pytest.mark.parametrize("changes", [{}, {"preferences": (0.1, 0.7)}, {"cost": "latency"}])
def test_only_the_reward_differs_from_the_scalar_environment(toy: Toy, changes: dict[str, Any]) -> None:
    scalar = gym.make("SketchCanvas-v0", tradeoff=0.3, **toy.kwargs, **changes)
    vector = gym.make(MO_ID, tradeoff=0.3, **toy.kwargs, **changes)
    assert vector.observation_space == scalar.observation_space
    assert vector.action_space == scalar.action_space
    assert data_equivalence(vector.reset(seed=5), scalar.reset(seed=5), exact=True)
    for action in np.random.default_rng(1).integers(0, 4, 50):
        observation, reward, *ended, info = vector.step(action)
        their_observation, their_reward, *their_ended, their_info = scalar.step(action)
        assert data_equivalence(observation, their_observation, exact=True)
        assert ended == their_ended == [True, False]
        assert data_equivalence(info, their_info, exact=True)
        assert isinstance(reward, np.ndarray)
        assert (reward.shape, reward.dtype) == ((2,), np.float64)
        weight = info.get("tradeoff", 0.3)
        assert np.dot(reward, [1 - weight, weight]) == pytest.approx(their_reward, abs=1e-12)
        assert reward in vector.unwrapped.reward_space  # type: ignore[attr-defined]
        assert data_equivalence(vector.reset(), scalar.reset(), exact=True)


def test_a_reward_is_a_copy(toy: Toy) -> None:
    env = make(toy)
    env.reset(options={"index": 3})
    _, reward, _, _, info = env.step(np.int64(2))
    kept = reward.copy()
    reward[:] = 7.0
    assert (info["reward_vector"] == kept).all()
    info["reward_vector"][:] = 8.0
    env.reset(options={"index": 3})
    assert (env.step(np.int64(2))[1] == kept).all()


def test_it_survives_pickling_and_copying(toy: Toy) -> None:
    env = make(toy)
    env.reset(seed=2)
    for twin in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        assert isinstance(twin, MOSketchCanvasEnv)
        mine = copy.deepcopy(env)
        for action in (0, 3, 1):
            assert data_equivalence(twin.step(action), mine.step(np.int64(action)), exact=True)
            assert data_equivalence(twin.reset(), mine.reset(), exact=True)


def test_the_spec_says_how_it_is_made(toy: Toy) -> None:
    spec = gym.spec(MO_ID)
    assert spec.max_episode_steps is None
    assert not spec.nondeterministic
    again = gym.make(type(spec).from_json(gym.make(MO_ID, split="val", **toy.kwargs).spec.to_json()))  # type: ignore[union-attr]
    assert again.unwrapped.task.split == "val"  # type: ignore[attr-defined]
    assert again.unwrapped.reward_dim == 2  # type: ignore[attr-defined]


def test_it_needs_no_mo_gymnasium() -> None:
    code = f"""
import sys, gymnasium
sys.modules["mo_gymnasium"] = None
import sketchcanvas_env
env = gymnasium.make("{MO_ID}")
env.reset(seed=0)
print(env.step(0)[1].shape, len(env.unwrapped.pareto_front()) > 100)
"""
    root = Path(sketchcanvas_env.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "(2,) True"


def test_examples_in_the_docstrings() -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0


# ---------------------------------------------------------------- the front


@settings(deadline=None, max_examples=60)
@given(
    acc=st.integers(1, 4).flatmap(
        lambda k: st.lists(st.lists(st.integers(-3, 3), min_size=k, max_size=k), min_size=1, max_size=4)
    ),
    data=st.data(),
)
def test_the_front_is_that_of_all_policies(acc: list[list[int]], data: st.DataObject) -> None:
    table = np.array(acc, dtype=np.float64)
    costs = data.draw(st.lists(st.integers(1, 6), min_size=table.shape[1], max_size=table.shape[1]))
    comp = -np.array(costs, dtype=np.float64)
    front, means = mean_front(table, comp), every_mean(table, comp)
    # It starts at the best of the cheapest and ends at the cheapest of the best ...
    cheap, good = means[means[:, 1] == means[:, 1].max()], means[means[:, 0] == means[:, 0].max()]
    assert front[0] == pytest.approx([cheap[:, 0].max(), means[:, 1].max()])
    assert front[-1] == pytest.approx([means[:, 0].max(), good[:, 1].max()])
    # ... each vertex is a policy's mean, none is above the lines between them, and none could be left out.
    for vertex in front:
        assert np.abs(means - vertex).sum(axis=1).min() < 1e-9
    assert (means[:, 1] <= np.interp(means[:, 0], front[:, 0], front[:, 1]) + 1e-9).all()
    slopes = np.diff(front[:, 1]) / np.diff(front[:, 0])
    assert (np.diff(front[:, 0]) > 0).all()
    assert (slopes < 0).all()
    assert (np.diff(slopes) < -1e-9).all()


@pytest.mark.parametrize("cost", ["flops", "latency"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_oracle_of_every_tradeoff_lies_on_the_front(toy: Toy, split: str, cost: str) -> None:
    env = make(toy, split=split, cost=cost)
    front = np.array(env.pareto_front())
    assert len(front) > 10
    assert env.task.table is not None
    for tradeoff in np.linspace(0, 1, 41):
        best = env.task.table.rewards(tradeoff, cost=cost).max(axis=1).mean()
        assert (front @ [1 - tradeoff, tradeoff]).max() == pytest.approx(best, abs=1e-12)


def test_the_front_of_the_shipped_table() -> None:
    env = MOSketchCanvasEnv(split="val")
    front = np.array(env.pareto_front())
    assert env.task.table is not None
    for tradeoff in (0.0, 0.2, 0.5, 0.8, 1.0):
        best = env.task.table.rewards(tradeoff).max(axis=1).mean()
        assert (front @ [1 - tradeoff, tradeoff]).max() == pytest.approx(best, abs=1e-12)
    assert env.reference_point.tolist() == list(REFERENCE_POINT)


def test_the_front_of_one_canvas_is_one_point(toy: Toy) -> None:
    env = make(toy, canvases=(32,))
    (only,) = env.pareto_front(gamma=0.9)
    assert env.task.lookup is not None
    assert only == pytest.approx([env.task.lookup.acc.mean(), -1.0])


def test_there_is_no_front_in_live_mode(toy: Toy) -> None:
    class Retriever:
        canvases = TOY_CANVASES
        flops = (1.0, 2.0, 3.0, 4.0)

        def retrieve(self, sketch: Any, canvas: int, photo_id: str) -> Any:
            return sketchcanvas_env.Outcome(rank=2, distance=1.0, triplet=0.5)

    env = MOSketchCanvasEnv(dataset="toy", canvases=TOY_CANVASES, retriever=Retriever())
    env.reset(seed=0)
    assert env.step(np.int64(0))[1].tolist() == pytest.approx([0.5 - 0.05, -1 / 3])
    with pytest.raises(ValueError, match="live mode"):
        env.pareto_front()


# ---------------------------------------------------------------- the reference point


def test_no_policy_falls_below_the_reference_point(toy: Toy) -> None:
    worst = toy_table(toy.dataset, ranks=np.full(toy.table.ranks.shape, 7), triplet=np.full(toy.table.ranks.shape, 2.3))
    env = make(toy, table=worst)
    assert env.reference_point.tolist() == list(REFERENCE_POINT)
    assert env.task.lookup is not None
    assert (env.task.lookup.acc >= REFERENCE_POINT[0]).all()
    assert (env.task.comp >= REFERENCE_POINT[1]).all()


@pytest.mark.parametrize("changes", [{"canvases": (64, 128)}, {"triplet_weight": 0.5}])
def test_the_reference_point_is_lower_where_rewards_may_be_lower(toy: Toy, changes: dict[str, Any]) -> None:
    env = make(toy, triplet_weight=changes.get("triplet_weight", 0.1), canvases=changes.get("canvases", TOY_CANVASES))
    point = env.reference_point
    assert (point != REFERENCE_POINT).any()
    assert (point <= REFERENCE_POINT).all()
    assert (point <= env.reward_space.low).all()


# ---------------------------------------------------------------- with MO-Gymnasium


def test_mo_gymnasium_makes_it(toy: Toy) -> None:
    mo = pytest.importorskip("mo_gymnasium")
    env = mo.make(MO_ID, **toy.kwargs)
    assert isinstance(env.unwrapped, MOSketchCanvasEnv)
    # What MO-Gymnasium's own tests ask of an environment.
    assert env.unwrapped.reward_space.shape == (env.unwrapped.reward_dim,) == (2,)
    env.reset(seed=0)
    _, reward, *_ = env.step(1)
    assert reward in env.unwrapped.reward_space
    assert all(vertex in env.unwrapped.reward_space for vertex in env.unwrapped.pareto_front(gamma=0.99))


@pytest.mark.parametrize("tradeoff", [0.0, 0.2, 1.0])
def test_a_linear_reward_equals_the_scalar_environment(toy: Toy, tradeoff: float) -> None:
    mo = pytest.importorskip("mo_gymnasium")
    ours = mo.wrappers.LinearReward(mo.make(MO_ID, **toy.kwargs), weight=np.array([1 - tradeoff, tradeoff]))
    plain = gym.make("SketchCanvas-v0", tradeoff=tradeoff, **toy.kwargs)
    assert data_equivalence(ours.reset(seed=8), plain.reset(seed=8), exact=True)
    for action in np.random.default_rng(2).integers(0, 4, 60):
        assert ours.step(action)[1] == pytest.approx(plain.step(action)[1], abs=1e-12)
        assert data_equivalence(ours.reset(), plain.reset(), exact=True)


def test_mo_gymnasiums_vector_environment_steps_it(toy: Toy) -> None:
    mo = pytest.importorskip("mo_gymnasium")
    envs = mo.wrappers.vector.MOSyncVectorEnv([lambda: mo.make(MO_ID, **toy.kwargs) for _ in range(3)])
    plain = gym.make_vec("SketchCanvas-v0", num_envs=3, **toy.kwargs)
    (ours, _), (theirs, _) = envs.reset(seed=4), plain.reset(seed=4)
    assert (ours["points"] == theirs["points"]).all()
    _, rewards, ended, _, _ = envs.step(np.array([0, 1, 2]))
    infos = plain.step(np.array([0, 1, 2]))[-1]
    np.testing.assert_allclose(rewards, infos["final_info"]["reward_vector"], rtol=1e-6)
    assert ended.all()
