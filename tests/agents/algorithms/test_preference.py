"""One selector for all tradeoffs: from the environment over training and saving to what it chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import agents
from agents.algorithms import registry as algorithms
from agents.algorithms.common.training import Run
from agents.evaluation.evaluate import evaluate
from agents.evaluation.setting import EnvConfig
from agents.selectors import policy
from agents.store.saved import SavedSelector
from students.store import cards
from tests.agents.support import ALGORITHMS, small, weights
from tests.helpers import Toy

MakeEnv = Callable[..., EnvConfig]


@pytest.fixture
def env(toy_env: EnvConfig) -> EnvConfig:
    return replace(toy_env, preferences=(0.0, 0.8))


def torn(run: Run, env: EnvConfig) -> Run:
    """The run with weights that make its choice hang on the tradeoff, and on the sketch."""
    net = run.selector.requires_grad_(False)
    torch.manual_seed(1)
    torch.nn.init.normal_(net.head.weight, std=20.0)
    torch.nn.init.normal_(net.mix.weight)  # type: ignore[arg-type, union-attr]
    task = env.at(0.4).task("test")
    obs = {"points": torch.tensor(task.points), "stats": torch.tensor(task.stats)}
    net.head.bias.zero_()
    net.head.bias.copy_(-net({**obs, "tradeoff": torch.full((len(task), 1), 0.4)}).mean(dim=0))
    return run


@pytest.mark.parametrize("seed", [0, 1])
def test_one_network_learns_the_whole_front(counting_env: MakeEnv, seed: int) -> None:
    env = replace(counting_env(), canvases=(16, 64, 128), preferences=(0.0, 1.0))
    settings = {"selector": "stats", "lr": 3e-3, "entropy_coef": 0.5, "total_steps": 307_200}
    run = algorithms.train_run(algorithms.make_config("reinforce", env=env, seed=seed, **settings))
    found = {}
    for tradeoff in (0.0, 0.4, 0.65, 0.95, 1.0):
        plain = env.at(tradeoff)
        chosen = policy.actions_of(run.selector, plain.task("test"))
        found[tradeoff] = evaluate(plain.outcomes("test"), chosen, resamples=10, **plain.reward_weights())
    # Where accuracy is all, the right canvas for every sketch that has one: those of one, three or four strokes.
    right = (env.outcomes("test").ranks == 1).any(axis=1).mean()
    assert found[0.0].acc1 >= 0.95 * right
    assert found[0.0].share["128"] > 0.2
    assert found[0.4].gap_closed > 0.9
    # The canvas of 128 no longer pays, that of 64 does.
    assert found[0.65].gap_closed > 0.9
    assert found[0.65].share["128"] < 0.02
    assert found[0.65].share["64"] > 0.2
    # Where cost is all, the smallest for everyone.
    assert found[0.95].share["16"] > 0.95
    assert found[1.0].share["16"] > 0.99
    costs = [one.student_gflops for one in found.values()]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("selector", ["conv", "gru", "stats"])
def test_agents_train_it_and_it_reads_back(env: EnvConfig, tmp_path: Path, algorithm: str, selector: str) -> None:
    config = small(algorithm, env, selector=selector)
    run = algorithms.train_run(config)
    assert run.selector.conditioned
    assert weights(algorithms.train_run(config).selector) == weights(run.selector)
    found = agents.load(agents.save(tmp_path / "x", run, env.outcomes("train")))
    assert weights(found.selector) == weights(run.selector)
    assert found.selector.settings() == run.selector.settings()
    assert found.env == env


def test_it_decides_as_it_did_in_the_environment(toy: Toy, env: EnvConfig, tmp_path: Path) -> None:
    run = torn(algorithms.train_run(small("reinforce", env)), env)
    found = agents.load(agents.save(tmp_path / "x", run, env.outcomes("train")))
    choices = []
    for tradeoff in (0.0, 0.1, 0.4, 0.8):
        task = env.at(tradeoff).task("test")
        actions, costs = policy.actions_of(run.selector, task), policy.flops_of(run.selector, task)
        sketches = [toy.dataset.sketch(int(row)) for row in task.index]
        assert [found(sketch, tradeoff) for sketch in sketches] == [task.canvases[action] for action in actions]
        assert [found.gflops(sketch, tradeoff) for sketch in sketches] == (costs / 1e9).tolist()
        # The task's tradeoff is what is meant where none is named.
        elsewhere = env.at(0.77).task("test")
        assert policy.actions_of(run.selector, elsewhere, tradeoff).tolist() == actions.tolist()
        # And it is what the environment shows.
        envs = env.make_vec(len(task), "test")
        obs, _ = envs.reset(options={"index": np.arange(len(task)), "tradeoff": tradeoff})
        logits = run.selector({name: torch.from_numpy(array) for name, array in obs.items()})
        assert logits.argmax(dim=1).tolist() == actions.tolist()
        choices.append(tuple(actions.tolist()))
    assert len(set(choices)) == 4
    assert len(set(choices[2])) > 1


def test_a_tradeoff_is_needed_where_it_means_something_and_only_there(
    toy: Toy, toy_env: EnvConfig, env: EnvConfig, tmp_path: Path
) -> None:
    def trained(config: EnvConfig, name: str) -> SavedSelector:
        run = algorithms.train_run(small("reinforce", config))
        return agents.load(agents.save(tmp_path / name, run, config.outcomes("train")))

    conditioned, plain = trained(env, "conditioned"), trained(toy_env, "plain")
    sketch, task = toy.dataset.sketch(0), toy_env.task("val")
    for ask in (conditioned, conditioned.gflops):
        with pytest.raises(ValueError, match=r"chooses for many tradeoffs: say at which one"):
            ask(sketch)
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            ask(sketch, 1.5)
    for ask in (plain, plain.gflops):
        with pytest.raises(ValueError, match=r"trained for one tradeoff and cannot choose at 0\.2"):
            ask(sketch, 0.2)
    for of_split in (policy.actions_of, policy.flops_of):
        with pytest.raises(ValueError, match="trained for one tradeoff"):
            of_split(plain.selector, task, 0.2)
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            of_split(conditioned.selector, task, -0.1)


@pytest.mark.parametrize("preferences", [(0.0, 0.8), None])
def test_a_card_whose_network_and_environment_disagree_is_refused(
    toy_env: EnvConfig, tmp_path: Path, preferences: tuple[float, float] | None
) -> None:
    env = replace(toy_env, preferences=preferences)
    path = agents.save(tmp_path / "x", algorithms.train_run(small("reinforce", env)), env.outcomes("train"))
    agents.load(path)
    card = cards.read_card(path, "selector")
    card["config"]["env"]["preferences"] = [0.0, 0.8] if preferences is None else None
    cards.write(path, load_file(path), card, "selector")
    with pytest.raises(ValueError, match="conditioned must be true exactly where the environment has preferences"):
        agents.load(path)


def test_a_card_from_before_there_were_preferences_is_read(toy_env: EnvConfig, tmp_path: Path) -> None:
    path = agents.save(tmp_path / "x", algorithms.train_run(small("reinforce", toy_env)), toy_env.outcomes("train"))
    card = cards.read_card(path, "selector")
    del card["config"]["env"]["preferences"]
    cards.write(path, load_file(path), card, "selector")
    assert agents.load(path).env == toy_env


def test_it_goes_on_from_a_checkpoint(env: EnvConfig, tmp_path: Path) -> None:
    config, checkpoint = small("reinforce", env), tmp_path / "c.safetensors"
    whole = algorithms.train_run(config)

    class StoppedError(Exception):
        pass

    def stop(steps: int) -> None:
        if steps == 96:
            raise StoppedError

    with pytest.raises(StoppedError):
        algorithms.train_run(config, on_progress=stop, checkpoint=checkpoint, checkpoint_every=32)
    again = algorithms.train_run(config, checkpoint=checkpoint, resume=True)
    assert weights(again.selector) == weights(whole.selector)
