"""Several looks at one sketch: the rules, what they look up, and the environment for one sketch at a time.

What holds for every environment (checkers, seeds, pickling, specs) is tested in test_env.py over all of them.
"""

from __future__ import annotations

import copy
import doctest
import inspect
import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

from sketchcanvas_env.envs import cascade as env_module
from sketchcanvas_env.envs.canvas import SketchCanvasEnv
from sketchcanvas_env.envs.cascade import SketchCanvasCascadeEnv
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.finding import load_table
from sketchcanvas_env.outcomes.looks import look_features
from sketchcanvas_env.outcomes.reward import rank_of_true, triplet_loss
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.tasks.cascade import CascadeArguments, CascadeTask, Looks
from tests.helpers import TOY_CANVASES, TOY_FLOPS, TOY_MILLISECONDS, Toy, toy_distances, toy_looks

ENV_ID = "SketchCanvasCascade-v0"
K = len(TOY_CANVASES)
STOP = K
RANKINGS = ("last", "fused")


@pytest.fixture(params=RANKINGS)
def env(toy: Toy, request: pytest.FixtureRequest) -> SketchCanvasCascadeEnv:
    """An environment of each ranking in turn."""
    return make(toy, ranking=request.param)


def make(toy: Toy, **changes: Any) -> SketchCanvasCascadeEnv:
    return SketchCanvasCascadeEnv(**{**toy.kwargs, **changes})  # type: ignore[arg-type]


def make_task(toy: Toy, **changes: Any) -> CascadeTask:
    return CascadeArguments(**{**toy.kwargs, **changes}).make()


def play(env: SketchCanvasCascadeEnv, index: int, actions: Any) -> list[Any]:
    """The results of the steps of one episode."""
    env.reset(options={"index": index})
    return [env.step(action) for action in actions]


def orders(k: int) -> Iterator[tuple[int, ...]]:
    """Every order of every set of k canvases."""
    for size in range(1, k + 1):
        yield from permutations(range(k), size)


# ---------------------------------------------------------------- rewards


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize(("cost", "charged"), [("flops", TOY_FLOPS), ("latency", TOY_MILLISECONDS)])
def test_an_episode_recomputed_from_the_students_distances(
    toy: Toy, ranking: str, cost: str, charged: tuple[float, ...]
) -> None:
    tradeoff, w_rank, w_tri = 0.35, 1.5, 0.25
    weights = {"tradeoff": tradeoff, "rank_weight": w_rank, "triplet_weight": w_tri}
    env = make(toy, split="val", cost=cost, ranking=ranking, **weights)
    rows = np.flatnonzero(toy.table.split == "val")
    seen = [each for i, each in enumerate(toy_distances(toy.dataset)) if i in rows]
    span = max(charged) - min(charged)
    rng = np.random.default_rng(0)
    for index, (gallery, true, between) in enumerate(seen):
        looks = rng.permutation(K)[: rng.integers(0, K + 1)].tolist()
        *steps, last = play(env, index, [*looks, STOP])
        for look, (_, reward, terminated, truncated, info) in zip(looks, steps, strict=True):
            assert reward == pytest.approx(tradeoff * -charged[look] / span, abs=1e-12)
            assert (terminated, truncated) == (False, False)
            assert set(info) == {"sketch_index", "seen", "flops", "action_mask"}
        if looks:
            chosen = between[looks[-1:]] if ranking == "last" else between[looks]
            distance = np.sqrt((chosen.astype(np.float64) ** 2).mean(axis=0))
            rank = sum(d <= distance[true] + 1e-12 for d in distance)
            losses = np.maximum(0.0, 0.3 + distance[true] - np.delete(distance, true))
            triplet = float(losses.mean())
        else:
            rank, triplet = len(gallery), 0.3
        acc, comp = w_rank / rank - w_tri * triplet, -sum(charged[look] for look in looks) / span
        _, reward, terminated, truncated, info = last
        assert (terminated, truncated) == (True, False)
        assert reward == pytest.approx((1 - tradeoff) * acc, abs=1e-7)  # stored triplet losses are float32
        assert info["rank"] == rank
        assert info["triplet"] == pytest.approx(triplet, abs=1e-6)
        assert info["reward_vector"].tolist() == pytest.approx([acc, comp], abs=1e-7)
        assert info["reward_vector"] in env.reward_vector_space
        assert info["return"] == pytest.approx(tradeoff * comp + (1 - tradeoff) * acc, abs=1e-7)
        assert info["return"] == pytest.approx(sum(step[1] for step in [*steps, last]), abs=1e-12)
        assert info["seen"] == sum(1 << look for look in looks)
        assert info["canvas"] == (TOY_CANVASES[looks[-1]] if looks else 0)
        assert info["flops"] == sum(TOY_FLOPS[look] for look in looks)
        assert info["cost"] == sum(charged[look] for look in looks)
        assert info["sketch_index"] == index
        for bounded in (info["return"], *(step[1] for step in steps), reward):
            assert env.reward_range[0] <= bounded <= env.reward_range[1]


