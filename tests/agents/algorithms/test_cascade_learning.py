"""Every algorithm must learn when to look again, within its budget to the step, alike from run to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from agents.algorithms import registry as algorithms
from agents.algorithms.backward_induction import States
from agents.algorithms.common.training import Run
from agents.algorithms.registry import CASCADE_ALGORITHMS
from agents.evaluation.evaluate import Evaluation, evaluate_options
from agents.evaluation.setting import CascadeConfig
from sketchcanvas_env.tasks.cascade import Looks
from tests.agents.support import weights

MakeEnv = Callable[..., CascadeConfig]
EVERY = tuple(CASCADE_ALGORITHMS)

SETTINGS: dict[str, dict[str, Any]] = {
    "backward_induction": {"lr": 1e-2},
    "reinforce": {"lr": 1e-2},
    "maskable_ppo": {"lr": 5e-3, "entropy_coef": 0.01},
    "ppo": {"lr": 5e-3, "entropy_coef": 0.01},
    "dqn": {"gradient_steps": 4},
}


def run_of(env: CascadeConfig, algorithm: str, **settings: Any) -> Run:
    return algorithms.train_run(algorithms.make_config(algorithm, env=env, **settings))


def judged(env: CascadeConfig, run: Run, split: str = "test") -> Evaluation:
    nodes, thinking = env.decide(run.selector, split)
    return evaluate_options(env.options(split), nodes, selector_flops=thinking, resamples=10)


def small(env: CascadeConfig, algorithm: str, **changes: Any) -> Run:
    settings: dict[str, Any] = {"total_steps": 512, "num_envs": 16, "hidden": 8, **changes}
    if "ppo" in algorithm:
        settings = {"batch_size": 32, **settings}
    return run_of(env, algorithm, **settings)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("algorithm", EVERY)
def test_it_learns_when_to_look_again(doubt_env: MakeEnv, algorithm: str, seed: int) -> None:
    env = doubt_env()
    run = run_of(env, algorithm, seed=seed, total_steps=25_600, **SETTINGS[algorithm])
    found = judged(env, run)
    # Fixed canvases are right for half of the sketches, and strokes say nothing: only a look tells.
    assert found.gap_closed >= 0.9
    assert found.acc1 >= 0.95
    assert 0.3 < found.share["16"] < 0.6
    assert run.steps == 25_600


@pytest.mark.parametrize("algorithm", ["reinforce", "backward_induction", "maskable_ppo"])
def test_cost_alone_is_learnt(doubt_env: MakeEnv, algorithm: str) -> None:
    env = doubt_env(tradeoff=1.0)
    found = judged(env, run_of(env, algorithm, total_steps=5_120, lr=1e-2))
    assert found.share["16"] == 1.0
    assert found.regret == 0.0


@pytest.mark.parametrize("algorithm", EVERY)
def test_budgets_are_exact_and_runs_alike(doubt_env: MakeEnv, algorithm: str) -> None:
    env = doubt_env()
    one, two, other = (small(env, algorithm, seed=seed) for seed in (3, 3, 4))
    assert one.steps == one.config.total_steps == 512
    assert weights(one.selector) == weights(two.selector)
    assert weights(one.selector) != weights(other.selector)
    assert one.selector.settings()["masked"] == (algorithm not in ("ppo", "dqn"))
    with pytest.raises(ValueError, match="multiple of the"):
        algorithms.make_config(algorithm, env=env, total_steps=1_000)


@pytest.mark.parametrize("algorithm", EVERY)
def test_the_discount_matters_here(doubt_env: MakeEnv, algorithm: str) -> None:
    # Unlike in episodes of one step: with no discount at all the default stays what it is, with one it does not.
    env = doubt_env()
    assert algorithms.make_config(algorithm, env=env).gamma == 1.0  # type: ignore[attr-defined]
    default, same, other = (small(env, algorithm, **{"gamma": gamma}) for gamma in (1.0, 1.0, 0.5))
    assert weights(default.selector) == weights(same.selector)
    assert weights(default.selector) != weights(other.selector)


def test_gamma_zero_sees_no_further_than_the_step(doubt_env: MakeEnv) -> None:
    # A look costs and pays nothing at once: who counts nothing later takes the cheapest, and never stops before.
    env = doubt_env()
    found = judged(env, run_of(env, "backward_induction", total_steps=5_120, lr=1e-2, gamma=0.0))
    assert all("16" in name for name, part in found.share.items() if part > 0.05)


@pytest.mark.parametrize("algorithm", EVERY)
def test_checkpoints_are_refused(doubt_env: MakeEnv, algorithm: str, tmp_path: Any) -> None:
    config = algorithms.make_config(algorithm, env=doubt_env(), total_steps=512)
    for asked in ({"checkpoint": tmp_path / "x"}, {"resume": True}):
        with pytest.raises(ValueError, match="cannot go on from a checkpoint"):
            algorithms.train_run(config, **asked)
    assert not CASCADE_ALGORITHMS[algorithm].resumable


def test_algorithms_and_environments_that_do_not_fit(doubt_env: MakeEnv) -> None:
    env = doubt_env()
    with pytest.raises(ValueError, match="unknown algorithm 'a2c' for a cascade; there are backward_induction, dqn"):
        algorithms.make_config("a2c", env=env)
    with pytest.raises(ValueError, match="unknown algorithm 'maskable_ppo'; there are a2c"):
        algorithms.make_config("maskable_ppo", env=env.one_shot())
    from agents.algorithms.cascade_reinforce import CascadeReinforceConfig
    from agents.algorithms.reinforce import ReinforceConfig

    with pytest.raises(ValueError, match="ReinforceConfig learns from a cascade's episodes"):
        CascadeReinforceConfig(env=env.one_shot())
    with pytest.raises(ValueError, match="learns from episodes of one step"):
        ReinforceConfig(env=env)
    with pytest.raises(ValueError, match="'looks' reads last, looks, which only a cascade shows"):
        algorithms.make_config("reinforce", env=env.one_shot(), selector="looks", total_steps=512)
    with pytest.raises(ValueError, match="no preferences"):
        doubt_env(preferences=(0.0, 0.5))
    for bad in ({"gamma": 1.5}, {"gamma": -0.1}, {"n_steps": 0}, {"entropy_coef": -1.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            CascadeReinforceConfig(env=env, **bad)  # type: ignore[arg-type]


def test_a_blind_network_looks_once(doubt_env: MakeEnv) -> None:
    # It sees no looks, so after the first it chooses as before, which is stopping.
    env = doubt_env()
    found = judged(env, run_of(env, "ppo", selector="stats", total_steps=5_120, lr=5e-3))
    assert sum(found.share[side] for side in ("16", "32", "64", "128")) == 1.0
    assert found.gap_closed < 0.3


@pytest.mark.parametrize("ranking", ["last", "fused"])
@pytest.mark.parametrize("gamma", [1.0, 0.7])
def test_backward_values_by_walking(doubt_env: MakeEnv, ranking: str, gamma: float) -> None:
    cascade = doubt_env(ranking=ranking).cascade("train")
    states, k = States(cascade), 4
    assert len(states.seen) == 33
    assert [len(each) for each in states.rounds] == [1, 4, 12, 12, 4]
    rng = np.random.default_rng(0)
    rows = np.array([5, 2])
    allowed = states.allowed.numpy()
    choices = np.array([[rng.choice(np.flatnonzero(row)) for row in allowed] for _ in rows])
    values = states.values(torch.from_numpy(rows), torch.from_numpy(choices), gamma).numpy()
    place = {pair: i for i, pair in enumerate(zip(states.seen.tolist(), states.last.tolist(), strict=True))}
    for b, row in enumerate(rows.tolist()):
        for (seen, last), i in place.items():
            for action in np.flatnonzero(allowed[i]).tolist():
                at, end, total, weight, ended, next_action = seen, last, 0.0, 1.0, False, action
                while not ended:
                    *state, taken = (np.array([x]) for x in (row, at, end, next_action))
                    reward, (_, now, then), over = cascade.advance(Looks(*state), taken)
                    total, weight = total + weight * float(reward[0]), weight * gamma
                    at, end, ended = int(now[0]), int(then[0]), bool(over[0])
                    next_action = k if ended else int(choices[b, place[at, end]])
                assert values[b, i, action] == pytest.approx(total, abs=1e-6)
