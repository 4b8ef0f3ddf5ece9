"""Runs depend on their settings alone: seeds, budgets, interruptions, discount factors."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from agents.algorithms import registry as algorithms
from agents.algorithms.common.curves import Curve
from agents.algorithms.common.training import Run, TrainConfig, env_seed, first_selector, replay
from agents.evaluation.evaluate import evaluate
from agents.evaluation.setting import EnvConfig
from agents.selectors import policy
from students.store import checkpoint
from tests.agents.support import BANDITS, EVERY, OFF_POLICY, ON_POLICY, learnt, small, takes, weights
from tests.helpers import Toy

RESUMABLE = tuple(name for name in EVERY if name not in OFF_POLICY)

each_algorithm = pytest.mark.parametrize("algorithm", EVERY)
each_resumable = pytest.mark.parametrize("algorithm", RESUMABLE)
each_selector = pytest.mark.parametrize("selector", ["stats", "gru"])
each_pair = pytest.mark.parametrize(
    ("algorithm", "selector"),
    [
        *((name, "linear" if name in BANDITS else "stats") for name in EVERY),
        *((name, "gru") for name in ("reinforce", "ppo", "dqn")),
    ],
)


def sized(selector: str) -> dict[str, Any]:
    """Settings of a small network of a kind."""
    return {"selector": selector, "hidden": None if selector == "linear" else 8}


def with_lr(algorithm: str, **settings: Any) -> dict[str, Any]:
    """These settings, which are about the learning rate, for an algorithm that has one."""
    return settings if takes(algorithm, "lr") else {}


class StoppedError(Exception):
    """Stands for whatever ends a run too early."""


def stop_at(steps: int) -> Callable[[int], None]:
    """A progress function that ends the run once so many steps are done."""

    def watch(done: int) -> None:
        if done >= steps:
            raise StoppedError

    return watch


# ---------------------------------------------------------------- seeds


@each_pair
def test_equal_settings_give_equal_weights(toy_env: EnvConfig, algorithm: str, selector: str) -> None:
    config = small(algorithm, toy_env, **sized(selector))
    one = algorithms.train_run(config)
    # What the process did in between must not matter.
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    two = algorithms.train_run(small(algorithm, toy_env, **sized(selector)))
    assert weights(one.selector) == weights(two.selector)
    assert not one.selector.training
    assert all(parameter.requires_grad for parameter in one.selector.parameters())


@each_pair
def test_another_seed_gives_other_weights(toy_env: EnvConfig, algorithm: str, selector: str) -> None:
    runs = [algorithms.train_run(small(algorithm, toy_env, **sized(selector), seed=seed)) for seed in (0, 1)]
    first, second = (learnt(run.selector) for run in runs)
    assert all(first[name] != second[name] for name in first)


@pytest.mark.parametrize(
    ("algorithm", "selector"),
    [
        *((name, "linear" if name in BANDITS else "stats") for name in EVERY),
        # TRPO goes by the names of weights and differentiates twice.
        *(("trpo", name) for name in ("gru", "conv", "transformer", "linear")),
    ],
)
def test_training_changes_every_weight(toy_env: EnvConfig, algorithm: str, selector: str) -> None:
    settings = {**sized(selector), **with_lr(algorithm, anneal=False)}
    short, long = (algorithms.train_run(small(algorithm, toy_env, total_steps=n, **settings)) for n in (64, 96))
    before, after = learnt(short.selector), learnt(long.selector)
    assert all(before[name] != after[name] for name in before)


def test_every_algorithm_starts_from_the_same_network(toy_env: EnvConfig) -> None:
    # At a learning rate that moves nothing, what is left is the start. A bandit has no start.
    for name in (name for name in EVERY if name not in BANDITS):
        config = small(name, toy_env, lr=1e-30, seed=3, **({"target_kl": 1e-30} if name == "trpo" else {}))
        start = first_selector(config, toy_env.make_vec(1)).state_dict()
        for key, tensor in algorithms.train_run(config).selector.state_dict().items():
            assert torch.allclose(tensor, start[key], rtol=0.0, atol=1e-20), (name, key)


@each_selector
def test_the_start_follows_the_seed(toy_env: EnvConfig, selector: str) -> None:
    env = toy_env.make_vec(1)

    def start(seed: int) -> dict[str, bytes]:
        return learnt(first_selector(small("reinforce", toy_env, selector=selector, seed=seed), env))

    before = torch.get_rng_state()
    first, again, other = start(0), start(0), start(1)
    assert first == again
    # Only the head's bias starts at zero whatever the seed.
    assert {name for name in first if first[name] == other[name]} == {"head.bias"}
    assert torch.equal(torch.get_rng_state(), before)


@each_algorithm
def test_global_generators_are_left_alone(toy_env: EnvConfig, algorithm: str) -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(1))

    def seeded() -> None:
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)

    seeded()
    expected = draws()
    seeded()
    algorithms.train_run(small(algorithm, toy_env))
    assert draws() == expected


@each_algorithm
def test_threads_are_pinned_and_put_back(toy_env: EnvConfig, algorithm: str) -> None:
    seen: list[int] = []
    before = torch.get_num_threads()
    algorithms.train_run(
        small(algorithm, toy_env, threads=2), on_progress=lambda _: seen.append(torch.get_num_threads())
    )
    assert set(seen) == {2}
    assert torch.get_num_threads() == before


def test_runs_of_neighbouring_seeds_see_different_sketches(toy_env: EnvConfig) -> None:
    # Seeds 0 and 1 handed on as they are would give sub-environments 1 to 31 of the one to the other.
    env = toy_env.make_vec(32)
    seen = [env.reset(seed=env_seed(seed))[1]["sketch_index"].tolist() for seed in (0, 1)]
    assert seen[0][1:] != seen[1][:-1]
    assert env_seed(0) != env_seed(1)


# ---------------------------------------------------------------- budgets


@each_algorithm
@pytest.mark.parametrize("updates", [1, 5])
def test_budgets_are_spent_exactly(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, algorithm: str, updates: int
) -> None:
    from sketchcanvas_env.envs.canvas import SketchCanvasVectorEnv

    taken: list[int] = []
    step = SketchCanvasVectorEnv.step

    def counting(self: SketchCanvasVectorEnv, actions: Any) -> Any:
        taken.append(len(actions))
        return step(self, actions)

    monkeypatch.setattr(SketchCanvasVectorEnv, "step", counting)
    reported: list[int] = []
    run = algorithms.train_run(small(algorithm, toy_env, total_steps=32 * updates), on_progress=reported.append)
    assert run.steps == sum(taken) == 32 * updates
    assert reported == [32 * (i + 1) for i in range(updates)]
    assert run.seconds > 0


def test_ppo_spends_rollouts_of_several_steps_exactly(toy_env: EnvConfig) -> None:
    reported: list[int] = []
    config = small("ppo", toy_env, n_steps=4, total_steps=384)
    assert algorithms.train_run(config, on_progress=reported.append).steps == 384
    assert reported == list(range(32, 385, 32))


@each_algorithm
@pytest.mark.parametrize(
    ("total_steps", "advice"),
    [(100, "take 96 or 128 instead of 100"), (31, "take 32 instead of 31"), (33, "take 32 or 64")],
)
def test_budgets_that_cannot_be_spent_exactly_are_refused(
    toy_env: EnvConfig, algorithm: str, total_steps: int, advice: str
) -> None:
    with pytest.raises(ValueError, match=advice):
        small(algorithm, toy_env, total_steps=total_steps)


def test_ppo_counts_whole_rollouts(toy_env: EnvConfig) -> None:
    with pytest.raises(ValueError, match=r"multiple of the 128 steps of one update.*take 128 or 256"):
        small("ppo", toy_env, n_steps=4, total_steps=160)


# ---------------------------------------------------------------- interruptions


@pytest.mark.parametrize(
    ("algorithm", "selector", "every", "stop", "n_envs"),
    [
        *(
            pytest.param(name, selector, *numbers, id=f"{name}-{selector}-{when}")
            for name in ("reinforce", "ppo")
            for selector in ("stats", "gru")
            for when, numbers in {
                "at a checkpoint": (64, 128, 32),
                "after a checkpoint": (64, 160, 32),
                "checkpoints all the time": (1, 96, 32),
                "checkpoints between two updates": (50, 144, 16),
            }.items()
        ),
        *((name, "linear" if name in BANDITS else "stats", 50, 144, 16) for name in RESUMABLE),
    ],
)
def test_a_resumed_run_equals_one_that_never_stopped(
    toy_env: EnvConfig, tmp_path: Path, algorithm: str, selector: str, every: int, stop: int, n_envs: int
) -> None:
    config = small(algorithm, toy_env, **sized(selector), total_steps=256, num_envs=n_envs)
    whole = algorithms.train_run(config)
    path = tmp_path / "deep" / "run.safetensors"
    with pytest.raises(StoppedError):
        algorithms.train_run(config, checkpoint=path, checkpoint_every=every, on_progress=stop_at(stop))
    # Elsewhere, another day: nothing of the process is left but the file.
    torch.manual_seed(1234)
    np.random.seed(1234)
    reported: list[int] = []
    resumed = algorithms.train_run(
        config, checkpoint=path, checkpoint_every=every, resume=True, on_progress=reported.append
    )
    assert weights(resumed.selector) == weights(whole.selector)
    assert resumed.steps == whole.steps == 256
    # It went on from the middle; it did not start anew.
    assert 0 < reported[0] - n_envs < 256
    assert reported[-1] == 256


@each_resumable
def test_a_run_may_be_interrupted_twice(toy_env: EnvConfig, tmp_path: Path, algorithm: str) -> None:
    config = small(algorithm, toy_env, total_steps=320)
    path = tmp_path / "run.safetensors"
    for stop, resume in ((128, False), (224, True)):
        with pytest.raises(StoppedError):
            algorithms.train_run(config, checkpoint=path, checkpoint_every=32, resume=resume, on_progress=stop_at(stop))
    resumed = algorithms.train_run(config, checkpoint=path, checkpoint_every=32, resume=True)
    assert weights(resumed.selector) == weights(algorithms.train_run(config).selector)


def test_ppo_resumes_between_rollouts_of_several_steps(toy_env: EnvConfig, tmp_path: Path) -> None:
    config = small("ppo", toy_env, n_steps=4, total_steps=512)
    path = tmp_path / "run.safetensors"
    with pytest.raises(StoppedError):
        algorithms.train_run(config, checkpoint=path, checkpoint_every=100, on_progress=stop_at(300))
    resumed = algorithms.train_run(config, checkpoint=path, checkpoint_every=100, resume=True)
    assert weights(resumed.selector) == weights(algorithms.train_run(config).selector)


@pytest.mark.parametrize("algorithm", ["reinforce", "ppo"])
def test_the_log_of_a_resumed_run_is_that_of_one_that_never_stopped(
    toy_env: EnvConfig, tmp_path: Path, algorithm: str
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def rows(folder: Path) -> list[tuple[int, float]]:
        events = EventAccumulator(str(folder))
        events.Reload()
        return [(row.step, row.value) for row in events.Scalars("batch/reward")]

    config = small(algorithm, toy_env, log_every=1, total_steps=320)
    algorithms.train_run(config, logdir=tmp_path / "whole")
    parts = tmp_path / "parts"
    hooks: dict[str, Any] = {"checkpoint": tmp_path / "run.safetensors", "checkpoint_every": 96, "logdir": parts}
    with pytest.raises(StoppedError):
        algorithms.train_run(config, on_progress=stop_at(192), **hooks)
    assert rows(parts)[-1][0] > 96  # there is something to write anew
    # TensorBoard reads files by their names, which hold the second.
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.01)
    algorithms.train_run(config, resume=True, **hooks)
    assert len(rows(parts)) > 4
    assert rows(parts) == rows(tmp_path / "whole")


@each_algorithm
def test_what_watches_a_run_does_not_change_it(toy_env: EnvConfig, tmp_path: Path, algorithm: str) -> None:
    config = small(algorithm, toy_env)
    checkpoint = tmp_path / "run.safetensors" if algorithm in RESUMABLE else None
    curve = Curve(toy_env, every=64)
    watched = algorithms.train_run(
        config,
        on_progress=lambda _: None,
        logdir=tmp_path / "log",
        checkpoint=checkpoint,
        checkpoint_every=1,
        curve=curve,
    )
    assert weights(watched.selector) == weights(algorithms.train_run(config).selector)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", *(["run.safetensors"] if checkpoint else [])]
    # The last point is that of the selector that is kept.
    assert [point.steps for point in curve.points] == [64, 128]
    assert [point.seconds for point in curve.points] == sorted(point.seconds for point in curve.points)
    assert curve.points[-1].reward == val_reward(watched.selector, toy_env)


@pytest.mark.parametrize("algorithm", ["reinforce", "ppo", "trpo", "linucb"])
def test_a_curve_shows_what_a_shorter_run_would_have_been(toy_env: EnvConfig, algorithm: str) -> None:
    settings = with_lr(algorithm, anneal=False)
    curve = Curve(toy_env, every=64)
    algorithms.train_run(small(algorithm, toy_env, **settings), curve=curve)
    half = algorithms.train_run(small(algorithm, toy_env, total_steps=64, **settings))
    assert curve.points[0].reward == val_reward(half.selector, toy_env)


def val_reward(selector: Any, env: EnvConfig) -> float:
    """Mean reward of the greedy canvases on val."""
    actions = policy.actions_of(selector, env.task("val"))
    return evaluate(env.outcomes("val"), actions, resamples=10, **env.reward_weights()).reward


def test_replaying_finds_the_place_in_the_stream(toy_env: EnvConfig) -> None:
    env, rng = toy_env.make_vec(7), np.random.default_rng(0)
    obs, batch = env.reset(seed=env_seed(4))
    for steps in range(5):
        again, info = replay(toy_env.make_vec(7), 4, steps)
        assert all(np.array_equal(obs[name], again[name]) for name in obs)
        assert np.array_equal(batch["sketch_index"], info["sketch_index"])
        obs, _, _, _, batch = env.step(rng.integers(0, 4, 7))


# ---------------------------------------------------------------- what cannot be resumed


def interrupted(algorithm: str, env: EnvConfig, path: Path, **changes: Any) -> TrainConfig:
    """Settings of a run that left a checkpoint behind."""
    config = small(algorithm, env, **changes)
    with pytest.raises(StoppedError):
        algorithms.train_run(config, checkpoint=path, checkpoint_every=32, on_progress=stop_at(96))
    return config


@each_resumable
def test_a_checkpoint_of_other_settings_is_refused(
    toy: Toy, toy_env: EnvConfig, tmp_path: Path, algorithm: str
) -> None:
    path = tmp_path / "run.safetensors"
    interrupted(algorithm, toy_env, path)
    other = small(algorithm, toy_env, seed=7, log_every=3)
    with pytest.raises(ValueError, match=r"other settings: log_every, seed differ"):
        algorithms.train_run(other, checkpoint=path, resume=True)
    elsewhere = EnvConfig(**{**toy.kwargs, "tradeoff": 0.3})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="env differ"):
        algorithms.train_run(small(algorithm, elsewhere), checkpoint=path, resume=True)


def test_a_checkpoint_of_another_algorithm_is_refused(toy_env: EnvConfig, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    interrupted("reinforce", toy_env, path)
    with pytest.raises(ValueError, match="algorithm"):
        algorithms.train_run(small("ppo", toy_env), checkpoint=path, resume=True)


@pytest.mark.parametrize("algorithm", OFF_POLICY)
def test_checkpoints_of_a_replay_buffer_are_refused_before_any_work(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, algorithm: str
) -> None:
    monkeypatch.setattr(EnvConfig, "make_vec", None)
    for settings in ({"checkpoint": tmp_path / "x"}, {"resume": True}):
        with pytest.raises(ValueError, match=f"{algorithm} cannot go on from a checkpoint: its replay buffer"):
            algorithms.train_run(small(algorithm, toy_env), **settings)  # type: ignore[arg-type]


@each_resumable
def test_contradicting_checkpoint_settings_are_refused(toy_env: EnvConfig, tmp_path: Path, algorithm: str) -> None:
    config = small(algorithm, toy_env)
    with pytest.raises(ValueError, match="which checkpoint"):
        algorithms.train_run(config, resume=True)
    with pytest.raises(ValueError, match="checkpoint_every must be at least 1 step, got 0"):
        algorithms.train_run(config, checkpoint=tmp_path / "x", checkpoint_every=0)
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        algorithms.train_run(config, checkpoint=tmp_path / "nothing", resume=True)


def test_files_that_are_no_checkpoints_are_refused(toy_env: EnvConfig, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    config = interrupted("reinforce", toy_env, path)
    whole = path.read_bytes()
    for name, damaged in (("empty", b""), ("cut", whole[:-20]), ("noise", b"\xff" * 500)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is not a checkpoint"):
            algorithms.train_run(config, checkpoint=path, resume=True)
        assert path.read_bytes() == damaged, name
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="is not a checkpoint of this version"):
        algorithms.train_run(config, checkpoint=path, resume=True)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "nothing", {})


def test_a_checkpoint_is_plain_tensors_and_json(toy_env: EnvConfig, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    config = interrupted("ppo", toy_env, path)
    tensors = load_file(path)
    _, state = checkpoint.load(path, config.to_json())
    assert state["steps"] == 64
    assert state["config"] == json.loads(json.dumps(config.to_json()))
    assert tensors["generator"].dtype == torch.uint8
    # Everything that decides how the run goes on has moved from where it began.
    moments = [name for name in tensors if name.endswith("exp_avg_sq")]
    assert moments
    assert all(bool((tensors[name] > 0).any()) for name in moments)


# ---------------------------------------------------------------- one-step episodes


def run_with(algorithm: str, env: EnvConfig, **changes: Any) -> Run:
    return algorithms.train_run(small(algorithm, env, total_steps=256, **changes))


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        *((name, {"n_steps": n}) for name in ON_POLICY for n in (1, 4)),
        *((name, {}) for name in OFF_POLICY),
    ],
)
def test_the_discount_factor_changes_nothing(toy_env: EnvConfig, algorithm: str, settings: dict[str, int]) -> None:
    gammas = (0.0, 0.5, 0.99, 1.0) if algorithm == "ppo" else (0.0, 0.99)
    runs = [run_with(algorithm, toy_env, gamma=gamma, **settings) for gamma in gammas]
    assert len({json.dumps({k: v.hex() for k, v in weights(run.selector).items()}) for run in runs}) == 1


@pytest.mark.parametrize("algorithm", [*ON_POLICY, *OFF_POLICY])
def test_the_discount_factor_would_matter_if_episodes_went_on(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    # What the test above is there to notice: the same run in an environment whose episodes do not end.
    from agents.algorithms.sb3.adapter import SketchCanvasVecEnv

    step_wait = SketchCanvasVecEnv.step_wait

    def endless(self: SketchCanvasVecEnv) -> Any:
        obs, rewards, dones, infos = step_wait(self)
        return obs, rewards, np.zeros_like(dones), infos

    monkeypatch.setattr(SketchCanvasVecEnv, "step_wait", endless)
    settings = {"n_steps": 4} if algorithm in ON_POLICY else {}
    runs = [run_with(algorithm, toy_env, gamma=gamma, **settings) for gamma in (0.0, 0.99)]
    assert weights(runs[0].selector) != weights(runs[1].selector)


# ---------------------------------------------------------------- settings


OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"total_steps": 0}, "total_steps must be at least 1"),
    ({"num_envs": 0}, "num_envs"),
    ({"threads": 0}, "threads must be at least 1"),
    ({"seed": -1}, "seed must not be negative"),
    (
        {"selector": "lstm"},
        "unknown selector 'lstm'; there are clusters, conv, gru, linear, looks, stats, thumb",
    ),
    ({"hidden": 0}, "hidden"),
    ({"hidden": 10**9}, "hidden"),
    ({"lr": 0.0}, "lr must be above zero"),
    ({"lr": float("nan")}, "lr must be above zero"),
    ({"max_grad_norm": -1.0}, "max_grad_norm must be above zero"),
    ({"log_every": 0}, "log_every must be at least 1"),
    ({"entropy_coef": -0.1}, "entropy_coef must not be negative"),
]


@pytest.mark.parametrize(
    ("algorithm", "changes", "message"),
    [(name, *case) for name in EVERY for case in OUT_OF_RANGE if all(takes(name, setting) for setting in case[0])],
)
def test_settings_out_of_range_are_refused(
    toy_env: EnvConfig, algorithm: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small(algorithm, toy_env, **changes)


@pytest.mark.parametrize(
    ("algorithm", "changes", "message"),
    [
        (
            "reinforce",
            {"baseline": "critic"},
            "unknown baseline 'critic'; there are none, mean, learned, self_critical",
        ),
        ("ppo", {"gamma": 1.5}, r"gamma must lie in \[0, 1\]"),
        ("ppo", {"value_coef": -1.0}, "value_coef must not be negative"),
        ("ppo", {"n_steps": 0}, "n_steps must be above zero"),
        ("ppo", {"batch_size": 24}, "batch_size 24 must divide num_envs [*] n_steps = 32"),
        ("ppo", {"num_envs": 1, "batch_size": 1}, "at least 2"),
        ("trpo", {"batch_size": 24}, "batch_size 24 must divide num_envs [*] n_steps = 32"),
        ("trpo", {"batch_size": 0}, "batch_size must be at least 1"),
        ("trpo", {"target_kl": 0.0}, "target_kl must be above zero"),
        ("a2c", {"value_coef": -1.0}, "value_coef must not be negative"),
        ("dqn", {"gamma": -0.1}, "gamma"),
        ("dqn", {"buffer_size": 31}, "buffer_size must be at least num_envs = 32, got 31"),
        ("dqn", {"exploration_fraction": 1.5}, "exploration_fraction"),
        ("dqn", {"exploration_final": 2.0}, "exploration_final"),
        ("dqn", {"gradient_steps": 0}, "gradient_steps must be above zero"),
        ("qrdqn", {"n_quantiles": 0}, "n_quantiles must be above zero"),
        (
            "linucb",
            {"selector": "stats"},
            "linucb learns .* head .* must be 'clusters' or 'linear', not 'stats'",
        ),
        ("linucb", {"alpha": -1.0}, "alpha must not be negative"),
        ("linear_ts", {"scale": float("nan")}, "scale must not be negative"),
        ("linear_ts", {"ridge": 0.0}, "ridge must be above zero"),
        ("epsilon_greedy", {"epsilon": 1.1}, "epsilon must lie in"),
        ("epsilon_greedy", {"selector": "gru"}, "selector must be 'clusters' or 'linear', not 'gru'"),
    ],
)
def test_settings_of_one_algorithm_out_of_range_are_refused(
    toy_env: EnvConfig, algorithm: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small(algorithm, toy_env, **changes)


def test_unknown_algorithms_are_refused(toy_env: EnvConfig) -> None:
    with pytest.raises(ValueError, match=f"unknown algorithm 'sarsa'; there are {', '.join(sorted(EVERY))}"):
        algorithms.make_config("sarsa", env=toy_env)


@pytest.mark.parametrize("algorithm", ["trpo", "qrdqn"])
def test_a_missing_sb3_contrib_is_named(toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ImportError, match="pip install sb3-contrib"):
        algorithms.train_run(small(algorithm, toy_env))


def test_unknown_environments_are_refused_before_any_work(toy: Toy) -> None:
    for changes, message in (
        ({"canvases": (16, 48)}, "16, 32, 64, 128"),
        ({"tradeoff": 2.0}, "tradeoff"),
        ({"dataset": "doodles"}, "unknown data set 'doodles'"),
    ):
        env = EnvConfig(**{**toy.kwargs, **changes})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=message):
            algorithms.train_run(small("reinforce", env))


@each_algorithm
def test_settings_survive_json(toy_env: EnvConfig, algorithm: str) -> None:
    config = small(algorithm, toy_env, seed=3)
    fields = json.loads(json.dumps(config.to_json()))
    name, env = fields.pop("algorithm"), EnvConfig(**fields.pop("env"))
    assert algorithms.make_config(name, env=env, **fields) == config
    assert asdict(env) == asdict(toy_env)
