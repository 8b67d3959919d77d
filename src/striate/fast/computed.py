"""What layers with weights that are computed in another way have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# Takes volume, weight and bias, all in autocast's precision, and the layer.
Way = Callable[[Tensor, Tensor, Tensor | None, nn.Conv2d], Tensor]


class Computed(nn.Module):
    """A layer that stays the module it is; only how it is computed under autocast is another.

    Attributes:
        copied: gives the weight in autocast's precision, where a copy in it is kept.
    """

    copied: Callable[[], Tensor] | None = None

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def weighs(self, least: int) -> bool:
        """Whether the layer has so many weights, and learns them."""
        return self.layer.weight.numel() >= least and self.layer.weight.requires_grad

    def way(self, volume: Tensor) -> Way | None:
        """Another way to compute the layer, if there is one for such a volume."""
        return None

    def forward(self, volume: Tensor) -> Tensor:
        layer = self.layer
        if not torch.is_autocast_enabled("cpu"):
            return cast(Tensor, layer(volume))
        way = self.way(volume)
        if way is None and self.copied is None:
            return cast(Tensor, layer(volume))
        kind = torch.get_autocast_dtype("cpu")
        weight = layer.weight.to(kind) if self.copied is None else self.copied()
        bias = None if layer.bias is None else layer.bias.to(kind)
        if isinstance(layer, nn.Linear):
            return linear(volume, weight, bias)
        if way is None:
            return cast(Tensor, layer._conv_forward(volume, weight, bias))
        return way(volume.to(kind), weight, bias, layer)


def gradient_of(
    which: int, gradient: Tensor, volume: Tensor, weight: Tensor, layer: nn.Conv2d
) -> Tensor:
    """The gradient of a convolution's volume (0) or of its weight (1), as PyTorch computes it."""
    wanted = which == 0, which == 1, False
    size = None, layer.stride, layer.padding, layer.dilation, False, [0, 0], layer.groups
    found = torch.ops.aten.convolution_backward(gradient, volume, weight, *size, wanted)
    return cast(Tensor, found[which])
