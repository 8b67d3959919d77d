"""The window of a convolution or of a pooling, as the kernels of native/ have it."""

from __future__ import annotations

from ctypes import Structure, c_int64
from typing import cast

from torch import nn

Pair = tuple[int, int]


class Window(Structure):
    """Its size, its stride and the padding around the map."""

    _fields_ = [(name, c_int64) for name in ("rows", "columns", "down", "across", "above", "left")]


def window_of(layer: nn.Conv2d | nn.MaxPool2d) -> Window:
    """A layer's, whose settings are pairs."""
    return Window(
        *cast(Pair, layer.kernel_size), *cast(Pair, layer.stride), *cast(Pair, layer.padding)
    )
