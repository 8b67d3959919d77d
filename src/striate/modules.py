"""The few modules that PyTorch does not have, and the containers that follow the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.codes import codes

Memory = dict[str, Tensor]


class Routed(nn.Module):
    """A module that keeps or recalls labelled volumes: it takes the memory beside its input."""

    def recall(self, volume: Tensor, memory: Memory) -> Tensor:
        raise NotImplementedError

    def forward(self, volume: Tensor, memory: Memory | None = None) -> Tensor:
        return self.recall(volume, {} if memory is None else memory)


def run(module: nn.Module, volume: Tensor, memory: Memory) -> Tensor:
    """Calls a module, with the memory if it wants it."""
    return cast(Tensor, module(volume, memory) if isinstance(module, Routed) else module(volume))


class Chain(Routed):
    """A sequence that keeps the labelled volumes among its children's outputs.

    `keeps` says under which name in the memory a child's output stays; the empty name is the
    chain's own input.
    """

    def __init__(self, children: Mapping[str, nn.Module], keeps: Mapping[str, str]) -> None:
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)
        self.flow = tuple(children)
        self.keeps = dict(keeps)

    def recall(self, volume: Tensor, memory: Memory) -> Tensor:
        if "" in self.keeps:
            memory[self.keeps[""]] = volume
        for name in self.flow:
            volume = run(self.get_submodule(name), volume, memory)
            if name in self.keeps:
                memory[self.keeps[name]] = volume
        return volume


def sequential(children: Mapping[str, nn.Module]) -> nn.Sequential:
    """One after the other, by name."""
    made = nn.Sequential()
    for name, child in children.items():
        made.add_module(name, child)
    return made


class Recall(Routed):
    """`@label`: the volume kept under a name, whatever the volume here."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def recall(self, volume: Tensor, memory: Memory) -> Tensor:
        return memory[self.name]

    def extra_repr(self) -> str:
        return self.name or "input"


def added(first: Tensor, *others: Tensor) -> Tensor:
    """The sum of volumes, from the first on."""
    for other in others:
        first = first + other
    return first


class Add(Routed):
    """The sum of branches that start from the same volume."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        for number, branch in enumerate(branches, 1):
            self.add_module(f"branch{number}", branch)

    @staticmethod
    def join(*volumes: Tensor) -> Tensor:
        return added(*volumes)

    def recall(self, volume: Tensor, memory: Memory) -> Tensor:
        return self.join(*(run(branch, volume, memory) for branch in self.children()))


class Mul(Add):
    """The product of branches that start from the same volume; a side of 1 stands for all."""

    @staticmethod
    def join(*volumes: Tensor) -> Tensor:
        first, *others = volumes
        for other in others:
            first = first * other
        return first


class Concat(Add):
    """Branches that start from the same volume, one behind the other in depth."""

    @staticmethod
    def join(*volumes: Tensor) -> Tensor:
        return torch.cat(volumes, dim=1)


class PartialConvolution(Concat):
    """A concatenation whose branches each take some channels and convolve them alike: LeNet-5's C3.

    In training it is computed as one convolution with zeros where a filter does not look, the same
    sums several times faster. Otherwise branch by branch, so that each can be looked at.
    """

    seen: Tensor

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__(branches)
        takes = [each for each in self.modules() if isinstance(each, Take)]
        filters = [each.out_channels for each in self._convolutions()]
        depth = 1 + max(max(take.taken) for take in takes)
        # Where in the dense weight each branch's (filters, channels) belong, flattened.
        places, first = [], 0
        for take, count in zip(takes, filters, strict=True):
            rows = torch.arange(first, first + count)[:, None] * depth
            places.append((rows + take.channels).flatten())
            first += count
        self.depth, self.filters = depth, first
        self.register_buffer("seen", torch.cat(places), persistent=False)

    def _convolutions(self) -> list[nn.Conv2d]:
        return [each for each in self.modules() if isinstance(each, nn.Conv2d)]

    def recall(self, volume: Tensor, memory: Memory) -> Tensor:
        if not self.training:
            return super().recall(volume, memory)
        convolutions = self._convolutions()
        like = convolutions[0]
        size = like.kernel_size
        parts = torch.cat([each.weight.reshape(-1, *size) for each in convolutions])
        weight = parts.new_zeros(self.filters * self.depth, *size).index_copy(0, self.seen, parts)
        biases = [each.bias for each in convolutions if each.bias is not None]
        return functional.conv2d(
            volume[:, : self.depth],
            weight.view(self.filters, self.depth, *size),
            torch.cat(biases) if biases else None,
            like.stride,
            like.padding,
            like.dilation,
        )


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
            volume = volume.float()
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
