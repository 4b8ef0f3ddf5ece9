"""FLOPs and parameters of a network, counted layer by layer from the shapes of a forward pass.

Unit: FLOPs = 2 x MAC (a multiplication and an addition). Counted are convolutions (1D and 2D), linear layers and GRUs;
positions where a kernel meets padding count as MACs, as is usual. Not counted are biases, batch norm, activations,
pooling and other element-wise work. By this rule the convolutions of VGG-16 cost 40.09 GFLOPs at 256 x 256, those of
MobileNetV2 0.782.

Work that would be missed raises an error instead of counting as 0: a layer of an unlisted type that holds a matrix; a
listed layer that the pass never calls (PyTorch's fused attention does that); and matrix products outside layers, such
as those in attention, for which PyTorch's `FlopCounterMode` watches the pass and must not find more than the layers
account for. On a CPU it does not see LSTMs, beside which other products could go unnoticed; students with backbones
from elsewhere are therefore counted on the meta device, where it does. The package's own backbones need no watching.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from students.backbones.switch_norm import SwitchBatchNorm2d
from students.network.modes import evaluating

Rule = Callable[[Any, tuple[Any, ...], Any], float]


def _conv(layer: Any, inputs: tuple[Any, ...], output: Tensor) -> float:
    per_output: int = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
    return 2.0 * output.numel() * per_output


def _linear(layer: nn.Linear, inputs: tuple[Any, ...], output: Tensor) -> float:
    return 2.0 * output.numel() * layer.in_features


def _gru(layer: nn.GRU, inputs: tuple[Any, ...], output: Any) -> float:
    steps = math.prod(inputs[0].shape[:-1])  # padding of a batch is computed, too
    directions = 2 if layer.bidirectional else 1
    macs = 0
    for level in range(layer.num_layers):
        fan_in = layer.input_size if level == 0 else layer.hidden_size * directions
        macs += directions * 3 * layer.hidden_size * (fan_in + layer.hidden_size)
    return float(2.0 * steps * macs)


COUNTED: dict[type[nn.Module], Rule] = {nn.Conv1d: _conv, nn.Conv2d: _conv, nn.Linear: _linear, nn.GRU: _gru}
"""Rule of each counted layer type; other layers with matrices raise an error."""

# Layers with matrices whose work is element-wise or a lookup. Layers without parameters, or with vectors only, need no
# entry.
NOT_COUNTED: tuple[type[nn.Module], ...] = (nn.LayerNorm, nn.Embedding)


def count(module: nn.Module, *inputs: Any, watched: bool = True) -> float:
    """FLOPs (2 x MAC) of one forward pass: those of all calls of counted layers.

    Args:
        module: a network; its modes are restored. On the meta device nothing is computed.
        inputs: arguments of the pass; a tuple of integers stands for a float32 tensor of zeros of that shape on the
            module's device.
        watched: check for matrix products outside layers. PyTorch's watcher imports its compiler, which takes a second,
            so networks known to have none are not watched.

    Raises:
        ValueError: a layer of unknown type with matrices, a counted layer that is never called, or matrix products
            outside layers; the message names the layer.
    """
    rules = {name: (m, _rule(name, m)) for name, m in module.named_modules()}
    counted = {name: (m, rule) for name, (m, rule) in rules.items() if rule is not None}
    calls: list[tuple[str, float]] = []

    def hook(name: str, rule: Rule) -> Callable[..., None]:
        def record(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            calls.append((name, rule(layer, args, output)))

        return record

    handles = [m.register_forward_hook(hook(name, rule)) for name, (m, rule) in counted.items()]
    watcher = FlopCounterMode(display=False)
    try:
        # The watcher does not see the fused attention of a CPU.
        with evaluating(module), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), watcher if watched else nullcontext():
            module(*(_materialise(module, x) for x in inputs))
    finally:
        for handle in handles:
            handle.remove()
    idle = sorted(set(counted) - {name for name, _ in calls})
    if idle:
        raise ValueError(f"the forward pass never called {idle}: their FLOPs cannot be counted")
    total = sum(flops for _, flops in calls)
    if watcher.get_total_flops() > total:
        raise ValueError(
            f"PyTorch finds {watcher.get_total_flops():,} FLOPs, the layers account for {total:,.0f}: this network "
            "has matrix products outside its layers (attention, for one), whose FLOPs cannot be counted"
        )
    return total


def count_params(module: nn.Module) -> int:
    """Number of parameters used for one query: shared ones once, norms of one domain only."""
    other_domains: set[int] = set()
    for m in module.modules():
        if isinstance(m, SwitchBatchNorm2d):
            for norm in list(m.bns.values())[1:]:
                other_domains |= {id(p) for p in norm.parameters()}
    return sum(p.numel() for p in module.parameters() if id(p) not in other_domains)


def _rule(name: str, module: nn.Module) -> Rule | None:
    """The rule that counts a module's own work, not that of its parts; None for a module without counted work."""
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
    """Zeros on the module's device for a shape; any other value unchanged."""
    if isinstance(value, tuple) and value and all(isinstance(n, int) for n in value):
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        return torch.zeros(value, device=device)
    return value
