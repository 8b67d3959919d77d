"""The containers that follow the text: sequences, branches that join, volumes kept by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.modules import Take

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


def flow(model: nn.Module) -> list[nn.Module]:
    """Of a network its parts in order, without further heads; a plain module is one part."""
    if not isinstance(model, Chain):
        return [model]
    return [model.get_submodule(name) for name in model.flow]


def heads(model: nn.Module) -> list[nn.Module]:
    """Of a network its further heads."""
    if not isinstance(model, Chain):
        return []
    return [each for name, each in model.named_children() if name not in model.flow]


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
