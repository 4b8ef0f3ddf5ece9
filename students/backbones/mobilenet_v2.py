"""Convolutional trunk of MobileNetV2 with batch norm per domain.

Architecture: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2, width 1.0.
Modules are named as in torchvision (``features.0`` to ``features.18``), so that its published weights load
(`students.store.pretrained`) without torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from students.backbones.trunk import LayerBuilder, SequentialTrunk

# Expansion, output channels, number of blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise convolution, project 1x1; with a shortcut where input and output have one shape."""

    def __init__(
        self, build: LayerBuilder, c_in: int, c_out: int, stride: int, expansion: int, kernel: int = 3
    ) -> None:
        """Build the block; `kernel` is that of the depthwise convolution, `expansion` 1 means no expanding one."""
        super().__init__()
        hidden = c_in * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(build.conv_norm(c_in, hidden, 1))
        layers.append(build.conv_norm(hidden, hidden, kernel, stride, groups=hidden))
        layers.append(build.conv(hidden, c_out, 1))
        layers.append(build.norm(c_out))
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, c_in, H, W) -> (B, c_out, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


class MobileNetV2Trunk(SequentialTrunk):
    """The convolutional features of MobileNetV2 1.0: 2,223,872 parameters counting the norms of one domain.

    Tapped after the last block of stride 8, the last of stride 16, and the last convolution. With `same_padding`
    (default) stride-2 convolutions pad as TensorFlow does, as for the shipped starting weights; without it they pad by
    one on every side, as for torchvision's weights.
    """

    def __init__(self, domains: Sequence[str] = ("photo",), same_padding: bool = True) -> None:
        """Build the trunk with random weights (He initialisation)."""
        build = LayerBuilder(domains, same_padding)
        features: list[nn.Module] = [build.conv_norm(3, 32, 3, 2)]
        channels = 32
        for expansion, c_out, repeats, stride in _STAGES:
            for i in range(repeats):
                features.append(InvertedResidual(build, channels, c_out, stride if i == 0 else 1, expansion))
                channels = c_out
        features.append(build.conv_norm(channels, 1280, 1))
        super().__init__(features, {8: 6, 16: 13, 32: 18}, {8: 32, 16: 96, 32: 1280})
