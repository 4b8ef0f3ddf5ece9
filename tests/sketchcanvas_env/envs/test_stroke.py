"""The stroke environment: rules, observations, and the contract with Gymnasium and SB3."""

from __future__ import annotations

import copy
import doctest
import inspect
import json
import pickle
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from sketchcanvas_env import load_table
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.envs import stroke as module
from sketchcanvas_env.envs.stroke import SketchCanvasStrokeEnv
from sketchcanvas_env.outcomes.prefixes import PrefixTable, drawing_steps
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.features import stroke_features
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.table_file import TableError
from sketchcanvas_env.tasks import stroke as rules_module
from sketchcanvas_env.tasks.stroke import StrokeArguments
from tests.helpers import TOY_CANVASES, TOY_FLOPS, TOY_MILLISECONDS, Toy, toy_prefixes, toy_table
from tests.sketchcanvas_env.envs.stroke_toy import long_dataset, long_files, strokes

__all__ = ["long_files", "strokes"]

ENV_ID = "SketchCanvasStroke-v0"
WAIT, STOP = 4, 5
Files = tuple[SketchDataset, OutcomeTable, PrefixTable, Path]


@pytest.fixture
def env(strokes: Toy) -> SketchCanvasStrokeEnv:
    return SketchCanvasStrokeEnv(**strokes.kwargs)  # type: ignore[arg-type]


def play(env: gym.Env, index: int, actions: list[int]) -> list[Any]:
    """All results of an episode."""
    return [env.reset(options={"index": index}), *(env.step(action) for action in actions)]  # type: ignore[arg-type]


def total(episode: list[Any]) -> float:
    return sum(step[1] for step in episode[1:])


# ---------------------------------------------------------------- checkers and registration


