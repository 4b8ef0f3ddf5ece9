"""Convolutional trunk of MobileNetV3-Small with batch norm per domain.

Architecture: Howard et al., "Searching for MobileNetV3", ICCV 2019, table 2. Modules are named as in torchvision
(``features.0`` to ``features.12``), so that its published weights load (`students.store.pretrained`) without
torchvision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from students.backbones.trunk import LayerBuilder, SequentialTrunk, rounded_channels

# Kernel, expanded channels, output channels, squeeze-and-excitation, activation, stride.
_BLOCKS: tuple[tuple[int, int, int, bool, Callable[..., nn.Module], int], ...] = (
    (3, 16, 16, True, nn.ReLU, 2),
    (3, 72, 24, False, nn.ReLU, 2),
    (3, 88, 24, False, nn.ReLU, 1),
    (5, 96, 40, True, nn.Hardswish, 2),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 240, 40, True, nn.Hardswish, 1),
    (5, 120, 48, True, nn.Hardswish, 1),
    (5, 144, 48, True, nn.Hardswish, 1),
    (5, 288, 96, True, nn.Hardswish, 2),
    (5, 576, 96, True, nn.Hardswish, 1),
    (5, 576, 96, True, nn.Hardswish, 1),
)
_LAST_CHANNELS = 576
_EPS = 1e-3


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate in [0, 1] computed from all channels' means (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        """Build with a quarter of `channels`, rounded to a multiple of 8, between the two convolutions."""
        super().__init__()
        squeezed = rounded_channels(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, C, H, W) to the same shape."""
        gate: Tensor = self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1))))
        return x * F.hardsigmoid(gate)


class _Block(nn.Module):
    """Expand 1x1, depthwise convolution, squeeze-and-excitation, project 1x1; with a shortcut at equal shapes."""

    def __init__(
        self,
        build: LayerBuilder,
        c_in: int,
        kernel: int,
        hidden: int,
        c_out: int,
        excite: bool,
        activation: Callable[..., nn.Module],
        stride: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if hidden != c_in:
            layers.append(build.conv_norm(c_in, hidden, 1, activation=activation))
        layers.append(build.conv_norm(hidden, hidden, kernel, stride, groups=hidden, activation=activation))
        if excite:
            layers.append(SqueezeExcitation(hidden))
        layers.append(build.conv_norm(hidden, c_out, 1, activation=None))
        self.block = nn.Sequential(*layers)
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y if self.shortcut else y


class MobileNetV3SmallTrunk(SequentialTrunk):
    """The convolutional features of MobileNetV3-Small 1.0: 927,008 parameters counting the norms of one domain.

    Tapped after the last block of stride 8, the last of stride 16, and the last convolution. Without `same_padding`
    (default) strided convolutions pad by half a kernel on every side, as for torchvision's weights.
    """

    def __init__(self, domains: Sequence[str] = ("photo",), same_padding: bool = False) -> None:
        """Build the trunk with random weights (He initialisation)."""
        build = LayerBuilder(domains, same_padding, _EPS)
        features: list[nn.Module] = [build.conv_norm(3, 16, 3, 2, activation=nn.Hardswish)]
        channels = 16
        for kernel, hidden, c_out, excite, activation, stride in _BLOCKS:
            features.append(_Block(build, channels, kernel, hidden, c_out, excite, activation, stride))
            channels = c_out
        features.append(build.conv_norm(channels, _LAST_CHANNELS, 1, activation=nn.Hardswish))
        super().__init__(features, {8: 3, 16: 8, 32: 12}, {8: 24, 16: 48, 32: _LAST_CHANNELS})
