"""Convolutions of 1x1: their filters' gradient is one product of two matrices.

Libraries take it for a convolution's like any other, and take up to twice as long (bench/LOG.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

from striate.fast.computed import Convolved, gradient_of


def pointwise(layer: nn.Module) -> bool:
    """Whether a layer is one that suits."""
    return (
        type(layer) is nn.Conv2d
        and layer.kernel_size == layer.stride == (1, 1)
        and layer.padding == (0, 0)
        and layer.groups == 1
    )


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, volume: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(volume, weight)
        ctx.padding, ctx.biased = padding, bias is not None
        with torch.autocast("cpu", enabled=False):
            return conv2d(volume, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        volume, weight = ctx.saved_tensors
        dx, dw = None, None
        if ctx.needs_input_grad[0]:
            dx = gradient_of(0, gradient, volume, weight, ctx.padding)
        if ctx.needs_input_grad[1]:
            rows, values = (each.permute(0, 2, 3, 1).flatten(0, 2) for each in (gradient, volume))
            dw = (rows.t() @ values).view(weight.shape)
        return dx, dw, gradient.sum(dim=(0, 2, 3)) if ctx.biased else None, None


class Pointwise(Convolved):
    """A convolution of 1x1."""

    compute = staticmethod(_Pointwise.apply)
