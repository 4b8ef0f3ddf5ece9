"""Batch norm per domain: equality with PyTorch's own, and domains that do not influence each other."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from students.backbones.switch_norm import SwitchBatchNorm2d, parameter_groups, set_domain, switch_layers


def batches(seed: int, sizes: tuple[int, ...], channels: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, channels, 4, 5, generator=generator) * 2 + 1 for n in sizes]


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        SwitchBatchNorm2d(4, ("photo", "32")),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(4, 2, 1),
        SwitchBatchNorm2d(2, ("photo", "32")),
    )


def test_equals_torch_batch_norm_in_training_and_evaluation() -> None:
    ours, theirs = SwitchBatchNorm2d(3, ("photo", "32")), nn.BatchNorm2d(3)
    ours.select("32")
    for x in batches(0, (4, 6)):
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    torch.testing.assert_close(ours.bns["32"].running_mean, theirs.running_mean, rtol=0, atol=0)
    torch.testing.assert_close(ours.bns["32"].running_var, theirs.running_var, rtol=0, atol=0)
    x = batches(1, (2,))[0]
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=0)


def test_training_one_domain_leaves_the_others_bit_identical() -> None:
    net = small_net()
    optimiser = torch.optim.AdamW(parameter_groups(net, weight_decay=0.1), lr=0.1)
    set_domain(net, "32")
    for x in batches(0, (4, 4)):  # gives domain 32 an optimiser state with momentum
        optimiser.zero_grad()
        net(x).square().mean().backward()
        optimiser.step()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    set_domain(net, "photo")
    for x in batches(1, (4, 4)):
        optimiser.zero_grad()
        net(x).pow(4).mean().backward()
        optimiser.step()
    assert all(p.grad is None for name, p in net.named_parameters() if ".32." in name)
    after = net.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert not [name for name in changed if ".32." in name]
    assert {f"{i}.bns.photo.{key}" for i in (1, 5) for key in ("weight", "running_mean", "running_var")} <= changed


def test_unknown_domain_lists_what_exists() -> None:
    net = small_net()
    with pytest.raises(ValueError, match=r"'512'.*'photo', '32'"):
        set_domain(net, "512")
    assert {layer.domain for layer in switch_layers(net)} == {"photo"}


@pytest.mark.parametrize("domains", [(), ("a", "a")])
def test_bad_domains_are_refused(domains: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="domains must be"):
        SwitchBatchNorm2d(2, domains)


def test_a_copy_switches_on_its_own() -> None:
    net = small_net()
    set_domain(net, "32")
    twin = copy.deepcopy(net)
    set_domain(twin, "photo")
    assert {layer.domain for layer in switch_layers(net)} == {"32"}
    assert [layer.domain for layer in twin.modules() if isinstance(layer, SwitchBatchNorm2d)] == ["photo"] * 2


def test_parameter_groups_decay_kernels_only() -> None:
    net = small_net()
    net[4].weight.requires_grad_(False)
    decay, plain = parameter_groups(net, weight_decay=0.05)
    assert [p is net[0].weight for p in decay["params"]] == [True]
    assert decay["weight_decay"] == 0.05 and plain["weight_decay"] == 0.0
    # two biases of convolutions, and weight and bias of two domains in two norms
    assert len(plain["params"]) == 2 + 2 * 2 * 2
