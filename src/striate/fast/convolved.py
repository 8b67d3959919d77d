"""Which way a convolution is computed: asked of each volume, by what was measured to be faster.

bench/LOG.md has the measurements, on a processor that multiplies matrices.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from striate.fast.columns import by_columns, filters_by_columns
from striate.fast.computed import Computed, Way
from striate.fast.kernels import available
from striate.fast.pointwise import by_product
from striate.fast.sidebyside import NARROW, side_by_side
from striate.fast.window import extent

FEW = 2048  # positions, images times map, up to which a product of matrices is faster
SHALLOW = 32  # channels, below which the library is as good
WIDEST = 16  # map, up to which the filters of a stride above 1 learn faster from columns


class Convolved(Computed):
    """A convolution whose filters see every channel, without dilation, zeros around its input."""

    layer: nn.Conv2d

    def way(self, volume: Tensor) -> Way | None:
        layer = self.layer
        padding = cast(tuple[int, int], layer.padding)
        pointwise, strided = layer.kernel_size == (1, 1), max(layer.stride) > 1
        height, width = extent(volume, layer)
        if pointwise and not strided and padding == (0, 0):
            return by_product
        if available():
            if len(volume) * height * width <= FEW or (pointwise and strided):
                return by_columns
            if strided and width <= WIDEST and layer.in_channels >= SHALLOW:
                return filters_by_columns
        keeps = not strided and (height, width) == volume.shape[2:] and padding[1] > 0
        return side_by_side if keeps and width <= NARROW else None


def suits(layer: nn.Module) -> bool:
    """Whether a layer is such a convolution."""
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)
    )
