"""Start a trunk from published ImageNet weights.

The shipped file holds MobileNetV2 1.0 with its batch norms folded into the convolutions. Such a trunk
computes the right function but cannot be trained well as it stands, since its norms normalise nothing.
:func:`calibrate` runs data through once and rewrites each norm so that it does normalise and the function
stays what it was.

The network takes RGB pixels as x / 127.5 - 1 (TensorFlow's convention for MobileNetV2) and TensorFlow's SAME
padding. torchvision's own published file loads through the same functions; it wants
``StudentConfig(same_padding=False, normalisation="imagenet")``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from students.embedder import Student
from students.switch_norm import DomainNorm, SwitchBatchNorm2d, set_domain, switch_layers

PRETRAINED = {"mobilenet_v2": Path(__file__).parent / "weights" / "pretrained" / "mobilenet_v2_imagenet.safetensors"}
_NORM_KEYS = ("weight", "bias", "running_mean", "running_var")


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a .safetensors or .pth file of tensors, without running anything that is in it.

    Raises FileNotFoundError when it is not there, and ValueError when it is not such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}; shipped starts: {sorted(PRETRAINED)}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not a readable weights file: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} does not hold a state dict (names and tensors)")
    return state


def load_trunk(trunk: nn.Module, state: Mapping[str, Tensor], source: str = "state dict") -> bool:
    """Load a plain state dict (torchvision's names) into a trunk with switch norms, every domain alike.

    Convolutions are cast to float32; each norm's parameters and statistics are copied into every domain. A
    state dict with no norms but convolution biases (folded) loads too. A classifier's tensors are left out.
    Returns whether the norms are folded: then :func:`calibrate` every domain before training. Raises
    ValueError for missing or extra names, wrong shapes, NaN or infinity; the trunk is unchanged then.
    """
    given = {
        k: v for k, v in state.items() if not k.startswith("classifier.") and not k.endswith(".num_batches_tracked")
    }
    norms = {n: m for n, m in trunk.named_modules() if isinstance(m, SwitchBatchNorm2d)}
    convs = {n: m for n, m in trunk.named_modules() if isinstance(m, nn.Conv2d)}
    bare = not any(f"{n}.{key}" in given for n in norms for key in _NORM_KEYS)
    if bare:
        given = _norms_from_biases(given, list(convs), norms)
    expected: dict[str, torch.Size] = {f"{n}.weight": m.weight.shape for n, m in convs.items()}
    for n, m in norms.items():
        expected |= {f"{n}.{key}": torch.Size([m.num_features]) for key in _NORM_KEYS}
    check_state(given, expected, source)
    with torch.no_grad():
        for n, conv in convs.items():
            conv.weight.copy_(given[f"{n}.weight"])
        for n, layer in norms.items():
            for norm in layer.bns.values():
                for key in _NORM_KEYS:
                    getattr(norm, key).copy_(given[f"{n}.{key}"])
    return bare or all(_is_identity(given, n) for n in norms)


def check_state(given: Mapping[str, Tensor], expected: Mapping[str, torch.Size], source: str) -> None:
    """Raise ValueError unless `given` has the `expected` names and shapes, and only finite numbers."""
    missing = sorted(set(expected) - set(given))
    extra = sorted(set(given) - set(expected))
    if missing or extra:
        raise ValueError(
            f"{source} does not fit this network: {len(missing)} missing {missing[:3]}, {len(extra)} extra {extra[:3]}"
        )
    for name, shape in expected.items():
        if given[name].shape != shape:
            raise ValueError(f"{source}: {name} has shape {tuple(given[name].shape)}, expected {tuple(shape)}")
        if not torch.isfinite(given[name]).all():
            raise ValueError(f"{source}: {name} holds NaN or infinity")
        if name.endswith("running_var") and (given[name] < 0).any():
            raise ValueError(f"{source}: {name} holds a negative variance")


def _norms_from_biases(
    state: Mapping[str, Tensor], convs: list[str], norms: Mapping[str, SwitchBatchNorm2d]
) -> dict[str, Tensor]:
    """Turn convolution biases into identity norms with a bias (each norm follows its convolution)."""
    out = dict(state)
    for conv, (name, layer) in zip(convs, norms.items(), strict=True):
        bias = out.pop(f"{conv}.bias", None)
        if bias is None:
            continue  # check_state then names the missing norm
        ones, zeros = torch.ones(layer.num_features), torch.zeros(layer.num_features)
        out |= {f"{name}.weight": ones, f"{name}.bias": bias}
        out |= {f"{name}.running_mean": zeros, f"{name}.running_var": ones}
    return out


def _is_identity(state: Mapping[str, Tensor], norm: str) -> bool:
    """Whether a norm divides by 1 and subtracts 0 (its bias may be anything: the folded convolution's)."""
    gain = state[f"{norm}.weight"].float() / torch.sqrt(state[f"{norm}.running_var"].float())
    return bool(torch.all((gain - 1).abs() < 1e-3) and torch.all(state[f"{norm}.running_mean"] == 0))


class _Moments:
    """Mean and biased variance per channel over everything added, in float64 (Chan's merging)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.m2 = torch.zeros(())

    def add(self, x: Tensor) -> None:
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


def calibrate(
    module: nn.Module,
    domain: str,
    batches: Iterable[Tensor],
    forward: Callable[[Tensor], Any] | None = None,
) -> int:
    """Make the norms of `domain` normalise that domain's own data without changing the network's function.

    One pass: the statistics of each norm's input are gathered, running mean and variance set to them, and
    weight and bias to whatever undoes that. For a folded norm: weight = sqrt(var + eps), bias = mean + folded
    bias. `batches` yields inputs (B, 3, S, S); `forward` runs one (default ``module(batch)``). The variance
    is the biased one, so that on a single batch training mode, too, gives the same outputs. Returns the
    number of pictures seen. Raises ValueError for an unknown domain or when there is no batch.
    """
    from students.embedder import evaluating

    layers = switch_layers(module)
    before = [layer.domain for layer in layers]
    moments = [_Moments() for _ in layers]
    hooks = [
        layer.register_forward_pre_hook(lambda _, args, m=m: m.add(args[0]))
        for layer, m in zip(layers, moments, strict=True)
    ]
    run = module if forward is None else forward
    seen = 0
    try:
        set_domain(module, domain)
        with torch.no_grad(), evaluating(module):
            for batch in batches:
                run(batch)
                seen += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, name in zip(layers, before, strict=True):
            layer.domain = name
    if seen == 0:
        raise ValueError(f"calibrate needs at least one batch for domain {domain!r}")
    for layer, m in zip(layers, moments, strict=True):
        norm = layer.bns[domain]
        assert isinstance(norm, DomainNorm)
        _rewrite(norm, m.mean, m.m2 / m.count, layer.eps)
    return seen


def _rewrite(norm: DomainNorm, mean: Tensor, var: Tensor, eps: float) -> None:
    """Set a norm's statistics to (mean, var) and its affine so that it still maps x to gain * x + shift."""
    with torch.no_grad():
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + eps)
        shift = norm.bias.double() - gain * norm.running_mean.double()
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
        norm.weight.copy_(gain * torch.sqrt(var + eps))
        norm.bias.copy_(shift + gain * mean)


def start_from_pretrained(
    student: Student,
    calibration: Mapping[str, Iterable[Tensor]] | None = None,
    path: str | Path | None = None,
) -> bool:
    """Load ImageNet weights into a student's trunk and calibrate each domain with its own data.

    `path` defaults to the shipped file of the student's backbone. `calibration` maps every domain to network
    inputs ((B, 3, S, S) batches from `sketch_tensor` at that canvas, or `photo_tensor`); about 64 pictures
    do. It is needed for folded weights and optional for others. Returns whether the weights were folded.
    Raises ValueError for weights that do not fit, or when folded and a domain has no data.
    """
    file = Path(path) if path is not None else PRETRAINED[student.config.backbone]
    state = read_state_dict(file)
    given = dict(calibration or {})
    unknown = sorted(set(given) - set(student.config.domains))
    if unknown:
        raise ValueError(f"calibration data for unknown domains {unknown}; there are {list(student.config.domains)}")
    folded = load_trunk(student.trunk, state, file.name)
    lacking = [d for d in student.config.domains if d not in given]
    if folded and lacking:
        raise ValueError(f"{file.name} has folded batch norms: calibration data needed for {lacking}, too")
    for domain, batches in given.items():
        calibrate(student.trunk, domain, batches)
    return folded
