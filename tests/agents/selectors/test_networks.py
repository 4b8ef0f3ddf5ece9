"""Selector networks: inputs, FLOPs, wrong arguments, and their choices on a whole split."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import agents
from agents.algorithms import registry as algorithms
from agents.algorithms.sb3.adapter import SelectorFeatures
from agents.evaluation.setting import EnvConfig
from agents.selectors import networks as selectors
from agents.selectors import points as points_networks
from agents.selectors import policy
from agents.selectors.base import Selector
from agents.selectors.conditioned import ConditionedSelector
from agents.selectors.points import BUCKET, stroke5_rows, true_lengths
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from students.network import flops as flop_counter
from tests.agents.support import ALGORITHMS, observations, small, weights

EVERY = sorted(selectors.SELECTORS)
OF_POINTS = ["conv", "gru", "transformer"]
OF_STATS = ["clusters", "linear", "stats", "thumb"]


def make(name: str, n_actions: int = 4, hidden: int = 12) -> Selector:
    torch.manual_seed(0)
    return selectors.create(name, n_actions, n_stats=16, hidden=None if name == "linear" else hidden)


def lively(net: Selector) -> Selector:
    """The same network with a head far from zero, so that the encoder's output affects the logits."""
    torch.nn.init.normal_(net.head.weight)
    return net


def padded(obs: dict[str, torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    """The same drawings with `extra` more rows of padding."""
    points = obs["points"].reshape(len(obs["points"]), -1, 5)
    padding = torch.zeros(len(points), rows, 5)
    padding[..., 4] = 1.0
    return {**obs, "points": torch.cat([points, padding], dim=1).flatten(1)}


# ---------------------------------------------------------------- padding


def test_every_network_is_tested_here() -> None:
    assert sorted(OF_POINTS + OF_STATS) == EVERY
    assert {name for name in EVERY if selectors.SELECTORS[name].reads == ("points",)} == set(OF_POINTS)


@pytest.mark.parametrize("name", OF_POINTS)
@pytest.mark.parametrize("extra", [0, 1, 7, 200])
def test_padding_changes_nothing(name: str, extra: int) -> None:
    net, obs = lively(make(name)), observations()
    assert torch.equal(net(padded(obs, extra)), net(obs))


@pytest.mark.parametrize("name", OF_POINTS)
def test_longer_drawings_in_the_batch_change_nothing(name: str) -> None:
    # This padding cannot be trimmed: the batch is as long as its longest drawing.
    net, obs = lively(make(name)), observations()
    rows = obs["points"].reshape(6, -1, 5)
    for row, length in enumerate(range(1, 7)):
        alone = net({"points": rows[row : row + 1, :length]})
        torch.testing.assert_close(net(obs)[row : row + 1], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OF_POINTS)
def test_the_order_of_a_batch_does_not_matter(name: str) -> None:
    net, obs = lively(make(name)), observations()
    order = torch.tensor([3, 5, 0, 4, 1, 2])
    torch.testing.assert_close(net({"points": obs["points"][order]}), net(obs)[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OF_POINTS)
def test_values_on_padding_are_ignored(name: str) -> None:
    net, obs = lively(make(name)), observations()
    dirty = obs["points"].clone().reshape(6, -1, 5)
    padding = dirty[..., 4] == 1.0
    dirty[..., :4][padding] = 0.7
    assert torch.equal(net({"points": dirty}), net(obs))
    # Nor does a gradient come from padding.
    dirty.requires_grad_(True)
    net({"points": dirty}).square().sum().backward()
    assert dirty.grad is not None
    assert not dirty.grad[padding].any()
    assert dirty.grad[~padding].any()


@pytest.mark.parametrize("name", OF_POINTS)
def test_the_last_point_and_the_order_of_points_are_seen(name: str) -> None:
    net, obs = lively(make(name)), observations()
    points = obs["points"].reshape(6, -1, 5)
    moved, reversed_ = points.clone(), points.clone()
    moved[5, 5, 0] += 0.25
    reversed_[5, :6] = points[5, :6].flip(0)
    for changed in (moved, reversed_):
        difference = (net({"points": changed}) - net(obs)).abs().amax(dim=1)
        assert difference[5] > 1e-3
        assert difference[:5].max() < 1e-6


@pytest.mark.parametrize("name", OF_POINTS)
def test_the_number_of_points_is_seen(name: str) -> None:
    # The same point repeated: only the number of repetitions differs.
    rows = torch.zeros(2, 40, 5)
    rows[..., 2] = 1.0
    rows[0, 10:] = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0])
    short, long = lively(make(name))({"points": rows})
    assert (short - long).abs().max() > 1e-3


def test_the_gru_equals_one_drawing_after_the_other() -> None:
    # More rows than a bucket, of mixed lengths: the order must be restored after sorting.
    obs = observations(rows=5, max_points=30, seed=1)
    order = np.random.default_rng(0).integers(0, 5, 3 * BUCKET + 17)
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


def test_the_convolutions_by_plain_loops() -> None:
    net, obs = make("conv"), observations()
    rows = obs["points"].reshape(6, -1, 5).double().numpy()
    for row, length in enumerate(range(1, 7)):
        x = rows[row, :length]
        for layer in (net.first, net.second):
            kernel, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()  # type: ignore[union-attr, operator]
            out = np.tile(bias, (length, 1))
            for place in range(length):
                for tap in range(5):
                    if 0 <= place + tap - 2 < length:
                        out[place] += kernel[:, :, tap] @ x[place + tap - 2]
            x = np.maximum(out, 0.0)
        expected = np.concatenate([x.max(axis=0), x.sum(axis=0) / 64])
        np.testing.assert_allclose(net.encode(obs)[row].detach().numpy(), expected, atol=1e-6)


def test_attention_by_plain_loops() -> None:
    rng = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(2, 4, 5, 3, generator=rng) for _ in range(3))
    real = torch.arange(5) < torch.tensor([3, 5])[:, None]
    found = points_networks._attend(queries, keys, values, real)
    for b, length in enumerate((3, 5)):
        for head in range(4):
            for place in range(5):
                scores = np.array([float(queries[b, head, place] @ keys[b, head, k]) / 3**0.5 for k in range(length)])
                weights = np.exp(scores) / np.exp(scores).sum()
                expected = sum(w * values[b, head, k].numpy() for k, w in enumerate(weights))
                np.testing.assert_allclose(found[b, head, place].numpy(), expected, atol=1e-5)


