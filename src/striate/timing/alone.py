"""One module of a network timed by itself, forward and backward, as if it were in training.

It is given noise in the shapes, the number format and the memory format that it met in a step of
training, under the same Compute, several times over with weights of its own each time, so that
what it meets and what it keeps has left the caches as it has in a network. Its times are read as
those of a profile are.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from itertools import cycle
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from striate.compute import Compute
from striate.containers import Add, Concat, Mul
from striate.timing.calls import Call, Met
from striate.timing.timers import Timers

WORKING = 2**25  # bytes at least that all copies of a module read and write ...
COPIES = 4  # ... but not more copies than this
LEAST, MOST = 2**19, 2**28  # bytes that other layers work on, more would change nothing
NEIGHBOURS = 4  # layers, until one of a kind comes again ...
AT_ONCE = 2**23  # ... and bytes that they work on, more would change nothing
SECONDS = 0.08  # of readings after the first, which warms up
TURNS = 5  # readings at most; one at least


class Times(NamedTuple):
    """Seconds of a module in a step."""

    forward: float
    backward: float


class _Before(torch.autograd.Function):
    """Stands for the network before a module: gives it what it meets as something just computed."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, others: Iterator[Tensor]) -> Tensor:
        next(others).sum()
        return tensor.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None]:
        return None, None


class _After(torch.autograd.Function):
    """Stands for the network after a module, which hands back a gradient just computed."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, others: Iterator[Tensor]) -> Tensor:
        ctx.others = others
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        next(ctx.others).sum()
        return gradients[0].clone(), None


def _before(tensor: Tensor, others: Iterator[Tensor]) -> Tensor:
    return cast(Tensor, _Before.apply(tensor, others))  # type: ignore[no-untyped-call]


def _after(tensor: Tensor, others: Iterator[Tensor]) -> Tensor:
    return cast(Tensor, _After.apply(tensor, others))  # type: ignore[no-untyped-call]


class Around(NamedTuple):
    """What the other layers work on, in bytes: all of them, and the neighbours of one."""

    network: int
    neighbours: int


def around(kept: int, layers: int) -> Around:
    """What a network of so many layers works on that keeps so many bytes; powers of two."""
    network = min(MOST, max(LEAST, kept))
    neighbours = min(network, AT_ONCE, max(LEAST, NEIGHBOURS * kept // layers))
    return Around(*(2 ** (each.bit_length() - 1) for each in (network, neighbours)))


@lru_cache(maxsize=1)
def _elsewhere(around: Around, device: str) -> Iterator[Tensor]:
    """What the other layers do to the caches: each time another part of the memory is read."""
    memory = torch.ones(around.network // 4, device=device)
    return cycle(memory.view(-1, around.neighbours // 4))


class _Joined(nn.Module):
    """What a join does with what its branches gave, without them."""

    def __init__(self, kind: type[Add]) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, *branches: Tensor) -> Tensor:
        return self.kind.join(*branches)


def work_of(call: Call) -> nn.Module | None:
    """What a module computes by itself; None for one that leaves all work to those inside it."""
    if not call.inner:
        return call.module
    kind = type(call.module)
    return _Joined(kind) if kind in (Add, Mul, Concat) else None


def name_of(call: Call) -> str:
    """The same for modules of the same kind and settings that meet the same."""
    what = type(call.module).__name__ if call.inner else repr(call.module)
    return f"{what} {[(met.shape[1:], str(met.kind), met.last, met.learns) for met in call.met]}"


def alone(call: Call, batch: int, compute: Compute, others: Around) -> Times:
    """How long a module takes on a batch of so many images, among so many others."""
    module = work_of(call)
    if module is None:
        return Times(0.0, 0.0)
    size = (
        call.weights + sum(each.bytes // each.shape[0] for each in (*call.met, *call.gave)) * batch
    )
    copies = max(1, min(COPIES, WORKING // max(1, size)))
    modules = [module, *(deepcopy(module) for _ in range(copies - 1))]
    given = [[noise(met, batch, compute.device) for met in call.met] for _ in modules]
    elsewhere = _elsewhere(others, compute.device)
    found: list[Times] = []
    with Timers(compute.device) as timers:
        _read(modules, given, elsewhere, compute, timers)
        began = perf_counter()
        while not found or (len(found) < TURNS and perf_counter() - began < SECONDS):
            found.append(_read(modules, given, elsewhere, compute, timers))
    return Times(median(each.forward for each in found), median(each.backward for each in found))


def noise(met: Met, batch: int, device: str) -> Tensor:
    """Noise as a module met it, of so many images."""
    found = torch.randn((batch, *met.shape[1:]), device=device).to(met.kind)
    if met.last:
        found = found.contiguous(memory_format=torch.channels_last)
    return found.requires_grad_(met.learns)


def _read(
    modules: list[nn.Module],
    given: list[list[Tensor]],
    others: Iterator[Tensor],
    compute: Compute,
    timers: Timers,
) -> Times:
    outputs = []
    with compute.autocast():
        for module, tensors in zip(modules, given, strict=True):
            met = [_before(each, others) for each in tensors]
            for each in met:
                timers.pass_over(each)
            outputs.append(_after(module(*met), others))
    learned = [each for each in outputs if each.requires_grad]
    if learned:
        torch.autograd.backward(learned, [torch.ones_like(each) for each in learned])
    for module in modules:
        for each in module.parameters():
            each.grad = None
    taken = timers.taken()
    forward, backward = sum(taken.forward.values()), sum(taken.backward.values())
    return Times(forward / len(modules), backward / len(modules))
