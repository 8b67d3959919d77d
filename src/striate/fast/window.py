"""The window of a convolution or of a pooling, as the kernels of native/ have it."""

from __future__ import annotations

from ctypes import Structure, c_int64
from typing import cast

from torch import Tensor, nn

Pair = tuple[int, int]


class Window(Structure):
    """Its size, its stride and the padding around the map."""

    _fields_ = [(name, c_int64) for name in ("rows", "columns", "down", "across", "above", "left")]


def window_of(layer: nn.Conv2d | nn.MaxPool2d) -> Window:
    """A layer's, whose settings are pairs."""
    return Window(
        *cast(Pair, layer.kernel_size), *cast(Pair, layer.stride), *cast(Pair, layer.padding)
    )


def extent(volume: Tensor, layer: nn.Conv2d | nn.MaxPool2d) -> tuple[int, int]:
    """The height and the width of what a layer makes of a volume."""
    window, ceil = window_of(layer), getattr(layer, "ceil_mode", False)
    height, width = volume.shape[2:]
    return (
        _along(height, window.rows, window.down, window.above, ceil),
        _along(width, window.columns, window.across, window.left, ceil),
    )


def _along(size: int, window: int, stride: int, padding: int, ceil: bool) -> int:
    """How many windows there are along a side; as PyTorch, none that begins in the far padding."""
    found = (size + 2 * padding - window + (stride - 1 if ceil else 0)) // stride + 1
    return found - 1 if ceil and (found - 1) * stride >= size + padding else found
