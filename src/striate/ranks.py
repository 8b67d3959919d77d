"""Many processes as one: who computes what, and sums over all. Started by torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from time import monotonic, sleep
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from striate.errors import RunError

LEAVING = 10.0  # seconds that a process waits at its end for the others
TIMEOUT = timedelta(minutes=10)  # longer than a large checkpoint takes to write


@dataclass(frozen=True)
class Ranks:
    """One process among `world`; rank 0 alone writes and shows.

    Attributes:
        local: this process's number on its machine, which is its GPU's number.
        here: processes on this machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    here: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This rank's part of a batch of `count`, cut at even positions: mixing partners stay."""
        pairs = (count + 1) // 2
        bounds = [
            min(count, 2 * (pairs * each // self.world)) for each in (self.rank, self.rank + 1)
        ]
        return slice(*bounds)

    def total(self, values: Sequence[float]) -> list[float]:
        """The sums of each value over all ranks, the same on each."""
        if self.world == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def told(self, value: Any) -> Any:
        """What rank 0 says: a plain value."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, device=self.device)
        return box[0]

    @property
    def device(self) -> torch.device:
        return (
            torch.device("cuda", self.local) if torch.cuda.is_available() else torch.device("cpu")
        )


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that torchrun started, joined while the context lasts; else this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    ranks = Ranks(*(int(os.environ[name]) for name in names))
    if torch.cuda.is_available():
        if ranks.local >= torch.cuda.device_count():
            raise RunError(
                f"{ranks.here} processes on a machine with {torch.cuda.device_count()} GPUs: "
                "start one for each"
            )
        torch.cuda.set_device(ranks.device)
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // ranks.here))
    # `type: ignore`: both are documented, and PyTorch's types do not say so
    store, rank, world = next(dist.rendezvous("env://", timeout=TIMEOUT))  # type: ignore[attr-defined]
    dist.init_process_group(
        "nccl" if torch.cuda.is_available() else "gloo",
        store=dist.PrefixStore(_attempt(ranks), store),  # type: ignore[attr-defined]
        rank=rank,
        world_size=world,
        timeout=TIMEOUT,
    )
    try:
        yield ranks
        _left_together(ranks, store)
    finally:
        dist.destroy_process_group()


def _left_together(ranks: Ranks, store: Any) -> None:
    """Wait for the others to come to their end: one that goes closes connections that a slower one
    may still read its last sum from, and torchrun would start all again.
    """
    keys = [f"{_attempt(ranks)}-left-{rank}" for rank in range(ranks.world)]
    deadline = monotonic() + LEAVING
    with suppress(RuntimeError):  # the store went with the process that held it
        store.set(keys[ranks.rank], "")
        while monotonic() < deadline and not store.check(keys):
            sleep(0.01)


def _attempt(ranks: Ranks) -> str:
    """A name for what a start by torchrun writes into its store.

    A restart meets the same store, and would wait for the addresses of the processes that were
    killed. Several machines may count restarts differently: there PyTorch's own names stay.
    """
    count = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return f"attempt-{count if ranks.here == ranks.world else 0}"


class _Sum(torch.autograd.Function):
    """A sum over all ranks; each rank's gradient is the sum of all ranks' gradients."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous().clone()
        dist.all_reduce(gradient)
        return gradient


def _summed(value: Tensor) -> Tensor:
    return cast(Tensor, _Sum.apply(value))  # type: ignore[no-untyped-call]


class _Synchronised(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the images of all ranks; PyTorch's own works on GPUs alone."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        values = input.float()
        over = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        count = torch.tensor([values.numel() / values.shape[1]], device=values.device)
        sums = _summed(torch.cat([values.sum(over), count]))
        total = sums[-1]
        mean = sums[:-1] / total
        centred = values - mean.view(shape)
        variance = _summed(centred.square().sum(over)) / total
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.momentum is not None and self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * total / (total - 1), self.momentum)
        normalised: Tensor = centred * (variance.view(shape) + self.eps).rsqrt()
        if self.weight is not None:
            normalised = normalised * self.weight.view(shape)
        if self.bias is not None:
            normalised = normalised + self.bias.view(shape)
        return normalised.to(input.dtype)


class SynchronisedBatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """Of (N, D)."""


class SynchronisedBatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """Of (N, D, H, W)."""


def distributed(model: nn.Module) -> DistributedDataParallel:
    """A model whose gradients are averaged over the ranks; its buffers are the same on each."""
    # PyTorch 2.13 renames the one that it warns of.
    known = signature(DistributedDataParallel.__init__).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {buffers: False}
    return DistributedDataParallel(model, **options)


def synchronise(model: nn.Module) -> None:
    """Let a model's batch normalisations see the images of all ranks; their parameters stay."""
    for each in model.modules():
        if type(each) is nn.BatchNorm1d:
            each.__class__ = SynchronisedBatchNorm1d
        elif type(each) is nn.BatchNorm2d:
            each.__class__ = SynchronisedBatchNorm2d
