"""Memory: what autograd really keeps, and the peaks against a simulation made differently."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import strategies
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_layers import SETTINGS, fitting, text_of, texts, volumes
from torch import Tensor

from striate.account import parse_memory
from striate.build import build
from striate.errors import StriateError
from striate.layers import KINDS, Volume
from striate.network import Network, read

quick = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def images(network: Network, batch: int) -> Tensor:
    """A batch of noise that the network takes."""
    height, width, depth = network.input
    return torch.randn(batch, depth, height, width)


def kept_by_autograd(network: Network, batch: int) -> int:
    """Bytes that a training pass leaves for the backward pass, weights and buffers apart."""
    module = build(network).train()
    own = {each.untyped_storage().data_ptr() for each in (*module.parameters(), *module.buffers())}
    kept: list[Tensor] = []

    def pack(saved: Tensor) -> Tensor:
        kept.append(saved)  # alive to the end, so that no two storages have the same address
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        module(images(network, batch))
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in kept}
    return sum(size for address, size in storages.items() if address not in own)


def kept_by_us(network: Network, batch: int) -> int:
    """The same from the table: the rows' bytes for each image, and what each batch keeps once."""
    totals = network.account().totals
    buffers = sum(step.layer.buffers(step.met) for step in network.steps)
    return batch * totals.kept_bytes + totals.fixed_bytes - 4 * buffers


# -- what is kept for the backward pass


@quick
@given(st.one_of(texts(), strategies.texts()), st.integers(2, 3))
def test_kept_bytes(text: str, batch: int) -> None:
    """Byte for byte what autograd keeps, over generated networks."""
    network = Network.parse(text)
    assert kept_by_us(network, batch) == kept_by_autograd(network, batch)
