"""Convolutions of 1x1: products of a matrix with a row for each position.

Libraries take them for convolutions like any others, and take up to twice as long (bench/LOG.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, volume: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(volume, weight)
        ctx.biased = bias is not None
        with torch.autocast("cpu", enabled=False):
            return linear(volume.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        volume, weight = ctx.saved_tensors
        last = gradient.permute(0, 2, 3, 1)
        dx, dw = None, None
        if ctx.needs_input_grad[0]:
            dx = (last @ weight.flatten(1)).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            rows, values = last.flatten(0, 2), volume.permute(0, 2, 3, 1).flatten(0, 2)
            dw = (rows.t() @ values).view(weight.shape)
        return dx, dw, last.sum(dim=(0, 1, 2)) if ctx.biased else None


def by_product(volume: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d) -> Tensor:
    """A convolution of 1x1 at stride 1 in bfloat16."""
    return _Pointwise.apply(volume, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