def test_positions_by_hand() -> None:
    found = points_networks._positions(7, 8, torch.device("cpu")).numpy()
    for place in range(7):
        for wave in range(4):
            angle = place / 10_000 ** (2 * wave / 8)
            assert found[place, wave] == pytest.approx(np.sin(angle), abs=1e-6)
            assert found[place, 4 + wave] == pytest.approx(np.cos(angle), abs=1e-6)


@pytest.mark.parametrize("name", OF_POINTS)
def test_flat_rows_and_stacked_rows_give_the_same(name: str) -> None:
    net, obs = make(name), observations()
    assert torch.equal(net({"points": obs["points"].reshape(6, -1, 5)}), net(obs))
    assert torch.equal(stroke5_rows(obs["points"])[2, 1], obs["points"][2, 5:10])
    assert true_lengths(stroke5_rows(obs["points"])).tolist() == [1, 2, 3, 4, 5, 6]


def test_an_empty_drawing_counts_as_one_point() -> None:
    empty = torch.zeros(2, 4, 5)
    empty[..., 4] = 1.0
    assert true_lengths(empty).tolist() == [1, 1]
    for name in OF_POINTS:
        assert torch.isfinite(make(name)({"points": empty})).all()


def test_the_stats_network_reads_nothing_but_the_statistics() -> None:
    net, obs = make("stats"), observations()
    assert torch.equal(net({"stats": obs["stats"]}), net(obs))
    first, _, second, _ = net.body  # type: ignore[misc]
    x = obs["stats"].double().numpy()
    for layer in (first, second):
        x = np.tanh(x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy())
    logits = x @ net.head.weight.detach().double().numpy().T + net.head.bias.detach().double().numpy()
    np.testing.assert_allclose(net(obs).detach().numpy(), logits, atol=1e-6)


