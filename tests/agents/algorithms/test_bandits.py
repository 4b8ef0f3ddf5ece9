"""The bandits against plain ridge regressions and plain statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from agents.algorithms import registry as algorithms
from agents.algorithms.common.linear_bandit import LinearBandit
from agents.algorithms.common.training import first_selector
from agents.algorithms.epsilon_greedy import _EpsilonGreedy
from agents.algorithms.linear_ts import _LinearTS
from agents.algorithms.linucb import _LinUCB
from agents.evaluation.setting import EnvConfig
from sketchcanvas_env.envs.canvas import SketchCanvasVectorEnv
from tests.agents.support import BANDITS, small

ARMS = 4


def history(env: EnvConfig, monkeypatch: pytest.MonkeyPatch, algorithm: str, **changes: Any) -> Any:
    """A run, and what it went through: statistics with a 1 behind (n, d), actions (n,) and rewards (n,)."""
    seen: list[np.ndarray] = []
    chosen: list[np.ndarray] = []
    earned: list[np.ndarray] = []
    reset, step = SketchCanvasVectorEnv.reset, SketchCanvasVectorEnv.step

    def watch_reset(self: SketchCanvasVectorEnv, **kwargs: Any) -> Any:
        obs, info = reset(self, **kwargs)
        seen.append(obs["stats"].copy())
        return obs, info

    def watch_step(self: SketchCanvasVectorEnv, actions: Any) -> Any:
        found = step(self, actions)
        chosen.append(actions.copy())
        earned.append(found[1].copy())
        seen.append(found[0]["stats"].copy())
        return found

    monkeypatch.setattr(SketchCanvasVectorEnv, "reset", watch_reset)
    monkeypatch.setattr(SketchCanvasVectorEnv, "step", watch_step)
    run = algorithms.train_run(small(algorithm, env, **changes))
    stats = np.concatenate(seen[:-1]).astype(float)
    return run, np.column_stack([stats, np.ones(len(stats))]), np.concatenate(chosen), np.concatenate(earned)


def ridge_solution(x: np.ndarray, rewards: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of A and theta, one sample after another."""
    a, b = np.diag([ridge] * (x.shape[1] - 1) + [1.0]), np.zeros(x.shape[1])
    for row, reward in zip(x, rewards, strict=True):
        a += np.outer(row, row)
        b += reward * row
    inverse = np.linalg.inv(a)
    return inverse, inverse @ b


@pytest.mark.parametrize("ridge", [0.5, 20.0])
@pytest.mark.parametrize("algorithm", BANDITS)
def test_the_selector_is_the_ridge_solution(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, algorithm: str, ridge: float
) -> None:
    run, x, actions, rewards = history(toy_env, monkeypatch, algorithm, ridge=ridge, total_steps=640)
    assert set(actions.tolist()) == set(range(ARMS))
    theta = np.array(
        [ridge_solution(x[actions == k], rewards[actions == k].astype(np.float32), ridge)[1] for k in range(ARMS)]
    )
    np.testing.assert_allclose(run.selector.head.weight.detach().numpy(), theta[:, :-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(run.selector.head.bias.detach().numpy(), theta[:, -1], rtol=1e-4, atol=1e-6)
    # Its greedy choice is the bandit's.
    task = toy_env.task("val")
    with torch.no_grad():
        logits = run.selector({"stats": torch.tensor(task.stats)}).numpy()
    estimates = np.column_stack([task.stats, np.ones(len(task))]) @ theta.T
    assert np.array_equal(logits.argmax(axis=1), estimates.argmax(axis=1))


@pytest.mark.parametrize(("alpha", "ridge"), [(0.0, 1.0), (0.7, 1.0), (2.0, 30.0)])
def test_linucb_is_optimistic_by_so_many_standard_deviations(
    toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch, alpha: float, ridge: float
) -> None:
    n = 32
    _, x, actions, rewards = history(toy_env, monkeypatch, "linucb", alpha=alpha, ridge=ridge, total_steps=8 * n)
    for batch in range(8):
        past = slice(0, batch * n)
        for i in range(batch * n, (batch + 1) * n):
            scores = []
            for arm in range(ARMS):
                mine = actions[past] == arm
                inverse, theta = ridge_solution(x[past][mine], rewards[past][mine], ridge)
                scores.append(theta @ x[i] + alpha * np.sqrt(x[i] @ inverse @ x[i]))
            assert scores[actions[i]] >= max(scores) - 1e-6
    # Without optimism an arm that was never tried stays at zero, below what others have earned.
    assert (set(actions.tolist()) == set(range(ARMS))) == (alpha > 0.0)


def learner(kind: type[LinearBandit[Any]], algorithm: str, env: EnvConfig, **settings: Any) -> LinearBandit[Any]:
    config = small(algorithm, env, **settings)
    return kind(config, first_selector(config, env.make_vec(1)))


def test_thompson_sampling_draws_from_the_posterior(toy_env: EnvConfig) -> None:
    n = 40_000
    means, widths = torch.tensor([[0.3, 0.1]]).double(), torch.tensor([[0.5, 1.2]]).double()
    bandit = learner(_LinearTS, "linear_ts", toy_env, scale=0.4)
    share = float(bandit.explore(means.expand(n, 2), widths.expand(n, 2)).double().mean())
    # P(a draw of the second beats one of the first).
    expected = norm.cdf((0.1 - 0.3) / (0.4 * np.hypot(0.5, 1.2)))
    assert share == pytest.approx(expected, abs=4 * np.sqrt(0.25 / n))
    sure = learner(_LinearTS, "linear_ts", toy_env, scale=0.0)
    assert not sure.explore(means.expand(n, 2), widths.expand(n, 2)).any()


def test_epsilon_is_the_share_of_random_choices(toy_env: EnvConfig) -> None:
    n = 40_000
    means = torch.tensor([[0.0, 0.0, 1.0, 0.0]]).double().expand(n, ARMS)
    bandit = learner(_EpsilonGreedy, "epsilon_greedy", toy_env, epsilon=0.2)
    shares = np.bincount(bandit.explore(means, means).numpy(), minlength=ARMS) / n
    np.testing.assert_allclose(shares, [0.05, 0.05, 0.85, 0.05], atol=4 * np.sqrt(0.25 / n))


def test_widths_shrink_as_sketches_are_seen(toy_env: EnvConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[float] = []
    explore = _LinUCB.explore

    def watch(self: _LinUCB, means: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        widths.append(float(found.mean()))
        return explore(self, means, found)

    monkeypatch.setattr(_LinUCB, "explore", watch)
    algorithms.train_run(small("linucb", toy_env, ridge=1.0))
    assert len(widths) == 4
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.8 * widths[0]
