"""Convolutions over small maps: the weights' gradient with images side by side in one wide map.

Libraries sum it row by row of a map, and a row of seven positions leaves a matrix unit that takes
32 at a time mostly empty. The same sum over maps side by side, with zeros between, fills it: three
times as fast on maps 7 wide, eight times on maps 3 wide (bench/LOG.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

NARROW = 9  # maps wider than this gain nothing
WIDE = 64  # columns that fill the unit


class SideBySide(nn.Module):
    """A convolution that stays the module it is; only its gradient is computed otherwise."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, volume: Tensor) -> Tensor:
        layer = self.convolution
        if volume.shape[3] > NARROW or not torch.is_autocast_enabled("cpu"):
            return layer(volume)  # type: ignore[no-any-return]
        kind = torch.get_autocast_dtype("cpu")
        out: Tensor = _SideBySide.apply(  # type: ignore[no-untyped-call]
            volume.to(kind),
            layer.weight.to(kind),
            None if layer.bias is None else layer.bias.to(kind),
            layer.padding,
        )
        return out


def suits(layer: nn.Module) -> bool:
    """Whether the gradient of a layer can be computed so: every filter sees every channel, stride
    1, and its maps keep their width.
    """
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.stride == (1, 1)
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)
        and layer.kernel_size[1] == 2 * layer.padding[1] + 1 > 1
    )


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, volume: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(volume, weight)
        ctx.padding, ctx.biased = padding, bias is not None
        with torch.autocast("cpu", enabled=False):
            return conv2d(volume, weight, bias, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        volume, weight = ctx.saved_tensors
        dx, dw = None, None
        if ctx.needs_input_grad[0]:
            dx = _back(gradient, volume, weight, ctx.padding, (True, False))[0]
        if ctx.needs_input_grad[1]:
            together = min(len(volume), max(1, WIDE // volume.shape[3]))
            g, x = (side_by_side(each, together, ctx.padding[1]) for each in (gradient, volume))
            dw = _back(g, x, weight, ctx.padding, (False, True))[1]
        return dx, dw, gradient.sum(dim=(0, 2, 3)) if ctx.biased else None, None


def _back(
    gradient: Tensor,
    volume: Tensor,
    weight: Tensor,
    padding: tuple[int, int],
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    found = torch.ops.aten.convolution_backward(
        gradient, volume, weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, (*wanted, False)
    )
    return found[0], found[1]


def side_by_side(volume: Tensor, together: int, between: int) -> Tensor:
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
    made[:whole, :, :, :w] = (
        last[: whole * together].reshape(whole, together, h, w, c).transpose(1, 2)
    )
    if whole < rows:
        made[whole, :, : n - whole * together, :w] = last[whole * together :].transpose(0, 1)
    return made.view(rows, h, together * (w + between), c).permute(0, 3, 1, 2)