def test_standardised_statistics_have_mean_0_and_deviation_1_and_relu_follows() -> None:
    torch.manual_seed(0)
    net, obs = selectors.create("stats", 4, 16, 12, standardised=True), observations()
    seen = obs["stats"].numpy().copy()
    seen[:, 3] = 0.25  # never changes
    net.fit_inputs({"stats": seen})
    standard, first, _, second, _ = net.body  # type: ignore[misc]
    x = standard(torch.from_numpy(seen)).double().numpy()
    np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=0), np.where(np.arange(16) == 3, 0.0, 1.0), atol=1e-5)
    for layer in (first, second):
        x = np.maximum(x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy(), 0.0)
    logits = x @ net.head.weight.detach().double().numpy().T + net.head.bias.detach().double().numpy()
    np.testing.assert_allclose(net({"stats": torch.from_numpy(seen)}).detach().numpy(), logits, atol=1e-5)


def test_a_thumbnail_that_the_environment_does_not_show_is_asked_for(toy_env: EnvConfig) -> None:
    with pytest.raises(ValueError, match=r"selector 'thumb' reads thumbnail.*thumbnail=True"):
        policy.actions_of(make("thumb"), toy_env.task("val"))
    assert small("reinforce", toy_env, selector="thumb").env == replace(toy_env, thumbnail=True)


def test_the_linear_network_is_its_head() -> None:
    net, obs = lively(make("linear")), observations()
    assert torch.equal(net({"stats": obs["stats"]}), obs["stats"] @ net.head.weight.T + net.head.bias)
    assert {name for name, _ in net.named_parameters()} == {"head.weight", "head.bias"}


def test_clusters_are_found_and_memberships_are_near_them() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.random((3, 256)).astype(np.float32)
    which = np.repeat(np.arange(3), 20)
    rows = (kinds[which] + rng.normal(0.0, 0.01, (60, 256))).astype(np.float32)
    net = make("clusters", hidden=3)
    net.fit_inputs({"thumbnail": rows})
    centres = net.get_buffer("centres").numpy()
    np.testing.assert_allclose(centres, [rows[which == kind].mean(axis=0) for kind in range(3)], atol=1e-5)
    squares = ((rows[:, None] - centres) ** 2).sum(axis=2)
    softness = 0.05 * squares.mean()
    assert float(net.get_buffer("softness")) == pytest.approx(softness, rel=1e-3)
    expected = np.exp(-squares / softness)
    found = net.encode({"thumbnail": torch.from_numpy(rows)}).numpy()
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-4)
    np.testing.assert_array_equal(found.argmax(axis=1), which)


def test_fewer_sketches_than_clusters_give_finite_memberships() -> None:
    net = make("clusters", hidden=8)
    net.fit_inputs({"thumbnail": np.zeros((2, 256), dtype=np.float32)})
    found = net.encode({"thumbnail": torch.rand(5, 256)})
    np.testing.assert_allclose(found.sum(dim=1).numpy(), 1.0, rtol=1e-5)


