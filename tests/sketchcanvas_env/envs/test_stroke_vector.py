"""The vector environment of drawings that appear: equal to Gymnasium's SyncVectorEnv over single ones."""

from __future__ import annotations

import doctest
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from sketchcanvas_env.envs import stroke as module
from sketchcanvas_env.envs.stroke import SketchCanvasStrokeEnv, SketchCanvasStrokeVectorEnv
from tests.helpers import Toy
from tests.sketchcanvas_env.envs.stroke_toy import long_files, strokes

__all__ = ["long_files", "strokes"]

ENV_ID = "SketchCanvasStroke-v0"
WAIT, STOP = 4, 5
N = 5


def make(toy: Toy, **changes: Any) -> SketchCanvasStrokeVectorEnv:
    return SketchCanvasStrokeVectorEnv(N, **{**toy.kwargs, **changes})  # type: ignore[arg-type]


def make_sync(toy: Toy, **changes: Any) -> VectorEnv:
    return gym.make_vec(ENV_ID, N, "sync", {"autoreset_mode": AutoresetMode.SAME_STEP}, **{**toy.kwargs, **changes})


def without_final_obs(infos: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in infos.items() if name not in ("final_obs", "_final_obs")}


def actions_for(n: int) -> np.ndarray:
    return np.random.default_rng(3).choice(6, p=[0.1, 0.1, 0.1, 0.1, 0.5, 0.1], size=(n, N))


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize(("seed", "cost"), [(0, "flops"), (123, "latency"), ([5, None, 7, 8, 9], "flops")])
def test_it_equals_sync_vector_env_exactly(strokes: Toy, copy: bool, seed: Any, cost: str) -> None:
    if isinstance(seed, list):
        seed = [1 if each is None else each for each in seed]
    ours, theirs = make(strokes, copy=copy, cost=cost), make_sync(strokes, cost=cost)
    (obs, infos), (their_obs, their_infos) = ours.reset(seed=seed), theirs.reset(seed=seed)
    assert data_equivalence(obs, dict(their_obs), exact=True)
    assert data_equivalence(infos, their_infos, exact=True)
    ended = 0
    for step, actions in enumerate(actions_for(300)):
        before = {name: array.copy() for name, array in obs.items()}
        (obs, *rest, infos), (their_obs, *their_rest, their_infos) = ours.step(actions), theirs.step(actions)
        assert data_equivalence(obs, dict(their_obs), exact=True), step
        assert data_equivalence(rest, their_rest, exact=True), step
        assert data_equivalence(infos, without_final_obs(their_infos), exact=True), step
        assert (ours.action_masks() == infos["action_mask"]).all()
        # Why final_obs is left out: it is the observation that was acted on.
        for i in np.flatnonzero(their_infos.get("_final_obs", [])):
            acted_on = {name: array[i] for name, array in before.items()}
            assert data_equivalence(their_infos["final_obs"][i], acted_on, exact=True)
            ended += 1
        if step % 50 == 49:
            # Streams go on where they were without a seed.
            (obs, infos), (their_obs, their_infos) = ours.reset(), theirs.reset()
            assert data_equivalence(obs, dict(their_obs), exact=True)
            assert data_equivalence(infos, their_infos, exact=True)
    assert ended > 100


@pytest.mark.parametrize(
    "options",
    [
        {"index": 7},
        {"reset_mask": np.array([True, False, True, False, False])},
        {"index": 2, "reset_mask": np.array([False, False, True, True, False])},
    ],
)
def test_options_work_as_in_sync_vector_env(strokes: Toy, options: dict[str, Any]) -> None:
    ours, theirs = make(strokes), make_sync(strokes)
    for envs in (ours, theirs):
        envs.reset(seed=3)
        for actions in actions_for(4):
            envs.step(actions)
    (obs, infos), (their_obs, their_infos) = ours.reset(options=options), theirs.reset(options=options)
    assert data_equivalence(obs, dict(their_obs), exact=True)
    assert data_equivalence(infos, their_infos, exact=True)
    for actions in actions_for(40):
        mine, their = ours.step(actions), theirs.step(actions)
        assert data_equivalence(mine[0], dict(their[0]), exact=True)
        assert data_equivalence(mine[1:4], their[1:4], exact=True)
        assert data_equivalence(mine[4], without_final_obs(their[4]), exact=True)


def test_each_sub_environment_can_have_its_own_index(strokes: Toy) -> None:
    rows = np.array([3, 0, 35, 7, 7])
    envs = make(strokes)
    obs, infos = envs.reset(options={"index": rows})
    assert infos["sketch_index"].tolist() == rows.tolist()
    single = SketchCanvasStrokeEnv(**strokes.kwargs)  # type: ignore[arg-type]
    for i, row in enumerate(rows.tolist()):
        expected, _ = single.reset(options={"index": row})
        assert data_equivalence({name: array[i] for name, array in obs.items()}, expected, exact=True)


