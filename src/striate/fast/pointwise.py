"""Convolutions of 1x1: their filters' gradient is one product of two matrices.

Libraries take it for a convolution's like any other, and take up to twice as long (bench/LOG.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

from striate.fast.computed import gradient_of


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, volume: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d
    ) -> Tensor:
        ctx.save_for_backward(volume, weight)
        ctx.layer, ctx.biased = layer, bias is not None
        with torch.autocast("cpu", enabled=False):
            return conv2d(volume, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        volume, weight = ctx.saved_tensors
        dx, dw = None, None
        if ctx.needs_input_grad[0]:
            dx = gradient_of(0, gradient, volume, weight, ctx.layer)
        if ctx.needs_input_grad[1]:
            rows, values = (each.permute(0, 2, 3, 1).flatten(0, 2) for each in (gradient, volume))
            dw = (rows.t() @ values).view(weight.shape)
        return dx, dw, gradient.sum(dim=(0, 2, 3)) if ctx.biased else None, None


def by_product(volume: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d) -> Tensor:
    """A convolution of 1x1 at stride 1 in bfloat16."""
    return _Pointwise.apply(volume, weight, bias, layer)  # type: ignore[no-any-return, no-untyped-call]