def test_flops_of_clusters() -> None:
    net, obs = make("clusters", n_actions=5), drawing(1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(obs)
    assert float(net.flops(obs)[0]) == counter.get_total_flops()


@pytest.mark.parametrize("name", EVERY)
def test_choices_are_nearly_uniform_at_first(name: str) -> None:
    probabilities = torch.softmax(make(name)(observations()), dim=1)
    assert probabilities.min() > 0.24
    assert probabilities.max() < 0.26
    # Nearly, but not exactly: the network depends on the drawing.
    assert probabilities.std(dim=0).max() > 0


# ---------------------------------------------------------------- one sketch


@pytest.mark.parametrize("name", EVERY)
def test_one_sketch_is_observed_as_in_the_environment(toy_env: EnvConfig, name: str) -> None:
    task, net = replace(toy_env, thumbnail=True).task("val"), make(name)
    for row in range(len(task)):
        seen = net.observe(task.dataset.sketch(int(task.index[row])), toy_env.max_points)
        whole = {part: array[row : row + 1] for part, array in task.pictures.items()}
        assert set(seen) == set(net.reads)
        for part, tensor in seen.items():
            assert np.array_equal(tensor.numpy(), whole[part])
        assert net(seen).shape == (1, 4)


# ---------------------------------------------------------------- learning


@pytest.mark.parametrize("name", EVERY)
def test_every_parameter_learns(name: str) -> None:
    net, obs = lively(make(name)), observations()
    logits = net(obs)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3, 0, 1])).backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize("name", EVERY)
def test_it_serves_as_a_features_extractor(toy_env: EnvConfig, name: str) -> None:
    task = replace(toy_env, thumbnail=True).task("val")
    net = selectors.create(name, 4, len(FEATURE_NAMES))
    features = SelectorFeatures(task.observation_space(), net)
    obs = {part: torch.from_numpy(array[:3].copy()) for part, array in task.pictures.items()}
    assert features(obs).shape == (3, features.features_dim) == (3, net.features_dim)
    assert torch.equal(net.head(features(obs)), net(obs))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", ["clusters", "conv", "linear", "thumb", "transformer"])
def test_agents_train_it_and_it_reads_back(toy_env: EnvConfig, tmp_path: Path, name: str, algorithm: str) -> None:
    config = small(algorithm, toy_env, selector=name, hidden=None if name == "linear" else 8)
    run = algorithms.train_run(config)
    fresh = weights(selectors.create(**run.selector.settings()))
    assert all(fresh[key] != value for key, value in weights(run.selector).items() if key.startswith("head"))
    found = agents.load(agents.save(tmp_path / "x", run, toy_env.outcomes("train")))
    assert weights(found.selector) == weights(run.selector)
    task = run.config.env.task("test")
    actions, costs = policy.actions_of(run.selector, task), policy.flops_of(run.selector, task)
    sketches = [task.dataset.sketch(int(row)) for row in task.index]
    assert [found(sketch) for sketch in sketches] == [task.canvases[action] for action in actions]
    assert [found.gflops(sketch) for sketch in sketches] == (costs / 1e9).tolist()


def test_statistics_of_another_version_are_refused(toy_env: EnvConfig, tmp_path: Path) -> None:
    run = algorithms.train_run(small("reinforce", toy_env, selector="linear", hidden=None))
    older = replace(run, selector=selectors.create("linear", 4, 15).eval())
    with pytest.raises(ValueError, match="reads 15 statistics, this version takes 16"):
        agents.load(agents.save(tmp_path / "x", older, toy_env.outcomes("train")))


# ---------------------------------------------------------------- costs


def drawing(length: int, n_stats: int = 16) -> dict[str, torch.Tensor]:
    """One drawing of `length` points without padding."""
    points = torch.rand(1, length, 5, generator=torch.Generator().manual_seed(length))
    points[..., 4] = 0.0
    return {"points": points, "stats": torch.rand(1, n_stats), "thumbnail": torch.rand(1, 256)}


@pytest.mark.parametrize("name", ["conv", "gru", "linear", "stats", "thumb"])
@pytest.mark.parametrize("length", [1, 7, 64])
def test_flops_are_those_of_the_layers(name: str, length: int) -> None:
    net, obs = make(name, n_actions=5), drawing(length)
    assert float(net.flops(obs)[0]) == flop_counter.count(net, obs)


