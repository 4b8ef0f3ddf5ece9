"""The vector environment of several looks: equal to single ones, and safe with its buffers.

Equality with SyncVectorEnv step by step is tested in test_vector.py over every environment; here are its episodes of
different lengths, and what an episode's state adds.
"""

from __future__ import annotations

import doctest
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from sketchcanvas_env.envs import cascade as vector_module
from sketchcanvas_env.envs.cascade import SketchCanvasCascadeEnv, SketchCanvasCascadeVectorEnv
from tests.helpers import Toy

ENV_ID = "SketchCanvasCascade-v0"
N, K = 5, 4
RANKINGS = ("last", "fused")


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def make(toy: Toy, num_envs: int = N, **changes: Any) -> SketchCanvasCascadeVectorEnv:
    return SketchCanvasCascadeVectorEnv(num_envs, **{**toy.kwargs, **changes})  # type: ignore[arg-type]


def make_sync(toy: Toy, num_envs: int = N, **changes: Any) -> VectorEnv:
    return gym.make_vec(
        ENV_ID, num_envs, "sync", {"autoreset_mode": AutoresetMode.SAME_STEP}, **{**toy.kwargs, **changes}
    )


def actions_for(n: int, num_envs: int = N) -> np.ndarray:
    return np.random.default_rng(3).integers(0, K + 1, (n, num_envs))


def equal(ours: Any, theirs: Any) -> bool:
    """Whether two results of `reset` or `step` are equal except for `final_obs`."""
    *_, infos = theirs
    for name in ("final_obs", "_final_obs"):
        infos.pop(name, None)
    return data_equivalence([dict(ours[0]), *ours[1:]], [dict(theirs[0]), *theirs[1:]], exact=True)


# ---------------------------------------------------------------- equality


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_sub_environments_equal_single_ones(toy: Toy, ranking: str, cost: str) -> None:
    ours = make(toy, ranking=ranking, cost=cost)
    singles = [SketchCanvasCascadeEnv(ranking=ranking, cost=cost, **toy.kwargs) for _ in range(N)]  # type: ignore[arg-type]
    obs, told = ours.reset(seed=40)
    starts = [env.reset(seed=40 + i) for i, env in enumerate(singles)]
    lengths: set[int] = set()
    length = np.zeros(N, dtype=int)
    for actions in actions_for(300):
        for i, (single, info) in enumerate(starts):
            assert data_equivalence({name: array[i] for name, array in obs.items()}, single, exact=True)
            for name, value in info.items():
                assert np.array_equal(told[name][i], value), name
            assert ours.action_masks()[i].tolist() == singles[i].action_masks().tolist()
        obs, rewards, terminated, truncated, told = ours.step(actions)
        assert not truncated.any()
        length += 1
        for i, env in enumerate(singles):
            single, reward, ended, _, info = env.step(actions[i])
            assert rewards[i] == reward
            assert terminated[i] == ended
            assert ("final_info" in told and told["_final_info"][i]) == ended
            if ended:
                for name, value in info.items():
                    assert np.array_equal(told["final_info"][name][i], value), name
                lengths.add(int(length[i]))
                length[i] = 0
            starts[i] = env.reset() if ended else (single, info)
        if not terminated.any():
            assert "final_info" not in told
    assert lengths == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize(
    "options",
    [
        None,
        {"index": 7},
        {"reset_mask": np.array([True, False, True, False, False])},
        {"index": 2, "reset_mask": np.array([False, False, True, True, False])},
    ],
)
@pytest.mark.parametrize("seed", [None, 5, [None, 4, None, 3, None]])
def test_resets_in_the_middle_of_episodes_are_those_of_sync_vector_env(
    toy: Toy, ranking: str, options: dict[str, Any] | None, seed: Any
) -> None:
    ours, theirs = make(toy, ranking=ranking), make_sync(toy, ranking=ranking)
    for envs in (ours, theirs):
        envs.reset(seed=11)
        envs.step(np.array([0, 1, 2, 3, 4]))
        envs.step(np.array([1, 4, 2, 0, 0]))
    theirs_options = None if options is None else dict(options)
    assert equal(ours.reset(seed=seed, options=options), theirs.reset(seed=seed, options=theirs_options))
    for actions in actions_for(20):
        assert equal(ours.step(actions), theirs.step(actions))