@pytest.mark.parametrize("render_mode", [None, "rgb_array", "ansi"])
def test_both_checkers_pass_without_a_warning(strokes: Toy, render_mode: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(ENV_ID, render_mode=render_mode, **strokes.kwargs).unwrapped
        check_env(env)
        sb3_check_env(env, warn=True, skip_render_check=False)


def test_both_checkers_pass_on_the_shipped_data() -> None:
    env = gym.make(ENV_ID, split="val").unwrapped
    check_env(env)
    sb3_check_env(env)


def test_the_spec_says_how_it_is_made(strokes: Toy) -> None:
    spec = gym.spec(ENV_ID)
    assert spec.max_episode_steps is None
    assert not spec.nondeterministic
    env = gym.make(ENV_ID, stroke_cost=0.3, split="val", cost="latency", **strokes.kwargs)
    text = env.spec.to_json()  # type: ignore[union-attr]
    json.loads(text)
    again = gym.make(EnvSpec.from_json(text))
    for index, actions in ((0, [0, WAIT, 2, STOP]), (5, [WAIT, 3, 3])):
        assert data_equivalence(play(env, index, actions), play(again, index, actions), exact=True)


def test_the_default_arguments_are_those_of_the_docstring() -> None:
    text = SketchCanvasStrokeEnv.__doc__
    assert text is not None
    call = text[text.index("```python") :].split("```")[1].removeprefix("python").strip()
    said = eval(call.replace("gym.make(", "dict(name=", 1))
    assert said.pop("name") == ENV_ID
    signature = inspect.signature(SketchCanvasStrokeEnv).parameters
    assert said == {name: each.default for name, each in signature.items() if name != "self"}


def test_the_docstring_is_the_documentation_page() -> None:
    text = SketchCanvasStrokeEnv.__doc__
    assert text is not None
    sections = [line.strip()[3:] for line in text.splitlines() if line.strip().startswith("## ")]
    assert sections == [
        "Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End", "Arguments",
        "Vectorized environment", "Examples", "Version History",
    ]  # fmt: skip
    for each in (module, rules_module):
        result = doctest.testmod(each)
        assert result.failed == 0
        assert result.attempted > 0


# ---------------------------------------------------------------- the rules, written a second time


def expected(toy: Toy, prefixes: PrefixTable, index: int, actions: list[int], **numbers: float) -> dict[str, Any]:
    """The results of an episode computed in plain Python from the arrays; `actions` may continue after its end."""
    split = str(numbers.pop("split", "train"))
    tradeoff, stroke_cost = numbers.get("tradeoff", 0.2), numbers.get("stroke_cost", 0.5)
    charged = TOY_MILLISECONDS if numbers.get("cost") else TOY_FLOPS
    table = toy.table
    i = int(np.flatnonzero(table.split == split)[index])
    n_strokes, steps, first = int(prefixes.strokes[i]), int(prefixes.steps[i]), int(prefixes.first[i])
    drawn = [-(-k * n_strokes // steps) for k in range(1, steps + 1)]
    spread = max(charged) - min(charged)
    step, seen, looks, rewards = 0, set(), [], []
    vector = [0.0, 0.0, 0.0]
    for action in actions:
        if action < 4 and action not in seen:
            seen.add(action)
            looks.append((step, action))
            vector[1] -= charged[action] / spread
            rewards.append(-tradeoff * charged[action] / spread)
        elif action == WAIT and step + 1 < steps:
            share = (drawn[step + 1] - drawn[step]) / n_strokes
            step, seen = step + 1, set()
            vector[2] -= share
            rewards.append(-stroke_cost * share)
        else:
            rank, triplet = table.gallery_size[split], 0.3
            if looks:
                row = first + looks[-1][0]
                rank, triplet = int(prefixes.ranks[row, looks[-1][1]]), float(prefixes.triplet[row, looks[-1][1]])
            vector[0] = 1 / rank - 0.1 * triplet
            rewards.append((1 - tradeoff) * vector[0])
            break
    return {
        "rewards": rewards,
        "strokes": drawn[step],
        "share": drawn[step] / n_strokes,
        "canvas": TOY_CANVASES[looks[-1][1]] if looks else 0,
        "looks": len(looks),
        "flops": sum(TOY_FLOPS[j] for _, j in looks),
        "cost": sum(charged[j] for _, j in looks),
        "rank": rank,
        "triplet": triplet,
        "reward_vector": vector,
        "return": sum(rewards),
        "sketch_index": index,
    }


@pytest.mark.parametrize(
    "changes", [{}, {"tradeoff": 0.7, "stroke_cost": 0.1, "split": "val"}, {"cost": "latency", "stroke_cost": 0.0}]
)
def test_episodes_equal_the_rules_in_plain_python(strokes: Toy, long_files: Files, changes: dict[str, Any]) -> None:
    env = SketchCanvasStrokeEnv(**{**strokes.kwargs, **changes})  # type: ignore[arg-type]
    rng = np.random.default_rng(4)
    lengths = set()
    for episode in range(400):
        index = episode % len(env.sketch_ids)
        # Mostly waiting, so that many drawings are finished; never ending by themselves before stopping.
        actions = [int(a) for a in rng.choice(6, p=[0.15, 0.15, 0.1, 0.1, 0.45, 0.05], size=40)] + [STOP]
        wanted = expected(strokes, long_files[2], index, actions, **changes)
        seen = play(env, index, actions[: len(wanted["rewards"])])
        lengths.add(len(seen))
        assert [step[1] for step in seen[1:]] == pytest.approx(wanted["rewards"], abs=1e-12)
        assert [step[2] for step in seen[1:]] == [False] * (len(seen) - 2) + [True]
        assert not any(step[3] for step in seen[1:])
        info = seen[-1][-1]
        for name, value in wanted.items():
            if name != "rewards":
                assert info[name] == pytest.approx(value, abs=1e-12), name
        assert info["regret"] == pytest.approx(info["oracle_return"] - info["return"], abs=1e-15)
        assert info["reward_vector"] in env.reward_vector_space
        low, high = env.reward_range
        assert all(low <= value <= high for value in (*wanted["rewards"], info["return"]))
    assert len(lengths) > 8


def test_a_look_at_the_whole_drawing_equals_the_plain_environment(strokes: Toy, long_files: Files) -> None:
    env = gym.make(ENV_ID, stroke_cost=0.4, **strokes.kwargs).unwrapped
    plain = gym.make("SketchCanvas-v0", **strokes.kwargs).unwrapped
    task = env.rules  # type: ignore[attr-defined]
    for index in range(len(task)):
        waits = [WAIT] * (int(task.steps[index]) - 1)
        for action in range(4):
            observation, _, _, _, info = play(env, index, [*waits, action, STOP])[-1]
            their_observation, their_reward, _, _, their_info = play(plain, index, [action])[-1]
            came = 1.0 - task.share[task.first[index]]
            assert total(play(env, index, [*waits, action, STOP])) == pytest.approx(
                their_reward - 0.4 * came, abs=1e-12
            )
            assert (info["rank"], info["triplet"]) == (their_info["rank"], their_info["triplet"])
            assert info["reward_vector"][:2].tolist() == their_info["reward_vector"].tolist()
            assert (info["flops"], info["cost"]) == (their_info["flops"], their_info["cost"])
            assert all((observation[name] == their_observation[name]).all() for name in ("points", "stats"))


def test_whole_drawings_of_the_shipped_prefixes_equal_the_plain_environment() -> None:
    task = StrokeArguments(split="val").make()
    whole = task.first + task.steps - 1
    looks = whole[:, None] * 4 + np.arange(4)
    table = load_table("emoji").select("val", (32, 64, 128, 256))
    assert (task.ranks[looks] == table.ranks).all()
    assert (task.triplet[looks] == table.triplet).all()
    assert task.task.lookup is not None
    assert (task.acc[looks] == task.task.lookup.acc).all()
    assert (task.points[whole] == task.task.points).all()
    assert (task.stats[whole] == task.task.stats).all()
    # Drawings are told better the further they are: what makes waiting worth anything.
    half = [task.ranks[(task.first + task.steps // 2) * 4 + 2] == 1, task.ranks[looks[:, 2]] == 1]
    assert half[0].mean() + 0.1 < half[1].mean()


def test_episodes_are_finite(strokes: Toy, env: SketchCanvasStrokeEnv) -> None:
    task = env.rules
    for index in range(len(task)):
        steps = int(task.steps[index])
        longest = [*([0, 1, 2, 3, WAIT] * steps)[:-1], STOP]
        seen = play(env, index, longest)
        assert len(seen) - 1 == steps * 5 <= 40
        assert [step[2] for step in seen[1:]] == [False] * (steps * 5 - 1) + [True]
    rng = np.random.default_rng(0)
    for index in range(len(task)):
        env.reset(options={"index": index})
        ended, n = False, 0
        while not ended:
            ended, n = env.step(rng.integers(0, 5))[2], n + 1  # never stops on purpose
        assert n <= task.steps[index] * 5


@pytest.mark.parametrize("before", [[], [0], [0, WAIT, 2], [1, 2, WAIT, WAIT]])
def test_repeated_looks_and_late_waits_count_as_stopping(
    strokes: Toy, env: SketchCanvasStrokeEnv, before: list[int]
) -> None:
    index = int(np.argmax(env.rules.steps))
    seen = play(env, index, before)
    mask = (seen[-1][-1])["action_mask"]
    assert mask.tolist() == env.action_masks().tolist()
    for action in range(6):
        if not mask[action]:
            assert data_equivalence(play(env, index, [*before, action])[-1], play(env, index, [*before, STOP])[-1])
        elif action != STOP:
            assert not play(env, index, [*before, action])[-1][2]


def test_masks(env: SketchCanvasStrokeEnv) -> None:
    index = int(np.flatnonzero(env.rules.steps == 3)[0])
    actions = [1, WAIT, WAIT, 1, 3]
    masks = [step[-1]["action_mask"].tolist() for step in play(env, index, actions)]
    assert masks == [
        [1, 1, 1, 1, 1, 0],
        [1, 0, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 1],
        [1, 0, 1, 1, 0, 1],
        [1, 0, 1, 0, 0, 1],
    ]


def test_the_oracle_is_the_best_of_all_single_looks(strokes: Toy) -> None:
    env = SketchCanvasStrokeEnv(stroke_cost=0.6, **strokes.kwargs)  # type: ignore[arg-type]
    task = env.rules
    for index in range(len(task)):
        found = {
            (step, action): play(env, index, [WAIT] * step + [action, STOP])
            for step in range(int(task.steps[index]))
            for action in range(4)
        }
        best = max(found, key=lambda key: found[key][-1][-1]["return"])
        for key, episode in found.items():
            info = episode[-1][-1]
            assert info["return"] == task.returns[task.first[index] + key[0], key[1]]
            assert info["oracle_return"] == found[best][-1][-1]["return"] == task.oracle_returns[index]
            assert info["regret"] >= 0.0
        assert found[best][-1][-1]["regret"] == 0.0


# ---------------------------------------------------------------- what is shown


def test_the_observation_shows_the_drawing_so_far(strokes: Toy, env: SketchCanvasStrokeEnv) -> None:
    index = int(np.argmax(env.rules.steps))
    sketch = env.task.sketch(index)
    assert sketch.n_strokes > 8
    episode = play(env, index, [0, *[WAIT] * 7])
    for drawing, step in zip(drawing_steps(sketch), (episode[0], *episode[2:]), strict=True):
        assert (step[0]["points"] == drawing.to_stroke5(40).ravel()).all()
        assert (step[0]["stats"] == stroke_features(drawing)).all()
        assert step[-1]["strokes"] == drawing.n_strokes
    assert data_equivalence(episode[0][0]["points"], episode[1][0]["points"])


@pytest.mark.parametrize(("cost", "charged"), [("flops", TOY_FLOPS), ("latency", TOY_MILLISECONDS)])
def test_looks_by_hand(strokes: Toy, long_files: Files, cost: str, charged: tuple[float, ...]) -> None:
    env = SketchCanvasStrokeEnv(cost=cost, **strokes.kwargs)  # type: ignore[arg-type]
    prefixes, table = long_files[2], strokes.table
    index = int(np.flatnonzero(env.rules.steps == 6)[0])
    first = int(prefixes.first[np.flatnonzero(table.split == "train")[index]])
    episode = play(env, index, [2, 0, WAIT, WAIT, 0, WAIT])
    shown = [dict(zip(env.look_names, step[0]["looks"].tolist(), strict=True)) for step in episode]
    assert set(shown[0].values()) == {0.0}

    def about(look: dict[str, float], step: int, action: int) -> None:
        distances = prefixes.distances[first + step, action]
        assert [look[f"distance_{i + 1}"] for i in range(5)] == distances.tolist()
        assert look["margin"] == distances[1] - distances[0]
        assert [look[f"last_{side}"] for side in TOY_CANVASES] == [float(j == action) for j in range(4)]

    for place, (step, action) in enumerate([(0, 2), (0, 0), (0, 0), (0, 0), (2, 0), (2, 0)], start=1):
        about(shown[place], step, action)
    now = [[look[f"now_{side}"] for side in TOY_CANVASES] for look in shown]
    assert now == [[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert [look["since"] for look in shown] == [0, 0, 0, 1 / 8, 2 / 8, 0, 1 / 8]
    small, large = charged[0], charged[2]
    spent = np.array([0, large, large + small, *[large + small] * 2, *[large + 2 * small] * 2]) / sum(charged)
    assert [look["cost"] for look in shown] == pytest.approx((spent / (1 + spent)).tolist())
    pairs = [((0, 0), (0, 2)), ((2, 0), (0, 0))]
    for look, ((step, action), (other_step, other)) in zip((shown[2], shown[5]), pairs, strict=True):
        mine, theirs = prefixes.top[first + step, action], prefixes.top[first + other_step, other]
        assert look["common"] == pytest.approx(len(set(mine.tolist()) & set(theirs.tolist())) / 5)
        assert look["same_first"] == float(mine[0] == theirs[0])
    assert (shown[1]["common"], shown[1]["same_first"]) == (0.0, 0.0)


def test_agreement_ignores_missing_photos(strokes: Toy, long_files: Files) -> None:
    prefixes = long_files[2]
    few = replace(
        prefixes,
        top=np.where(np.arange(5) < 5, [0, 1, 2, 3, 4], prefixes.top),
    )
    task = StrokeArguments(**{**strokes.kwargs, "prefixes": prefixes}).make()
    same = replace(task, top=np.broadcast_to(few.top[0, 0], task.top.shape).astype(np.int32))
    drawing = same.start(np.arange(3))
    for action in (0, 1):
        drawing = same.advance(drawing, np.full(3, action)).state
    assert same.observe(drawing)["looks"][:, -4:-2].tolist() == [[1.0, 1.0]] * 3
    three = replace(same, top=np.broadcast_to(np.array([0, 1, 2, -1, -1], np.int32), task.top.shape))
    assert three.observe(drawing)["looks"][:, -4:-2].tolist() == [[1.0, 1.0]] * 3
    none = replace(same, top=np.full(task.top.shape, -1, np.int32))
    assert none.observe(drawing)["looks"][:, -4:-2].tolist() == [[0.0, 0.0]] * 3


def every_state(env: SketchCanvasStrokeEnv, last_step: int) -> list[Any]:
    """Observations and infos in many states of every drawing up to step `last_step`, without final rewards."""
    seen: list[Any] = []
    rng = np.random.default_rng(8)
    for index in range(len(env.sketch_ids)):
        seen.append(env.reset(options={"index": index}))
        for step in range(min(last_step + 1, int(env.rules.steps[index]))):
            looks = rng.permutation(4)[:2].tolist()
            for action in [*looks, WAIT] if step < min(last_step, env.rules.steps[index] - 1) else looks:
                observation, reward, terminated, _, info = env.step(action)
                assert not terminated
                seen.append((observation, reward, info))
    return seen


@pytest.mark.parametrize("last_step", [0, 2])
def test_observations_do_not_depend_on_later_strokes(strokes: Toy, long_files: Files, last_step: int) -> None:
    prefixes = long_files[2]

    def otherwise(row: int) -> VectorSketch:
        """The same drawing up to step `last_step`, and other strokes from there on."""
        sketch = long_dataset().sketch(row)
        kept = drawing_steps(sketch)[min(last_step, len(drawing_steps(sketch)) - 1)].n_strokes
        rest = [(1.0 - stroke[: len(stroke) // 2 + 1]) for stroke in sketch.strokes[kept:]]
        return VectorSketch.from_strokes([*sketch.strokes[:kept], *rest])

    dataset = replace(long_dataset(), read_sketch=otherwise, hash="6" * 64)
    other_table = toy_table(dataset, seed=9)
    drawn = toy_prefixes(other_table, dataset)
    step = np.arange(len(prefixes.ranks)) - np.repeat(prefixes.first, prefixes.steps)
    early = (step <= last_step) & (step < np.repeat(prefixes.steps, prefixes.steps) - 1)
    fields = {
        name: np.where(
            early.reshape(-1, *[1] * (getattr(drawn, name).ndim - 1)), getattr(prefixes, name), getattr(drawn, name)
        )
        for name in ("ranks", "triplet", "top", "distances")
    }
    kwargs = {**strokes.kwargs, "dataset": dataset, "table": other_table, "prefixes": replace(drawn, **fields)}
    mine = SketchCanvasStrokeEnv(**strokes.kwargs)  # type: ignore[arg-type]
    other = SketchCanvasStrokeEnv(**kwargs)  # type: ignore[arg-type]
    # Drawings that are finished by then are other drawings in the other table.
    long = [i for i in range(len(mine.sketch_ids)) if mine.rules.steps[i] > last_step + 1]
    assert len(long) > 15
    ours, theirs = every_state(mine, last_step), every_state(other, last_step)
    kept = [i for i, seen in enumerate(ours) if seen[-1]["sketch_index"] in long]
    assert data_equivalence([ours[i] for i in kept], [theirs[i] for i in kept], exact=True)
    # What comes later does show, later.
    assert not data_equivalence(every_state(mine, 7), every_state(other, 7), exact=True)


def test_observations_do_not_depend_on_the_true_photo(strokes: Toy, long_files: Files) -> None:
    dataset, table, prefixes, _ = long_files
    rng = np.random.default_rng(6)
    order = np.arange(len(dataset.photo_ids))
    for split in ("train", "val", "test"):
        rows = dataset.indices(split)
        order[rows] = rng.permutation(rows)
    other_dataset = replace(dataset, photo_ids=dataset.photo_ids[order], hash="7" * 64)
    kept = dataset.split != "student"
    photo_ids = other_dataset.photo_ids[kept]
    place = {photo: index for index, photo in enumerate(table.photos.tolist())}
    true = np.array([place[photo] for photo in photo_ids.tolist()])

    def ranks(top: np.ndarray, true: np.ndarray) -> np.ndarray:
        """Ranks that go with another true photo: its place among the nearest, or behind them."""
        here = top == true[:, None, None]
        return np.where(here.any(axis=-1), here.argmax(axis=-1) + 1, 6)

    other_table = replace(
        table,
        dataset_hash=other_dataset.hash,
        photo_ids=photo_ids,
        ranks=ranks(table.top, true),
        triplet=1.0 - table.triplet / 3,
    )
    other_prefixes = replace(
        prefixes,
        outcomes_hash=other_table.hash,
        ranks=ranks(prefixes.top, np.repeat(true, prefixes.steps)),
        triplet=(1.0 - prefixes.triplet / 3).astype(np.float32),
    )
    kwargs = {**strokes.kwargs, "dataset": other_dataset, "table": other_table, "prefixes": other_prefixes}
    mine = SketchCanvasStrokeEnv(**strokes.kwargs)  # type: ignore[arg-type]
    other = SketchCanvasStrokeEnv(**kwargs)  # type: ignore[arg-type]
    assert (mine.photo_ids != other.photo_ids).mean() > 0.5
    assert data_equivalence(every_state(mine, 7), every_state(other, 7), exact=True)
    assert play(mine, 0, [0, STOP])[-1][1] != play(other, 0, [0, STOP])[-1][1]


def test_pictures_show_the_drawing_so_far(strokes: Toy) -> None:
    env = SketchCanvasStrokeEnv(render_mode="rgb_array", **strokes.kwargs)  # type: ignore[arg-type]
    index = int(np.argmax(env.rules.steps))
    env.reset(options={"index": index})
    pictures = [env.render()]
    for action in (WAIT, 2, WAIT, STOP):
        env.step(np.int64(action))
        pictures.append(env.render())
    assert all(isinstance(picture, np.ndarray) and picture.dtype == np.uint8 for picture in pictures)
    left = [picture[:, :270] for picture in pictures]  # type: ignore[index, call-overload]
    assert [bool((a[:280] == b[:280]).all()) for a, b in pairwise(left)] == [
        False,
        True,
        False,
        True,
    ]

    env = SketchCanvasStrokeEnv(render_mode="ansi", **strokes.kwargs)  # type: ignore[arg-type]
    env.reset(options={"index": index})
    name = env.sketch_ids[index]
    assert env.render() == f"{env.rules.strokes[env.rules.first[index]]} strokes of sketch {name}: no canvas chosen yet"
    env.step(np.int64(1))
    assert str(env.render()).startswith(
        f"{env.rules.strokes[env.rules.first[index]]} strokes of sketch {name}: last look: canvas 32x32, rank "
    )


def test_the_line_has_total_cost_and_return(strokes: Toy) -> None:
    env = SketchCanvasStrokeEnv(render_mode="ansi", **strokes.kwargs)  # type: ignore[arg-type]
    env.reset(options={"index": int(np.argmax(env.rules.steps))})
    earned = sum(env.step(np.int64(action))[1] for action in (2, WAIT, 1))
    spent = (env.task.flops[2] + env.task.flops[1]) / 1e9
    line = str(env.render())
    assert "last look: canvas 32x32, rank " in line
    assert line.endswith(f"all looks: {spent:.4f} GFLOPs, return {earned:+.4f}")
    info = env.step(np.int64(STOP))[4]
    assert info["flops"] / 1e9 == pytest.approx(spent)
    assert str(env.render()).endswith(f"all looks: {spent:.4f} GFLOPs, return {info['return']:+.4f}")


# ---------------------------------------------------------------- episodes


def rollout(env: gym.Env, n: int, seed: int) -> list[Any]:
    """All results of n steps with fixed pseudo-random actions."""
    seen: list[Any] = [env.reset(seed=seed)]
    for action in np.random.default_rng(99).choice(6, p=[0.1, 0.1, 0.1, 0.1, 0.45, 0.15], size=n):
        seen.append(env.step(int(action)))
        if seen[-1][2]:
            seen.append(env.reset())
    return seen


def test_a_seed_fixes_everything(strokes: Toy) -> None:
    first, again, other = (rollout(gym.make(ENV_ID, **strokes.kwargs), 100, seed) for seed in (3, 3, 4))
    assert data_equivalence(first, again, exact=True)
    assert not data_equivalence(first, other, exact=True)


def test_the_sketches_of_a_seed_are_those_of_the_plain_environment(strokes: Toy) -> None:
    ours, plain = gym.make(ENV_ID, **strokes.kwargs), gym.make("SketchCanvas-v0", **strokes.kwargs)
    shown = [(ours.reset(seed=seed)[1], plain.reset(seed=seed)[1]) for seed in (7, *[None] * 20)]
    assert all(mine["sketch_index"] == theirs["sketch_index"] for mine, theirs in shown)


def test_it_survives_pickling_and_copying(strokes: Toy, env: SketchCanvasStrokeEnv) -> None:
    env.reset(seed=2)
    env.step(np.int64(2))
    for twin in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        assert twin.rules is env.rules
        mine = copy.deepcopy(env)
        for action in (0, WAIT, 1, STOP):
            assert data_equivalence(twin.step(action), mine.step(np.int64(action)), exact=True)
        assert data_equivalence(rollout(twin, 30, 1), rollout(mine, 30, 1), exact=True)


def test_returned_arrays_are_copies_of_the_environments(env: SketchCanvasStrokeEnv) -> None:
    actions = [0, WAIT, 2, STOP]
    index = int(np.argmax(env.rules.steps))
    kept = copy.deepcopy(play(env, index, actions))
    env.reset(options={"index": index})
    for action in actions:
        observation, _, _, _, info = env.step(np.int64(action))
        for array in (*observation.values(), *info.values()):
            if isinstance(array, np.ndarray):
                array[...] = 1
    assert data_equivalence(play(env, index, actions), kept, exact=True)


def test_step_needs_a_drawing(env: SketchCanvasStrokeEnv) -> None:
    for call in (lambda: env.step(np.int64(0)), env.action_masks):
        with pytest.raises(ResetNeeded, match="no sketch yet"):
            call()
    env.reset(seed=0)
    env.step(np.int64(STOP))
    with pytest.raises(ResetNeeded, match="this episode ended"):
        env.step(np.int64(0))


@pytest.mark.parametrize("action", [-1, 6, 1.0, True, "0", None, np.array([1])])
def test_an_invalid_action_is_refused_and_changes_nothing(env: SketchCanvasStrokeEnv, action: Any) -> None:
    env.reset(options={"index": 3})
    with pytest.raises(ValueError, match=r"out of range: 0 to 3 look at canvases|must be an integer"):
        env.step(action)
    assert data_equivalence(env.step(np.int64(1)), play(env, 3, [1])[-1], exact=True)


def test_maskable_ppo_takes_no_masked_action(strokes: Toy) -> None:
    class Watched(gym.Wrapper):
        taken = 0

        def action_masks(self) -> np.ndarray:
            return self.env.unwrapped.action_masks()  # type: ignore[attr-defined]

        def step(self, action: Any) -> Any:
            assert self.action_masks()[action]
            Watched.taken += 1
            return super().step(action)

    env = Watched(gym.make(ENV_ID, **strokes.kwargs))
    MaskablePPO("MultiInputPolicy", env, n_steps=128, batch_size=64, n_epochs=1, gamma=1.0, seed=0).learn(256)
    assert Watched.taken == 256


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stroke_cost": -0.1}, "not negative"),
        ({"stroke_cost": float("nan")}, "finite"),
        ({"stroke_cost": float("inf")}, "finite"),
        ({"stroke_cost": True}, "a number"),
        ({"stroke_cost": "0.1"}, "a number"),
        ({"prefixes": 3}, "path of a table of prefixes"),
        ({"prefixes": b"x"}, "path of a table of prefixes"),
        ({"tradeoff": 2.0}, "tradeoff"),
        ({"canvases": (16, 48)}, "no outcomes at canvas 48"),
        ({"split": "student"}, "unknown split"),
        ({"render_mode": "human"}, "render_mode"),
    ],
)
def test_invalid_arguments_are_refused(strokes: Toy, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SketchCanvasStrokeEnv(**{**strokes.kwargs, **changes})  # type: ignore[arg-type]


def test_missing_or_foreign_prefixes_are_refused(strokes: Toy, long_files: Files, tmp_path: Path) -> None:
    _, table, prefixes, _ = long_files
    alone = table.save(tmp_path / "alone.npz")
    with pytest.raises(FileNotFoundError, match=r"alone\.prefixes\.npz.*students\.tables\.prefixes"):
        SketchCanvasStrokeEnv(**{**strokes.kwargs, "table": str(alone)})  # type: ignore[arg-type]
    path = prefixes.save(tmp_path / "elsewhere.npz")
    env = SketchCanvasStrokeEnv(**{**strokes.kwargs, "table": str(alone), "prefixes": str(path)})  # type: ignore[arg-type]
    assert len(env.rules) == 36
    other = replace(prefixes, outcomes_hash="8" * 64)
    with pytest.raises(TableError, match="made for another outcome table"):
        SketchCanvasStrokeEnv(**{**strokes.kwargs, "prefixes": other})  # type: ignore[arg-type]
    two = replace(
        prefixes,
        canvases=prefixes.canvases[[0, 2]],
        **{name: getattr(prefixes, name)[:, [0, 2]] for name in ("ranks", "triplet", "top", "distances")},
    )
    with pytest.raises(ValueError, match="the prefixes have no canvas 32, 128, they have 16, 64"):
        SketchCanvasStrokeEnv(**{**strokes.kwargs, "prefixes": two})  # type: ignore[arg-type]
    env = SketchCanvasStrokeEnv(**{**strokes.kwargs, "prefixes": two, "canvases": (16, 64)})  # type: ignore[arg-type]
    assert env.action_space.n == 4  # type: ignore[attr-defined]
    # The same table of a data set whose drawings have other numbers of strokes.
    short = replace(long_dataset(), read_sketch=lambda row: VectorSketch(long_dataset().sketch(row).strokes[:2]))
    with pytest.raises(TableError, match="other numbers of strokes"):
        SketchCanvasStrokeEnv(**{**strokes.kwargs, "dataset": short})  # type: ignore[arg-type]


def test_a_subset_of_canvases_of_the_prefixes(strokes: Toy) -> None:
    env = SketchCanvasStrokeEnv(**strokes.kwargs)  # type: ignore[arg-type]
    some = SketchCanvasStrokeEnv(**{**strokes.kwargs, "canvases": (32, 128)})  # type: ignore[arg-type]
    for index in range(0, 36, 5):
        ours = play(some, index, [1, 2, 0, 3])[-1][-1]
        theirs = play(env, index, [3, WAIT, 1, STOP])[-1][-1]
        if env.rules.steps[index] > 1:
            assert [ours[name] for name in ("rank", "triplet", "canvas", "flops", "strokes")] == [
                theirs[name] for name in ("rank", "triplet", "canvas", "flops", "strokes")
            ]


def test_equal_arguments_share_a_task(strokes: Toy) -> None:
    first, second = (StrokeArguments(**strokes.kwargs).make() for _ in range(2))
    assert first is second
    other = StrokeArguments(**strokes.kwargs, stroke_cost=0.1).make()
    assert other is not first
    assert other.points is first.points
    for array in (first.points, first.stats, first.acc, first.top, first.signals, first.returns):
        assert not array.flags.writeable
