"""The vector environment: equal to Gymnasium's SyncVectorEnv over single ones; its buffers."""

from __future__ import annotations

import doctest
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import ClipReward, DictInfoToList, FlattenObservation, RecordEpisodeStatistics

from sketchcanvas_env.envs import canvas as vector_module
from sketchcanvas_env.envs.canvas import SketchCanvasEnv, SketchCanvasVectorEnv
from tests.helpers import TOY_FLOPS, TOY_MILLISECONDS, Toy

ENV_ID = "SketchCanvas-v0"
# mo-SketchCanvas-v0 pays vectors, which these checkers and vector environments refuse: test_multi_objective.py has it.
OURS = [
    spec.id
    for spec in gym.registry.values()
    if str(spec.entry_point).startswith("sketchcanvas_env") and not spec.id.startswith("mo-")
]
RANGE: dict[str, Any] = {"preferences": (0.1, 0.7)}
"""Arguments of an environment with preferences."""
N = 5


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def make(toy: Toy, num_envs: int = N, **changes: Any) -> SketchCanvasVectorEnv:
    return SketchCanvasVectorEnv(num_envs, **{**toy.kwargs, **changes})  # type: ignore[arg-type]


def make_sync(toy: Toy, num_envs: int = N, **changes: Any) -> VectorEnv:
    return gym.make_vec(
        ENV_ID, num_envs, "sync", {"autoreset_mode": AutoresetMode.SAME_STEP}, **{**toy.kwargs, **changes}
    )


def without_final_obs(infos: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in infos.items() if name not in ("final_obs", "_final_obs")}


def actions_for(n: int, num_envs: int = N, choices: int = 4) -> np.ndarray:
    return np.random.default_rng(3).integers(0, choices, (n, num_envs))


# ---------------------------------------------------------------- equality


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("seed", [0, 123])
@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_it_equals_sync_vector_env_exactly(toy: Toy, copy: bool, seed: int, cost: str, name: str) -> None:
    kwargs = {"tradeoff": 0.3, "cost": cost, **toy.kwargs}
    ours = gym.make_vec(name, N, copy=copy, **kwargs)
    theirs = gym.make_vec(name, N, "sync", {"autoreset_mode": AutoresetMode.SAME_STEP}, **kwargs)
    assert not isinstance(ours, SyncVectorEnv)
    (obs, infos), (their_obs, their_infos) = ours.reset(seed=seed), theirs.reset(seed=seed)
    assert data_equivalence(dict(obs), dict(their_obs), exact=True)
    assert data_equivalence(infos, their_infos, exact=True)
    for step, actions in enumerate(actions_for(300, choices=ours.single_action_space.n)):  # type: ignore[attr-defined]
        before = {name: array.copy() for name, array in obs.items()}
        (obs, *rest, infos), (their_obs, *their_rest, their_infos) = ours.step(actions), theirs.step(actions)
        assert data_equivalence(dict(obs), dict(their_obs), exact=True), step
        assert data_equivalence(rest, their_rest, exact=True), step
        assert data_equivalence(infos, without_final_obs(their_infos), exact=True), step
        # Why final_obs is left out: it is the observation that was acted on.
        for i in np.flatnonzero(their_infos.get("_final_obs", [])):
            acted_on = {name: array[i] for name, array in before.items()}
            assert data_equivalence(their_infos["final_obs"][i], acted_on, exact=True)
        if step % 50 == 49:
            # Streams go on where they were without a seed.
            (obs, infos), (their_obs, their_infos) = ours.reset(), theirs.reset()
            assert data_equivalence(dict(obs), dict(their_obs), exact=True)
            assert data_equivalence(infos, their_infos, exact=True)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("thumbnail", [False, True])