@pytest.mark.parametrize("length", [1, 7, 64])
def test_flops_of_the_transformer(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    net, obs = make("transformer", n_actions=5), drawing(length)
    total = float(net.flops(obs)[0])
    # PyTorch's counter sees all matrix products if attention is written out.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        net(obs)
    assert total == counter.get_total_flops()
    # Attention by hand: queries by keys and weights by values, in every block and head.
    attention = 2.0 * sum(2 * length * length * (12 // 4) for _ in range(2) for _ in range(4))
    # The rest are layers, which our counter knows; it refuses anything else.
    with pytest.raises(ValueError, match="matrix products outside its layers"):
        flop_counter.count(net, obs)
    monkeypatch.setattr(points_networks, "_attend", lambda queries, keys, values, real: values)
    assert total - attention == flop_counter.count(net, obs)


@pytest.mark.parametrize("name", OF_POINTS)
def test_flops_are_those_of_each_drawing_alone(name: str) -> None:
    net, obs = make(name), observations()
    rows = obs["points"].reshape(6, -1, 5)
    alone = [float(net.flops({"points": rows[row : row + 1, : row + 1]})[0]) for row in range(6)]
    assert net.flops(obs).dtype == torch.float64
    assert net.flops(obs).tolist() == net.flops(padded(obs, 50)).tolist() == alone == sorted(set(alone))


def test_default_networks_cost_well_below_the_smallest_canvas() -> None:
    # MobileNetV2 takes 0.0131 GFLOPs at 32 px, the cheapest canvas; 64 points is the default limit.
    obs = drawing(EnvConfig.max_points, len(FEATURE_NAMES))
    costs = {name: float(selectors.create(name, 4, len(FEATURE_NAMES)).flops(obs)[0]) / 1e6 for name in EVERY}
    assert costs == pytest.approx(
        {
            "clusters": 0.1331,
            "conv": 0.758,
            "gru": 6.538,
            "linear": 0.000128,
            "stats": 0.1413,
            "thumb": 0.2724,
            "transformer": 3.166,
        },
        rel=1e-3,
    )
    for name, cost in costs.items():
        # The GRU is the exception: its width is the paper's.
        assert cost < (0.5 if name == "gru" else 0.25) * 13.14


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
    # Padding costs nothing: only the points of each drawing are counted.
    assert net.flops(padded(obs, 50)).tolist() == expected


@pytest.mark.parametrize(("hidden", "n_actions"), [(64, 4), (12, 8)])
def test_flops_of_the_stats_network_by_hand(hidden: int, n_actions: int) -> None:
    net, obs = make("stats", n_actions, hidden), observations()
    layers = [(16, hidden), (hidden, hidden), (hidden, n_actions)]
    assert net.flops(obs).tolist() == [2.0 * sum(a * b for a, b in layers)] * 6
    # PyTorch's counter, which knows linear layers, agrees.
    with FlopCounterMode(display=False) as counter:
        net({"stats": obs["stats"][:1]})
    assert counter.get_total_flops() == net.flops(obs)[0]


# ---------------------------------------------------------------- told the tradeoff


def conditioned(name: str, n_actions: int = 4) -> Selector:
    torch.manual_seed(0)
    hidden = None if name == "linear" else 12
    return selectors.create(name, n_actions, n_stats=16, hidden=hidden, conditioned=True)


def at(obs: dict[str, torch.Tensor], *tradeoffs: float) -> dict[str, torch.Tensor]:
    """The observations, at one tradeoff for all or at one for each."""
    column = torch.tensor(tradeoffs, dtype=torch.float32)[:, None]
    return {**obs, "tradeoff": column.expand(len(obs["stats"]), 1)}


@pytest.mark.parametrize("name", EVERY)
def test_a_conditioned_network_reads_the_tradeoff_too(name: str) -> None:
    plain, net = make(name), conditioned(name)
    assert (plain.conditioned, net.conditioned) == (False, True)
    assert net.reads == (*plain.reads, "tradeoff")
    assert net.name == name
    assert net.n_stats == plain.n_stats
    obs = observations()
    read = {part: at(obs, 0.3)[part] for part in net.reads}
    assert torch.equal(net(read), net(at(obs, 0.3)))
    # Each row uses its own tradeoff.
    rows = net(at(obs, 0.0, 0.1, 0.2, 0.3, 0.4, 1.0))
    for row, tradeoff in enumerate((0.0, 0.1, 0.2, 0.3, 0.4, 1.0)):
        torch.testing.assert_close(rows[row], net(at(obs, tradeoff))[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_how_far_the_tradeoff_moves_the_logits_depends_on_the_sketch(name: str) -> None:
    net, obs = lively(conditioned(name)), observations()
    moved = net(at(obs, 0.8)) - net(at(obs, 0.0))
    assert moved.abs().max() > 1e-2
    assert moved.std(dim=0).max() > 1e-3


def test_a_conditioned_network_by_hand() -> None:
    net, obs = lively(conditioned("linear")), observations()
    tradeoffs = np.array([0.0, 0.001, 0.1, 0.2, 0.8, 1.0])
    told = np.stack([tradeoffs, np.log(1 + 1000 * tradeoffs) / np.log(1001)], axis=1)
    seen = np.concatenate([obs["stats"].double().numpy(), told], axis=1)
    mix, head = net.mix, net.head
    hidden = np.tanh(seen @ mix.weight.detach().double().numpy().T + mix.bias.detach().double().numpy())  # type: ignore[union-attr, operator]
    logits = hidden @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    np.testing.assert_allclose(net(at(obs, *tradeoffs)).detach().numpy(), logits, atol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_every_parameter_of_a_conditioned_network_learns(name: str) -> None:
    net, obs = lively(conditioned(name)), at(observations(), 0.0, 0.1, 0.2, 0.3, 0.4, 1.0)
    torch.nn.functional.cross_entropy(net(obs), torch.tensor([0, 1, 2, 3, 0, 1])).backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("length", [1, 7, 64])
def test_flops_of_a_conditioned_network(name: str, length: int) -> None:
    net, obs = conditioned(name, n_actions=5), at(drawing(length), 0.3)
    if name == "gru":
        # PyTorch's counter does not know recurrent layers; ours does.
        expected = flop_counter.count(net, obs)
    else:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
            net(obs)
        expected = counter.get_total_flops()
    assert float(net.flops(obs)[0]) == expected
    # The joining layer of 64 units, and a head on it instead of on the encoder.
    plain = make(name, n_actions=5)
    width = plain.features_dim
    more = 2.0 * (64 * (width + 2) + 64 * 5 - width * 5)
    assert float(net.flops(obs)[0]) == float(plain.flops(drawing(length))[0]) + more


@pytest.mark.parametrize("name", EVERY)
def test_settings_rebuild_a_conditioned_network(name: str) -> None:
    net = conditioned(name, n_actions=5)
    again = selectors.create(**json.loads(json.dumps(net.settings())))
    again.load_state_dict(net.state_dict())
    obs = at(observations(), 0.3)
    assert torch.equal(again(obs), net(obs))
    assert net.device == torch.device("cpu")
    with pytest.raises(ValueError, match="takes a tradeoff already"):
        ConditionedSelector(net)


@pytest.mark.parametrize("name", EVERY)
def test_one_sketch_at_a_tradeoff_is_observed_as_in_the_environment(toy_env: EnvConfig, name: str) -> None:
    net = conditioned(name)
    env = replace(toy_env, preferences=(0.0, 1.0), thumbnail=True).make_vec(1, "val")
    for row, tradeoff in enumerate((0.0, 0.1, 0.3)):
        shown, _ = env.reset(options={"index": row, "tradeoff": tradeoff})
        task = toy_env.task("val")
        seen = net.observe(task.dataset.sketch(int(task.index[row])), toy_env.max_points, tradeoff)
        assert set(seen) == set(net.reads)
        for part, tensor in seen.items():
            assert tensor.dtype == torch.float32
            assert np.array_equal(tensor.numpy(), shown[part])


def test_it_serves_as_a_features_extractor_too(toy_env: EnvConfig) -> None:
    space = replace(toy_env, preferences=(0.0, 1.0)).make_vec(1).single_observation_space
    net, obs = conditioned("stats"), at(observations(), 0.3)
    features = SelectorFeatures(space, net)  # type: ignore[arg-type]
    assert torch.equal(net.head(features(obs)), net(obs))


# ---------------------------------------------------------------- making


@pytest.mark.parametrize("name", EVERY)
def test_settings_rebuild_the_network(name: str) -> None:
    net = make(name, n_actions=5)
    again = selectors.create(**net.settings())
    again.load_state_dict(net.state_dict())
    assert type(again) is type(net)
    assert torch.equal(again(observations()), net(observations()))
    assert net.name == name
    assert net.device == torch.device("cpu")


def test_default_widths() -> None:
    widths = {name: selectors.create(name, 4, 16).features_dim for name in EVERY}
    assert widths == {
        "clusters": 256,
        "conv": 64,
        "gru": 128,
        "linear": 16,
        "stats": 256,
        "thumb": 256,
        "transformer": 32,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "lstm", "n_actions": 4},
            "'lstm'; there are clusters, conv, gru, linear, looks, stats, thumb, tr",
        ),
        ({"name": "stats", "n_actions": 4}, "needs n_stats"),
        ({"name": "linear", "n_actions": 4}, "'linear' needs n_stats"),
        ({"name": "linear", "n_actions": 4, "n_stats": 16, "hidden": 8}, "no hidden units: leave hidden out"),
        ({"name": "linear", "n_actions": 4, "n_stats": 10**12}, "statistics"),
        ({"name": "transformer", "n_actions": 4, "hidden": 30}, "a multiple of its 4 heads, not 30"),
        ({"name": "transformer", "n_actions": 4, "hidden": 0}, "hidden units, not 0"),
        ({"name": "conv", "n_actions": 4, "hidden": 10**9}, "hidden units"),
        ({"name": "gru", "n_actions": 0}, "1 to 4096 canvases, not 0"),
        ({"name": "gru", "n_actions": 10**12}, "canvases"),
        ({"name": "gru", "n_actions": 4, "hidden": 0}, "1 to 4096 hidden units, not 0"),
        ({"name": "gru", "n_actions": 4, "hidden": 10**9}, "hidden units"),
        ({"name": "stats", "n_actions": 4, "n_stats": 0}, "statistics, not 0"),
        ({"name": "stats", "n_actions": 4, "n_stats": 10**12}, "statistics"),
    ],
)
def test_impossible_networks_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        selectors.create(**arguments)


# ---------------------------------------------------------------- on a whole split


@pytest.mark.parametrize("name", EVERY)
def test_choices_on_a_split_are_those_sketch_by_sketch(toy_env: EnvConfig, name: str) -> None:
    net, task = make(name), replace(toy_env, thumbnail=True).task("val")
    # Far from uniform, so that rounding changes no choice.
    torch.nn.init.normal_(net.head.weight, std=5.0)
    whole = {part: torch.from_numpy(array.copy()) for part, array in task.pictures.items()}
    with torch.no_grad():
        # More than one canvas is chosen.
        net.head.bias -= net(whole).mean(dim=0)
    expected, costs = [], []
    for row in range(len(task)):
        obs = {part: tensor[row : row + 1] for part, tensor in whole.items()}
        expected.append(int(net(obs).argmax()))
        costs.append(float(net.flops(obs)[0]))
    assert len(set(expected)) > 1
    for batch_size in (4, 512):
        actions = policy.actions_of(net, task, batch_size=batch_size)
        assert actions.dtype == np.int64
        assert actions.tolist() == expected
        assert policy.flops_of(net, task, batch_size=batch_size).tolist() == costs


def test_a_network_over_other_canvases_is_refused(toy_env: EnvConfig) -> None:
    with pytest.raises(ValueError, match=r"chooses from 3 canvases, the task has \(16, 32, 64, 128\)"):
        policy.actions_of(make("stats", n_actions=3), toy_env.task("val"))