def test_each_sub_environment_can_have_its_own_index(toy: Toy) -> None:
    envs = make(toy)
    assert envs.reset(options={"index": np.array([4, 0, 35, 4, 1])})[1]["sketch_index"].tolist() == [4, 0, 35, 4, 1]
    envs.step(np.array([0, 1, 2, 3, 0]))
    final = envs.step(np.full(N, K))[4]["final_info"]
    assert final["sketch_index"].tolist() == [4, 0, 35, 4, 1]
    assert final["canvas"].tolist() == [16, 32, 64, 128, 16]


def test_final_info_is_about_ended_episodes_only(toy: Toy) -> None:
    envs = make(toy)
    envs.reset(seed=0)
    envs.step(np.array([0, 1, 2, 3, 0]))
    *_, ended, _, infos = envs.step(np.array([K, 2, K, 1, 0]))
    assert ended.tolist() == [True, False, True, False, True]
    assert infos["_final_info"].tolist() == ended.tolist()
    final = infos["final_info"]
    for name, array in final.items():
        if name.startswith("_"):
            assert array.tolist() == ended.tolist()
        else:
            assert not array[~ended].any()
    assert (final["rank"][ended] >= 1).all()
    assert infos["seen"].tolist() == [0, 0b110, 0, 0b1010, 0]
    assert infos["_seen"].all()
    assert envs.action_masks().tolist() == infos["action_mask"].astype(bool).tolist()


def test_episodes_of_masked_actions_have_a_look_and_no_negative_regret(toy: Toy) -> None:
    envs, rng = make(toy, 64, tradeoff=1.0), np.random.default_rng(0)
    envs.reset(seed=0)
    for _ in range(50):
        masks = envs.action_masks()
        actions = np.where(masks, rng.random(masks.shape), -1).argmax(axis=1)
        *_, ended, _, infos = envs.step(actions)
        assert ((actions == K) == ended).all()
        if ended.any():
            assert (infos["final_info"]["canvas"][ended] > 0).all()
            assert (infos["final_info"]["regret"] >= 0).all()


def test_it_survives_pickling(toy: Toy) -> None:
    envs = make(toy)
    envs.reset(seed=0)
    envs.step(np.arange(N))
    again = pickle.loads(pickle.dumps(envs))
    for actions in actions_for(20):
        assert data_equivalence(list(again.step(actions)), list(envs.step(actions)), exact=True)


# ---------------------------------------------------------------- buffers


def test_returned_arrays_are_copies(toy: Toy) -> None:
    envs, untouched = make(toy), make(toy)
    (obs, _), _ = envs.reset(seed=0), untouched.reset(seed=0)
    kept = []
    for actions in actions_for(40):
        kept.append((obs, {name: array.copy() for name, array in obs.items()}))
        result, expected = envs.step(actions), untouched.step(actions)
        assert data_equivalence(list(result), list(expected), exact=True)
        obs, rewards, terminated, truncated, infos = result
        final = infos.get("final_info", {})
        # What a caller does to what it was given must not come back.
        for array in (rewards, terminated, truncated, *infos.values(), *final.values()):
            if isinstance(array, np.ndarray) and array.flags.writeable:
                array[:] = 1
        envs.action_masks()[:] = False
    for given, then in kept:
        assert data_equivalence(given, then, exact=True)


def test_without_copies_an_observation_stays_valid_for_one_step(toy: Toy) -> None:
    envs, copies = make(toy, copy=False), make(toy)
    (first, _), (kept, _) = envs.reset(seed=0), copies.reset(seed=0)
    second, second_kept = (each.step(np.arange(N))[0] for each in (envs, copies))
    assert data_equivalence(dict(first), dict(kept), exact=True)
    assert data_equivalence(dict(second), dict(second_kept), exact=True)
    third = envs.step(np.full(N, 1))[0]
    for name in first:
        assert not np.shares_memory(first[name], second[name])
        assert np.shares_memory(first[name], third[name])


