"""The interface of all trunks, a trunk made of a chain of layers, and a builder for its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from students.backbones.layers import SameConv2d
from students.backbones.switch_norm import SwitchBatchNorm2d


class Trunk(nn.Module):
    """A photo network without its classifier.

    A backbone is any callable with the arguments ``domains`` and ``same_padding`` that returns a trunk. Batch norms are
    separate for each domain (`students.backbones.switch_norm`).
    """

    tap_channels: Mapping[int, int]
    """Channels of the maps from `forward_taps`, by stride (8, 16 and 32)."""

    def forward(self, x: Tensor) -> Tensor:
        """The last map (B, C, H/32, W/32) of x (B, 3, H, W) float."""
        return self.forward_taps(x)[32]

    def forward_taps(self, x: Tensor) -> dict[int, Tensor]:
        """Maps of x (B, 3, H, W) float by stride: 8, 16 and 32, each (B, C, H/stride, W/stride)."""
        raise NotImplementedError


class SequentialTrunk(Trunk):
    """A trunk made of a chain of layers, ``features``."""

    def __init__(self, features: Sequence[nn.Module], taps: Mapping[int, int], channels: Mapping[int, int]) -> None:
        """Chain the layers, with He initialisation of the convolutions.

        Args:
            features: the layers.
            taps: index of the layer whose output is the map of each stride; that of stride 32 is the last layer.
            channels: channels of the map of each stride.
        """
        super().__init__()
        assert taps[32] == len(features) - 1
        self.features = nn.Sequential(*features)
        self.tap_channels = dict(channels)
        self._taps = {index: stride for stride, index in taps.items()}
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward_taps(self, x: Tensor) -> dict[int, Tensor]:
        """Maps of x (B, 3, H, W) float by stride: 8, 16 and 32, each (B, C, H/stride, W/stride)."""
        taps = {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self._taps:
                taps[self._taps[i]] = x
        return taps


class LayerBuilder:
    """Makes layers of a trunk with the same domains, padding rule and epsilon of the norms."""

    def __init__(self, domains: Sequence[str], same_padding: bool, eps: float = 1e-5) -> None:
        """Strided convolutions pad as TensorFlow does with `same_padding`, else by half a kernel on every side."""
        self.domains = tuple(domains)
        self.same_padding = same_padding
        self.eps = eps

    def conv(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
        """A convolution without bias."""
        if stride > 1 and self.same_padding:
            return SameConv2d(c_in, c_out, kernel, stride, groups=groups, bias=False)
        return nn.Conv2d(c_in, c_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)

    def norm(self, channels: int) -> SwitchBatchNorm2d:
        """A batch norm per domain.

        Its momentum is 0.1 instead of the 0.01 of TensorFlow's recipes, since each of many domains occurs in few steps.
        """
        return SwitchBatchNorm2d(channels, self.domains, self.eps)

    def conv_norm(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: Callable[..., nn.Module] | None = nn.ReLU6,
    ) -> nn.Sequential:
        """Convolution, norm and, unless None, activation."""
        layers: list[Any] = [self.conv(c_in, c_out, kernel, stride, groups), self.norm(c_out)]
        if activation is not None:
            layers.append(activation(inplace=True))
        return nn.Sequential(*layers)


def rounded_channels(channels: float, divisor: int = 8) -> int:
    """`channels` rounded to a multiple of `divisor`, but not down by more than 10 % (the rule of MobileNet's code)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
