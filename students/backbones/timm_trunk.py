"""Networks of the `timm` package as trunks (extra ``timm``).

timm: Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models. A network needs feature
maps at strides 8, 16 and 32. Its batch norms become separate for each domain; other norms are shared by all domains.
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
    """The timm module. Raises ImportError, with the pip command, if it cannot be imported."""
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another build than torch
        raise ImportError(
            f"a backbone named {PREFIX}... needs the timm package and a torchvision that fits the installed torch "
            f"({error}): pip install 'sketchcanvas[timm]'"
        ) from error


class TimmTrunk(Trunk):
    """The features of a timm network, with timm's random weights; `students.store.pretrained` loads others.

    `same_padding` is ignored: timm's networks pad by their own rule (those named ``tf_...`` as TensorFlow does).
    """

    def __init__(self, name: str, domains: Sequence[str] = ("photo",), same_padding: bool = False) -> None:
        """Build the network.

        Raises:
            ImportError: timm is not installed.
            ValueError: timm has no such network, or the network lacks maps of strides 8, 16 and 32.
        """
        super().__init__()
        self.name = name
        self.net = _features(name)
        reductions = list(self.net.feature_info.reduction())
        channels = list(self.net.feature_info.channels())
        missing = [stride for stride in _STRIDES if stride not in reductions]
        if missing:
            raise ValueError(f"timm's {name} has maps of strides {reductions}; a student needs {list(_STRIDES)}")
        # Index of the last map of each stride.
        self._places = {s: len(reductions) - 1 - reductions[::-1].index(s) for s in _STRIDES}
        self.tap_channels = {s: channels[place] for s, place in self._places.items()}
        switch_batch_norms(self.net, domains)

    def forward_taps(self, x: Tensor) -> dict[int, Tensor]:
        """Maps of x (B, 3, H, W) float by stride: 8, 16 and 32, each (B, C, H', W').

        Raises ValueError for a network whose maps have another layout.
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
        """A state dict published by timm, under this trunk's names (without domains).

        Raises ValueError if it does not fit the network.
        """
        if not state:  # timm would download weights
            raise ValueError(f"{source} holds no tensors")
        # timm reports missing names only for a network with its classifier.
        try:
            _create(self.name, state)
        except Exception as error:
            raise ValueError(f"{source} does not fit timm's {self.name}: {error}") from error
        net = _features(self.name, state)
        return {f"net.{name}": tensor for name, tensor in net.state_dict().items()}


def timm_pixels(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, standard deviation) per channel, pixels from 0 to 1, that the published weights of `name` need.

    Raises ImportError without timm, ValueError if it has no such network.
    """
    settings = _timm_with(name).get_pretrained_cfg(name)
    if settings is None:  # no published weights
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return tuple(settings.mean), tuple(settings.std)


def switch_batch_norms(module: nn.Module, domains: Sequence[str]) -> None:
    """Replace each BatchNorm2d below `module` by a `SwitchBatchNorm2d` whose domains are copies of it."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _NormAct(child, domains))
        else:
            switch_batch_norms(child, domains)


class _NormAct(SwitchBatchNorm2d):
    """A switch norm followed by the drop and activation of timm's BatchNormAct2d, if it has them."""

    def __init__(self, norm: nn.BatchNorm2d, domains: Sequence[str]) -> None:
        # None means PyTorch's cumulative average, which a switch norm does not have.
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
    """timm's network as a list of feature maps. Raises ValueError where timm cannot give them."""
    try:
        return _create(name, state, features_only=True)
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise ValueError(f"timm's {name} gives no feature maps: {error}") from error


def _create(name: str, state: Mapping[str, Tensor] | None = None, **settings: Any) -> Any:
    """timm's network with random weights, or with those of a published state dict; nothing is downloaded."""
    if state is not None:
        settings |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(state)}}
    return _timm_with(name).create_model(name, **settings)


def _timm_with(name: str) -> Any:
    """The timm module. Raises ValueError if it has no network of that name."""
    timm = timm_package()
    if not timm.is_model(name):
        raise ValueError(f"timm has no network {name!r}; timm.list_models('*resnet*') lists those with resnet in it")
    return timm
