"""Batch normalisation with separate affine parameters and statistics per domain.

A domain is a kind of input: ``"photo"``, or a canvas side as text (``"32"`` to ``"256"``). Activations have other
statistics at every input size, so that one shared set of running statistics fits none of them. Source: Wang et al.,
"Resolution Switchable Networks for Runtime Efficient Image Recognition", ECCV 2020; the domain for photos is our
addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PHOTO = "photo"


class DomainNorm(nn.Module):
    """Affine parameters and running statistics (each of shape (C,), float32) of one domain."""

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int) -> None:
        """Start as the identity: weight 1, bias 0, mean 0, variance 1."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))


class SwitchBatchNorm2d(nn.Module):
    """Batch norm over (B, C, H, W) with the parameters and statistics of the selected domain.

    The domains' parameters are separate tensors (state-dict names ``bns.<domain>.weight`` and so on), not rows of one:
    the gradient of an unused domain is None, so that an optimiser leaves it unchanged, momentum and weight decay
    included (after ``zero_grad(set_to_none=True)``, PyTorch's default).
    """

    def __init__(self, num_features: int, domains: Sequence[str], eps: float = 1e-5, momentum: float = 0.1) -> None:
        """Make a `DomainNorm` per domain and select the first.

        Raises ValueError if `domains` is empty or has duplicates.
        """
        super().__init__()
        names = [str(name) for name in domains]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"domains must be non-empty and distinct, got {names}")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.domain = names[0]
        self.bns = nn.ModuleDict({name: DomainNorm(num_features) for name in names})

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""
        return tuple(self.bns)

    def select(self, domain: str) -> None:
        """Use `domain` from now on. Raises ValueError, listing the domains, for an unknown one."""
        if domain not in self.bns:
            raise ValueError(f"unknown domain {domain!r}; this network has statistics for {list(self.bns)}")
        self.domain = domain

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) normalised: in training mode by the batch, and the running statistics are updated."""
        norm = self.bns[self.domain]
        assert isinstance(norm, DomainNorm)
        return F.batch_norm(
            x,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            self.training,
            self.momentum,
            self.eps,
        )


def switch_layers(module: nn.Module) -> list[SwitchBatchNorm2d]:
    """All switch layers below `module`, in module order.

    The list is cached on the module, since walking the module tree takes longer than a small forward pass; layers added
    after the first call are missed.
    """
    layers: list[SwitchBatchNorm2d] | None = module.__dict__.get("_switch_layers")
    if layers is None:
        layers = [m for m in module.modules() if isinstance(m, SwitchBatchNorm2d)]
        module.__dict__["_switch_layers"] = layers
    return layers


def set_domain(module: nn.Module, domain: str) -> None:
    """Select `domain` in every switch layer of `module`. Raises ValueError, listing the domains, for an unknown one."""
    for layer in switch_layers(module):
        if layer.domain != domain:
            layer.select(domain)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two optimiser groups of trainable parameters: kernels with weight decay; norms, biases and scalars without."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
