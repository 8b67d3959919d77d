"""What convolutions that are computed in another way have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn


class Convolved(nn.Module):
    """A convolution that stays the module it is; only how it is computed under autocast is another.

    `compute` takes volume, weight, bias or None, and padding, all in autocast's precision.
    """

    compute: Callable[..., Tensor]

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def gains(self, volume: Tensor) -> bool:
        """Whether a volume is one that the other way is made for."""
        return True

    def forward(self, volume: Tensor) -> Tensor:
        layer = self.convolution
        if not torch.is_autocast_enabled("cpu") or not self.gains(volume):
            return cast(Tensor, layer(volume))
        kind = torch.get_autocast_dtype("cpu")
        bias = None if layer.bias is None else layer.bias.to(kind)
        return self.compute(volume.to(kind), layer.weight.to(kind), bias, layer.padding)


def gradient_of(
    which: int, gradient: Tensor, volume: Tensor, weight: Tensor, padding: tuple[int, int]
) -> Tensor:
    """The gradient of a convolution's volume (0) or of its weight (1), at stride 1."""
    wanted = which == 0, which == 1, False
    size = None, [1, 1], padding, [1, 1], False, [0, 0], 1
    found = torch.ops.aten.convolution_backward(gradient, volume, weight, *size, wanted)
    return cast(Tensor, found[which])
