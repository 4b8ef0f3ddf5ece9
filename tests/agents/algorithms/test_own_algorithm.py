"""An algorithm from outside the package, that of the example, does what those inside do."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.algorithms import registry as algorithms
from agents.algorithms.common.curves import Curve
from agents.evaluation.evaluate import evaluate
from agents.evaluation.setting import EnvConfig
from agents.selectors import policy
from tests.agents.support import weights

EXAMPLE = Path(__file__).parents[3] / "examples" / "own_algorithm.py"


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The example's algorithm under its name for the time of a test."""
    spec = importlib.util.spec_from_file_location("own_algorithm", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own_algorithm", module)
    spec.loader.exec_module(module)
    yield "mine"
    del algorithms.ALGORITHMS["mine"]


def test_it_is_made_trained_watched_and_resumed_by_name(mine: str, toy_env: EnvConfig, tmp_path: Path) -> None:
    config = algorithms.make_config(mine, env=toy_env, total_steps=256, num_envs=32, selector="stats", hidden=8)
    curve, path = Curve(toy_env, 128), tmp_path / "run.safetensors"
    whole = algorithms.train_run(config, curve=curve, checkpoint=path, checkpoint_every=96, logdir=tmp_path / "log")
    assert whole.steps == 256
    assert [point.steps for point in curve.points] == [128, 256]
    resumed = algorithms.train_run(config, checkpoint=path, resume=True)
    assert weights(resumed.selector) == weights(whole.selector)
    with pytest.raises(ValueError, match="multiple of the 32 steps"):
        algorithms.make_config(mine, env=toy_env, total_steps=100, num_envs=32)


def test_it_learns(mine: str, counting_env: Callable[..., EnvConfig]) -> None:
    env = counting_env()
    run = algorithms.train_run(algorithms.make_config(mine, env=env, total_steps=102_400, selector="stats"))
    chosen = policy.actions_of(run.selector, env.task("test"))
    # A slow learner, but no constant one: the best canvas for all closes nothing.
    assert evaluate(env.outcomes("test"), chosen, resamples=10, **env.reward_weights()).gap_closed >= 0.2
