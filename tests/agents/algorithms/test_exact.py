"""The learners that are told every reward do the sums that they say they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.algorithms import registry as algorithms
from agents.algorithms.common.loop import Batch, Learner, all_rewards, train
from agents.algorithms.common.training import env_seed, first_selector, replay
from agents.evaluation.setting import EnvConfig
from sketchcanvas_env.outcomes import reward as rules
from sketchcanvas_env.tasks.canvas import CanvasArguments
from sketchcanvas_env.tasks.retriever import Outcome
from tests.agents.support import small
from tests.helpers import TOY_CANVASES, TOY_FLOPS, Toy

N = 64
RATE = 0.5


def first_update(env_config: EnvConfig, monkeypatch: pytest.MonkeyPatch, algorithm: str, **changes: Any) -> Any:
    """Train for one update by plain gradient descent: outputs and rewards (N, 4), and what the head's bias moved by."""
    monkeypatch.setattr(torch.optim, "Adam", lambda parameters, lr, **_: torch.optim.SGD(parameters, lr=lr))
    settings = {"lr": RATE, "max_grad_norm": 1e9, "total_steps": N, "num_envs": N, "seed": 5, **changes}
    config = small(algorithm, env_config, **settings)
    after = algorithms.train_run(config).selector
    env = env_config.make_vec(N)
    before = first_selector(config, env)
    obs, info = env.reset(seed=env_seed(5))
    with torch.no_grad():
        outputs = before({name: torch.from_numpy(array) for name, array in obs.items()}).numpy().astype(float)
    rewards = env_config.outcomes("train").rewards(**env_config.reward_weights())[info["sketch_index"]]
    return outputs, rewards, (before.head.bias - after.head.bias).detach().numpy() / RATE


@pytest.mark.parametrize("entropy_coef", [0.0, 0.5])
def test_exact_pg_follows_the_gradient_of_the_expected_reward(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, entropy_coef: float
) -> None:
    logits, rewards, moved = first_update(toy_env, monkeypatch, "exact_pg", entropy_coef=entropy_coef)

    def objective(shift: np.ndarray) -> float:
        p = np.exp(logits + shift)
        p /= p.sum(axis=1, keepdims=True)
        return float((p * rewards).sum(axis=1).mean() - entropy_coef * (p * np.log(p)).sum(axis=1).mean())

    slopes = [(objective(1e-5 * row) - objective(-1e-5 * row)) / 2e-5 for row in np.eye(4)]
    assert max(map(abs, slopes)) > 1e-3
    np.testing.assert_allclose(-moved, slopes, rtol=1e-3, atol=1e-6)


def test_cost_sensitive_regresses_rewards_less_their_mean(toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    values, rewards, moved = first_update(toy_env, monkeypatch, "cost_sensitive")
    expected = [
        sum(2 * (values[i, k] - (rewards[i, k] - sum(rewards[i]) / 4)) for i in range(N)) / (4 * N) for k in range(4)
    ]
    assert max(map(abs, expected)) > 1e-3
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-6)


def test_all_rewards_are_those_of_the_environment(toy_env: EnvConfig) -> None:
    env = toy_env.make_vec(N)
    batch = Batch(env, *replay(env, 3, 1))
    told = batch.all_rewards()
    assert told.shape == (N, 4)
    for canvas in range(4):
        again = Batch(fresh := toy_env.make_vec(N), *replay(fresh, 3, 1))
        assert torch.equal(again.choose(torch.full((N,), canvas)), told[:, canvas])


def test_all_rewards_go_by_each_episodes_own_tradeoff(toy: Toy) -> None:
    env = EnvConfig(**toy.kwargs, preferences=(0.0, 0.8)).make_vec(N)  # type: ignore[arg-type]
    obs, info = replay(env, 3, 1)
    batch = Batch(env, obs, info)
    told = batch.all_rewards()
    actions = np.random.default_rng(0).integers(0, 4, N)
    assert torch.equal(batch.choose(torch.from_numpy(actions)), told[np.arange(N), actions])
    table = toy.table.select("train", TOY_CANVASES)
    for i in range(N):
        row, tradeoff = info["sketch_index"][i], float(obs["tradeoff"][i, 0])
        for k in range(4):
            acc = 1.0 / table.ranks[row, k] - 0.1 * float(table.triplet[row, k])
            comp = -TOY_FLOPS[k] / (TOY_FLOPS[3] - TOY_FLOPS[0])
            assert float(told[i, k]) == pytest.approx(tradeoff * comp + (1 - tradeoff) * acc, abs=1e-6)


def test_unknown_rewards_are_not_made_up(toy: Toy) -> None:
    class Nobody:
        canvases, flops = TOY_CANVASES, TOY_FLOPS

        def retrieve(self, *_: Any) -> Outcome:
            raise AssertionError

    task = CanvasArguments(dataset=toy.dataset, canvases=TOY_CANVASES, retriever=Nobody()).make()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="live mode"):
        all_rewards(task, np.array([0]))


def test_a_batch_is_chosen_for_exactly_once(toy_env: EnvConfig) -> None:
    class Lazy(Learner[Any]):
        def learn(self, batch: Batch, steps: int) -> dict[str, Any]:
            return {}

    class Greedy(Learner[Any]):
        def learn(self, batch: Batch, steps: int) -> dict[str, Any]:
            for _ in range(2):
                batch.choose(torch.zeros(32, dtype=torch.int64))
            return {}

    config = small("reinforce", toy_env)
    with pytest.raises(RuntimeError, match=r"Lazy.learn.. chose no canvases"):
        train(config, Lazy)
    with pytest.raises(RuntimeError, match="chosen for once"):
        train(config, Greedy)


def test_the_rule_takes_a_tradeoff_for_each_row() -> None:
    # What `all_rewards` relies on.
    found = rules.reward(np.array([[1.0, 0.5]]), np.array([-0.1, -1.0]), np.array([[0.25]]))
    np.testing.assert_allclose(found, [[0.725, 0.125]])