def test_with_final_obs_it_equals_sync_vector_env_in_everything(toy: Toy, name: str, thumbnail: bool) -> None:
    kwargs = {"thumbnail": thumbnail, **toy.kwargs}
    ours = gym.make_vec(name, N, copy=False, final_obs=True, **kwargs)
    theirs = gym.make_vec(name, N, "sync", {"autoreset_mode": AutoresetMode.SAME_STEP}, **kwargs)
    obs, _ = ours.reset(seed=2)
    theirs.reset(seed=2)
    assert ("thumbnail" in obs) == thumbnail
    for actions in actions_for(60, choices=ours.single_action_space.n):  # type: ignore[attr-defined]
        (obs, *rest, infos), (their_obs, *their_rest, their_infos) = ours.step(actions), theirs.step(actions)
        assert data_equivalence(dict(obs), dict(their_obs), exact=True)
        assert data_equivalence(rest, their_rest, exact=True)
        mine, other = infos.pop("final_obs", None), their_infos.pop("final_obs", None)
        assert (mine is None) == (other is None)
        for one, another in zip(mine if mine is not None else (), other if other is not None else (), strict=True):
            assert (one is None) == (another is None)
            assert one is None or data_equivalence(one, another, exact=True)
        assert data_equivalence(infos, their_infos, exact=True)


@pytest.mark.parametrize("changes", [{}, RANGE])
@pytest.mark.parametrize(("cost", "charged"), [("flops", TOY_FLOPS), ("latency", TOY_MILLISECONDS)])
def test_sub_environments_equal_single_ones(
    toy: Toy, cost: str, charged: tuple[float, ...], changes: dict[str, Any]
) -> None:
    ours = make(toy, cost=cost, **changes)
    singles = [SketchCanvasEnv(cost=cost, **changes, **toy.kwargs) for _ in range(N)]  # type: ignore[arg-type]
    obs, _ = ours.reset(seed=40)
    expected = [env.reset(seed=40 + i)[0] for i, env in enumerate(singles)]
    for actions in actions_for(200):
        for i, single in enumerate(expected):
            assert data_equivalence({name: array[i] for name, array in obs.items()}, single, exact=True)
        obs, rewards, terminated, truncated, infos = ours.step(actions)
        assert terminated.all()
        assert not truncated.any()
        assert infos["final_info"]["cost"].tolist() == [charged[action] for action in actions]
        assert infos["final_info"]["flops"].tolist() == [TOY_FLOPS[action] for action in actions]
        for i, env in enumerate(singles):
            _, reward, _, _, info = env.step(actions[i])
            assert rewards[i] == reward
            for name, value in info.items():
                assert np.array_equal(infos["final_info"][name][i], value), name
        expected = [env.reset()[0] for env in singles]


@pytest.mark.parametrize(
    "options",
    [
        {"index": 7},
        {"reset_mask": np.array([True, False, True, False, False])},
        {"index": 2, "reset_mask": np.array([False, False, True, True, False])},
    ],
)
@pytest.mark.parametrize("seed", [None, 5, [9, 8, 7, 6, 5], [None, 4, None, 3, None]])
@pytest.mark.parametrize("more", [None, {}, {"tradeoff": 0.3}])
def test_options_and_seeds_work_as_in_sync_vector_env(
    toy: Toy, options: dict[str, Any], seed: Any, more: dict[str, Any] | None
) -> None:
    changes = {} if more is None else RANGE
    options = {**options, **(more or {})}
    ours, theirs = make(toy, **changes), make_sync(toy, **changes)
    for envs in (ours, theirs):
        envs.reset(seed=11)
        envs.step(np.zeros(N, dtype=np.int64))
    given = dict(options)
    obs, infos = ours.reset(seed=seed, options=given)
    assert given.keys() == options.keys()
    their_obs, their_infos = theirs.reset(seed=seed, options=dict(options))
    assert data_equivalence(dict(obs), dict(their_obs), exact=True)
    assert data_equivalence(infos, their_infos, exact=True)
    for actions in actions_for(5):
        (obs, *rest, infos), (their_obs, *their_rest, their_infos) = ours.step(actions), theirs.step(actions)
        assert data_equivalence(dict(obs), dict(their_obs), exact=True)
        assert data_equivalence(rest, their_rest, exact=True)
        assert data_equivalence(infos, without_final_obs(their_infos), exact=True)


def test_generators_and_seeds_are_those_of_sync_vector_env(toy: Toy) -> None:
    ours, theirs = make(toy), make_sync(toy)
    for seed in (3, [5, 6, 7, 8, 9]):
        ours.reset(seed=seed)
        theirs.reset(seed=seed)
        assert ours.np_random_seed == theirs.np_random_seed
        states = [[g.bit_generator.state for g in envs.np_random] for envs in (ours, theirs)]
        assert states[0] == states[1]


