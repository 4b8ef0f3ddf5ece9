"""Backbones: the photo networks whose features a student uses, and their registry.

A backbone is one of `BACKBONES`, or a network of the timm package as ``timm:NAME`` (extra ``timm``). Imports no other
room of `students`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from students.backbones.efficientnet_lite import EfficientNetLiteTrunk
from students.backbones.mobilenet_v2 import MobileNetV2Trunk
from students.backbones.mobilenet_v3 import MobileNetV3SmallTrunk
from students.backbones.timm_trunk import PREFIX as TIMM_PREFIX
from students.backbones.timm_trunk import TimmTrunk, timm_pixels
from students.backbones.trunk import Trunk
from students.backbones.vgg16 import VGG16Trunk

__all__ = ["BACKBONES", "NORMALISATION", "OWN", "Trunk", "build_trunk", "check_backbone", "wanted_inputs"]

BACKBONES: dict[str, Callable[..., Trunk]] = {
    "efficientnet_lite0": EfficientNetLiteTrunk,
    "efficientnet_lite1": partial(EfficientNetLiteTrunk, depth=1.1),
    "efficientnet_lite2": partial(EfficientNetLiteTrunk, width=1.1, depth=1.2),
    "mobilenet_v2": MobileNetV2Trunk,
    "mobilenet_v3_small": MobileNetV3SmallTrunk,
    "vgg16": VGG16Trunk,
}

OWN = frozenset(BACKBONES)
"""Backbones whose matrix products are known to be in layers, as the tests check against PyTorch's FLOPs counter."""

NORMALISATION: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "tf": ((127.5,) * 3, (127.5,) * 3),  # x / 127.5 - 1
    "imagenet": ((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)),  # torchvision's
    "caffe": ((123.68, 116.779, 103.939), (1.0,) * 3),  # the original VGG's
    "unit": ((0.0,) * 3, (255.0,) * 3),  # x / 255
}
"""Mean and standard deviation per RGB channel, pixels from 0 to 255."""

# (normalisation, same_padding) of the published weights in `students.store.pretrained`, else of torchvision's.
_INPUTS = {
    "efficientnet_lite0": ("tf", True),
    "efficientnet_lite1": ("tf", True),
    "efficientnet_lite2": ("tf", True),
    "mobilenet_v2": ("tf", True),
    "mobilenet_v3_small": ("imagenet", False),
    "vgg16": ("caffe", True),
}


def check_backbone(name: str) -> None:
    """Raise ValueError, listing the backbones, unless `name` is in the registry or starts with ``timm:``."""
    if name not in BACKBONES and not name.startswith(TIMM_PREFIX):
        raise ValueError(f"unknown backbone {name!r}; there are {sorted(BACKBONES)}, and {TIMM_PREFIX}NAME")


def build_trunk(name: str, domains: Sequence[str] = ("photo",), same_padding: bool = False) -> Trunk:
    """A backbone with random weights and norms for each domain.

    Raises:
        ValueError: an unknown backbone; the message lists the backbones.
        ImportError: ``timm:NAME`` without timm.
    """
    check_backbone(name)
    if name.startswith(TIMM_PREFIX):
        return TimmTrunk(name.removeprefix(TIMM_PREFIX), domains, same_padding)
    return BACKBONES[name](domains=domains, same_padding=same_padding)


def wanted_inputs(name: str) -> tuple[str, bool]:
    """(normalisation, same_padding) that a backbone's published weights were trained with.

    The first is a key of `NORMALISATION`, the second whether convolutions pad as TensorFlow does.

    Raises:
        ValueError: an unknown backbone, or a timm network whose normalisation is not in `NORMALISATION`.
        ImportError: ``timm:NAME`` without timm.
    """
    check_backbone(name)
    if name in _INPUTS:
        return _INPUTS[name]
    mean, std = timm_pixels(name.removeprefix(TIMM_PREFIX))
    for normalisation, (known_mean, known_std) in NORMALISATION.items():
        given, known = (*mean, *std), (*known_mean, *known_std)
        if all(abs(255 * a - b) < 0.1 for a, b in zip(given, known, strict=True)):
            return normalisation, False
    raise ValueError(
        f"{name} was trained on pixels with mean {mean} and deviation {std}, an unknown normalisation: "
        f"choose a normalisation out of {sorted(NORMALISATION)}"
    )
