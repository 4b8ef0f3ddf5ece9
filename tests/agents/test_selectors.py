"""Selector networks: what they look at, what they cost, what they refuse; and what they do on a whole split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from agents import policy, selectors
from agents.environment import EnvConfig
from agents.selectors import GRUSelector, Selector, StatsSelector, stroke5_rows, true_lengths
from tests.agents.support import observations


def make(name: str, n_actions: int = 4, hidden: int = 12) -> Selector:
    torch.manual_seed(0)
    return selectors.create(name, n_actions, n_stats=16, hidden=hidden)


def padded(obs: dict[str, torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    """The same drawings with so many more rows of padding."""
    points = obs["points"].reshape(len(obs["points"]), -1, 5)
    padding = torch.zeros(len(points), rows, 5)
    padding[..., 4] = 1.0
    return {**obs, "points": torch.cat([points, padding], dim=1).flatten(1)}


# ---------------------------------------------------------------- padding


@pytest.mark.parametrize("extra", [0, 1, 7, 200])
def test_the_gru_does_not_see_padding(extra: int) -> None:
    net, obs = make("gru"), observations()
    assert torch.equal(net(padded(obs, extra)), net(obs))


def test_the_gru_does_not_see_what_stands_on_padding() -> None:
    net, obs = make("gru"), observations()
    dirty = obs["points"].clone().reshape(6, -1, 5)
    padding = dirty[..., 4] == 1.0
    dirty[..., :4][padding] = 0.7
    assert torch.equal(net({"points": dirty}), net(obs))


def test_the_gru_sees_the_last_point_and_the_order() -> None:
    net, obs = make("gru"), observations()
    points = obs["points"].reshape(6, -1, 5)
    moved, reversed_ = points.clone(), points.clone()
    moved[5, 5, 0] += 0.25
    reversed_[5, :6] = points[5, :6].flip(0)
    for changed in (moved, reversed_):
        difference = (net({"points": changed}) - net(obs)).abs().amax(dim=1)
        assert difference[5] > 1e-6
        assert torch.equal(difference[:5], torch.zeros(5))


def test_the_gru_equals_one_drawing_after_the_other() -> None:
    # More rows than a bucket holds, lengths mixed: sorting and cutting must put everything back in place.
    obs = observations(rows=5, max_points=30, seed=1)
    order = np.random.default_rng(0).integers(0, 5, 3 * selectors.BUCKET + 17)
    many = {"points": obs["points"][order]}
    net = make("gru")
    rows = obs["points"].reshape(5, -1, 5)
    alone = []
    for row in rows:
        state = torch.zeros(1, 1, 12)
        for point in row[row[:, 4] == 0.0]:
            _, state = net.gru(point.reshape(1, 1, 5), state)  # type: ignore[operator]
        alone.append(net.head(state[0])[0])
    torch.testing.assert_close(net(many), torch.stack(alone)[order], rtol=1e-4, atol=1e-6)


def test_flat_rows_and_stacked_rows_are_one() -> None:
    net, obs = make("gru"), observations()
    assert torch.equal(net({"points": obs["points"].reshape(6, -1, 5)}), net(obs))
    assert torch.equal(stroke5_rows(obs["points"])[2, 1], obs["points"][2, 5:10])
    assert true_lengths(stroke5_rows(obs["points"])).tolist() == [1, 2, 3, 4, 5, 6]


def test_a_drawing_of_nothing_counts_as_one_point() -> None:
    empty = torch.zeros(2, 4, 5)
    empty[..., 4] = 1.0
    assert true_lengths(empty).tolist() == [1, 1]
    assert torch.isfinite(make("gru")({"points": empty})).all()


def test_the_stats_network_reads_nothing_but_the_statistics() -> None:
    net, obs = make("stats"), observations()
    assert torch.equal(net({"stats": obs["stats"]}), net(obs))
    first, _, second, _ = net.body  # type: ignore[misc]
    x = obs["stats"].double().numpy()
    for layer in (first, second):
        x = np.tanh(x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy())
    logits = x @ net.head.weight.detach().double().numpy().T + net.head.bias.detach().double().numpy()
    np.testing.assert_allclose(net(obs).detach().numpy(), logits, atol=1e-6)


@pytest.mark.parametrize("name", ["gru", "stats"])
def test_choices_are_nearly_uniform_at_first(name: str) -> None:
    probabilities = torch.softmax(make(name)(observations()), dim=1)
    assert probabilities.min() > 0.24
    assert probabilities.max() < 0.26
    # Nearly, but not exactly: the network looks at the drawing.
    assert probabilities.std(dim=0).max() > 0


# ---------------------------------------------------------------- costs


@pytest.mark.parametrize(("hidden", "n_actions"), [(128, 4), (12, 8), (1, 1)])
def test_flops_of_the_gru_by_hand(hidden: int, n_actions: int) -> None:
    net, obs = make("gru", n_actions, hidden), observations()
    expected = []
    for length in (1, 2, 3, 4, 5, 6):
        macs = 0
        for _ in range(length):
            for _gate in ("reset", "update", "new"):
                macs += hidden * 5  # input to hidden
                macs += hidden * hidden  # hidden to hidden
        macs += hidden * n_actions
        expected.append(2.0 * macs)
    flops = net.flops(obs)
    assert flops.dtype == torch.float64
    assert flops.tolist() == expected
    # Padding costs nothing: a drawing is looked at by itself, and only where it has points.
    assert net.flops(padded(obs, 50)).tolist() == expected


@pytest.mark.parametrize(("hidden", "n_actions"), [(64, 4), (12, 8)])
def test_flops_of_the_stats_network_by_hand(hidden: int, n_actions: int) -> None:
    net, obs = make("stats", n_actions, hidden), observations()
    layers = [(16, hidden), (hidden, hidden), (hidden, n_actions)]
    assert net.flops(obs).tolist() == [2.0 * sum(a * b for a, b in layers)] * 6
    # PyTorch's own counter agrees; it knows linear layers.
    with FlopCounterMode(display=False) as counter:
        net({"stats": obs["stats"][:1]})
    assert counter.get_total_flops() == net.flops(obs)[0]


# ---------------------------------------------------------------- making


@pytest.mark.parametrize("name", sorted(selectors.SELECTORS))
def test_settings_rebuild_the_network(name: str) -> None:
    net = make(name, n_actions=5)
    again = selectors.create(**net.settings())
    again.load_state_dict(net.state_dict())
    assert type(again) is type(net)
    assert torch.equal(again(observations()), net(observations()))
    assert net.name == name
    assert net.device == torch.device("cpu")


def test_default_widths() -> None:
    assert isinstance(gru := selectors.create("gru", 4), GRUSelector)
    assert gru.features_dim == 128
    assert isinstance(stats := selectors.create("stats", 4, 16), StatsSelector)
    assert stats.features_dim == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "lstm", "n_actions": 4}, "unknown selector 'lstm'; there are gru, stats"),
        ({"name": "stats", "n_actions": 4}, "needs n_stats"),
        ({"name": "gru", "n_actions": 0}, "1 to 4096 canvases, not 0"),
        ({"name": "gru", "n_actions": 10**12}, "canvases"),
        ({"name": "gru", "n_actions": 4, "hidden": 0}, "1 to 4096 hidden units, not 0"),
        ({"name": "gru", "n_actions": 4, "hidden": 10**9}, "hidden units"),
        ({"name": "stats", "n_actions": 4, "n_stats": 0}, "statistics, not 0"),
        ({"name": "stats", "n_actions": 4, "n_stats": 10**12}, "statistics"),
    ],
)
def test_networks_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        selectors.create(**arguments)


# ---------------------------------------------------------------- on a whole split


@pytest.mark.parametrize("name", sorted(selectors.SELECTORS))
def test_choices_on_a_split_are_those_sketch_by_sketch(toy_env: EnvConfig, name: str) -> None:
    net, task = make(name), toy_env.task("val")
    # Far from uniform, so that no choice hangs by a rounding error.
    torch.nn.init.normal_(net.head.weight, std=5.0)
    expected, costs = [], []
    for row in range(len(task)):
        obs = {
            "points": torch.from_numpy(task.points[row : row + 1].copy()),
            "stats": torch.from_numpy(task.stats[row : row + 1].copy()),
        }
        expected.append(int(net(obs).argmax()))
        costs.append(float(net.flops(obs)[0]))
    assert len(set(expected)) > 1
    for batch_size in (4, 512):
        actions = policy.actions_of(net, task, batch_size)
        assert actions.dtype == np.int64
        assert actions.tolist() == expected
        assert policy.flops_of(net, task, batch_size).tolist() == costs


def test_a_network_over_other_canvases_is_refused(toy_env: EnvConfig) -> None:
    with pytest.raises(ValueError, match=r"chooses from 3 canvases, the task has \(16, 32, 64, 128\)"):
        policy.actions_of(make("stats", n_actions=3), toy_env.task("val"))
