"""Convolutions as products of two matrices, one of which has a row for each position of the filter.

Libraries go through a map row by row. Where there are few positions in all, or the filter moves by
more than one, that leaves a matrix unit mostly empty. The values that each position meets, written
out as rows of a matrix, fill it: up to 25 times as fast (bench/LOG.md).
"""

from __future__ import annotations

from ctypes import byref, c_int64
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, linear

from striate.fast.computed import gradient_of
from striate.fast.kernels import LAST, at, library
from striate.fast.window import extent, window_of


class _Columns(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, volume: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d, whole: bool
    ) -> Tensor:
        volume = volume.contiguous(memory_format=LAST)
        ctx.save_for_backward(volume, weight)
        ctx.layer, ctx.whole, ctx.biased = layer, whole, bias is not None
        with torch.autocast("cpu", enabled=False):
            if not whole:
                return conv2d(volume, weight, bias, layer.stride, layer.padding)
            out = linear(columns(volume, layer), _rows(weight), bias)
        return out.view(len(volume), *extent(volume, layer), -1).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        volume, weight = ctx.saved_tensors
        layer = ctx.layer
        rows = gradient.permute(0, 2, 3, 1).flatten(0, 2)
        dx, dw = None, None
        if ctx.needs_input_grad[0] and ctx.whole:
            dx = summed(rows @ _rows(weight), volume, layer)
        elif ctx.needs_input_grad[0]:
            dx = gradient_of(0, gradient, volume, weight, layer)
        if ctx.needs_input_grad[1]:
            k, c, height, width = weight.shape
            dw = (rows.t() @ columns(volume, layer)).view(k, height, width, c).permute(0, 3, 1, 2)
        return dx, dw, rows.sum(dim=0) if ctx.biased else None, None, None


def by_columns(volume: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d) -> Tensor:
    """A convolution in bfloat16, forward and backward as products of matrices."""
    return _Columns.apply(volume, weight, bias, layer, True)  # type: ignore[no-any-return, no-untyped-call]


def filters_by_columns(
    volume: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d
) -> Tensor:
    """A convolution in bfloat16, of which the filters' gradient alone is such a product."""
    return _Columns.apply(volume, weight, bias, layer, False)  # type: ignore[no-any-return, no-untyped-call]


def columns(volume: Tensor, layer: nn.Conv2d) -> Tensor:
    """(N, C, H, W), channels last -> (N * H' * W', filter's height * width * C)."""
    n, c, h, w = volume.shape
    height, width = extent(volume, layer)
    window = window_of(layer)
    made = volume.new_empty(n * height * width, window.rows * window.columns * c)
    sizes = map(c_int64, (n, h, w, c, height, width))
    library().columns_of(at(volume), at(made), byref(window), *sizes)
    return made


def summed(matrix: Tensor, volume: Tensor, layer: nn.Conv2d) -> Tensor:
    """What `columns` wrote in several places added up, in the shape of its volume."""
    n, c, h, w = volume.shape
    made = torch.empty_like(volume, memory_format=LAST)
    sizes = map(c_int64, (n, h, w, c, *extent(volume, layer)))
    library().volume_of(at(matrix), at(made), byref(window_of(layer)), *sizes)
    return made


def _rows(weight: Tensor) -> Tensor:
    """A filter in each row, as the columns are ordered; of channels last, no copy."""
    return weight.permute(0, 2, 3, 1).flatten(1)
