"""Convolution with TensorFlow's padding, and pooling to a grid; both can be exported to ONNX."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


def same_pad(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding (before, after) of one axis by TensorFlow's SAME rule, for ceil(size / stride) outputs."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """Convolution with padding by TensorFlow's SAME rule, such as (0, 1) for stride 2, kernel 3 and an even size."""

    def forward(self, input: Tensor) -> Tensor:
        """The convolution (B, C', ceil(H / stride), ceil(W / stride)) of input (B, C, H, W)."""
        # Sizes of a traced tensor are tensors; as int they are constants of the exported graph.
        top, bottom = same_pad(int(input.shape[-2]), self.kernel_size[0], self.stride[0])
        left, right = same_pad(int(input.shape[-1]), self.kernel_size[1], self.stride[1])
        if top == bottom and left == right:
            return F.conv2d(input, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        pads = (left, right, top, bottom)
        if torch.onnx.is_in_onnx_export() and self.bias is None:
            convolved: Tensor = _UnevenConv.apply(input, self.weight, pads, self.stride, self.groups)  # type: ignore[no-untyped-call]
            return convolved
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


class _UnevenConv(torch.autograd.Function):
    """A convolution with unequal padding as one ONNX operator.

    torch exports it as padding and convolution; writing the padded picture took a sixth of onnxruntime's time.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, pads: tuple[int, ...], stride: tuple[int, ...], groups: int
    ) -> Tensor:
        """The convolution of x padded by (left, right, top, bottom)."""
        return F.conv2d(F.pad(x, pads), weight, None, stride, 0, 1, groups)

    @staticmethod
    def symbolic(g: Any, x: Any, weight: Any, pads: tuple[int, ...], stride: tuple[int, ...], groups: int) -> Any:
        """The ONNX operator; its padding is given as the beginnings of both axes, then their ends."""
        left, right, top, bottom = pads
        return g.op("Conv", x, weight, pads_i=[top, left, bottom, right], strides_i=list(stride), group_i=groups)


def pool_to(x: Tensor, grid: int) -> Tensor:
    """x (B, C, H, W) average-pooled to (B, C, grid, grid), as by `adaptive_avg_pool2d`."""
    if not torch.onnx.is_in_onnx_export():
        return F.adaptive_avg_pool2d(x, grid)
    # ONNX has no such operator. Cells of equal size are plain pooling; otherwise the cells are a product with a matrix
    # of shares.
    height, width = int(x.shape[2]), int(x.shape[3])
    if height % grid == 0 and width % grid == 0:
        return F.avg_pool2d(x, (height // grid, width // grid))
    cells = torch.from_numpy(np.kron(_pooling(height, grid), _pooling(width, grid)))
    return (x.flatten(2) @ cells).reshape(-1, int(x.shape[1]), grid, grid)


def _pooling(size: int, grid: int) -> NDArray[np.float32]:
    """Share of each of `size` pixels of one axis in each cell, (size, grid) float32."""
    # In NumPy, since operations of torch would be recorded in the graph.
    pixel, cell = np.arange(size)[:, None], np.arange(grid)
    inside = (pixel >= cell * size // grid) & (pixel < -(-(cell + 1) * size // grid))
    return np.asarray(inside / inside.sum(axis=0), dtype=np.float32)
