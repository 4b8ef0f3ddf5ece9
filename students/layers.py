"""Small layers shared by the student networks."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


def same_pad(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, after) padding of one axis by TensorFlow's SAME rule: ceil(size / stride) outputs."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """Convolution that pads by TensorFlow's SAME rule: (0, 1) for stride 2, kernel 3 and an even size."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve input (B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""
        top, bottom = same_pad(input.shape[-2], self.kernel_size[0], self.stride[0])
        left, right = same_pad(input.shape[-1], self.kernel_size[1], self.stride[1])
        if top == bottom and left == right:
            return F.conv2d(input, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        padded = F.pad(input, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)
