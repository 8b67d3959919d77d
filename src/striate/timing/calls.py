"""What a module of a network is given and gives in a step, and the traffic that makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import torch
from torch import nn

from striate.containers import Recall


@dataclass(frozen=True)
class Met:
    """A tensor that a module was given or gave.

    Attributes:
        last: whether its channels lie last in memory.
        learns: whether it gets a gradient.
        key: the same for the same tensor, within a step.
    """

    shape: tuple[int, ...]
    kind: torch.dtype
    last: bool
    learns: bool
    key: int = field(compare=False)

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.kind.itemsize


@dataclass(frozen=True)
class Call:
    """One module at work.

    Attributes:
        name: its path in the network.
        met: the tensors that it was given; of a join, what its branches gave.
        gave: what it gave.
        view: whether that lies in the memory of what it was given.
        inner: whether the work is that of modules inside it, but for joining what they give.
    """

    name: str
    module: nn.Module
    met: tuple[Met, ...]
    gave: tuple[Met, ...]
    view: bool
    inner: bool

    @cached_property
    def own(self) -> frozenset[nn.Module]:
        """The modules that it computes: itself and what it holds."""
        return frozenset() if self.inner else frozenset(self.module.modules())

    @cached_property
    def weights(self) -> int:
        """Bytes of its parameters."""
        return 0 if self.inner else sum(each.nbytes for each in self.module.parameters())

    @property
    def idle(self) -> bool:
        """Whether it gives what it is given, and computes nothing."""
        given = {each.key for each in self.met}
        same = all(each.key in given for each in self.gave)
        return self.view or same or isinstance(self.module, Recall)

    @property
    def forward_bytes(self) -> int:
        """Read and written at least: what it meets, its weights, what it gives."""
        return sum(each.bytes for each in (*self.met, *self.gave)) + self.weights

    @property
    def backward_bytes(self) -> int:
        """The same again, and the gradients of what it meets and of its weights."""
        gradients = sum(each.bytes for each in self.met if each.learns) + self.weights
        return self.forward_bytes + gradients if self.learns else 0

    @property
    def learns(self) -> bool:
        return any(each.learns for each in self.gave)