@pytest.mark.parametrize("tradeoff", [0.0, 0.2, 1.0])
def test_one_look_equals_the_one_shot_environment_bit_for_bit(
    toy: Toy, env: SketchCanvasCascadeEnv, tradeoff: float
) -> None:
    env = make(toy, tradeoff=tradeoff, ranking=env.rules.ranking)
    plain = SketchCanvasEnv(**toy.kwargs, tradeoff=tradeoff)  # type: ignore[arg-type]
    for index in range(len(plain.sketch_ids)):
        for action in range(K):
            plain.reset(options={"index": index})
            _, expected, _, _, told = plain.step(action)
            look, stop = play(env, index, [action, STOP])
            assert look[1] + stop[1] == stop[4]["return"] == expected
            for name in ("sketch_index", "canvas", "flops", "cost", "rank", "triplet"):
                assert stop[4][name] == told[name]
            assert stop[4]["reward_vector"].tolist() == told["reward_vector"].tolist()
            assert stop[4]["seen"] == 1 << action


def test_a_seed_shows_the_sketches_of_the_one_shot_environment(toy: Toy, env: SketchCanvasCascadeEnv) -> None:
    plain = SketchCanvasEnv(**toy.kwargs)  # type: ignore[arg-type]
    assert env.reset(seed=7)[1]["sketch_index"] == plain.reset(seed=7)[1]["sketch_index"]
    for _ in range(20):
        env.step(0)
        assert env.reset()[1]["sketch_index"] == plain.reset()[1]["sketch_index"]
    # A sketch that was asked for takes nothing from the stream.
    env.reset(options={"index": 3})
    assert env.reset()[1]["sketch_index"] == plain.reset()[1]["sketch_index"]


