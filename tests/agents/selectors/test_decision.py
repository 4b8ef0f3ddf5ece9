"""From scores to actions: the highest score, near-ties to the cheaper action, for a split and for one sketch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import agents
from agents.algorithms import registry as algorithms
from agents.evaluation.setting import CascadeConfig, EnvConfig
from agents.selectors import policy
from agents.selectors.decision import NEAR_TIE, best_actions, choose
from tests.agents.support import small
from tests.helpers import Toy


def test_the_highest_score_is_chosen_and_near_ties_go_to_the_first() -> None:
    assert choose([0.0, 2.0, 1.0]) == 1
    assert choose([0.0, 2.0, 2.0 + NEAR_TIE / 2]) == 1
    assert choose([0.0, 2.0, 2.0 + NEAR_TIE * 2]) == 2
    assert choose([-np.inf, -np.inf, 3.0]) == 2
    rows = np.random.default_rng(0).normal(size=(5, 200, 4))
    assert choose(rows).shape == (5, 200)
    assert (choose(rows) == rows.argmax(axis=-1)).all()


def test_rounding_of_float32_changes_no_choice() -> None:
    rng = np.random.default_rng(1)
    # Equal scores and scores far apart, with the rounding errors of another processor.
    exact = rng.integers(-3, 4, (1_000, 4)) * 1.5
    noise = rng.uniform(-1e-6, 1e-6, exact.shape)
    assert (choose(exact + noise) == choose(exact)).all()


def test_stopping_is_the_cheapest_of_near_ties() -> None:
    logits = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0 - NEAR_TIE / 2], [2.0, 1.0, 1.0]])
    assert best_actions(logits, np.array([True, True, True])).tolist() == [2, 2, 0]
    # Stopping is not allowed before the first look.
    assert best_actions(logits, np.array([False, False, False])).tolist() == [0, 1, 0]


@pytest.mark.parametrize("selector", ["gru", "conv", "transformer", "stats", "linear"])
def test_a_split_and_a_single_sketch_are_decided_alike_on_ties(
    toy: Toy, toy_env: EnvConfig, tmp_path: Path, selector: str
) -> None:
    run = algorithms.train_run(small("reinforce", toy_env, selector=selector, hidden=None))
    with torch.no_grad():
        for name, weight in run.selector.named_parameters():
            if name.startswith(("head", "linear")):
                weight.zero_()
    task = toy_env.task("test")
    found = agents.load(agents.save(tmp_path / "x", run, toy_env.outcomes("train")))
    assert policy.actions_of(run.selector, task).tolist() == [0] * len(task)
    assert {found(toy.dataset.sketch(int(row))) for row in task.index[:5]} == {16}


@pytest.mark.parametrize("selector", ["looks", "stats"])
def test_evaluation_leaves_the_network_as_it_is(doubt_env: object, toy_env: EnvConfig, selector: str) -> None:
    env: EnvConfig = doubt_env() if selector == "looks" else toy_env  # type: ignore[operator]
    name = "reinforce"
    run = algorithms.train_run(algorithms.make_config(name, env=env, total_steps=512, num_envs=16, selector=selector))
    assert isinstance(env, CascadeConfig) == (selector == "looks")
    env.decide(run.selector, "test")
    assert {weight.dtype for weight in run.selector.state_dict().values()} == {torch.float32}
