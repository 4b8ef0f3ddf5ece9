"""Runs depend on their settings alone: seeds, budgets, interruptions, discount factors."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from agents import algorithms
from agents.environment import EnvConfig
from agents.training import Run, TrainConfig, env_seed, make_selector, replay
from students import checkpoint
from tests.agents.support import ALGORITHMS, small, weights
from tests.helpers import Toy

each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
each_selector = pytest.mark.parametrize("selector", ["stats", "gru"])


class StoppedError(Exception):
    """Stands for whatever ends a run too early."""


def stop_at(steps: int) -> Callable[[int], None]:
    """A progress function that ends the run once so many steps are done."""

    def watch(done: int) -> None:
        if done >= steps:
            raise StoppedError

    return watch


# ---------------------------------------------------------------- seeds


@each_algorithm
@each_selector
def test_equal_settings_give_equal_weights(toy_env: EnvConfig, algorithm: str, selector: str) -> None:
    config = small(algorithm, toy_env, selector=selector)
    one = algorithms.train_run(config)
    # What the process did in between must not matter.
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    two = algorithms.train_run(small(algorithm, toy_env, selector=selector))
    assert weights(one.selector) == weights(two.selector)
    assert not one.selector.training
    assert all(parameter.requires_grad for parameter in one.selector.parameters())


@each_algorithm
@each_selector
def test_another_seed_gives_other_weights(toy_env: EnvConfig, algorithm: str, selector: str) -> None:
    runs = [algorithms.train_run(small(algorithm, toy_env, selector=selector, seed=seed)) for seed in (0, 1)]
    first, second = (weights(run.selector) for run in runs)
    assert all(first[name] != second[name] for name in first)


@each_algorithm
def test_training_changes_every_weight(toy_env: EnvConfig, algorithm: str) -> None:
    short, long = (algorithms.train_run(small(algorithm, toy_env, total_steps=n, anneal=False)) for n in (32, 64))
    before, after = weights(short.selector), weights(long.selector)
    assert all(before[name] != after[name] for name in before)


def test_every_algorithm_starts_from_the_same_network(toy_env: EnvConfig) -> None:
    # At a learning rate that moves nothing, what is left is the start.
    one, other = (
        algorithms.train_run(small(name, toy_env, lr=1e-30, seed=3)).selector.state_dict() for name in ALGORITHMS
    )
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], rtol=0.0, atol=1e-20), name


@each_selector
def test_the_start_follows_the_seed(toy_env: EnvConfig, selector: str) -> None:
    space = toy_env.make_vec(1).single_observation_space

    def start(seed: int) -> dict[str, bytes]:
        return weights(make_selector(small("reinforce", toy_env, selector=selector, seed=seed), space, 4))

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
    from sketchcanvas_env.vector import SketchCanvasVectorEnv

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


@each_algorithm
@each_selector
@pytest.mark.parametrize(
    ("every", "stop", "n_envs"),
    [
        pytest.param(64, 128, 32, id="at a checkpoint"),
        pytest.param(64, 160, 32, id="after a checkpoint"),
        pytest.param(1, 96, 32, id="checkpoints all the time"),
        pytest.param(50, 144, 16, id="checkpoints between two updates"),
    ],
)
def test_a_resumed_run_equals_one_that_never_stopped(
    toy_env: EnvConfig, tmp_path: Path, algorithm: str, selector: str, every: int, stop: int, n_envs: int
) -> None:
    config = small(algorithm, toy_env, selector=selector, total_steps=256, num_envs=n_envs)
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


@each_algorithm
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


@each_algorithm
def test_what_watches_a_run_does_not_change_it(toy_env: EnvConfig, tmp_path: Path, algorithm: str) -> None:
    config = small(algorithm, toy_env)
    watched = algorithms.train_run(
        config,
        on_progress=lambda _: None,
        logdir=tmp_path / "log",
        checkpoint=tmp_path / "run.safetensors",
        checkpoint_every=1,
    )
    assert weights(watched.selector) == weights(algorithms.train_run(config).selector)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "run.safetensors"]


def test_replaying_finds_the_place_in_the_stream(toy_env: EnvConfig) -> None:
    env, rng = toy_env.make_vec(7), np.random.default_rng(0)
    obs, _ = env.reset(seed=env_seed(4))
    for steps in range(5):
        again = replay(toy_env.make_vec(7), 4, steps)
        assert all(np.array_equal(obs[name], again[name]) for name in obs)
        obs = env.step(rng.integers(0, 4, 7))[0]


# ---------------------------------------------------------------- what cannot be resumed


def interrupted(algorithm: str, env: EnvConfig, path: Path, **changes: Any) -> TrainConfig:
    """Settings of a run that left a checkpoint behind."""
    config = small(algorithm, env, **changes)
    with pytest.raises(StoppedError):
        algorithms.train_run(config, checkpoint=path, checkpoint_every=32, on_progress=stop_at(96))
    return config


@each_algorithm
def test_a_checkpoint_of_other_settings_is_refused(
    toy: Toy, toy_env: EnvConfig, tmp_path: Path, algorithm: str
) -> None:
    path = tmp_path / "run.safetensors"
    interrupted(algorithm, toy_env, path)
    other = small(algorithm, toy_env, seed=7, lr=0.5)
    with pytest.raises(ValueError, match=r"other settings: lr, seed differ"):
        algorithms.train_run(other, checkpoint=path, resume=True)
    elsewhere = EnvConfig(**{**toy.kwargs, "tradeoff": 0.3})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="env differ"):
        algorithms.train_run(small(algorithm, elsewhere), checkpoint=path, resume=True)


def test_a_checkpoint_of_another_algorithm_is_refused(toy_env: EnvConfig, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    interrupted("reinforce", toy_env, path)
    with pytest.raises(ValueError, match="algorithm"):
        algorithms.train_run(small("ppo", toy_env), checkpoint=path, resume=True)


@each_algorithm
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


def ppo_with(env: EnvConfig, **changes: Any) -> Run:
    return algorithms.train_run(small("ppo", env, total_steps=256, **changes))


@pytest.mark.parametrize("n_steps", [1, 4])
def test_the_discount_factor_changes_nothing(toy_env: EnvConfig, n_steps: int) -> None:
    runs = [ppo_with(toy_env, gamma=gamma, n_steps=n_steps) for gamma in (0.0, 0.5, 0.99, 1.0)]
    assert len({json.dumps({k: v.hex() for k, v in weights(run.selector).items()}) for run in runs}) == 1


def test_the_discount_factor_would_matter_if_episodes_went_on(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the test above is there to notice: the same run in an environment whose episodes do not end.
    from agents.sb3 import SketchCanvasVecEnv

    step_wait = SketchCanvasVecEnv.step_wait

    def endless(self: SketchCanvasVecEnv) -> Any:
        obs, rewards, dones, infos = step_wait(self)
        return obs, rewards, np.zeros_like(dones), infos

    monkeypatch.setattr(SketchCanvasVecEnv, "step_wait", endless)
    runs = [ppo_with(toy_env, gamma=gamma, n_steps=4) for gamma in (0.0, 0.99)]
    assert weights(runs[0].selector) != weights(runs[1].selector)


# ---------------------------------------------------------------- settings


@each_algorithm
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_steps": 0}, "total_steps must be at least 1"),
        ({"num_envs": 0}, "num_envs"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"selector": "lstm"}, "unknown selector 'lstm'; there are conv, gru, linear, stats, transformer"),
        ({"hidden": 0}, "hidden"),
        ({"hidden": 10**9}, "hidden"),
        ({"lr": 0.0}, "lr must be above zero"),
        ({"lr": float("nan")}, "lr must be above zero"),
        ({"max_grad_norm": -1.0}, "max_grad_norm must be above zero"),
        ({"log_every": 0}, "log_every must be above zero"),
        ({"entropy_coef": -0.1}, "entropy_coef must not be negative"),
    ],
)
def test_settings_out_of_range_are_refused(
    toy_env: EnvConfig, algorithm: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small(algorithm, toy_env, **changes)


@pytest.mark.parametrize(
    ("algorithm", "changes", "message"),
    [
        ("reinforce", {"baseline": "critic"}, "unknown baseline 'critic'; there are none, mean"),
        ("ppo", {"gamma": 1.5}, r"gamma must lie in \[0, 1\]"),
        ("ppo", {"value_coef": -1.0}, "value_coef must not be negative"),
        ("ppo", {"n_steps": 0}, "n_steps must be above zero"),
        ("ppo", {"batch_size": 24}, "batch_size 24 must divide num_envs [*] n_steps = 32"),
        ("ppo", {"num_envs": 1, "batch_size": 1}, "at least 2"),
    ],
)
def test_settings_of_one_algorithm_out_of_range_are_refused(
    toy_env: EnvConfig, algorithm: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small(algorithm, toy_env, **changes)


def test_unknown_algorithms_are_refused(toy_env: EnvConfig) -> None:
    with pytest.raises(ValueError, match="unknown algorithm 'sarsa'; there are ppo, reinforce"):
        algorithms.make_config("sarsa", env=toy_env)


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
