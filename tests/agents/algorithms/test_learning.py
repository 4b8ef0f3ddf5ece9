"""Every algorithm must learn: on strokes that give the right canvas away, sketches never seen included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.algorithms import registry as algorithms
from agents.evaluation.evaluate import Evaluation, evaluate
from agents.evaluation.setting import EnvConfig
from agents.selectors import policy
from tests.agents.support import BANDITS, EVERY

MakeEnv = Callable[..., EnvConfig]

# Generous entropy keeps every canvas in play until the strokes are understood: the learning rates are steep.
SAMPLED: dict[str, Any] = {"total_steps": 51_200, "lr": 1e-2, "entropy_coef": 0.1}
SHORT: dict[str, Any] = {"total_steps": 25_600, "lr": 1e-2}
GRU: dict[str, Any] = {"selector": "gru", "hidden": 24, "lr": 2e-2, "total_steps": 76_800}
# Little penalty: here the statistics do tell which canvas is right.
BANDIT: dict[str, Any] = {"selector": "linear", "total_steps": 25_600, "ridge": 1.0}

SETTINGS: dict[str, dict[str, Any]] = {
    "reinforce": SAMPLED,
    "exact_pg": {**SAMPLED, "entropy_coef": 0.03},
    "cost_sensitive": {"total_steps": 51_200, "lr": 3e-3},
    "ppo": SHORT,
    "a2c": SAMPLED,
    "trpo": {"total_steps": 12_800, "target_kl": 0.03},
    "dqn": {**SHORT, "gradient_steps": 4},
    "qrdqn": {**SHORT, "gradient_steps": 4},
    **dict.fromkeys(BANDITS, BANDIT),
}


def learn(env: EnvConfig, algorithm: str, **settings: Any) -> Evaluation:
    """Train on the train split and evaluate on the test split."""
    if algorithm not in BANDITS:
        settings = {"selector": "stats", **settings}
    run = algorithms.train_run(algorithms.make_config(algorithm, env=env, **settings))
    return evaluate(
        env.outcomes("test"),
        policy.actions_of(run.selector, env.task("test")),
        resamples=10,
        **env.reward_weights(),
    )


def bar(algorithm: str) -> float:
    """How much of the gap between the best fixed canvas (0) and the oracle (1) must be closed.

    A bandit's values are linear in the statistics, and no linear function is one on two strokes and zero on one and
    three: it needs the other statistics to help, and may miss more.
    """
    return 0.75 if algorithm in BANDITS else 0.9


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        *(pytest.param(name, {}, id=name) for name in EVERY),
        *(
            pytest.param("reinforce", {"baseline": baseline}, id=f"reinforce, {baseline} baseline")
            for baseline in ("none", "learned", "self_critical")
        ),
        pytest.param("reinforce", GRU, id="reinforce, gru"),
    ],
)
def test_it_learns_to_count(counting_env: MakeEnv, algorithm: str, changes: dict[str, Any], seed: int) -> None:
    found = learn(counting_env(), algorithm, seed=seed, **{**SETTINGS[algorithm], **changes})
    assert found.gap_closed >= bar(algorithm)
    assert found.acc1 >= bar(algorithm)
    # Each canvas is right for about a quarter of the sketches: one for all closes no gap.
    assert len(found.share) == 4
    assert all(0.1 < part < 0.4 for part in found.share.values())


def test_ppo_trains_the_gru_too(counting_env: MakeEnv) -> None:
    settings = {**GRU, "lr": 1e-2, "total_steps": 12_800}
    assert learn(counting_env(), "ppo", **settings).gap_closed >= 0.9


@pytest.mark.parametrize("algorithm", EVERY)
def test_what_the_strokes_do_not_say_is_not_learnt(counting_env: MakeEnv, algorithm: str) -> None:
    # The same right canvases, dealt out at random: on sketches never seen nobody beats one canvas for all by
    # much. Guards the tests above against a leak of the answers into the observations or of test into train.
    found = learn(counting_env(readable=False), algorithm, **SETTINGS[algorithm])
    assert found.gap_closed < 0.3


def test_cost_alone_is_learnt(counting_env: MakeEnv) -> None:
    # With tradeoff 1 only cost counts, so the cheapest canvas is right for every sketch.
    env = EnvConfig(**{**vars(counting_env()), "tradeoff": 1.0})
    found = learn(env, "ppo", total_steps=5_120, lr=1e-2)
    assert found.share["16"] == 1.0
    assert found.regret == 0.0