@pytest.mark.parametrize("tradeoff", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("weights", [(1.0, 0.1), (1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("canvases", [TOY_CANVASES, (32,)])
def test_no_reward_or_return_leaves_the_range(
    toy: Toy, tradeoff: float, weights: tuple[float, float], canvases: tuple[int, ...]
) -> None:
    for ranking in RANKINGS:
        task = make_task(
            toy,
            tradeoff=tradeoff,
            rank_weight=weights[0],
            triplet_weight=weights[1],
            canvases=canvases,
            ranking=ranking,
        )
        low, high = task.reward_range
        rows = np.repeat(np.arange(len(task)), len(task.nodes))
        seen, last = (np.tile(each, len(task)) for each in (task.node_seen, task.node_last))
        for action in range(len(canvases) + 1):
            reward = task.advance(Looks(rows, seen, last), np.full(len(rows), action)).reward
            assert (reward >= low).all()
            assert (reward <= high).all()
        assert (task.node_rewards >= low).all()
        assert (task.node_rewards <= high).all()


# ---------------------------------------------------------------- episodes


def test_a_repeated_look_counts_as_stopping(env: SketchCanvasCascadeEnv) -> None:
    for index, order in enumerate(orders(K)):
        again = order[index % len(order)]
        *_, stopped = play(env, index % 36, [*order, STOP])
        *_, repeated = play(env, index % 36, [*order, again])
        assert data_equivalence(stopped, repeated, exact=True)
        assert repeated[2]


def test_stopping_does_not_change_the_observation(env: SketchCanvasCascadeEnv) -> None:
    for order in orders(K):
        steps = play(env, 5, [*order, STOP])
        assert data_equivalence(steps[-1][0], steps[-2][0], exact=True)


def test_no_episode_is_longer_than_its_canvases_and_a_stop(env: SketchCanvasCascadeEnv) -> None:
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    lengths, length = [], 0
    for action in rng.integers(0, K + 1, 3000):
        _, _, terminated, truncated, _ = env.step(action)
        assert not truncated
        length += 1
        if terminated:
            lengths.append(length)
            length = 0
            env.reset()
    assert set(lengths) == set(range(1, K + 2))


def test_masks(env: SketchCanvasCascadeEnv) -> None:
    assert is_masking_supported(env)
    for order in orders(K):
        _, info = env.reset(options={"index": 1})
        assert info["action_mask"].tolist() == [1] * K + [0]
        for place, action in enumerate(order):
            info = env.step(action)[4]
            left = [int(j not in order[: place + 1]) for j in range(K)]
            assert info["action_mask"].tolist() == [*left, 1]
            assert info["action_mask"].dtype == np.int8
            masks = get_action_masks(env)
            assert masks.dtype == np.bool_
            assert masks.tolist() == [bool(each) for each in [*left, 1]]
            for _ in range(3):
                assert info["action_mask"][env.action_space.sample(mask=info["action_mask"])]  # type: ignore[call-arg]


def test_masked_episodes_end_by_stopping_never_by_a_repeated_look(env: SketchCanvasCascadeEnv) -> None:
    env.action_space.seed(0)
    _, info = env.reset(seed=0)
    for _ in range(500):
        action = env.action_space.sample(mask=info["action_mask"])  # type: ignore[call-arg]
        _, _, terminated, _, info = env.step(action)
        assert terminated == (action == STOP)
        if terminated:
            assert info["canvas"] > 0
            _, info = env.reset()


def test_stopping_without_a_look_ranks_the_true_photo_last(toy: Toy, env: SketchCanvasCascadeEnv) -> None:
    [(_, reward, terminated, _, info)] = play(env, 0, [STOP])
    assert terminated
    assert (info["rank"], info["triplet"], info["canvas"], info["seen"], info["flops"]) == (12, 0.3, 0, 0, 0.0)
    # As the rules have it where everything is at one distance.
    alike = np.full(12, 0.7)
    assert (rank_of_true(alike, 3), triplet_loss(alike, 3)) == (12, pytest.approx(0.3))
    assert reward == info["return"] == pytest.approx(0.8 * (1 / 12 - 0.1 * 0.3))
    # Where accuracy counts for nothing, nothing is better than any look.
    [(*_, info)] = play(make(toy, tradeoff=1.0, ranking=env.rules.ranking), 0, [STOP])
    assert info["return"] == 0.0 > info["oracle_return"]
    assert info["regret"] < 0.0


def test_the_order_of_looks(env: SketchCanvasCascadeEnv) -> None:
    for index in range(0, 36, 5):
        first, second = ((play(env, index, [*order, STOP])) for order in ((0, 2, 1), (2, 0, 1)))
        # The same looks, the same last: nothing differs after them.
        assert data_equivalence(first[-2:], second[-2:], exact=True)
        other = play(env, index, [1, 2, 0, STOP])
        assert np.array_equal(other[-1][0]["looks"], first[-1][0]["looks"])
        assert other[-1][0]["last"].tolist() == [1, 0, 0, 0]
        assert first[-1][0]["last"].tolist() == [0, 1, 0, 0]
        if env.rules.ranking == "fused":
            for name in ("rank", "triplet", "return", "flops"):
                assert other[-1][4][name] == first[-1][4][name]
        else:
            table = env.table
            assert table is not None
            assert (other[-1][4]["rank"], first[-1][4]["rank"]) == tuple(table.ranks[index, :2])


def test_step_needs_an_episode(env: SketchCanvasCascadeEnv) -> None:
    with pytest.raises(ResetNeeded, match="no sketch yet"):
        env.step(0)
    play(env, 0, [1, 1])
    with pytest.raises(ResetNeeded, match="this episode ended"):
        env.step(0)
    env.reset()
    env.step(0)


@pytest.mark.parametrize("action", [-1, 5, 10**20, 1.0, "1", None, True, np.array([1]), np.float32(1)])
def test_an_invalid_action_is_refused_and_changes_nothing(env: SketchCanvasCascadeEnv, action: Any) -> None:
    env.reset(options={"index": 3})
    env.step(0)
    message = r"out of range: 0 to 3 look at canvases 16, 32, 64, 128, 4 stops|must be an integer"
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert env.step(1)[4]["seen"] == 3


@pytest.mark.parametrize("index", [-1, 36, 1.0, "0", True])
def test_an_index_out_of_the_split_is_refused(env: SketchCanvasCascadeEnv, index: Any) -> None:
    with pytest.raises(ValueError, match="from 0 to 35"):
        env.reset(options={"index": index})


def test_a_copy_made_during_an_episode_continues_like_the_original(env: SketchCanvasCascadeEnv) -> None:
    env.reset(seed=4)
    env.step(2)
    for other in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        assert other.rules is env.rules
        here = copy.deepcopy(env)
        for action in (0, STOP):
            assert data_equivalence(other.step(action), here.step(action), exact=True)
        assert data_equivalence(other.reset(), here.reset(), exact=True)


# ---------------------------------------------------------------- observations


def test_the_observation_shows_the_looks_so_far(toy: Toy, env: SketchCanvasCascadeEnv) -> None:
    rows = np.flatnonzero(toy.table.split == "train")
    distances = toy_looks(toy.table).distances[rows]
    plain = SketchCanvasEnv(**toy.kwargs)  # type: ignore[arg-type]
    for index in range(0, 36, 3):
        strokes, _ = plain.reset(options={"index": index})
        order = np.random.default_rng(index).permutation(K).tolist()
        first, _ = env.reset(options={"index": index})
        shown = [first, *(step[0] for step in play(env, index, order))]
        for n, observation in enumerate(shown):
            seen = np.isin(np.arange(K), order[:n])
            expected = look_features(toy.table.top[rows[index]], distances[index], seen, np.array(TOY_FLOPS))
            assert np.array_equal(observation["looks"], expected)
            assert observation["last"].tolist() == [float(n > 0 and j == order[n - 1]) for j in range(K)]
            for name in ("points", "stats"):
                assert np.array_equal(observation[name], strokes[name])
            assert observation in env.observation_space


def test_confidence_is_observed_for_canvases_looked_at(toy: Toy) -> None:
    rows = np.flatnonzero(toy.table.split == "train")
    looks = toy_looks(toy.table)
    env, plain = make(toy, confidence=True, canvases=(16, 64, 128)), make(toy, canvases=(16, 64, 128))
    assert env.confidence_names[3:6] == ("confidence_64", "entropy_64", "apart_64")
    assert looks.confidence is not None
    assert looks.entropy is not None
    assert looks.apart is not None
    for index in range(0, 36, 4):
        for order in orders(3):
            *_, (shown, *_) = play(env, index, order)
            *_, (without, *_) = play(plain, index, order)
            at = rows[index]
            expected = [
                float(own[at, column]) if j in order else 0.0
                for j, column in enumerate((0, 2, 3))
                for own in (looks.confidence, looks.entropy, looks.apart)
            ]
            assert shown["confidence"].tolist() == expected
            assert shown in env.observation_space
            del shown["confidence"]
            assert data_equivalence(shown, without, exact=True)


def test_looks_without_confidence_are_refused_with_a_hint(toy: Toy) -> None:
    bare = toy_looks(toy.table, temperatures=None, confidence=None, entropy=None, apart=None)
    make(toy, looks=bare)
    with pytest.raises(
        ValueError, match=r"without confidence: build them anew with 'sketchcanvas tabulate .* --looks'"
    ):
        make(toy, looks=bare, confidence=True)
    with pytest.raises(ValueError, match="confidence must be True or False"):
        make(toy, confidence="yes")


@pytest.mark.parametrize("ranking", RANKINGS)
def test_the_true_photo_affects_nothing_before_the_end(toy: Toy, ranking: str) -> None:
    """Observations and infos before the end are equal for other true photos, ranks and losses."""
    dataset, seen = toy.dataset, list(toy_distances(toy.dataset))
    ids = dataset.photo_ids.copy()
    for split in ("train", "val", "test"):
        rows = np.flatnonzero(dataset.split == split)
        gallery = dataset.gallery(split)
        renamed = dict(zip(gallery.tolist(), np.roll(gallery, 3).tolist(), strict=True))
        ids[rows] = [renamed[photo] for photo in ids[rows].tolist()]
    other = replace(dataset, photo_ids=ids, hash="d" * 64)
    kept = np.flatnonzero(dataset.split != "student")
    true = [gallery.index(str(photo)) for (gallery, _, _), photo in zip(seen, ids[kept], strict=True)]
    between = [each for _, _, each in seen]
    table = replace(
        toy.table,
        dataset_hash=other.hash,
        photo_ids=ids[kept],
        ranks=np.stack([rank_of_true(d, t) for d, t in zip(between, true, strict=True)]),
        triplet=np.stack([triplet_loss(d, t) for d, t in zip(between, true, strict=True)]),
        distances=np.stack([d[:, t] for d, t in zip(between, true, strict=True)]),
    )
    looks = toy_looks(toy.table)
    rng = np.random.default_rng(0)
    looks = replace(
        looks,
        outcomes_hash=table.hash,
        fused_ranks=rng.integers(1, 8, looks.fused_ranks.shape),
        fused_triplet=rng.uniform(0, 2, looks.fused_triplet.shape),
    )
    changed = {**toy.kwargs, "dataset": other, "table": table, "looks": looks}
    envs = [make(toy, ranking=ranking), SketchCanvasCascadeEnv(**changed, ranking=ranking)]  # type: ignore[arg-type]
    differ = 0
    for index in range(36):
        assert envs[0].photo_ids[index] != envs[1].photo_ids[index]
        starts = [env.reset(options={"index": index}) for env in envs]
        assert data_equivalence(*starts, exact=True)
        for order in ((0, 1, 2, 3), (3, 1), (2,)):
            one, two = (play(env, index, [*order, STOP]) for env in envs)
            for (here, _, _, _, told), (there, _, _, _, also_told) in zip(one[:-1], two[:-1], strict=True):
                assert data_equivalence(here, there, exact=True)
                assert data_equivalence(told, also_told, exact=True)
            assert data_equivalence(one[-1][0], two[-1][0], exact=True)
            differ += one[-1][4]["return"] != two[-1][4]["return"]
    # It is another task, all the same.
    assert differ > 80


# ---------------------------------------------------------------- nodes and the oracle


def test_names_of_the_nodes(toy: Toy) -> None:
    canvases = (16, 32, 64)
    last, fused = (make_task(toy, canvases=canvases, ranking=ranking) for ranking in RANKINGS)
    assert last.nodes == (
        "16", "32", "64", "32>16", "16>32", "64>16", "16>64", "64>32", "32>64",
        "32+64>16", "16+64>32", "16+32>64",
    )  # fmt: skip
    assert fused.nodes == ("16", "32", "64", "16+32", "16+64", "32+64", "16+32+64")
    assert last.node_flops.tolist() == [1e6, 4e6, 16e6, 5e6, 5e6, 17e6, 17e6, 20e6, 20e6, 21e6, 21e6, 21e6]
    assert fused.node_seen.tolist() == [1, 2, 4, 3, 5, 6, 7]
    assert fused.node_last.tolist() == [0, 1, 2, -1, -1, -1, -1]


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize(("cost", "tradeoff"), [("flops", 0.3), ("latency", 0.6), ("flops", 0.0)])
def test_nodes_are_the_endings_of_episodes_and_the_oracle_is_their_best(
    toy: Toy, ranking: str, cost: str, tradeoff: float
) -> None:
    env = make(toy, split="val", ranking=ranking, cost=cost, tradeoff=tradeoff)
    task = env.rules
    reached = set()
    for index in range(0, len(task), 3):
        returns = {}
        for order in orders(K):
            steps = play(env, index, [*order, STOP])
            info = steps[-1][4]
            [node] = task.node_of(np.array([info["seen"]]), np.array([order[-1]])).tolist()
            assert task.node_seen[node] == info["seen"]
            assert task.node_rewards[index, node] == info["return"]
            assert task.node_rewards[index, node] == pytest.approx(sum(step[1] for step in steps), abs=1e-12)
            assert task.node_ranks[index, node] == info["rank"]
            assert task.node_flops[node] == info["flops"]
            assert task.node_costs[node] == info["cost"]
            assert info["regret"] >= 0.0
            assert info["oracle_return"] - info["regret"] == pytest.approx(info["return"], abs=1e-12)
            returns[node] = info["return"]
            reached.add(node)
        best = max(returns.values())
        assert info["oracle_return"] == task.oracle_returns[index] == best
    assert reached == set(range(len(task.nodes)))
    assert task.node_of(np.array([0]), np.array([-1])).tolist() == [-1]


@pytest.mark.parametrize("tradeoff", [0.0, 0.2, 0.99])
def test_the_oracle_looks_once(toy: Toy, tradeoff: float) -> None:
    last, fused = (make_task(toy, tradeoff=tradeoff, ranking=ranking) for ranking in RANKINGS)
    known = last.task.lookup
    assert known is not None
    assert np.array_equal(last.oracle_returns, known.rewards.max(axis=1))
    # Fused looks are other answers, and now and then better ones.
    assert (fused.oracle_returns >= last.oracle_returns).all()
    assert (fused.oracle_returns > last.oracle_returns).any() == (tradeoff < 0.5)


def test_the_oracle_does_not_depend_on_blocks(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_task(toy, ranking="fused", tradeoff=0.11)
    monkeypatch.setattr("sketchcanvas_env.tasks.cascade._BLOCK", 50)
    pieces = replace(whole)
    assert np.array_equal(pieces.oracle_returns, whole.oracle_returns)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranking": "first"}, "unknown ranking 'first': there are last, fused"),
        ({"ranking": None}, "unknown ranking"),
        ({"looks": 5}, "looks must be the path of a table of looks, got int"),
        ({"looks": b"x"}, "looks must be the path"),
        ({"split": "dev"}, "train, val, test"),
        ({"tradeoff": 2}, "tradeoff"),
        ({"canvases": (16, 48)}, "canvas 48"),
        ({"cost": "joules"}, "flops, latency"),
        ({"render_mode": "human"}, "rgb_array, ansi"),
    ],
)
def test_invalid_arguments_are_refused(toy: Toy, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(toy, **changes)


def test_missing_or_foreign_looks_are_refused(toy: Toy, tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        make(toy, looks=str(tmp_path / "nothing.npz"))
    with pytest.raises(FileNotFoundError, match="--looks"):
        make(toy, table=str(toy.table.save(tmp_path / "alone.npz")))
    with pytest.raises(ValueError, match="another outcome table"):
        make(toy, looks=toy_looks(toy.table, outcomes_hash="a" * 64))
    with pytest.raises(TypeError, match="retriever"):
        make_task(toy, retriever=object())


def test_looks_as_an_object_or_by_path(toy: Toy, tmp_path: Any) -> None:
    looks = toy_looks(toy.table)
    elsewhere = looks.save(tmp_path / "elsewhere.npz")
    expected = make_task(toy, ranking="fused")
    for given in (looks, str(elsewhere), elsewhere):
        task = make_task(toy, ranking="fused", looks=given)
        assert np.array_equal(task.node_rewards, expected.node_rewards)
        assert np.array_equal(task.signals, expected.signals)
        assert task is make_task(toy, ranking="fused", looks=given)
    assert np.array_equal(pickle.loads(pickle.dumps(task)).node_rewards, expected.node_rewards)


def test_sets_of_canvases_without_a_fused_ranking_are_refused(toy: Toy) -> None:
    looks = toy_looks(toy.table)
    kept = looks.fused_of != 0b0110
    fewer = replace(
        looks, fused_of=looks.fused_of[kept], fused_ranks=looks.fused_ranks[:, kept],
        fused_triplet=looks.fused_triplet[:, kept],
    )  # fmt: skip
    with pytest.raises(ValueError, match="no fused ranking of canvases 32, 64"):
        make_task(toy, looks=fewer, ranking="fused")
    # Nobody asks for it.
    make_task(toy, looks=fewer, ranking="fused", canvases=(16, 64, 128))
    make_task(toy, looks=fewer, ranking="last")


@pytest.mark.parametrize("ranking", RANKINGS)
def test_a_subset_of_canvases_equals_its_part_of_the_whole(toy: Toy, ranking: str) -> None:
    whole = make_task(toy, tradeoff=0.0, ranking=ranking)
    for columns in ((0, 2, 3), (1, 3), (2,)):
        canvases = [TOY_CANVASES[column] for column in columns]
        part = make_task(toy, tradeoff=0.0, ranking=ranking, canvases=canvases)
        where = [whole.nodes.index(name) for name in part.nodes]
        assert np.array_equal(part.node_ranks, whole.node_ranks[:, where])
        assert np.array_equal(part.node_rewards, whole.node_rewards[:, where])
        names = [whole.look_names.index(name) for name in part.look_names]
        assert np.array_equal(part.signals, whole.signals[:, names])
        check_env(gym.make(ENV_ID, **{**toy.kwargs, "canvases": canvases, "ranking": ranking}).unwrapped)


def test_at_most_eight_canvases(toy: Toy) -> None:
    rng = np.random.default_rng(0)
    table = load_table("emoji")
    env = SketchCanvasCascadeEnv(canvases=table.canvases.tolist(), split="val", max_points=10)
    assert len(env.rules.nodes) == 8 * 2**7
    assert env.observation_space["looks"].shape == (8 * 7 + 28 * 2 + 1,)  # type: ignore[index]
    for index in range(5):
        order = rng.permutation(8).tolist()
        assert play(env, index, [*order, 8])[-1][4]["rank"] == table.select("val").ranks[index, order[-1]]
    more = many_canvases(toy.table, 9)
    looks = toy_looks(
        more, distances=np.full((len(more), 9, TOP), 2.0), fused_of=np.zeros(0, int),
        fused_ranks=np.zeros((len(more), 0), int), fused_triplet=np.zeros((len(more), 0)),
    )  # fmt: skip
    with pytest.raises(ValueError, match="at most 8 canvases"):
        CascadeArguments(dataset=toy.dataset, table=more, looks=looks, canvases=more.canvases.tolist()).make()


def many_canvases(table: OutcomeTable, k: int) -> OutcomeTable:
    """A table with k copies of the first canvas."""
    columns = {
        name: np.repeat(getattr(table, name)[:, :1], k, axis=1) for name in ("ranks", "distances", "triplet", "top")
    }
    return replace(table, canvases=16 + np.arange(k), flops=np.arange(1.0, k + 1), milliseconds=None, **columns)


# ---------------------------------------------------------------- pictures


def test_the_picture_shows_the_last_look(toy: Toy) -> None:
    ours = make(toy, render_mode="rgb_array")
    plain = SketchCanvasEnv(**toy.kwargs, render_mode="rgb_array")  # type: ignore[arg-type]
    with pytest.raises(ResetNeeded):
        ours.render()
    for env in (ours, plain):
        env.reset(options={"index": 2})
    assert np.array_equal(ours.render(), plain.render())  # type: ignore[arg-type]
    first = ours.step(1) and ours.render()
    second = ours.step(3) and ours.render()
    assert isinstance(first, np.ndarray)
    assert not np.array_equal(first, second)  # type: ignore[arg-type]
    # Stopping changes what was earned, which stands below, and nothing else.
    stopped = ours.step(STOP) and ours.render()
    assert np.array_equal(second[:-30], stopped[:-30])  # type: ignore[index, call-overload]
    assert not np.array_equal(second, stopped)  # type: ignore[arg-type]


@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_the_line_has_total_cost_and_return(toy: Toy, cost: str) -> None:
    env = make(toy, render_mode="ansi", cost=cost)
    table = env.table
    assert table is not None
    for _ in range(2):  # the second episode begins anew
        env.reset(options={"index": 2})
        earned = env.step(1)[1] + env.step(3)[1]
        spent = f"{(table.flops[1] + table.flops[3]) / 1e9:.4f} GFLOPs, "
        if cost == "latency":
            spent += f"{table.milliseconds[1] + table.milliseconds[3]:.2f} ms, "  # type: ignore[index]
        start = f"last look: canvas 128x128, rank {table.ranks[2, 3]} of 12, all looks: {spent}return "
        assert str(env.render()).endswith(f"{start}{earned:+.4f}")
        _, last, _, _, info = env.step(STOP)
        assert info["return"] == pytest.approx(earned + last)
        assert str(env.render()).endswith(f"{start}{info['return']:+.4f}")


def test_without_a_render_mode_there_is_a_warning(env: SketchCanvasCascadeEnv) -> None:
    env.reset()
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


# ---------------------------------------------------------------- shipped, and documented


@pytest.mark.parametrize(
    ("ranking", "index", "order", "rank", "gflops", "total"),
    [
        ("last", 0, (1, 2), 1, 0.246320128, 0.735757385),
        ("last", 1399, (2,), 3, 0.1965056, 0.214411533),
        ("fused", 1399, (0, 1, 3), 7, 0.846226176, -0.107344498),
    ],
)
def test_recorded_numbers(
    ranking: str, index: int, order: tuple[int, ...], rank: int, gflops: float, total: float
) -> None:
    env = SketchCanvasCascadeEnv(ranking=ranking)
    info = play(env, index, [*order, 4])[-1][4]
    assert info["rank"] == rank
    assert info["flops"] / 1e9 == pytest.approx(gflops, abs=1e-9)
    assert info["return"] == pytest.approx(total, abs=1e-6)


def page() -> str:
    return SketchCanvasCascadeEnv.__doc__ or ""


def test_the_docstring_is_the_documentation_page() -> None:
    sections = [line.strip()[3:] for line in page().splitlines() if line.strip().startswith("## ")]
    fixed = [
        "Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End", "Arguments",
        "Vectorized environment", "Version History",
    ]  # fmt: skip
    assert [name for name in sections if name in fixed] == fixed
    assert "Use gamma = 1" in page()


def test_the_default_arguments_are_those_of_the_docstring() -> None:
    def defaults(of: type) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in inspect.signature(of).parameters.items()}

    ours, plain = defaults(SketchCanvasCascadeEnv), defaults(SketchCanvasEnv)
    del plain["retriever"], plain["preferences"]
    assert ours == {**plain, "dataset": "emoji", "ranking": "last", "looks": None, "confidence": False}
    for name, value in ours.items():
        assert f'{name}="{value}"' in page() or f"{name}={value}" in page()


def test_examples_in_the_docstrings() -> None:
    result = doctest.testmod(env_module)
    assert result.failed == 0
    assert result.attempted > 0
