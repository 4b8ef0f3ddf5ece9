"""The single environment: its contract with Gymnasium and SB3, its rewards, its arguments."""

from __future__ import annotations

import copy
import doctest
import importlib
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from scipy.stats import kstest, spearmanr
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import sketchcanvas_env
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.envs import canvas as env_module
from sketchcanvas_env.envs.canvas import SketchCanvasEnv
from sketchcanvas_env.sketches.features import stroke_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.sketches.thumbnail import thumbnail
from sketchcanvas_env.storage.table_file import TableError
from sketchcanvas_env.tasks.observations import split_observations
from tests.helpers import TOY_CANVASES, TOY_FLOPS, TOY_MILLISECONDS, Toy, toy_table

ENV_ID = "SketchCanvas-v0"
PREFERENCE_ID = "SketchCanvasPreference-v0"
CASCADE_ID = "SketchCanvasCascade-v0"
# mo-SketchCanvas-v0 pays vectors, which these checkers and vector environments refuse: test_multi_objective.py has it.
OURS = [
    spec.id
    for spec in gym.registry.values()
    if str(spec.entry_point).startswith("sketchcanvas_env") and not spec.id.startswith("mo-")
]
ALLOWED_WARNINGS: list[str] = []
"""Allowed messages of the checkers; none."""


@pytest.fixture
def env(toy: Toy) -> SketchCanvasEnv:
    return SketchCanvasEnv(**toy.kwargs)  # type: ignore[arg-type]


@pytest.fixture(params=OURS)
def each(toy: Toy, request: pytest.FixtureRequest) -> SketchCanvasEnv:
    """An environment of every registered spec in turn."""
    return gym.make(request.param, **toy.kwargs).unwrapped  # type: ignore[return-value]


def rollout(env: gym.Env, n: int, seed: int) -> list[Any]:
    """All results of n steps with fixed pseudo-random actions, and of the resets between them."""
    actions = np.random.default_rng(99).integers(0, env.action_space.n, n)  # type: ignore[attr-defined]
    seen: list[Any] = [env.reset(seed=seed)]
    for action in actions:
        seen.append(env.step(int(action)))
        if seen[-1][2]:
            seen.append(env.reset())
    return seen


# ---------------------------------------------------------------- checkers and registration


