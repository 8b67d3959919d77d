"""Convolutions over small maps, computed with images side by side in one wide map.

Libraries sum a filter's gradient row by row of a map, and a row of seven positions leaves a matrix
unit that takes 32 at a time mostly empty. The same sum over maps side by side, with zeros between,
fills it: twice as fast on maps 7 wide, eight times on maps 3 wide. On the smallest maps the same
holds for the convolution itself: five times as fast on maps of 2x2 (bench/LOG.md).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

from striate.fast.computed import gradient_of

NARROW = 9  # maps wider than this gain nothing
TINY = 4  # maps wider than this gain in the filters' gradient alone
WIDE = 64  # columns that fill the unit


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, volume: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d
    ) -> Tensor:
        ctx.shape, ctx.layer, ctx.biased = volume.shape, layer, bias is not None
        padding = cast(tuple[int, int], layer.padding)
        tiny = volume.shape[3] <= TINY
        if tiny:
            volume = joined(volume, _together(volume.shape), padding[1])
        ctx.save_for_backward(volume, weight)
        with torch.autocast("cpu", enabled=False):
            out = conv2d(volume, weight, bias, padding=padding)
        return apart(out, ctx.shape, padding[1]) if tiny else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        volume, weight = ctx.saved_tensors
        shape, layer, together = ctx.shape, ctx.layer, _together(ctx.shape)
        between = layer.padding[1]
        dbias = gradient.sum(dim=(0, 2, 3)) if ctx.biased else None
        tiny = shape[3] <= TINY
        dx, dw = None, None
        if tiny or ctx.needs_input_grad[1]:
            wide = joined(gradient, together, between)
        if ctx.needs_input_grad[0] and tiny:
            dx = apart(gradient_of(0, wide, volume, weight, layer), shape, between)
        elif ctx.needs_input_grad[0]:
            dx = gradient_of(0, gradient, volume, weight, layer)
        if ctx.needs_input_grad[1]:
            volume = volume if tiny else joined(volume, together, between)
            dw = gradient_of(1, wide, volume, weight, layer)
        return dx, dw, dbias, None


def _together(shape: torch.Size) -> int:
    """How many images fill a row of a wide map."""
    return min(shape[0], max(1, WIDE // shape[3]))


def side_by_side(volume: Tensor, weight: Tensor, bias: Tensor | None, layer: nn.Conv2d) -> Tensor:
    """A convolution of stride 1 that keeps the width of its maps, a few positions wide."""
    return _SideBySide.apply(volume, weight, bias, layer)  # type: ignore[no-any-return, no-untyped-call]


def joined(volume: Tensor, together: int, between: int) -> Tensor:
    """(N, C, H, W) as (ceil(N / together), C, H, together * (W + between)), channels last.

    `between` columns of zeros follow each image; images that are missing are zeros too.
    """
    n, c, h, w = volume.shape
    rows = -(-n // together)
    made = volume.new_empty(rows, h, together, w + between, c)
    if n < rows * together:
        made[-1].zero_()
    made[..., w:, :].zero_()
    whole = n // together
    last = volume.permute(0, 2, 3, 1)
    first = last[: whole * together].reshape(whole, together, h, w, c)
    made[:whole, :, :, :w] = first.transpose(1, 2)
    if whole < rows:
        made[whole, :, : n - whole * together, :w] = last[whole * together :].transpose(0, 1)
    return made.view(rows, h, together * (w + between), c).permute(0, 3, 1, 2)


def apart(wide: Tensor, shape: torch.Size, between: int) -> Tensor:
    """The images of a wide map, (N, C', H, W) for the N, H and W of a shape, channels last."""
    n, _, h, w = shape
    rows, c = wide.shape[:2]
    parts: Tensor = wide.permute(0, 2, 3, 1).reshape(rows, h, -1, w + between, c)[:, :, :, :w]
    return parts.transpose(1, 2).reshape(-1, h, w, c)[:n].permute(0, 3, 1, 2)
