"""REINFORCE does the sums it says it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents import algorithms
from agents.environment import EnvConfig
from agents.training import env_seed, make_selector
from tests.agents.support import small

N = 64


def first_update(env_config: EnvConfig, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    """Train for one update by plain gradient descent; what happened, as arrays."""
    rate = 0.5
    # Adam's first step hides the size of the gradient, plain descent does not.
    monkeypatch.setattr(torch.optim, "Adam", lambda parameters, lr: torch.optim.SGD(parameters, lr=lr))
    settings = {"lr": rate, "max_grad_norm": 1e9, "total_steps": N, "num_envs": N, "seed": 5, **changes}
    config = small("reinforce", env_config, **settings)
    after = algorithms.train_run(config).selector
    env = env_config.make_vec(N)
    before = make_selector(config, env.single_observation_space, 4)
    # The same episodes, seen again.
    obs, _ = env.reset(seed=env_seed(5))
    with torch.no_grad():
        features = before.encode({name: torch.from_numpy(array) for name, array in obs.items()})
        probabilities = torch.softmax(before.head(features), dim=1)
    actions = torch.multinomial(probabilities, 1, generator=torch.Generator().manual_seed(5))[:, 0].numpy()
    rewards = env.step(actions)[1]
    return {
        "features": features.numpy().astype(float),
        "probabilities": probabilities.numpy().astype(float),
        "actions": actions,
        "rewards": rewards,
        "bias": (before.head.bias - after.head.bias).detach().numpy() / rate,
        "weight": (before.head.weight - after.head.weight).detach().numpy() / rate,
    }


@pytest.mark.parametrize("baseline", ["none", "mean"])
@pytest.mark.parametrize("entropy_coef", [0.0, 0.5])
def test_one_update_follows_the_policy_gradient(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, baseline: str, entropy_coef: float
) -> None:
    seen = first_update(toy_env, monkeypatch, baseline=baseline, entropy_coef=entropy_coef)
    p, actions, rewards = seen["probabilities"], seen["actions"], seen["rewards"]
    b = sum(rewards) / N if baseline == "mean" else 0.0
    gradient, weight = np.zeros(4), np.zeros((4, seen["features"].shape[1]))
    for i in range(N):
        entropy = -sum(p[i, k] * np.log(p[i, k]) for k in range(4))
        for k in range(4):
            # d(-A log pi(a)) / d logit k, and d(-H) / d logit k.
            policy = -(rewards[i] - b) * ((actions[i] == k) - p[i, k])
            bonus = p[i, k] * (np.log(p[i, k]) + entropy)
            slope = (policy + entropy_coef * bonus) / N
            gradient[k] += slope
            weight[k] += slope * seen["features"][i]
    assert np.abs(gradient).max() > 1e-3
    np.testing.assert_allclose(seen["bias"], gradient, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(seen["weight"], weight, rtol=1e-3, atol=1e-6)


def test_the_learning_rate_falls_to_zero_if_annealed(toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for anneal, expected in ((True, [1.0, 0.75, 0.5, 0.25]), (False, [1.0] * 4)):
        rates: list[float] = []
        step = torch.optim.Adam.step

        def watch(self: Any, *args: Any, rates: list[float] = rates, step: Any = step) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return step(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.Adam, "step", watch)
            algorithms.train_run(small("reinforce", toy_env, lr=1.0, anneal=anneal))
        assert rates == expected


def test_gradients_are_cut_to_the_norm(toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = first_update(toy_env, monkeypatch, max_grad_norm=1e-3)
    # The head is a part of the network, so its share of the norm is below it, and not by much at the start.
    norm = float(np.sqrt((seen["bias"] ** 2).sum() + (seen["weight"] ** 2).sum()))
    assert 0.9e-3 < norm <= 1.001e-3
