"""Any network of the `timm` package as a trunk, when the package is installed (extra ``timm``).

timm: Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models. A network is usable
when its features can be tapped at strides 8, 16 and 32. Its batch norms get one set per domain; other norms are
shared by all domains.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from students.backbones.switch_norm import SwitchBatchNorm2d
from students.backbones.trunk import Trunk

PREFIX = "timm:"
_STRIDES = (8, 16, 32)


def timm_package() -> Any:
    """The timm module. Raises ImportError naming the pip command when it cannot be imported."""
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:  # torchvision beside another build of torch: a RuntimeError
        raise ImportError(
            f"a backbone named {PREFIX}... needs the timm package and a torchvision that fits the installed torch "
            f"({error}): pip install 'sketchcanvas[timm]'"
        ) from error


class TimmTrunk(Trunk):
    """The features of timm's network `name`, random weights as timm draws them; see `students.store.pretrained` for
    others.

    `same_padding` does nothing: timm's networks pad by their own rule (those named ``tf_...`` as TensorFlow).
    """

    def __init__(self, name: str, domains: Sequence[str] = ("photo",), same_padding: bool = False) -> None:
        """Build the network.

        Raises:
            ImportError: timm is not installed.
            ValueError: timm has no such network, or it has no maps of strides 8, 16 and 32.
        """
        super().__init__()
        self.name = name
        self.net = _features(name)
        reductions = list(self.net.feature_info.reduction())
        channels = list(self.net.feature_info.channels())
        missing = [stride for stride in _STRIDES if stride not in reductions]
        if missing:
            raise ValueError(f"timm's {name} has maps of strides {reductions}; a student needs {list(_STRIDES)}")
        # the last map of each stride
        self._places = {s: len(reductions) - 1 - reductions[::-1].index(s) for s in _STRIDES}
        self.tap_channels = {s: channels[place] for s, place in self._places.items()}
        switch_batch_norms(self.net, domains)

    def forward_taps(self, x: Tensor) -> dict[int, Tensor]:
        """Map x (B, 3, H, W), float, to one map for each of the strides 8, 16 and 32, each (B, C, H', W').

        Raises ValueError for a network whose maps are not (B, C, H, W).
        """
        maps = self.net(x)
        taps = {stride: maps[place] for stride, place in self._places.items()}
        for stride, tap in taps.items():
            if tap.ndim != 4 or tap.shape[1] != self.tap_channels[stride]:
                raise ValueError(
                    f"timm's {self.name} gives a map of shape {tuple(tap.shape)} at stride {stride}, not "
                    f"(B, {self.tap_channels[stride]}, H, W)"
                )
        return taps

    def published(self, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
        """Translate a state dict as published by timm to this trunk's names (those without domains).

        Raises ValueError when it does not fit the network.
        """
        if not state:  # timm would go and download some
            raise ValueError(f"{source} holds no tensors")
        # With its classifier: only so does timm refuse missing names.
        try:
            _create(self.name, state)
        except Exception as error:
            raise ValueError(f"{source} does not fit timm's {self.name}: {error}") from error
        net = _features(self.name, state)
        return {f"net.{name}": tensor for name, tensor in net.state_dict().items()}


def timm_pixels(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per-channel (mean, standard deviation), on the 0..1 scale, that the published weights of `name` want.

    Raises ImportError when timm is not installed, ValueError when it has no such network.
    """
    settings = _checked(name).get_pretrained_cfg(name)
    if settings is None:  # nothing published
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return tuple(settings.mean), tuple(settings.std)


def switch_batch_norms(module: nn.Module, domains: Sequence[str]) -> None:
    """Replace every BatchNorm2d below `module` by a `SwitchBatchNorm2d`, each domain starting as a copy of it."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _NormAct(child, domains))
        else:
            switch_batch_norms(child, domains)


class _NormAct(SwitchBatchNorm2d):
    """A switch norm with what timm's BatchNormAct2d does after normalising; names of tensors as there."""

    def __init__(self, norm: nn.BatchNorm2d, domains: Sequence[str]) -> None:
        # momentum None is PyTorch's cumulative average, which needs a counter
        momentum = 0.1 if norm.momentum is None else norm.momentum
        super().__init__(norm.num_features, domains, norm.eps, momentum)
        self.drop = getattr(norm, "drop", None)
        self.act = getattr(norm, "act", None)
        own = {k: v for k, v in norm.state_dict().items() if k in ("weight", "bias", "running_mean", "running_var")}
        for domain in self.bns.values():
            domain.load_state_dict(own, strict=False)

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.drop is not None:
            y = self.drop(y)
        return y if self.act is None else self.act(y)


def _features(name: str, state: Mapping[str, Tensor] | None = None) -> Any:
    try:
        return _create(name, state, features_only=True)
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise ValueError(f"timm's {name} gives no feature maps: {error}") from error


def _create(name: str, state: Mapping[str, Tensor] | None = None, **settings: Any) -> Any:
    """timm's network with weights drawn at random, or with those of a published state dict; never a download."""
    if state is not None:
        settings |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(state)}}
    return _checked(name).create_model(name, **settings)


def _checked(name: str) -> Any:
    """The timm module, which has a network of that name."""
    timm = timm_package()
    if not timm.is_model(name):
        raise ValueError(f"timm has no network {name!r}; timm.list_models('*resnet*') lists those with resnet in it")
    return timm
