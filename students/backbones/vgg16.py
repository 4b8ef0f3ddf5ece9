"""Convolutional trunk of VGG-16.

Architecture: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR
2015, table 1, column D. Modules are named as in torchvision (``features.0`` to ``features.30``), so that its published
weights load (`students.store.pretrained`) without torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from students.backbones.trunk import SequentialTrunk

VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of convolutions of each block; a pool follows each."""


class VGG16Trunk(SequentialTrunk):
    """The convolutional features of VGG-16: 14,714,688 parameters.

    It has no batch norm: `domains` is ignored, and photos and all canvases share every weight. Tapped after the last
    convolution of stride 8 (relu4_3) and of stride 16 (relu5_3), and after the last pool (stride 32). With
    `same_padding` (default) pools round odd sizes up, as TensorFlow's SAME rule does; without it down, as torchvision
    does, and pictures need at least 32 pixels a side.
    """

    def __init__(self, domains: Sequence[str] = ("photo",), same_padding: bool = True) -> None:
        """Build the trunk with random weights (He initialisation)."""
        features: list[nn.Module] = []
        channels = 3
        for width, convolutions in VGG16_BLOCKS:
            for _ in range(convolutions):
                features += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            features.append(nn.MaxPool2d(2, ceil_mode=same_padding))
        super().__init__(features, {8: 22, 16: 29, 32: 30}, dict.fromkeys((8, 16, 32), 512))
