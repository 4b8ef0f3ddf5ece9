"""FLOPs and parameters of a network, counted layer by layer from the shapes of a real forward pass.

Unit: FLOPs = 2 x MAC (a multiply and an add). Counted: convolutions (1D and 2D), linear layers and GRUs. Positions
where a kernel meets padding count as MACs, as is usual. Not counted: biases, batch norm, activations,
pooling, other element-wise work. By this rule VGG-16's convolutions cost 40.09
GFLOPs at 256 x 256 and MobileNetV2's 0.782.

Nothing counts as 0 by accident. Errors are: a layer of a type not listed that holds a matrix (one that holds only
vectors, a scale say, does element-wise work); a listed layer that a forward pass never calls (PyTorch's fused
attention does that); and matrix products outside layers, such as those between activations in attention: PyTorch's
`FlopCounterMode` watches a pass and must not find more than the layers account for. (On a CPU it does not see an
LSTM, beside which as much could hide; on the meta device it does, and there a student of a foreign backbone is
counted.) The package's own backbones need no watching.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from students.backbones.switch_norm import SwitchBatchNorm2d
from students.network.embedder import evaluating

Rule = Callable[[Any, tuple[Any, ...], Any], float]


@dataclass(frozen=True)
class LayerFlops:
    """One call of one layer: its dotted name, its type and its FLOPs (2 x MAC)."""

    name: str
    kind: str
    flops: float


def _conv(layer: Any, inputs: tuple[Any, ...], output: Tensor) -> float:
    per_output: int = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
    return 2.0 * output.numel() * per_output


def _linear(layer: nn.Linear, inputs: tuple[Any, ...], output: Tensor) -> float:
    return 2.0 * output.numel() * layer.in_features


def _gru(layer: nn.GRU, inputs: tuple[Any, ...], output: Any) -> float:
    steps = math.prod(inputs[0].shape[:-1])  # a padded batch is computed in full
    directions = 2 if layer.bidirectional else 1
    macs = 0
    for level in range(layer.num_layers):
        fan_in = layer.input_size if level == 0 else layer.hidden_size * directions
        macs += directions * 3 * layer.hidden_size * (fan_in + layer.hidden_size)
    return float(2.0 * steps * macs)


COUNTED: dict[type[nn.Module], Rule] = {nn.Conv1d: _conv, nn.Conv2d: _conv, nn.Linear: _linear, nn.GRU: _gru}
"""Layers of students, selectors and timm's convolutional networks; other layers with matrices are errors."""

# Layers that hold matrices and whose work is element-wise or a lookup. Layers without parameters (activations,
# pooling, dropout, padding, upsampling, containers) or with vectors only (other norms) need no entry.
NOT_COUNTED: tuple[type[nn.Module], ...] = (nn.LayerNorm, nn.Embedding)


def layers(module: nn.Module, *inputs: Any, watched: bool = True) -> list[LayerFlops]:
    """FLOPs of every call of every counted layer, in the order of the calls, for one forward pass.

    `inputs` are the forward's arguments; a tuple of integers stands for a float32 tensor of zeros of that
    shape on the module's device (a module on the "meta" device is counted without any arithmetic). Modes are
    put back. Raises ValueError naming a layer with parameters that is of unknown type or that the forward
    never called, and for matrix products outside layers, unless the pass is not `watched`: a network that is known
    to have none is counted a second sooner by a process, for PyTorch's watcher imports its compiler.
    """
    rules = {name: (m, _rule(name, m)) for name, m in module.named_modules()}
    counted = {name: (m, rule) for name, (m, rule) in rules.items() if rule is not None}
    found: list[LayerFlops] = []

    def hook(name: str, rule: Rule) -> Callable[..., None]:
        def record(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            found.append(LayerFlops(name, type(layer).__name__, float(rule(layer, args, output))))

        return record

    handles = [m.register_forward_hook(hook(name, rule)) for name, (m, rule) in counted.items()]
    watcher = FlopCounterMode(display=False)
    try:
        # the fused attention of a CPU is invisible to the watcher
        with evaluating(module), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), watcher if watched else nullcontext():
            module(*(_materialise(module, x) for x in inputs))
    finally:
        for handle in handles:
            handle.remove()
    idle = sorted(set(counted) - {layer.name for layer in found})
    if idle:
        raise ValueError(f"the forward pass never called {idle}: their FLOPs cannot be counted")
    total = sum(layer.flops for layer in found)
    if watcher.get_total_flops() > total:
        raise ValueError(
            f"PyTorch finds {watcher.get_total_flops():,} FLOPs, the layers account for {total:,.0f}: this network "
            "has matrix products outside its layers (attention, for one), whose FLOPs cannot be counted"
        )
    return found


def count(module: nn.Module, *inputs: Any, watched: bool = True) -> float:
    """FLOPs (2 x MAC) of one forward pass; arguments and errors as for :func:`layers`."""
    return sum(layer.flops for layer in layers(module, *inputs, watched=watched))


def count_params(module: nn.Module, all_domains: bool = False) -> int:
    """Number of parameters, shared ones once.

    A switch norm counts for one domain, since one query uses one (`all_domains`: count what is stored).
    """
    spare: set[int] = set()
    if not all_domains:
        for m in module.modules():
            if isinstance(m, SwitchBatchNorm2d):
                for norm in list(m.bns.values())[1:]:
                    spare |= {id(p) for p in norm.parameters()}
    return sum(p.numel() for p in module.parameters() if id(p) not in spare)


def _rule(name: str, module: nn.Module) -> Rule | None:
    """The rule that counts a module's own work; None if it has none to count."""
    for kind in type(module).__mro__:
        if kind in COUNTED:
            return COUNTED[kind]
    own = list(module.parameters(recurse=False))
    if isinstance(module, NOT_COUNTED) or all(p.numel() == max(p.shape, default=1) for p in own):
        return None
    raise ValueError(
        f"no FLOPs rule for layer {name or '(root)'!r} of type {type(module).__name__}, which has "
        f"matrices as parameters; known: {sorted(k.__name__ for k in (*COUNTED, *NOT_COUNTED))}"
    )


def _materialise(module: nn.Module, value: Any) -> Any:
    """Turn a shape into zeros on the module's device; leave other values alone."""
    if isinstance(value, tuple) and value and all(isinstance(n, int) for n in value):
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        return torch.zeros(value, device=device)
    return value
