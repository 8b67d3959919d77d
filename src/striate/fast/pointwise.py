"""Convolutions of 1x1: their filters' gradient is one product of two matrices.

Libraries take it for a convolution's like any other, and take up to twice as long (bench/LOG.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d


class Pointwise(nn.Module):
    """A convolution that stays the module it is; only its gradient is computed otherwise."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, volume: Tensor) -> Tensor:
        layer = self.convolution
        if not torch.is_autocast_enabled("cpu"):
            return layer(volume)  # type: ignore[no-any-return]
        kind = torch.get_autocast_dtype("cpu")
        bias = None if layer.bias is None else layer.bias.to(kind)
        out: Tensor = _Pointwise.apply(  # type: ignore[no-untyped-call]
            volume.to(kind), layer.weight.to(kind), bias
        )
        return out


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
    def forward(ctx: Any, volume: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(volume, weight)
        ctx.biased = bias is not None
        with torch.autocast("cpu", enabled=False):
            return conv2d(volume, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        volume, weight = ctx.saved_tensors
        dx, dw = None, None
        if ctx.needs_input_grad[0]:
            dx = torch.ops.aten.convolution_backward(
                gradient,
                volume,
                weight,
                None,
                [1, 1],
                [0, 0],
                [1, 1],
                False,
                [0, 0],
                1,
                (True, False, False),
            )[0]
        if ctx.needs_input_grad[1]:
            rows, values = (each.permute(0, 2, 3, 1).flatten(0, 2) for each in (gradient, volume))
            dw = (rows.t() @ values).view(weight.shape)
        return dx, dw, gradient.sum(dim=(0, 2, 3)) if ctx.biased else None