def test_each_sub_environment_can_have_its_own_index(toy: Toy) -> None:
    envs = make(toy)
    infos = envs.reset(options={"index": np.array([4, 0, 35, 4, 1])})[1]
    assert infos["sketch_index"].tolist() == [4, 0, 35, 4, 1]
    final = envs.step(np.zeros(N, dtype=int))[4]["final_info"]
    assert final["sketch_index"].tolist() == [4, 0, 35, 4, 1]


def test_each_sub_environment_can_have_its_own_tradeoff(toy: Toy) -> None:
    envs, wanted = make(toy, **RANGE), np.array([0.1, 0.7, 0.3, 0.25, 0.5])
    obs, infos = envs.reset(options={"tradeoff": wanted})
    assert obs["tradeoff"][:, 0].tolist() == infos["tradeoff"].tolist() == wanted.astype(np.float32).tolist()
    final = envs.step(np.zeros(N, dtype=int))[4]["final_info"]
    assert final["tradeoff"].tolist() == infos["tradeoff"].tolist()


def test_sketches_are_the_same_with_preferences(toy: Toy) -> None:
    plain, ours = make(toy), make(toy, **RANGE)
    assert plain.reset(seed=3)[1]["sketch_index"].tolist() == ours.reset(seed=3)[1]["sketch_index"].tolist()
    for actions in actions_for(20):
        rows = [envs.step(actions)[4]["sketch_index"].tolist() for envs in (plain, ours)]
        assert rows[0] == rows[1]


def test_an_unseeded_environment_differs_from_run_to_run(toy: Toy) -> None:
    runs = [make(toy, 40).reset()[1]["sketch_index"].tolist() for _ in range(2)]
    assert runs[0] != runs[1]
    assert len(set(runs[0])) > 5


# ---------------------------------------------------------------- making


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_make_vec_uses_it_by_default(toy: Toy, cost: str, name: str) -> None:
    envs = gym.make_vec(name, num_envs=N, cost=cost, **toy.kwargs)
    assert f"{type(envs).__module__}:{type(envs).__name__}" == gym.spec(name).vector_entry_point
    assert envs.num_envs == N
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.autoreset_mode is AutoresetMode.SAME_STEP
    assert isinstance(make_sync(toy), SyncVectorEnv)
    assert envs.spec is not None
    again = gym.make_vec(EnvSpec.from_json(envs.spec.to_json()))
    assert type(again) is type(envs)
    assert data_equivalence(dict(again.reset(seed=0)[0]), dict(envs.reset(seed=0)[0]), exact=True)
    actions = np.arange(N) % 4
    assert np.array_equal(again.step(actions)[1], envs.step(actions)[1])


def test_sync_takes_the_mode_as_a_string(toy: Toy) -> None:
    envs = gym.make_vec(ENV_ID, 2, "sync", {"autoreset_mode": "SameStep"}, **toy.kwargs)
    envs.reset(seed=0)
    assert envs.step(np.array([0, 1]))[2].all()


@pytest.mark.parametrize("changes", [{}, RANGE])
def test_spaces(toy: Toy, changes: dict[str, Any]) -> None:
    envs, sync = make(toy, **changes), make_sync(toy, **changes)
    assert envs.observation_space == sync.observation_space
    assert envs.action_space == sync.action_space
    assert envs.single_observation_space == sync.single_observation_space
    obs, _ = envs.reset(seed=0)
    assert obs in envs.observation_space
    obs, rewards, *_ = envs.step(envs.action_space.sample())
    assert obs in envs.observation_space
    assert rewards.dtype == np.float64
    assert envs.reward_range == SketchCanvasEnv(**toy.kwargs, **changes).reward_range  # type: ignore[arg-type]