# ---------------------------------------------------------------- misuse


def test_step_needs_a_reset(toy: Toy) -> None:
    with pytest.raises(ResetNeeded):
        make(toy).step(np.zeros(N, dtype=int))
    with pytest.raises(ResetNeeded, match="without reset_mask"):
        make(toy).reset(options={"reset_mask": np.array([True, False, False, False, False])})


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros(N + 1, dtype=int), "shape"),
        (np.zeros(N), "float64"),
        (np.array([0, 1, 2, 3, 5]), "action 5 is out of range: 0 to 3 look at canvases 16, 32, 64, 128, 4 stops"),
        (np.array([0, -1, 2, 3, 0]), "action -1 is out of range"),
    ],
)
def test_invalid_actions_change_nothing(toy: Toy, actions: Any, message: str) -> None:
    envs, untouched = make(toy), make(toy)
    for each in (envs, untouched):
        each.reset(seed=0)
        each.step(np.ones(N, dtype=int))
    with pytest.raises(ValueError, match=message):
        envs.step(actions)
    for good in actions_for(5):
        assert data_equivalence(list(envs.step(good)), list(untouched.step(good)), exact=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranking": "first"}, "last, fused"),
        ({"split": "dev"}, "train, val, test"),
        ({"render_mode": "human"}, "ansi"),
    ],
)
def test_arguments_are_checked_as_in_the_single_environment(toy: Toy, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(toy, **changes)
    with pytest.raises(ValueError, match="num_envs"):
        make(toy, 0)


# ---------------------------------------------------------------- with Gymnasium's wrappers


def test_episode_statistics(toy: Toy) -> None:
    envs = RecordEpisodeStatistics(make(toy))
    envs.reset(seed=0)
    lengths, episodes = set(), 0
    for actions in actions_for(200):
        *_, ended, _, infos = envs.step(actions)
        if ended.any():
            episodes += int(ended.sum())
            lengths |= set(infos["episode"]["l"][ended].tolist())
            returns = infos["final_info"]["return"]
            assert np.allclose(infos["episode"]["r"][ended], returns[ended], rtol=0, atol=1e-6)
    assert lengths == {1, 2, 3, 4, 5}
    assert envs.episode_count == episodes


def test_infos_as_a_list(toy: Toy) -> None:
    lists, arrays = DictInfoToList(make(toy)), make(toy)
    for each in (lists, arrays):
        each.reset(seed=0)
        each.step(np.zeros(N, dtype=int))
    infos, expected = (envs.step(np.array([K, 1, K, 2, 0]))[4] for envs in (lists, arrays))
    assert infos[0]["final_info"]["rank"] == expected["final_info"]["rank"][0]
    assert "final_info" not in infos[1]
    assert infos[1]["seen"] == 3


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
def test_it_renders_what_sync_vector_env_renders(toy: Toy, render_mode: str) -> None:
    ours, theirs = make(toy, 3, render_mode=render_mode), make_sync(toy, 3, render_mode=render_mode)
    with pytest.raises(ResetNeeded):
        ours.render()
    for envs in (ours, theirs):
        envs.reset(seed=0)
        envs.step(np.array([0, 3, K]))
    for one, other in zip(ours.render() or (), theirs.render() or (), strict=True):
        assert np.array_equal(one, other)


def test_without_a_render_mode_there_is_a_warning(toy: Toy) -> None:
    envs = make(toy)
    envs.reset()
    with pytest.warns(UserWarning, match="render_mode"):
        assert envs.render() is None


def test_examples_in_the_docstrings() -> None:
    result = doctest.testmod(vector_module)
    assert result.failed == 0
    assert result.attempted > 0
