"""The few layers that PyTorch does not have."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.codes import codes


class CeilConv2d(nn.Conv2d):
    """A convolution with further zeros at the end, so that the last window is whole."""

    def __init__(self, *arguments: int, extra: tuple[int, int], **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]  # nn.Conv2d's own options
        self.extra = extra

    def forward(self, input: Tensor) -> Tensor:
        rows, columns = self.extra
        return super().forward(functional.pad(input, (0, columns, 0, rows)))


class PointBias(nn.Module):
    """One learned bias for each position, shared by all channels."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(height, width))

    def forward(self, volume: Tensor) -> Tensor:
        return volume + self.bias


class Subsample(nn.Module):
    """LeNet-5's subsampling: the sum of each window, times a coefficient, plus a bias."""

    def __init__(self, channels: int, pool: nn.AvgPool2d) -> None:
        super().__init__()
        self.pool = pool
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, volume: Tensor) -> Tensor:
        summed: Tensor = self.pool(volume)
        return summed * self.weight + self.bias


class RadialBasis(nn.Module):
    """Minus the squared distance of the input to each unit's fixed code."""

    codes: Tensor

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(codes(units, inputs), dtype=torch.float32))

    def forward(self, volume: Tensor) -> Tensor:
        # Large sums that nearly cancel: half precision would leave nothing of them.
        with _exact(volume.device):
            volume = volume.to(self.codes.dtype)
            length = volume.square().sum(dim=1, keepdim=True)
            products = functional.linear(volume, self.codes)
            return 2 * products - length - self.codes.square().sum(dim=1)


def _exact(device: torch.device) -> AbstractContextManager[object]:
    """Float32, also where an autocast is on; the meta device knows none."""
    known = device.type != "meta"
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


class ScaledTanh(nn.Module):
    """amplitude * tanh(slope * x)."""

    def __init__(self, amplitude: float, slope: float) -> None:
        super().__init__()
        self.amplitude, self.slope = amplitude, slope

    def forward(self, volume: Tensor) -> Tensor:
        return self.amplitude * torch.tanh(self.slope * volume)

    def extra_repr(self) -> str:
        return f"{self.amplitude:g}, {self.slope:g}"


class Scale(nn.Module):
    """Every value times a fixed factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, volume: Tensor) -> Tensor:
        return volume * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


class LayerNorm(nn.LayerNorm):
    """Every position over its channels, which stand before height and width."""

    def forward(self, input: Tensor) -> Tensor:
        found = super().forward(input.movedim(1, -1)).movedim(-1, 1)
        # Left as it is, channels would lie last, and whatever flattens it would have to copy.
        last = input.is_contiguous(memory_format=torch.channels_last)
        return found if last else found.contiguous()


class LayerScale(nn.Module):
    """A learned factor for each channel."""

    def __init__(self, shape: tuple[int, ...], initial: float) -> None:
        super().__init__()
        self.initial = initial
        self.weight = nn.Parameter(torch.full(shape, initial))

    def forward(self, volume: Tensor) -> Tensor:
        return volume * self.weight

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.initial:g}"


class Slice(nn.Module):
    """The channels from one number up to, but not with, another."""

    def __init__(self, first: int, stop: int) -> None:
        super().__init__()
        self.first, self.stop = first, stop

    def forward(self, volume: Tensor) -> Tensor:
        # A view would keep the whole volume for whoever keeps a part of it.
        return volume[:, self.first : self.stop].clone()

    def extra_repr(self) -> str:
        return f"{self.first}, {self.stop}"


class Take(nn.Module):
    """Some channels of the volume."""

    channels: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.taken = tuple(channels)  # known where the buffer has no values: on the meta device
        self.register_buffer("channels", torch.tensor(channels), persistent=False)

    def forward(self, volume: Tensor) -> Tensor:
        return volume.index_select(1, self.channels)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.taken))


class PaddedShortcut(nn.Module):
    """He et al.'s option A: every S-th row and column, and zeros for the new channels."""

    def __init__(self, stride: tuple[int, int], new_channels: int) -> None:
        super().__init__()
        self.stride, self.new_channels = stride, new_channels

    def forward(self, volume: Tensor) -> Tensor:
        rows, columns = self.stride
        return functional.pad(volume[:, :, ::rows, ::columns], (0, 0, 0, 0, 0, self.new_channels))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, new_channels={self.new_channels}"
