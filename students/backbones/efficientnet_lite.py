"""Convolutional trunks of EfficientNet-Lite with batch norm per domain.

Architecture: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
table 1 and section 3.3 (scaling), in the Lite variants of TensorFlow's TPU repository: no squeeze-and-excitation,
ReLU6 instead of swish; stem, last convolution and the numbers of first and last blocks are not scaled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from students.backbones.mobilenet_v2 import InvertedResidual
from students.backbones.trunk import LayerBuilder, SequentialTrunk, rounded_channels

# Kernel, expansion, output channels, number of blocks, stride of the first block; at width and depth 1.
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)
# Stage whose last block is tapped, by stride.
_TAPPED_STAGES = {8: 2, 16: 4}
_LAST_CHANNELS = 1280
_EPS = 1e-3


class EfficientNetLiteTrunk(SequentialTrunk):
    """The convolutional features of an EfficientNet-Lite.

    | | width | depth | published for | parameters (norms of one domain) | GFLOPs (2 x MAC) at 256 px |
    |---|---|---|---|---|---|
    | lite0 | 1.0 | 1.0 | 224 px | 3,371,008 | 1.003 |
    | lite1 | 1.0 | 1.1 | 240 px | 4,135,680 | 1.309 |
    | lite2 | 1.1 | 1.2 | 260 px | 4,811,072 | 1.503 |

    Tapped after the last block of stride 8, the last of stride 16, and the last convolution. With `same_padding`
    (default) strided convolutions pad as TensorFlow does, as for the published weights.
    """

    def __init__(
        self,
        domains: Sequence[str] = ("photo",),
        same_padding: bool = True,
        width: float = 1.0,
        depth: float = 1.0,
    ) -> None:
        """Build the trunk with random weights (He initialisation); `width` and `depth` scale channels and blocks."""
        build = LayerBuilder(domains, same_padding, _EPS)
        features: list[nn.Module] = [build.conv_norm(3, 32, 3, 2)]
        channels = 32
        taps, tap_channels = {}, {}
        for stage, (kernel, expansion, base, repeats, stride) in enumerate(_STAGES):
            c_out = rounded_channels(base * width)
            scaled = 0 < stage < len(_STAGES) - 1
            for i in range(math.ceil(repeats * depth) if scaled else repeats):
                features.append(InvertedResidual(build, channels, c_out, stride if i == 0 else 1, expansion, kernel))
                channels = c_out
            for tap, tapped in _TAPPED_STAGES.items():
                if stage == tapped:
                    taps[tap], tap_channels[tap] = len(features) - 1, channels
        features.append(build.conv_norm(channels, _LAST_CHANNELS, 1))
        taps[32], tap_channels[32] = len(features) - 1, _LAST_CHANNELS
        super().__init__(features, taps, tap_channels)