@pytest.mark.parametrize("num_envs", [0, -1, 1.0, True, None])
def test_an_invalid_num_envs_is_refused(toy: Toy, num_envs: Any) -> None:
    with pytest.raises(ValueError, match="num_envs"):
        make(toy, num_envs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "dev"}, "train, val, test"),
        ({"tradeoff": 2}, "tradeoff"),
        ({"preferences": (0.5, 0.1)}, "low <= high"),
        ({"cost": "joules"}, "flops, latency"),
        ({"render_mode": "human"}, "ansi"),
    ],
)
def test_arguments_are_checked_as_in_the_single_environment(toy: Toy, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(toy, **changes)


@pytest.mark.parametrize("changes", [{}, RANGE])
def test_it_survives_pickling(toy: Toy, changes: dict[str, Any]) -> None:
    envs = make(toy, **changes)
    envs.reset(seed=0)
    again = pickle.loads(pickle.dumps(envs))
    for actions in actions_for(5):
        assert data_equivalence(list(again.step(actions)), list(envs.step(actions)), exact=True)


# ---------------------------------------------------------------- buffers


@pytest.mark.parametrize("changes", [{}, RANGE])
def test_returned_arrays_are_copies(toy: Toy, changes: dict[str, Any]) -> None:
    envs, untouched = make(toy, **changes), make(toy, **changes)
    (obs, infos), _ = envs.reset(seed=0), untouched.reset(seed=0)
    kept = []
    for actions in actions_for(20):
        kept.append((obs, {name: array.copy() for name, array in obs.items()}))
        result, expected = envs.step(actions), untouched.step(actions)
        assert data_equivalence(list(result), list(expected), exact=True)
        obs, rewards, terminated, truncated, infos = result
        # What a caller does to what it was given must not come back.
        for array in (rewards, terminated, truncated, infos["sketch_index"], infos.get("tradeoff", rewards)):
            array[:] = 0
        for name, array in infos["final_info"].items():
            if not name.startswith("_"):
                array[:] = 0
    for given, then in kept:
        assert data_equivalence(given, then, exact=True)


@pytest.mark.parametrize("changes", [{}, RANGE])
def test_without_copies_an_observation_stays_valid_for_one_step(toy: Toy, changes: dict[str, Any]) -> None:
    envs = make(toy, copy=False, **changes)
    first, _ = envs.reset(seed=0)
    kept = {name: array.copy() for name, array in first.items()}
    second = envs.step(np.zeros(N, dtype=int))[0]
    assert data_equivalence(dict(first), kept, exact=True)
    for name in first:
        assert not np.shares_memory(first[name], second[name])
    third = envs.step(np.zeros(N, dtype=int))[0]
    for name in first:
        assert np.shares_memory(first[name], third[name])
    assert not data_equivalence(dict(first), kept, exact=True)


def test_the_mask_is_read_only(toy: Toy) -> None:
    envs = make(toy)
    envs.reset(seed=0)
    infos = envs.step(np.zeros(N, dtype=int))[4]
    with pytest.raises(ValueError, match="read-only"):
        infos["_final_info"][:] = False


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
        (np.zeros((N, 1), dtype=int), "shape"),
        (0, "shape"),
        (np.zeros(N), "float64"),
        (np.zeros(N, dtype=bool), "bool"),
        (None, "object"),
        (np.array([0, 1, 2, 3, 4]), "action 4 is out of range: 0 to 3 stand for canvases 16, 32, 64, 128"),
        (np.array([0, -1, 2, 3, 0]), "action -1 is out of range"),
        (np.array([0, 0, 0, 0, 2**63], dtype=np.uint64), "out of range"),
    ],
)
def test_invalid_actions_change_nothing(toy: Toy, actions: Any, message: str) -> None:
    envs, untouched = make(toy), make(toy)
    envs.reset(seed=0)
    untouched.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        envs.step(actions)
    good = np.ones(N, dtype=int)
    assert data_equivalence(list(envs.step(good)), list(untouched.step(good)), exact=True)


@pytest.mark.parametrize("kind", [list, np.int8, np.uint16])
def test_any_kind_of_integers(toy: Toy, kind: Any) -> None:
    envs = make(toy)
    envs.reset(seed=0)
    actions = [0, 1, 2, 3, 0] if kind is list else np.array([0, 1, 2, 3, 0], dtype=kind)
    assert envs.step(actions)[4]["final_info"]["canvas"].tolist() == [16, 32, 64, 128, 16]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": [1, 2]}, "seed must be one number or 5"),
        ({"options": {"index": 36}}, "from 0 to 35"),
        ({"options": {"index": np.array([0, 0, 0, 0, 36])}}, "from 0 to 35"),
        ({"options": {"index": np.array([0, 0, 0, 0, -1])}}, "from 0 to 35"),
        ({"options": {"index": np.zeros(N)}}, "array of integers"),
        ({"options": {"index": np.zeros(3, dtype=int)}}, "array of integers"),
        ({"options": {"tradeoff": 0.2}}, "SketchCanvasPreference-v0"),
        ({"options": {"reset_mask": [True] * N}}, "bool array"),
        ({"options": {"reset_mask": np.ones(N)}}, "bool array"),
        ({"options": {"reset_mask": np.ones(3, dtype=bool)}}, "bool array"),
        ({"options": {"reset_mask": np.zeros(N, dtype=bool)}}, "True somewhere"),
    ],
)
def test_invalid_resets_are_refused(toy: Toy, arguments: dict[str, Any], message: str) -> None:
    envs = make(toy)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        envs.reset(**arguments)


