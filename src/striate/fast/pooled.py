"""Max pooling with one byte for where each value came from, where PyTorch keeps eight."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_int64
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from striate.fast.kernels import LAST, NAMES, at, available, library
from striate.fast.window import extent, window_of

PLACES = 256  # of a window, for a byte to tell apart


class Pooled(nn.Module):
    """A max pooling; the layer stays the module it is."""

    def __init__(self, layer: nn.MaxPool2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, volume: Tensor) -> Tensor:
        if not (available() and volume.device.type == "cpu" and volume.dtype in NAMES):
            return cast(Tensor, self.layer(volume))
        return _apply(volume, self.layer)


def poolable(layer: nn.Module) -> bool:
    """Whether a layer is such a pooling."""
    if type(layer) is not nn.MaxPool2d or layer.return_indices or layer.dilation not in (1, (1, 1)):
        return False
    window, *others = layer.kernel_size, layer.stride, layer.padding
    return (
        isinstance(window, tuple)
        and prod(window) <= PLACES
        and all(isinstance(each, tuple) for each in others)
    )


class _Largest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, volume: Tensor, layer: nn.MaxPool2d) -> Tensor:
        x = volume.contiguous(memory_format=LAST)
        n, c, h, w = x.shape
        height, width = extent(x, layer)
        out = torch.empty((n, c, height, width), dtype=x.dtype, memory_format=LAST)
        which = torch.empty_like(out, dtype=torch.uint8)
        ctx.save_for_backward(which)
        ctx.shape, ctx.window = x.shape, window_of(layer)
        sizes = map(c_int64, (n, h, w, c, height, width))
        largest = getattr(library(), f"largest_{NAMES[x.dtype]}")
        largest(*map(at, (x, out, which)), byref(ctx.window), *sizes)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (which,) = ctx.saved_tensors
        n, c, h, w = ctx.shape
        gradient = gradient.contiguous(memory_format=LAST)
        out = torch.empty(ctx.shape, dtype=gradient.dtype, memory_format=LAST)
        sizes = map(c_int64, (n, h, w, c, *which.shape[2:]))
        spread = getattr(library(), f"spread_{NAMES[gradient.dtype]}")
        spread(*map(at, (gradient, which, out)), byref(ctx.window), *sizes)
        return out, None


_apply: Callable[..., Tensor] = _Largest.apply
