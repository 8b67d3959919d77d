"""Pooling, batch normalisation, a shortcut's sum and an activation as one operation on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_float, c_int, c_int64
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from striate.fast.kernels import LAST, NAMES, at, available, library

ACTIVATIONS: dict[type[nn.Module], int] = {nn.ReLU: 1, nn.GELU: 2}


class Normed(nn.Module):
    """out = activation(norm(pool(x)) + shortcut), each part but the first that is there optional.

    The parts stay the modules they are: their parameters, statistics and mode are used.

    Args:
        pool: of 2x2 windows at steps of 2.
        norm: batch normalisation over (N, H, W).
        activation: one of ACTIVATIONS.
    """

    def __init__(
        self,
        pool: nn.Module | None,
        norm: nn.BatchNorm2d | None,
        activation: nn.Module | None,
    ) -> None:
        super().__init__()
        self.pool, self.norm, self.activation = pool, norm, activation
        self.code = 0 if activation is None else ACTIVATIONS[type(activation)]

    def forward(self, volume: Tensor, shortcut: Tensor | None = None) -> Tensor:
        norm = self.norm
        if not self.fits(volume, shortcut):
            return self.plainly(volume, shortcut)
        if norm is None:
            return _apply(volume, shortcut, None, None, self)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        return _apply(volume, shortcut, norm.weight, norm.bias, self)

    def fits(self, volume: Tensor, shortcut: Tensor | None) -> bool:
        """Whether the kernels take this: training, on the CPU, more than one value a channel."""
        factor = 4 if self.pool is not None else 1
        return (
            (self.norm is None or self.norm.training)
            and available()
            and volume.device.type == "cpu"
            and volume.dtype in NAMES
            and volume.numel() >= 2 * factor * volume.shape[1]
            and (self.pool is None or min(volume.shape[2:]) >= 2)
            and (shortcut is None or shortcut.dtype == volume.dtype)
        )

    def plainly(self, volume: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """The same by PyTorch's operations."""
        for part in (self.pool, self.norm):
            volume = volume if part is None else part(volume)
        volume = volume if shortcut is None else volume + shortcut
        return volume if self.activation is None else self.activation(volume)


class _Normed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        volume: Tensor,
        shortcut: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        parts: Normed,
    ) -> Tensor:
        x = volume.contiguous(memory_format=LAST)
        r = None if shortcut is None else shortcut.contiguous(memory_format=LAST)
        n, c, h, w = x.shape
        norm, pooled = parts.norm, parts.pool is not None
        y, which = x, None
        if pooled:
            y = torch.empty((n, c, h // 2, w // 2), dtype=x.dtype, memory_format=LAST)
            which = torch.empty_like(y, dtype=torch.uint8)
        out = torch.empty_like(y)
        mean, inverse = torch.empty(2, c)
        getattr(library(), f"forward_{NAMES[x.dtype]}")(
            *map(at, (x, r, y, which, out, weight, bias, mean, inverse)),
            at(None if norm is None else norm.running_mean),
            at(None if norm is None else norm.running_var),
            c_float(0.0 if norm is None else norm.momentum or 0.0),
            c_float(0.0 if norm is None else norm.eps),
            *map(c_int64, (n, h, w, c)),
            *map(c_int, (pooled, norm is not None, parts.code)),
        )
        ctx.save_for_backward(y, r, which, weight, bias, mean, inverse)
        ctx.shape, ctx.parts = (n, c, h, w), parts
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        y, r, which, weight, bias, mean, inverse = ctx.saved_tensors
        n, c, h, w = ctx.shape
        gradient = gradient.contiguous(memory_format=LAST)
        normed = ctx.parts.norm is not None
        dz = torch.empty_like(y)
        dy = torch.empty_like(y) if normed and r is not None else dz
        dx = dy
        if which is not None:
            dx = torch.empty((n, c, h, w), dtype=y.dtype, memory_format=LAST)
        dweight, dbias = torch.empty(2, c)
        getattr(library(), f"backward_{NAMES[y.dtype]}")(
            *map(at, (gradient, y, r, which, dz, dy, dx)),
            *map(at, (weight, bias, mean, inverse, dweight, dbias)),
            *map(c_int64, (n, h, w, c)),
            *map(c_int, (which is not None, normed, ctx.parts.code)),
        )
        return (
            dx,
            None if r is None else dz,
            None if weight is None else dweight,
            None if bias is None else dbias,
            None,
        )


_apply: Callable[..., Tensor] = _Normed.apply
