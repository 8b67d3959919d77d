"""What layers with weights that are computed in another way have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


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

    def gains(self, volume: Tensor) -> bool:
        """Whether a volume is one that the other way is made for."""
        return False

    def otherwise(self, volume: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The other way; all in autocast's precision."""
        raise NotImplementedError

    def forward(self, volume: Tensor) -> Tensor:
        layer = self.layer
        if not torch.is_autocast_enabled("cpu"):
            return cast(Tensor, layer(volume))
        gains = self.gains(volume)
        if not gains and self.copied is None:
            return cast(Tensor, layer(volume))
        kind = torch.get_autocast_dtype("cpu")
        weight = layer.weight.to(kind) if self.copied is None else self.copied()
        bias = None if layer.bias is None else layer.bias.to(kind)
        if gains:
            return self.otherwise(volume.to(kind), weight, bias)
        if isinstance(layer, nn.Linear):
            return linear(volume, weight, bias)
        return cast(Tensor, layer._conv_forward(volume, weight, bias))


class Convolved(Computed):
    """A convolution.

    `compute` takes volume, weight, bias or None, and padding.
    """

    compute: Callable[..., Tensor]

    def gains(self, volume: Tensor) -> bool:
        return True

    def otherwise(self, volume: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.compute(volume, weight, bias, self.layer.padding)


def gradient_of(
    which: int, gradient: Tensor, volume: Tensor, weight: Tensor, padding: tuple[int, int]
) -> Tensor:
    """The gradient of a convolution's volume (0) or of its weight (1), at stride 1."""
    wanted = which == 0, which == 1, False
    size = None, [1, 1], padding, [1, 1], False, [0, 0], 1
    found = torch.ops.aten.convolution_backward(gradient, volume, weight, *size, wanted)
    return cast(Tensor, found[which])
