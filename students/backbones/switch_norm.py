"""Batch normalisation with affine parameters and statistics of its own per domain.

A domain is where the pictures come from: ``"photo"`` or a canvas size as text (``"32"`` .. ``"256"``). A
network that sees several input sizes has other activation statistics at each of them; one shared set of
running statistics fits none. Source: the resolution switchable networks of Wang et al., "Resolution
Switchable Networks for Runtime Efficient Image Recognition", ECCV 2020. Giving photos a domain beside the
canvases is our own addition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """Batch norm over (B, C, H, W) that uses the set of the selected domain only.

    Each domain has parameters of its own (state-dict names ``bns.<domain>.weight`` ...), not rows of one
    tensor: the gradient of a domain that was not used is ``None``, so that an optimiser leaves it alone,
    momentum and weight decay included (after ``zero_grad(set_to_none=True)``, PyTorch's default).
    """

    def __init__(self, num_features: int, domains: Sequence[str], eps: float = 1e-5, momentum: float = 0.1) -> None:
        """Make one set per domain and select the first.

        Raises ValueError when `domains` is empty or names one twice.
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
        """Names of the domains that this layer has a set for."""
        return tuple(self.bns)

    def select(self, domain: str) -> None:
        """Use the set of `domain` from now on. Raises ValueError for an unknown one, naming the known."""
        if domain not in self.bns:
            raise ValueError(f"unknown domain {domain!r}; this network has statistics for {list(self.bns)}")
        self.domain = domain

    @property
    def selected(self) -> DomainNorm:
        """The set in use."""
        norm = self.bns[self.domain]
        assert isinstance(norm, DomainNorm)
        return norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, C, H, W); when training by the batch, updating the statistics."""
        norm = self.selected
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

    def extra_repr(self) -> str:
        """Size, domains and the selected one."""
        return f"{self.num_features}, domains={list(self.bns)}, selected={self.domain!r}"


def switch_layers(module: nn.Module) -> list[SwitchBatchNorm2d]:
    """All switch layers below `module`, in module order.

    The list is kept on the module, because walking the module tree costs more than a small forward pass;
    layers added after the first call are not seen.
    """
    layers: list[SwitchBatchNorm2d] | None = module.__dict__.get("_switch_layers")
    if layers is None:
        layers = [m for m in module.modules() if isinstance(m, SwitchBatchNorm2d)]
        module.__dict__["_switch_layers"] = layers
    return layers


def set_domain(module: nn.Module, domain: str) -> None:
    """Select `domain` in every switch layer of `module`.

    Raises ValueError listing the known domains for an unknown one.
    """
    for layer in switch_layers(module):
        if layer.domain != domain:
            layer.select(domain)


@contextmanager
def only_norms_train(module: nn.Module) -> Iterator[list[SwitchBatchNorm2d]]:
    """Within the context the switch layers are in training mode and all else in evaluation mode.

    Every module's own mode, and each layer's momentum and domain, are put back at the end.
    """
    layers = switch_layers(module)
    modes = [(m, m.training) for m in module.modules()]
    kept = [(layer, layer.momentum, layer.domain) for layer in layers]
    try:
        module.eval()
        for layer in layers:
            layer.training = True
        yield layers
    finally:
        for m, mode in modes:
            m.training = mode
        for layer, momentum, domain in kept:
            layer.momentum = momentum
            layer.domain = domain


def recalibrate(
    module: nn.Module,
    domain: str,
    batches: Iterable[Tensor],
    forward: Callable[[Tensor], Any] | None = None,
) -> int:
    """Recompute the running statistics of one domain from data, with the weights as they are.

    `batches` yields inputs (B, 3, S, S); `forward` runs one (default: ``module(batch)``). Each layer
    normalises by the batch, as in training; its running mean and (unbiased) variance become the averages over
    the batches, weighted by batch size, so that the old statistics do not count. Other domains and all
    parameters stay. Returns the number of pictures seen. Raises ValueError for an unknown domain or when
    there is no batch.
    """
    run = module if forward is None else forward
    seen = 0
    with torch.no_grad(), only_norms_train(module) as layers:
        set_domain(module, domain)
        for batch in batches:
            seen += len(batch)
            # momentum 1 at the first batch forgets the old statistics; then a running weighted mean
            for layer in layers:
                layer.momentum = len(batch) / seen
            run(batch)
    if seen == 0:
        raise ValueError(f"recalibrate needs at least one batch for domain {domain!r}")
    return seen


def parameter_groups(module: nn.Module, weight_decay: float, **settings: Any) -> list[dict[str, Any]]:
    """Two optimiser groups: kernels with weight decay; norms, biases and scalars (less than 2 axes) without.

    `settings` (such as ``lr``) go into both groups. Frozen parameters are left out.
    """
    decay = [p for p in module.parameters() if p.requires_grad and p.ndim >= 2]
    plain = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    return [
        {"params": decay, "weight_decay": weight_decay, **settings},
        {"params": plain, "weight_decay": 0.0, **settings},
    ]
