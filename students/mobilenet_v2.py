"""MobileNetV2's convolutional trunk with batch norm per domain.

Architecture: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2,
width 1.0. Modules are named as in torchvision (``features.0`` .. ``features.18``), so that its published
weights load (:mod:`students.pretrained`); torchvision itself is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from students.layers import SameConv2d
from students.switch_norm import SwitchBatchNorm2d

# expansion, output channels, number of blocks, stride of the first block
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# stride -> index of the last layer at that stride
_TAPS = {8: 6, 16: 13, 32: 18}


class _Build:
    """What every layer of one trunk shares: domains and the padding rule."""

    def __init__(self, domains: Sequence[str], same_padding: bool) -> None:
        self.domains = tuple(domains)
        self.same_padding = same_padding

    def conv(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
        if stride > 1 and self.same_padding:
            return SameConv2d(c_in, c_out, kernel, stride, groups=groups, bias=False)
        return nn.Conv2d(c_in, c_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)

    def norm(self, channels: int) -> SwitchBatchNorm2d:
        return SwitchBatchNorm2d(channels, self.domains)

    def conv_norm_relu(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        return nn.Sequential(self.conv(c_in, c_out, kernel, stride, groups), self.norm(c_out), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1; with a shortcut where shape allows."""

    def __init__(self, build: _Build, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        """Build the block; `expansion` 1 has no expanding convolution."""
        super().__init__()
        hidden = c_in * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(build.conv_norm_relu(c_in, hidden, 1))
        layers.append(build.conv_norm_relu(hidden, hidden, 3, stride, groups=hidden))
        layers.append(build.conv(hidden, c_out, 1))
        layers.append(build.norm(c_out))
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, c_in, H, W) -> (B, c_out, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


class MobileNetV2Trunk(nn.Module):
    """The convolutional features of MobileNetV2 1.0: 2,223,872 parameters counting the norms of one domain.

    With `same_padding` (default) stride-2 convolutions pad as TensorFlow does; the shipped starting weights
    were trained so. Without it they pad by one on every side as torchvision does, for torchvision's weights.
    """

    tap_channels: Mapping[int, int] = {8: 32, 16: 96, 32: 1280}
    """Channels of the maps that `forward_taps` gives, by stride."""

    def __init__(self, domains: Sequence[str] = ("photo",), same_padding: bool = True) -> None:
        """Build the trunk with random weights (He initialisation)."""
        super().__init__()
        build = _Build(domains, same_padding)
        features: list[nn.Module] = [build.conv_norm_relu(3, 32, 3, 2)]
        channels = 32
        for expansion, c_out, repeats, stride in _STAGES:
            for i in range(repeats):
                features.append(InvertedResidual(build, channels, c_out, stride if i == 0 else 1, expansion))
                channels = c_out
        features.append(build.conv_norm_relu(channels, self.tap_channels[32], 1))
        self.features = nn.Sequential(*features)
        self.same_padding = same_padding
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, 3, H, W), float, to the final map (B, 1280, ceil(H/32), ceil(W/32))."""
        y: Tensor = self.features(x)
        return y

    def forward_taps(self, x: Tensor) -> dict[int, Tensor]:
        """Map x (B, 3, H, W) to the last map of stride 8, 16 and 32, each (B, C, H/stride, W/stride), rounded up."""
        taps = {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            for stride, last in _TAPS.items():
                if i == last:
                    taps[stride] = x
        return taps
