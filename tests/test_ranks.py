"""Many processes as one: who computes what, and sums over all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.network import read
from striate.ranks import ALONE, Ranks, joined, synchronise


@given(st.integers(0, 500), st.integers(1, 16))
def test_ranks_share_a_batch_without_overlap_in_whole_pairs(count: int, world: int) -> None:
    """Pairs are mixed with each other; and no rank has two pairs more than another."""
    shares = [Ranks(rank, world).share(count) for rank in range(world)]
    parts = [list(range(count))[share] for share in shares]
    assert [*chain(*parts)] == list(range(count))
    assert all(share.start % 2 == 0 or not part for share, part in zip(shares, parts, strict=True))
    assert max(map(len, parts)) - min(map(len, parts)) <= 3


def test_alone_a_process_has_all_and_hears_itself() -> None:
    assert ALONE.first and ALONE.share(7) == slice(0, 7)
    assert ALONE.total([1.5, 2]) == [1.5, 2] and ALONE.told("a") == "a"


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as ranks:
        assert ranks is ALONE
    assert not dist.is_initialized()


def test_a_restart_by_torchrun_finds_no_address_of_those_that_were_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its store outlives them; a process that read from it would wait for the dead."""
    kept, stores = dist.HashStore(), []
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr(dist, "rendezvous", lambda *given, **more: iter([(kept, 0, 2)]))
    monkeypatch.setattr(dist, "init_process_group", lambda *given, **more: stores.append(more))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    for count in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
        threads = torch.get_num_threads()
        with joined() as ranks:
            assert ranks == Ranks(0, 2, 0, 2)
            assert not stores[-1]["store"].check(["address"])
            stores[-1]["store"].set("address", "127.0.0.1:1234")
        torch.set_num_threads(threads)


class Threads:
    """Sums over threads that stand for ranks, in the place of torch.distributed."""

    def __init__(self, world: int) -> None:
        self.world = world
        self.barrier = threading.Barrier(world, timeout=20)
        self.given: list[Tensor] = []

    def all_reduce(self, value: Tensor) -> None:
        self.given.append(value.clone())
        self.barrier.wait()
        total = torch.stack(self.given).sum(dim=0)
        if self.barrier.wait() == 0:
            self.given = []
        self.barrier.wait()
        value.copy_(total)

    def run(self, work: Callable[[int], Tensor]) -> list[Tensor]:
        """What the work of each rank gives."""
        with ThreadPoolExecutor(self.world) as pool:
            return list(pool.map(work, range(self.world)))


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("world", [2, 3])
def test_synchronised_batch_normalisation_is_pytorchs_over_the_whole_batch(
    monkeypatch: pytest.MonkeyPatch, world: int, dense: bool
) -> None:
    """Forward, backward and running statistics, with shares that differ."""
    torch.manual_seed(0)
    shape = (5,) if dense else (5, 3, 2)
    count = 11
    images, gradient = torch.randn(count, *shape) * 2 + 1, torch.randn(count, *shape)
    kind = nn.BatchNorm1d if dense else nn.BatchNorm2d
    whole = kind(5, momentum=0.3)
    nn.init.normal_(whole.weight)
    parts = [kind(5, momentum=0.3) for _ in range(world)]
    for part in parts:
        part.load_state_dict(whole.state_dict())
        synchronise(part)
        assert part.state_dict().keys() == whole.state_dict().keys()
    expected = images.clone().requires_grad_()
    output = whole(expected)
    output.backward(gradient)

    threads = Threads(world)
    monkeypatch.setattr(dist, "all_reduce", threads.all_reduce)
    shares = [Ranks(rank, world).share(count) for rank in range(world)]
    inputs = [images[share].clone().requires_grad_() for share in shares]

    def work(rank: int) -> Tensor:
        given: Tensor = parts[rank](inputs[rank])
        # The engine of autograd has threads of its own for this: each rank's waits for the others.
        torch.autograd.backward(given, gradient[shares[rank]])
        return given.detach()

    given = torch.cat(threads.run(work))
    assert torch.allclose(given, output, atol=1e-5)
    assert expected.grad is not None
    gradients = torch.cat([each.grad for each in inputs if each.grad is not None])
    assert torch.allclose(gradients, expected.grad, atol=1e-5)
    for name in ("weight", "bias"):
        learned = sum(part.get_parameter(name).grad for part in parts)
        assert torch.allclose(learned, whole.get_parameter(name).grad, atol=1e-5)
    for part in parts:
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            assert torch.allclose(part.get_buffer(name), whole.get_buffer(name), atol=1e-5)
        part.eval(), whole.eval()
        assert torch.allclose(part(images), whole(images), atol=1e-5)


def test_all_batch_normalisations_of_a_network_are_synchronised_and_nothing_else() -> None:
    model = read("[4x4x2] conv3-3(bias=no) bn relu fc-4(bias=no) bn relu fc-2 softmax").build()
    before = {name: type(each) for name, each in model.named_modules()}
    names = model.state_dict().keys()
    synchronise(model)
    changed = {name for name, each in model.named_modules() if type(each) is not before[name]}
    assert changed == {"bn1", "bn2"} and model.state_dict().keys() == names