def test_environments_are_registered() -> None:
    assert {ENV_ID, PREFERENCE_ID, CASCADE_ID} <= set(OURS)
    for spec in map(gym.spec, OURS):
        # A time limit would truncate, and then agents bootstrap from a state that has no future.
        assert spec.max_episode_steps is None
        assert not spec.nondeterministic


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("render_mode", [None, "rgb_array", "ansi"])
def test_both_checkers_pass_without_a_warning(toy: Toy, name: str, render_mode: str | None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env = gym.make(name, render_mode=render_mode, **toy.kwargs).unwrapped
        check_env(env)
        sb3_check_env(env, warn=True, skip_render_check=False)
    assert [str(w.message) for w in caught if str(w.message) not in ALLOWED_WARNINGS] == []


@pytest.mark.parametrize("name", OURS)
def test_both_checkers_pass_on_the_shipped_data(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(name).unwrapped
        check_env(env)
        sb3_check_env(env)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_a_spec_survives_json(toy: Toy, cost: str, name: str) -> None:
    env = gym.make(name, tradeoff=0.4, split="val", cost=cost, **toy.kwargs)
    assert env.spec is not None
    text = env.spec.to_json()
    json.loads(text)
    again = gym.make(EnvSpec.from_json(text))
    assert again.unwrapped.task.arguments.cost == cost  # type: ignore[attr-defined]
    assert data_equivalence(rollout(env, 5, seed=3), rollout(again, 5, seed=3), exact=True)


@pytest.mark.parametrize("name", OURS)
def test_an_import_string_registers(toy: Toy, name: str) -> None:
    env = gym.make(f"sketchcanvas_env:{name}", **toy.kwargs).unwrapped
    assert f"{type(env).__module__}:{type(env).__name__}" == gym.spec(name).entry_point


def test_a_reload_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(sketchcanvas_env)


def test_the_import_is_light() -> None:
    code = """
import sys, sketchcanvas_env, sketchcanvas_env.envs.canvas, sketchcanvas_env.envs.canvas
heavy = {"torch", "stable_baselines3", "matplotlib", "PIL", "cairosvg", "cairocffi", "scipy", "pandas"}
print(sorted(heavy & set(sys.modules)))
"""
    root = Path(sketchcanvas_env.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in sketchcanvas_env.__all__:
        assert getattr(sketchcanvas_env, name) is not None
        assert name in dir(sketchcanvas_env)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = sketchcanvas_env.nonsense


def test_examples_in_the_docstrings() -> None:
    for module in (sketchcanvas_env, env_module):
        result = doctest.testmod(module)
        assert result.failed == 0
        assert result.attempted > 0


def test_the_docstring_is_the_documentation_page() -> None:
    sections = [line.strip()[3:] for line in SketchCanvasEnv.__doc__.splitlines() if line.strip().startswith("## ")]  # type: ignore[union-attr]
    fixed = [
        "Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End",
        "Arguments",
        "Vectorized environment", "Version History",
    ]  # fmt: skip
    assert [name for name in sections if name in fixed] == fixed


# ---------------------------------------------------------------- episodes


@pytest.mark.parametrize(
    ("cost", "charged", "unit"), [("flops", TOY_FLOPS, "FLOPs"), ("latency", TOY_MILLISECONDS, "ms")]
)
def test_the_reward_recomputed_from_the_table(toy: Toy, cost: str, charged: tuple[float, ...], unit: str) -> None:
    tradeoff, w_rank, w_tri = 0.35, 1.5, 0.25
    env = SketchCanvasEnv(
        split="test", tradeoff=tradeoff, rank_weight=w_rank, triplet_weight=w_tri, cost=cost,
        **{**toy.kwargs, "canvases": (16, 64, 128)},
    )  # type: ignore[arg-type]  # fmt: skip
    columns = [0, 2, 3]
    costs = [charged[c] for c in columns]
    assert (env.costs.tolist(), env.cost_unit) == (costs, unit)
    table = toy.table
    where = {name: row for row, name in enumerate(table.sketch_ids.tolist())}

    def terms(row: int, column: int) -> tuple[float, float, float]:
        acc = w_rank / int(table.ranks[row, column]) - w_tri * float(table.triplet[row, column])
        comp = -charged[column] / (max(costs) - min(costs))
        return acc, comp, tradeoff * comp + (1 - tradeoff) * acc

    seen = 0
    for index in range(len(env.sketch_ids)):
        row = where[str(env.sketch_ids[index])]
        assert table.split[row] == "test"
        expected = [terms(row, column) for column in columns]
        best = max(e[2] for e in expected)
        for action, column in enumerate(columns):
            env.reset(options={"index": index})
            _, reward, terminated, truncated, info = env.step(action)
            acc, comp, total = expected[action]
            assert (terminated, truncated) == (True, False)
            assert reward == pytest.approx(total, abs=1e-12)
            assert info["reward_vector"].tolist() == pytest.approx([acc, comp], abs=1e-12)
            assert info["rank"] == table.ranks[row, column]
            assert info["triplet"] == table.triplet[row, column]
            assert info["flops"] == TOY_FLOPS[column]
            assert info["cost"] == charged[column]
            assert info["canvas"] == TOY_CANVASES[column]
            assert info["sketch_index"] == index
            assert info["regret"] == pytest.approx(best - total, abs=1e-12)
            assert info["regret"] >= 0.0
            assert expected[info["oracle_action"]][2] == pytest.approx(best, abs=1e-12)
            assert env.reward_range[0] <= reward <= env.reward_range[1]
            assert info["reward_vector"] in env.reward_vector_space
            seen += 1
    assert seen == 3 * 36


def test_the_observation_is_the_sketch(env: SketchCanvasEnv) -> None:
    for index in range(len(env.sketch_ids)):
        observation, info = env.reset(options={"index": index})
        assert info == {"sketch_index": index}
        row = env.dataset.sketch_ids.tolist().index(env.sketch_ids[index])
        sketch = env.dataset.sketch(row)
        assert np.array_equal(observation["points"].reshape(-1, 5), sketch.to_stroke5(40))
        assert np.array_equal(observation["stats"], stroke_features(sketch))
        assert env.photo_ids[index] == env.dataset.photo_ids[row]
        after = env.step(0)[0]
        assert data_equivalence(after, observation, exact=True)


@pytest.mark.parametrize("name", OURS)
def test_a_thumbnail_is_observed_if_requested(toy: Toy, name: str) -> None:
    plain, env = gym.make(name, **toy.kwargs).unwrapped, gym.make(name, thumbnail=True, **toy.kwargs).unwrapped
    for index in range(0, 36, 5):
        (shown, info), (without, _) = (each.reset(options={"index": index}) for each in (env, plain))
        sketch = env.task.sketch(index)  # type: ignore[attr-defined]
        so_far = VectorSketch(sketch.strokes[: info.get("strokes", sketch.n_strokes)])
        assert np.array_equal(shown.pop("thumbnail"), thumbnail(so_far))
        if "tradeoff" not in shown:
            assert data_equivalence(shown, without, exact=True)
    check_env(env)
    with pytest.raises(ValueError, match="thumbnail must be True or False"):
        gym.make(name, thumbnail=1, **toy.kwargs)


def test_every_sketch_of_the_split_is_drawn_about_equally(env: SketchCanvasEnv) -> None:
    counts = np.zeros(len(env.sketch_ids))
    env.reset(seed=0)
    for _ in range(3600):
        counts[env.reset()[1]["sketch_index"]] += 1
    # 100 each, standard deviation 10.
    assert counts.min() > 50
    assert counts.max() < 150


@pytest.mark.parametrize("name", OURS)
def test_a_seed_fixes_everything(toy: Toy, name: str) -> None:
    one, two = (gym.make(name, **toy.kwargs).unwrapped for _ in range(2))
    first = rollout(one, 50, seed=7)
    assert data_equivalence(first, rollout(two, 50, seed=7), exact=True)
    assert data_equivalence(first, rollout(one, 50, seed=7), exact=True)
    assert not data_equivalence(first, rollout(two, 50, seed=8), exact=True)


@pytest.mark.parametrize("name", [ENV_ID, PREFERENCE_ID])
def test_an_episode_is_one_step(toy: Toy, name: str) -> None:
    env = gym.make(name, **toy.kwargs).unwrapped
    env.reset(seed=0)
    for action in np.random.default_rng(0).integers(0, 4, 50):
        assert env.step(action)[2:4] == (True, False)
        env.reset()


def test_no_episode_is_truncated(each: SketchCanvasEnv) -> None:
    each.reset(seed=0)
    ended = 0
    for action in np.random.default_rng(0).integers(0, each.action_space.n, 200):  # type: ignore[attr-defined]
        terminated, truncated = each.step(action)[2:4]
        assert not truncated
        if terminated:
            ended += 1
            each.reset()
    assert ended > 20


def test_reset_without_a_seed_goes_on(env: SketchCanvasEnv) -> None:
    env.reset(seed=1)
    through = [env.reset()[1]["sketch_index"] for _ in range(20)]
    env.reset(seed=1)
    # A chosen sketch, or a step, takes nothing from the stream.
    interrupted = []
    for _ in range(20):
        env.reset(options={"index": 0})
        env.step(0)
        interrupted.append(env.reset()[1]["sketch_index"])
    assert interrupted == through
    assert len(set(through)) > 5


def test_assigning_a_generator_starts_a_new_stream(env: SketchCanvasEnv) -> None:
    def draws() -> list[int]:
        env.np_random = np.random.default_rng(5)
        return [env.reset()[1]["sketch_index"] for _ in range(10)]

    assert draws() == draws()


def test_an_unseeded_environment_differs_from_run_to_run(toy: Toy) -> None:
    runs = []
    for _ in range(2):
        env = SketchCanvasEnv(**toy.kwargs)  # type: ignore[arg-type]
        runs.append([env.reset()[1]["sketch_index"] for _ in range(30)])
    assert runs[0] != runs[1]


def test_returned_arrays_are_copies_of_the_environments(each: SketchCanvasEnv) -> None:
    untouched = rollout(each, 20, seed=2)
    each.reset(seed=2)
    for _ in range(60):
        for observation, info in ((each.reset()[0], {}), each.step(0)[::4]):
            for array in (*observation.values(), *(v for v in info.values() if isinstance(v, np.ndarray))):
                array[:] = 0.123
    assert data_equivalence(rollout(each, 20, seed=2), untouched, exact=True)


def test_step_needs_a_sketch(each: SketchCanvasEnv) -> None:
    with pytest.raises(ResetNeeded, match="no sketch yet"):
        each.step(0)
    each.reset()
    stop = int(each.action_space.n) - 1  # type: ignore[attr-defined]
    assert each.step(stop)[2]
    with pytest.raises(ResetNeeded, match="this episode ended"):
        each.step(0)


@pytest.mark.parametrize("action", [-1, 4, 10**20, 1.0, "1", None, True, np.array([1]), np.float32(1)])
def test_an_invalid_action_is_refused_and_changes_nothing(env: SketchCanvasEnv, action: Any) -> None:
    env.reset(options={"index": 3})
    with pytest.raises(ValueError, match=r"out of range: 0 to 3 stand for canvases 16, 32, 64, 128|must be an integer"):
        env.step(action)
    assert env.step(1)[4]["sketch_index"] == 3


@pytest.mark.parametrize("action", [2, np.int64(2), np.uint8(2), np.array(2)])
def test_any_kind_of_integer_is_an_action(env: SketchCanvasEnv, action: Any) -> None:
    env.reset()
    assert env.step(action)[4]["canvas"] == 64


@pytest.mark.parametrize("index", [-1, 36, 1.0, "0", True])
def test_an_index_out_of_the_split_is_refused(env: SketchCanvasEnv, index: Any) -> None:
    with pytest.raises(ValueError, match="from 0 to 35"):
        env.reset(options={"index": index})


def test_unknown_options_are_left_to_wrappers(env: SketchCanvasEnv) -> None:
    options = {"something": "else"}
    env.reset(options=options)
    assert options == {"something": "else"}


@pytest.mark.parametrize("name", OURS)
def test_an_environment_survives_pickling_and_copying(toy: Toy, name: str) -> None:
    env = gym.make(name, **toy.kwargs)
    env.reset(seed=4)
    for other in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        there, here = other.step(1), copy.deepcopy(env).step(1)
        assert data_equivalence(there, here, exact=True)
        assert data_equivalence(other.reset(), copy.deepcopy(env).reset(), exact=True)


# ---------------------------------------------------------------- a tradeoff for every episode


def with_preferences(toy: Toy, **changes: Any) -> SketchCanvasEnv:
    return SketchCanvasEnv(**{**toy.kwargs, "preferences": (0.1, 0.7), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("cost", "charged"), [("flops", TOY_FLOPS), ("latency", TOY_MILLISECONDS)])
def test_the_reward_recomputed_from_the_table_and_the_observed_tradeoff(
    toy: Toy, cost: str, charged: tuple[float, ...]
) -> None:
    w_rank, w_tri = 1.5, 0.25
    env = with_preferences(toy, split="val", rank_weight=w_rank, triplet_weight=w_tri, cost=cost, tradeoff=0.9)
    where = {name: row for row, name in enumerate(toy.table.sketch_ids.tolist())}
    span = max(charged) - min(charged)
    seen = set()
    for turn, action in enumerate(np.random.default_rng(0).integers(0, 4, 300)):
        observation, info = env.reset(seed=0 if turn == 0 else None)
        assert observation["tradeoff"].dtype == np.float32
        tradeoff = float(observation["tradeoff"][0])
        assert info == {"sketch_index": info["sketch_index"], "tradeoff": tradeoff}
        row = where[str(env.sketch_ids[info["sketch_index"]])]
        rewards = []
        for column in range(4):
            acc = w_rank / int(toy.table.ranks[row, column]) - w_tri * float(toy.table.triplet[row, column])
            rewards.append(tradeoff * (-charged[column] / span) + (1 - tradeoff) * acc)
        after, reward, _, _, info = env.step(action)
        assert data_equivalence(after, observation, exact=True)
        assert info["tradeoff"] == tradeoff
        assert reward == pytest.approx(rewards[action], abs=1e-12)
        # Of what the environment gives away, to the last bit.
        acc, comp = info["reward_vector"].tolist()
        assert reward == tradeoff * comp + (1.0 - tradeoff) * acc
        assert info["regret"] == pytest.approx(max(rewards) - rewards[action], abs=1e-12)
        assert info["oracle_action"] == int(np.argmax(rewards))
        assert env.reward_range[0] <= reward <= env.reward_range[1]
        seen.add(info["oracle_action"])
    assert len(seen) > 2


@pytest.mark.parametrize("tradeoff", [0.1, 0.3, 0.5, 0.7])
def test_an_episode_equals_that_of_the_plain_environment_at_its_tradeoff(toy: Toy, tradeoff: float) -> None:
    env = with_preferences(toy, tradeoff=1.0)
    plain = SketchCanvasEnv(**toy.kwargs, tradeoff=float(np.float32(tradeoff)))  # type: ignore[arg-type]
    for index, action in enumerate(np.arange(36) % 4):
        env.reset(options={"index": index, "tradeoff": tradeoff})
        plain.reset(options={"index": index})
        (obs, reward, *_, info), (expected, plain_reward, *_, plain_info) = env.step(action), plain.step(action)
        assert reward == plain_reward
        assert info.pop("tradeoff") == obs.pop("tradeoff")[0] == np.float32(tradeoff)
        assert data_equivalence([obs, info], [expected, plain_info], exact=True)


def test_tradeoffs_are_drawn_uniformly_from_the_range(toy: Toy) -> None:
    env = with_preferences(toy)
    assert env.observation_space["tradeoff"] == gym.spaces.Box(0.0, 1.0, (1,), np.float32)  # type: ignore[index]
    env.reset(seed=0)
    drawn = [env.reset()[1] for _ in range(3000)]
    tradeoffs = np.array([info["tradeoff"] for info in drawn])
    assert np.float32(0.1) <= tradeoffs.min() < 0.102
    assert 0.698 < tradeoffs.max() <= np.float32(0.7)
    assert kstest((tradeoffs - 0.1) / 0.6, "uniform").pvalue > 1e-4
    rows = np.array([info["sketch_index"] for info in drawn])
    assert spearmanr(rows, tradeoffs).pvalue > 1e-4
    assert spearmanr(tradeoffs[1:], tradeoffs[:-1]).pvalue > 1e-4


@pytest.mark.parametrize("preferences", [(0.0, 0.0), (0.0, 0.8), (0.3, 0.3), (0.2, 1.0), (1.0, 1.0)])
def test_the_reward_range_covers_all_tradeoffs(toy: Toy, preferences: tuple[float, float]) -> None:
    env = with_preferences(toy, preferences=preferences)
    ranges = [
        SketchCanvasEnv(**toy.kwargs, tradeoff=float(np.float32(end))).reward_range  # type: ignore[arg-type]
        for end in np.linspace(*preferences, 5)
    ]
    low, high = env.reward_range
    assert low == pytest.approx(min(r[0] for r in ranges), abs=1e-9)
    assert high == pytest.approx(max(r[1] for r in ranges), abs=1e-9)


def test_a_seed_shows_the_same_sketches_with_and_without_preferences(toy: Toy, env: SketchCanvasEnv) -> None:
    # What version 0.1.0 drew before there were preferences.
    expected = [33, 28, 11, 2, 4, 21, 8, 2, 24, 11, 19, 16]
    for each in (env, with_preferences(toy), with_preferences(toy, preferences=(0.4, 0.4))):
        each.reset(seed=7)
        assert [each.reset()[1]["sketch_index"] for _ in expected] == expected


def test_fixed_values_are_not_drawn(toy: Toy) -> None:
    env = with_preferences(toy)

    def stream(options: dict[str, Any], n: int) -> list[tuple[int, float]]:
        """What comes after n resets with options."""
        env.reset(seed=1)
        for _ in range(n):
            info = env.reset(options=options)[1]
            for name, key in (("index", "sketch_index"), ("tradeoff", "tradeoff")):
                assert name not in options or info[key] == options[name]
        return [tuple(env.reset()[1].values()) for _ in range(5)]  # type: ignore[misc]

    through = [stream({}, n) for n in range(4)]
    assert stream({"index": 3, "tradeoff": 0.5}, 3) == through[0]
    # One of the two is still drawn, anew each time.
    assert stream({"index": 3}, 3) == stream({"tradeoff": 0.5}, 3) == through[3]
    assert len({env.reset(options={"index": 3})[1]["tradeoff"] for _ in range(5)}) == 5


@pytest.mark.parametrize("tradeoff", [0.09, 0.71, 2, -1, "0.2", True, float("nan"), [0.2], np.array([0.2])])
def test_a_tradeoff_out_of_the_range_is_refused(toy: Toy, tradeoff: Any) -> None:
    env = with_preferences(toy)
    with pytest.raises(ValueError, match=r"options\['tradeoff'\] must be a number in \[0.1, 0.7\]"):
        env.reset(options={"tradeoff": tradeoff})


def test_a_plain_environment_refuses_the_option_tradeoff(env: SketchCanvasEnv) -> None:
    with pytest.raises(ValueError, match="SketchCanvasPreference-v0"):
        env.reset(options={"tradeoff": 0.2})
    assert "tradeoff" not in env.reset()[0]
    assert "tradeoff" not in env.step(0)[4]


def test_the_shipped_range(toy: Toy) -> None:
    env = gym.make(PREFERENCE_ID, **toy.kwargs).unwrapped
    assert env.preferences == (0.0, float(np.float32(0.8)))  # type: ignore[attr-defined]
    for end in sketchcanvas_env.PREFERENCES:
        assert env.reset(options={"tradeoff": end})[1]["tradeoff"] == np.float32(end)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "doodles"}, "unknown data set 'doodles'; there are .*toy"),
        ({"dataset": 5}, "dataset must be a name"),
        ({"split": "dev"}, "unknown split 'dev'.*train, val, test"),
        ({"split": "student"}, "unknown split 'student'.*train, val, test"),
        ({"split": None}, "split must be a name"),
        ({"student": "vgg16"}, "student 'made_up', not of 'vgg16'"),
        ({"canvases": (32, 16)}, "rise"),
        ({"canvases": (16, 16)}, "rise"),
        ({"canvases": ()}, "empty"),
        ({"canvases": (16, 48)}, "canvas 48.*has 16, 32, 64, 128"),
        ({"canvases": (4, 16)}, "8 to 512"),
        ({"canvases": (16, 1024)}, "8 to 512"),
        ({"canvases": (16.0, 32.0)}, "integers"),
        ({"tradeoff": -0.1}, "tradeoff"),
        ({"tradeoff": 1.1}, "tradeoff"),
        ({"tradeoff": float("nan")}, "tradeoff"),
        ({"rank_weight": -1.0}, "rank_weight"),
        ({"rank_weight": float("inf")}, "rank_weight"),
        ({"triplet_weight": -0.1}, "triplet_weight"),
        ({"triplet_weight": float("nan")}, "triplet_weight"),
        ({"cost": "joules"}, "unknown cost 'joules': there are flops, latency"),
        ({"cost": None}, "unknown cost"),
        ({"max_points": 1}, "from 2 to 5000"),
        ({"max_points": 5001}, "from 2 to 5000"),
        ({"max_points": 100.0}, "from 2 to 5000"),
        ({"render_mode": "human"}, "rgb_array, ansi"),
        ({"table": 5}, "path of an outcome table"),
        ({"preferences": 0.5}, r"preferences must be \(low, high\)"),
        ({"preferences": "01"}, r"preferences must be \(low, high\)"),
        ({"preferences": (0.1, 0.2, 0.3)}, r"preferences must be \(low, high\)"),
        ({"preferences": (0.5, 0.4)}, "low <= high"),
        ({"preferences": (-0.1, 0.4)}, r"in \[0, 1\]"),
        ({"preferences": (0.1, 1.1)}, r"in \[0, 1\]"),
        ({"preferences": (0.1, float("nan"))}, r"in \[0, 1\]"),
        ({"preferences": ("0", "1")}, r"in \[0, 1\]"),
    ],
)
def test_invalid_arguments_are_refused(toy: Toy, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SketchCanvasEnv(**{**toy.kwargs, **changes})  # type: ignore[arg-type]


def test_invalid_arguments_are_refused_before_any_file_is_read(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_work(*_: Any) -> None:
        pytest.fail("data was read before the arguments were checked")

    monkeypatch.setattr("sketchcanvas_env.data.load", no_work)
    with pytest.raises(ValueError, match="tradeoff"):
        SketchCanvasEnv(tradeoff=2.0, **toy.kwargs)  # type: ignore[arg-type]


def test_a_table_must_exist_and_fit(toy: Toy, tmp_path: Path) -> None:
    def make(**changes: Any) -> SketchCanvasEnv:
        path = toy_table(toy.dataset, **changes).save(tmp_path / "t.npz")
        return SketchCanvasEnv(**{**toy.kwargs, "table": str(path)})  # type: ignore[arg-type]

    with pytest.raises(FileNotFoundError, match=r"nothing\.npz"):
        SketchCanvasEnv(**{**toy.kwargs, "table": str(tmp_path / "nothing.npz")})  # type: ignore[arg-type]
    with pytest.raises(TableError, match="another version"):
        make(dataset_hash="a" * 64)
    # A table without latency serves for FLOPs, and says how to measure for the other.
    make(milliseconds=None)
    with pytest.raises(ValueError, match=r"no latency.*sketchcanvas latency"):
        SketchCanvasEnv(**{**toy.kwargs, "table": str(tmp_path / "t.npz")}, cost="latency")  # type: ignore[arg-type]
    ids = toy.table.sketch_ids.astype("U20")
    ids[np.flatnonzero(toy.table.split == "train")[0]] = "stranger/0"
    with pytest.raises(TableError, match="has sketch 'stranger/0'"):
        make(sketch_ids=ids)
    # A test sketch passed off as one to train on.
    split = toy.table.split.copy()
    split[np.flatnonzero(split == "test")[0]] = "train"
    with pytest.raises(TableError, match="disagree on the split of sketch"):
        make(split=split)


def test_a_table_may_have_rows_in_any_order_and_lack_some(toy: Toy) -> None:
    kept = np.random.default_rng(0).permutation(len(toy.table))[:60]
    names = ("ranks", "distances", "triplet", "top", "sketch_ids", "photo_ids", "split", "level")
    part = toy_table(toy.dataset, **{name: getattr(toy.table, name)[kept] for name in names})
    env = SketchCanvasEnv(dataset=toy.dataset, table=part, canvases=TOY_CANVASES, max_points=40)
    train = part.select("train")
    assert env.sketch_ids.tolist() == train.sketch_ids.tolist()
    rows = {name: row for row, name in enumerate(toy.dataset.sketch_ids.tolist())}
    for index in range(len(train)):
        observation, _ = env.reset(options={"index": index})
        expected = toy.dataset.sketch(rows[str(train.sketch_ids[index])]).to_stroke5(40)
        assert np.array_equal(observation["points"].reshape(-1, 5), expected)
        assert env.step(1)[4]["rank"] == train.ranks[index, 1]


@pytest.mark.parametrize("canvases", [(64,), [16, 128], np.array([16, 32, 64])])
def test_any_choice_of_canvases(toy: Toy, canvases: Any) -> None:
    env = SketchCanvasEnv(**{**toy.kwargs, "canvases": canvases})  # type: ignore[arg-type]
    assert env.action_space.n == len(canvases)  # type: ignore[attr-defined]
    assert env.canvases == tuple(int(side) for side in canvases)
    check_env(gym.make(ENV_ID, **{**toy.kwargs, "canvases": [int(c) for c in canvases]}).unwrapped)
    if len(canvases) == 1:
        env.reset()
        assert env.step(0)[4]["reward_vector"][1] == -1.0


def test_observations_are_computed_once_for_all_environments(toy: Toy) -> None:
    reads = []

    def counting(row: int) -> Any:
        reads.append(row)
        return toy.dataset.read_sketch(row)

    fields = {name: getattr(toy.dataset, name) for name in toy.dataset.__dataclass_fields__}
    fresh = SketchDataset(**{**fields, "hash": "c" * 64, "read_sketch": counting})
    table = toy_table(fresh)
    for tradeoff in (0.0, 0.5, 1.0):
        SketchCanvasEnv(dataset=fresh, table=table, canvases=TOY_CANVASES, tradeoff=tradeoff)
    assert len(reads) == 36
    points, stats = split_observations(fresh, "train")
    assert not points.flags.writeable
    assert not stats.flags.writeable


def test_the_default_arguments_are_those_of_the_docstring() -> None:
    import inspect

    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(SketchCanvasEnv).parameters.items()
        if name != "retriever"
    }
    assert defaults == {
        "dataset": "emoji_known", "split": "train", "student": None, "canvases": (32, 64, 128, 256),
        "tradeoff": 0.2,
        "rank_weight": 1.0, "triplet_weight": 0.1, "cost": "flops", "max_points": 200, "render_mode": None,
        "table": None, "preferences": None, "task": "retrieval", "thumbnail": False,
    }  # fmt: skip
    for name in defaults:
        assert f"{name}=" in SketchCanvasEnv.__doc__  # type: ignore[operator]