@pytest.mark.parametrize(
    ("tradeoff", "message"),
    [
        (0.8, r"in \[0.1, 0.7\]"),
        ("0.2", r"in \[0.1, 0.7\]"),
        (np.array([0.2, 0.2, 0.2, 0.2, 0.8]), r"in \[0.1, 0.7\]"),
        (np.array([0.2, 0.2, 0.2, 0.2, np.nan]), r"in \[0.1, 0.7\]"),
        (np.full(3, 0.2), r"shape \(3,\) of float64"),
        (np.full(N, "0.2"), "of <U3"),
    ],
)
def test_invalid_tradeoffs_are_refused(toy: Toy, tradeoff: Any, message: str) -> None:
    envs = make(toy, **RANGE)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        envs.reset(options={"tradeoff": tradeoff})


# ---------------------------------------------------------------- with Gymnasium's wrappers


def test_episode_statistics_see_one_step_episodes(toy: Toy) -> None:
    envs = RecordEpisodeStatistics(make(toy))
    envs.reset(seed=0)
    for actions in actions_for(4):
        _, rewards, _, _, infos = envs.step(actions)
        assert infos["episode"]["l"].tolist() == [1] * N
        assert np.array_equal(infos["episode"]["r"], rewards)
    assert envs.episode_count == 4 * N


def test_infos_as_a_list(toy: Toy) -> None:
    lists, arrays = DictInfoToList(make(toy)), make(toy)
    assert [info["sketch_index"] for info in lists.reset(seed=0)[1]] == arrays.reset(seed=0)[1]["sketch_index"].tolist()
    infos, expected = (envs.step(np.arange(N) % 4)[4] for envs in (lists, arrays))
    for i in range(N):
        assert infos[i]["final_info"]["rank"] == expected["final_info"]["rank"][i]
        assert infos[i]["final_info"]["reward_vector"].tolist() == expected["final_info"]["reward_vector"][i].tolist()


def test_rewards_can_be_wrapped_and_actions_be_tensors(toy: Toy) -> None:
    import torch

    envs, bare = ClipReward(make(toy), -0.05, 0.05), make(toy)
    for each in (envs, bare):
        each.reset(seed=0)
    rewards = envs.step(torch.arange(N) % 4)[1]  # type: ignore[arg-type]
    assert np.array_equal(rewards, np.clip(bare.step(np.arange(N) % 4)[1], -0.05, 0.05))


@pytest.mark.parametrize("env_id", OURS)
def test_gymnasium_refuses_wrappers_of_observations(env_id: str) -> None:
    # The class says so, and what to do instead: where this fails, Gymnasium has become laxer and the text can go.
    with pytest.raises(ValueError, match="autoreset_mode"):
        FlattenObservation(gym.make_vec(env_id, num_envs=2))
    with pytest.raises(gym.error.Error, match="wrappers"):
        gym.make_vec(env_id, num_envs=2, wrappers=[gym.wrappers.FlattenObservation])


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
def test_it_renders_what_sync_vector_env_renders(toy: Toy, render_mode: str) -> None:
    ours, theirs = make(toy, 2, render_mode=render_mode), make_sync(toy, 2, render_mode=render_mode)
    with pytest.raises(ResetNeeded):
        ours.render()
    for envs in (ours, theirs):
        envs.reset(seed=0)
        envs.step(np.array([0, 3]))
    pictures, expected = ours.render(), theirs.render()
    assert pictures is not None
    assert expected is not None
    assert len(pictures) == 2
    for one, other in zip(pictures, expected, strict=True):
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
