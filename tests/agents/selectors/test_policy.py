"""Cascades on a split: compared with single episodes in the environment, and the FLOPs of deciding."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.evaluation.setting import CascadeConfig
from agents.selectors import networks as selectors
from agents.selectors import policy
from agents.selectors.base import Selector, as_tensors
from agents.selectors.perceptrons import LooksSelector
from sketchcanvas_env.outcomes.looks import look_feature_names
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from sketchcanvas_env.tasks.cascade import Looks

MakeEnv = Callable[..., CascadeConfig]
K = 4
PER_DECISION = 2 * ((len(FEATURE_NAMES) + len(look_feature_names(range(K))) + K) * 8 + 8 * 8 + 8 * (K + 1))


def lively(masked: bool, seed: int) -> Selector:
    """A network whose choices differ from sketch to sketch."""
    torch.manual_seed(seed)
    made = selectors.create("looks", K + 1, len(FEATURE_NAMES), 8, masked=masked)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=2.0)
    return made.eval()


@pytest.mark.parametrize("ranking", ["last", "fused"])
@pytest.mark.parametrize("masked", [True, False])
def test_it_ends_where_single_episodes_end(doubt_env: MakeEnv, masked: bool, ranking: str) -> None:
    env = doubt_env(ranking=ranking)
    cascade, options = env.cascade("test"), env.options("test")
    lengths = set()
    for seed in range(3):
        selector = lively(masked, seed)
        nodes, thinking = env.decide(selector, "test")
        np.testing.assert_array_equal(nodes, policy.nodes_of(selector, cascade, batch_size=7))
        single = gym.make("SketchCanvasCascade-v0", **env.kwargs("test"))
        for row in range(0, len(cascade), 9):
            obs, _ = single.reset(options={"index": row})
            total, steps, ended = 0.0, 0, False
            while not ended:
                with torch.no_grad():
                    logits = selector(as_tensors({name: part[None] for name, part in obs.items()}))[0].numpy()
                # Stopping is not allowed before the first look.
                action = int(logits[:K].argmax()) if steps == 0 else int(logits.argmax())
                obs, reward, ended, _, info = single.step(np.int64(action))
                total, steps = total + float(reward), steps + 1
            assert options.rewards[row, nodes[row]] == pytest.approx(total)
            assert options.flops[nodes[row]] == info["flops"]
            assert options.ranks[row, nodes[row]] == info["rank"]
            assert thinking[row] == pytest.approx(steps * PER_DECISION)
            lengths.add(steps)
    assert len(lengths) > 2  # else nothing was walked


def test_options_are_the_nodes_and_begin_with_the_canvases(doubt_env: MakeEnv) -> None:
    env = doubt_env()
    options, plain = env.options("val"), env.one_shot().options("val")
    assert options.names[:5] == ("16", "32", "64", "128", "32>16")
    assert (options.n_fixed, len(options.names)) == (4, 32)
    for name in ("ranks", "rewards"):
        np.testing.assert_allclose(getattr(options, name)[:, :4], getattr(plain, name), atol=1e-12)
    np.testing.assert_array_equal(options.flops[:4], plain.flops)
    assert options.flops[options.names.index("16+32>64")] == 1e6 + 4e6 + 16e6
    # The oracle needs one look.
    assert options.oracle.max() < 4
    fused = doubt_env(ranking="fused").options("val")
    assert len(fused.names) == 15
    assert fused.names[-1] == "16+32+64+128"


def test_wrong_networks(doubt_env: MakeEnv) -> None:
    env = doubt_env()
    with pytest.raises(ValueError, match="chooses from 4 actions, the cascade has"):
        env.decide(selectors.create("stats", 4, len(FEATURE_NAMES)), "val")
    told = selectors.create("stats", 5, len(FEATURE_NAMES), conditioned=True)
    with pytest.raises(ValueError, match="say at which one"):
        env.decide(told, "val")
    with pytest.raises(ValueError, match="1 to 8 canvases and stopping, not 10"):
        LooksSelector(10, 16)
    with pytest.raises(ValueError, match="cannot be told one"):
        selectors.create("looks", 5, 16, conditioned=True)


def test_the_network_masks_as_the_environment_does(doubt_env: MakeEnv) -> None:
    cascade = doubt_env().cascade("val")
    seen = np.arange(16)
    last = np.array([-1, *(each.bit_length() - 1 for each in range(1, 16))])
    rows = np.zeros(16, dtype=np.int64)
    obs = as_tensors(cascade.observe(Looks(rows, seen, last)))
    masked, free = lively(True, 0), lively(False, 0)
    allowed = torch.from_numpy(cascade.action_mask(Looks(rows, seen, last)) > 0)
    assert isinstance(masked, LooksSelector)
    assert torch.equal(masked.allowed(obs), allowed)
    assert torch.equal(masked(obs)[allowed], free(obs)[allowed])
    assert (masked(obs)[~allowed] < -1e7).all()
    assert (free(obs).abs() < 1e3).all()


def test_order_of_earlier_looks_does_not_matter_but_the_last_does(doubt_env: MakeEnv) -> None:
    cascade = doubt_env().cascade("val")
    one = cascade.observe(Looks(np.array([3, 3]), np.array([5, 5]), np.array([0, 2])))
    logits = lively(True, 1)(as_tensors(one))
    assert not torch.equal(logits[0], logits[1])
