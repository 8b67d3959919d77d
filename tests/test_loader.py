"""Batches in order: a function of the seed and the step, whoever loads them."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data import Images, shuffled
from striate.data.loader import Batches, Loaded
from striate.ranks import Ranks


def images(count: int) -> Images:
    """Whose pixels and labels tell their positions."""
    numbers = np.arange(count)
    pixels = numbers.astype("<u4").view(np.uint8).reshape(count, 2, 2, 1)
    return Images(pixels, numbers % 3, ("a", "b", "c"))


def positions(batch: Loaded) -> list[int]:
    """What the pixels tell."""
    return batch.pixels.reshape(-1, 4).copy().view("<u4").ravel().tolist()


@given(st.integers(1, 300), st.integers(1, 80), st.integers(0, 2**63 - 1), st.integers(0, 5))
def test_an_epoch_is_its_order_cut_as_numpy_would(
    count: int, size: int, seed: int, epoch: int
) -> None:
    """In batches of at most the size, as equal as can be, the larger ones first."""
    batches = Batches(images(count), size, seed)
    order = shuffled(count, seed, epoch + 1)
    expected = np.array_split(order, batches.per_epoch)
    found = [batches.samples(epoch * batches.per_epoch + n) for n in range(batches.per_epoch)]
    assert [each.tolist() for each in found] == [each.tolist() for each in expected]
    sizes = [len(each) for each in found]
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_batches_are_the_same_whatever_the_number_of_workers(workers: int) -> None:
    """Across the ends of epochs, and from the middle of one on."""
    batches = Batches(images(50), 8, seed=3)
    alone = list(batches.load(5, 19))
    loaded = list(batches.load(5, 19, workers))
    assert len(loaded) == len(alone) == 14
    for ours, theirs in zip(alone, loaded, strict=True):
        assert positions(theirs) == theirs.samples.tolist() == ours.samples.tolist()
        for name in Loaded._fields:
            first, second = getattr(ours, name), getattr(theirs, name)
            assert first.dtype == second.dtype and np.array_equal(first, second)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_reader_may_leave_in_the_middle(workers: int) -> None:
    """Early stopping does; nothing is left waiting, and there need be nothing to load."""
    loaded = Batches(images(50), 8, seed=3).load(0, 1000, workers)
    assert len(next(loaded).labels) == 8
    loaded.close()
    assert list(Batches(images(50), 8, seed=3).load(4, 4, workers)) == []


def test_the_order_depends_on_the_seed_and_the_epoch_and_on_nothing_that_was_asked_before() -> None:
    batches = Batches(images(40), 10, seed=1)
    last = batches.samples(11).tolist()
    epochs = np.concatenate([batches.samples(number) for number in range(12)]).reshape(3, 40)
    assert epochs[2, 30:].tolist() == last
    assert (np.sort(epochs) == np.arange(40)).all()
    assert epochs[0].tolist() != epochs[1].tolist()
    assert Batches(images(40), 10, seed=2).samples(11).tolist() != last


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 5))
def test_what_the_ranks_load_is_together_what_one_process_loads(
    count: int, size: int, world: int
) -> None:
    whole = Batches(images(count), size, seed=0)
    parts = [Batches(images(count), size, 0, Ranks(rank, world).share) for rank in range(world)]
    for number in range(whole.per_epoch):
        loaded = [part[number] for part in parts]
        assert [*chain(*map(positions, loaded))] == positions(whole[number])
        assert all(part.samples(number).tolist() == positions(whole[number]) for part in parts)
