"""Calibrate the batch norms of published weights on the data of each domain.

Published weights may have their norms folded into the convolutions, or statistics of other pictures. Such a trunk
computes the right function but trains badly, since its norms do not normalise. Calibration sets the statistics of a
domain's norms to those of its data, and their weights and biases so that the function stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from students.backbones.switch_norm import DomainNorm, set_domain, switch_layers
from students.network.embedder import Student
from students.network.modes import evaluating


def calibrate_all(student: Student, calibration: Mapping[str, Iterable[Tensor]]) -> None:
    """`calibrate` a student's trunk for each given domain; does nothing for a trunk without norms.

    `calibration` maps domains to batches of `Student.sketch_tensor` or `photo_tensor`; about 64 pictures suffice.
    """
    for domain, batches in calibration.items() if switch_layers(student.trunk) else ():
        calibrate(student.trunk, domain, batches)


def calibrate(module: nn.Module, domain: str, batches: Iterable[Tensor]) -> int:
    """Set the norms of `domain` to normalise the given data, without changing the network's function.

    One pass gathers mean and variance of each norm's input. The variance is the biased one, so that on a single batch
    training mode gives the same outputs, too. For a folded norm the result is weight = sqrt(variance + eps) and bias =
    mean + folded bias.

    Args:
        module: a trunk with switch norms.
        domain: one of its domains.
        batches: network inputs (B, 3, S, S).

    Returns:
        The number of pictures.

    Raises:
        ValueError: an unknown domain, or no batch.
    """
    layers = switch_layers(module)
    domains = [layer.domain for layer in layers]
    moments = [_Moments() for _ in layers]
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, m=m: m.add(args[0]))
        for layer, m in zip(layers, moments, strict=True)
    ]
    pictures = 0
    try:
        set_domain(module, domain)
        with torch.no_grad(), evaluating(module):
            for batch in batches:
                module(batch)
                pictures += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, name in zip(layers, domains, strict=True):
            layer.domain = name
    if pictures == 0:
        raise ValueError(f"calibrate needs at least one batch for domain {domain!r}")
    for layer, m in zip(layers, moments, strict=True):
        norm = layer.bns[domain]
        assert isinstance(norm, DomainNorm)
        _set_statistics(norm, m.mean, m.m2 / m.count, layer.eps)
    return pictures


class _Moments:
    """Mean and biased variance (`m2` / `count`) per channel of all tensors added, in float64.

    Merged as by Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances",
    COMPSTAT 1982.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.m2 = torch.zeros(())

    def add(self, x: Tensor) -> None:
        """Add x (B, C, H, W)."""
        n = x.numel() // x.shape[1]
        var, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        var, mean = var.double(), mean.double()
        if self.count == 0:
            self.count, self.mean, self.m2 = n, mean, var * n
            return
        total = self.count + n
        delta = mean - self.mean
        self.m2 = self.m2 + var * n + delta.square() * (self.count * n / total)
        self.mean = self.mean + delta * (n / total)
        self.count = total


def _set_statistics(norm: DomainNorm, mean: Tensor, var: Tensor, eps: float) -> None:
    """Set a norm's statistics to (mean, var), and its weight and bias so that it still maps x to gain * x + shift."""
    with torch.no_grad():
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + eps)
        shift = norm.bias.double() - gain * norm.running_mean.double()
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
        norm.weight.copy_(gain * torch.sqrt(var + eps))
        norm.bias.copy_(shift + gain * mean)
