"""REINFORCE does the sums it says it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.algorithms import registry as algorithms
from agents.algorithms.common.loop import Batch
from agents.algorithms.common.training import env_seed, first_selector, replay
from agents.algorithms.reinforce import _Reinforce
from agents.evaluation.setting import EnvConfig
from tests.agents.support import small

N = 64


def first_update(env_config: EnvConfig, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    """Train for one update by plain gradient descent; what happened, as arrays."""
    rate = 0.5
    # Adam's first step hides the size of the gradient, plain descent does not.
    monkeypatch.setattr(torch.optim, "Adam", lambda parameters, lr, **_: torch.optim.SGD(parameters, lr=lr))
    settings = {
        "lr": rate,
        "max_grad_norm": 1e9,
        "total_steps": N,
        "num_envs": N,
        "seed": 5,
        **changes,
    }
    config = small("reinforce", env_config, **settings)
    after = algorithms.train_run(config).selector
    env = env_config.make_vec(N)
    before = first_selector(config, env)
    # The same episodes, seen again.
    obs, info = env.reset(seed=env_seed(5))
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
        "all_rewards": env_config.outcomes("train").rewards(**env_config.reward_weights())[info["sketch_index"]],
        "bias": (before.head.bias - after.head.bias).detach().numpy() / rate,
        "weight": (before.head.weight - after.head.weight).detach().numpy() / rate,
    }


@pytest.mark.parametrize("baseline", ["none", "mean", "learned", "self_critical"])
@pytest.mark.parametrize("entropy_coef", [0.0, 0.5])
def test_one_update_follows_the_policy_gradient(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, baseline: str, entropy_coef: float
) -> None:
    seen = first_update(toy_env, monkeypatch, baseline=baseline, entropy_coef=entropy_coef)
    p, actions, rewards = seen["probabilities"], seen["actions"], seen["rewards"]
    # The critic of the learned baseline expects nothing at first.
    b = {
        "none": [0.0] * N,
        "mean": [sum(rewards) / N] * N,
        "learned": [0.0] * N,
        "self_critical": [seen["all_rewards"][i, max(range(4), key=lambda k, i=i: p[i, k])] for i in range(N)],
    }[baseline]
    spread = np.std(np.subtract(rewards, b), ddof=1)
    gradient, weight = np.zeros(4), np.zeros((4, seen["features"].shape[1]))
    for i in range(N):
        entropy = -sum(p[i, k] * np.log(p[i, k]) for k in range(4))
        for k in range(4):
            # d(-A log pi(a)) / d logit k, and d(-H) / d logit k.
            policy = -(rewards[i] - b[i]) / spread * ((actions[i] == k) - p[i, k])
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


def test_the_learned_baseline_is_a_critic_that_leaves_the_encoder_alone(toy_env: EnvConfig) -> None:
    settings = {"num_envs": N, "total_steps": N, "entropy_coef": 0.0, "seed": 2}
    config = small("reinforce", toy_env, baseline="learned", **settings)
    env = toy_env.make_vec(N)
    selector = first_selector(config, env)
    learner = _Reinforce(config, selector)  # type: ignore[arg-type]
    critic = learner.helper
    assert isinstance(critic, torch.nn.Linear)
    with torch.no_grad():
        critic.weight.copy_(torch.linspace(-1.0, 1.0, selector.features_dim))
        critic.bias.fill_(0.25)
    batch = Batch(env, *replay(env, config.seed, 0))
    loss, _ = learner.loss(batch)
    loss.backward()
    assert batch.rewards is not None
    returns = torch.as_tensor(batch.rewards, dtype=torch.float32)
    features = selector.encode(batch.obs).detach()
    expected = features @ critic.weight[0].detach() + 0.25
    torch.testing.assert_close(critic.bias.grad, (2 * (expected - returns)).mean(dim=0, keepdim=True))
    torch.testing.assert_close(critic.weight.grad[0], (2 * (expected - returns)[:, None] * features).mean(dim=0))
    # Selector: the policy gradient with that baseline, and no share in the critic's error.
    again = first_selector(config, env)
    log_probs = torch.log_softmax(again(batch.obs), dim=1)
    actions = torch.multinomial(log_probs.detach().exp(), 1, generator=torch.Generator().manual_seed(2))
    advantages = (returns - expected) / (returns - expected).std()
    (-(advantages * log_probs.gather(1, actions)[:, 0]).mean()).backward()
    for ours, theirs in zip(selector.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_critic_learns_and_is_not_kept(toy_env: EnvConfig) -> None:
    from agents.algorithms.common import loop

    config = small("reinforce", toy_env, baseline="learned", total_steps=3200, lr=0.05)
    learners: list[_Reinforce] = []

    def remember(*args: Any) -> _Reinforce:
        learners.append(_Reinforce(*args))
        return learners[0]

    run = loop.train(config, remember)  # type: ignore[arg-type]
    critic = learners[0].helper
    task = toy_env.task("train")
    assert task.lookup is not None
    with torch.no_grad():
        obs = {"stats": torch.tensor(task.stats)}
        expected = critic(run.selector.encode(obs))[:, 0].double().numpy()
        p = torch.softmax(run.selector(obs), dim=1).double().numpy()
    earned = (p * task.lookup.rewards).sum(axis=1)
    # It knows what is earned on average; one that has learnt nothing is wrong by all of it. The toy rewards cannot be
    # told from the strokes, so it cannot know more.
    assert np.square(expected - earned).mean() < 1.1 * earned.var() < 0.5 * np.square(earned).mean()
    assert {name.split(".")[0] for name in run.selector.state_dict()} == {"body", "head"}


def test_the_greedy_reward_of_self_critical_is_no_environment_step(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sketchcanvas_env.envs.canvas import SketchCanvasVectorEnv

    taken: list[int] = []
    step = SketchCanvasVectorEnv.step

    def counting(self: SketchCanvasVectorEnv, actions: Any) -> Any:
        taken.append(len(actions))
        return step(self, actions)

    monkeypatch.setattr(SketchCanvasVectorEnv, "step", counting)
    run = algorithms.train_run(small("reinforce", toy_env, baseline="self_critical"))
    assert run.steps == sum(taken) == 128