def test_it_is_made_by_default_and_survives_json(strokes: Toy) -> None:
    envs = gym.make_vec(ENV_ID, num_envs=N, **strokes.kwargs)
    assert isinstance(envs, SketchCanvasStrokeVectorEnv)
    assert envs.autoreset_mode is envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.spec is not None
    again = gym.make_vec(EnvSpec.from_json(envs.spec.to_json()))
    assert data_equivalence(again.reset(seed=0), envs.reset(seed=0), exact=True)


def test_spaces(strokes: Toy) -> None:
    envs, single = make(strokes), SketchCanvasStrokeEnv(**strokes.kwargs)  # type: ignore[arg-type]
    assert envs.single_observation_space == single.observation_space
    assert envs.single_action_space == single.action_space
    assert envs.reward_range == single.reward_range
    obs, _ = envs.reset(seed=0)
    assert obs in envs.observation_space
    assert envs.look_names == single.look_names


def test_it_survives_pickling(strokes: Toy) -> None:
    envs = make(strokes)
    envs.reset(seed=1)
    envs.step(actions_for(1)[0])
    twin = pickle.loads(pickle.dumps(envs))
    for actions in actions_for(20):
        assert data_equivalence(twin.step(actions), envs.step(actions), exact=True)


def test_returned_arrays_are_copies(strokes: Toy) -> None:
    envs, kept = make(strokes), make(strokes)
    envs.reset(seed=1)
    kept.reset(seed=1)
    for actions in actions_for(40):
        expected = kept.step(actions)
        found = envs.step(actions)
        assert data_equivalence(found, expected, exact=True)
        arrays = [*found[0].values(), *found[1:4], *found[4].values(), *found[4].get("final_info", {}).values()]
        for array in arrays:
            if isinstance(array, np.ndarray) and array.flags.writeable:
                array[...] = 1


def test_without_copies_an_observation_stays_valid_for_one_step(strokes: Toy) -> None:
    envs = make(strokes, copy=False)
    first, _ = envs.reset(seed=0)
    kept = {name: array.copy() for name, array in first.items()}
    second = envs.step(np.full(N, WAIT))[0]
    assert data_equivalence(first, kept, exact=True)
    assert second["points"] is not first["points"]
    third = envs.step(np.full(N, 0))[0]
    assert third["points"] is first["points"]


def test_step_needs_a_reset(strokes: Toy) -> None:
    envs = make(strokes)
    for call in (lambda: envs.step(np.zeros(N, dtype=np.int64)), envs.action_masks):
        with pytest.raises(ResetNeeded):
            call()


@pytest.mark.parametrize("actions", [np.full(N, 6), np.full(N, -1), np.zeros(N), np.zeros(N - 1, dtype=int)])
def test_invalid_actions_change_nothing(strokes: Toy, actions: Any) -> None:
    envs, kept = make(strokes), make(strokes)
    envs.reset(seed=0)
    kept.reset(seed=0)
    with pytest.raises(ValueError, match=r"out of range: 0 to 3 look|actions must be an integer array"):
        envs.step(actions)
    assert data_equivalence(envs.step(np.zeros(N, int)), kept.step(np.zeros(N, int)), exact=True)


def test_episode_statistics(strokes: Toy) -> None:
    envs = RecordEpisodeStatistics(make(strokes))
    envs.reset(seed=0)
    returns, lengths = np.zeros(N), np.zeros(N, dtype=int)
    for actions in actions_for(60):
        _, rewards, ended, _, infos = envs.step(actions)
        returns, lengths = returns + rewards, lengths + 1
        for i in np.flatnonzero(ended):
            assert infos["episode"]["r"][i] == pytest.approx(returns[i])
            assert infos["final_info"]["return"][i] == pytest.approx(returns[i])
            assert infos["episode"]["l"][i] == lengths[i]
        returns[ended], lengths[ended] = 0.0, 0


@pytest.mark.parametrize("render_mode", ["rgb_array", "ansi"])
def test_it_renders_what_sync_vector_env_renders(strokes: Toy, render_mode: str) -> None:
    ours, theirs = make(strokes, render_mode=render_mode), make_sync(strokes, render_mode=render_mode)
    ours.reset(seed=0)
    theirs.reset(seed=0)
    for actions in actions_for(6):
        assert data_equivalence(ours.render(), theirs.render(), exact=True)
        ours.step(actions)
        theirs.step(actions)


def test_examples_in_the_docstrings() -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0
