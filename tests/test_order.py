"""Order and chance depend on numbers that are written down, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from striate.data.order import draws, philox, shuffled

SAMPLES = np.arange(4000)


def test_an_order_depends_on_seed_and_stage_alone() -> None:
    """The numbers are written down: another version of NumPy must give them too."""
    assert shuffled(8, 0, 1).tolist() == [5, 3, 7, 2, 4, 1, 0, 6]
    assert sorted(shuffled(1000, 7, 2)) == list(range(1000))
    assert shuffled(8, 2**63 - 1, 1).tolist() != shuffled(8, 0, 1).tolist()
    assert shuffled(0, 0).tolist() == []


@pytest.mark.parametrize(
    ("counter", "key", "random"),
    [
        ("00000000" * 4, "00000000" * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff" * 4, "ffffffff" * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            "243f6a8885a308d313198a2e03707344",
            "a4093822299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_known_answers(counter: str, key: str, random: str) -> None:
    """Of Random123, the authors' own implementation: tests/kat_vectors, philox4x32 10."""
    words = np.frombuffer(bytes.fromhex(counter), ">u4").astype(np.uint64)
    first, second = np.frombuffer(bytes.fromhex(key), ">u4").tolist()
    assert philox(words[:, None], (first, second))[:, 0].tolist() == [
        int(word, 16) for word in random.split()
    ]


def test_draws_are_the_same_in_every_version() -> None:
    assert draws(1, 2, np.array([3, 4]), 3).tolist() == [
        [0.9166966483370492, 0.09711311285249202, 0.5086627988984376],
        [0.546022489755561, 0.6722739608016371, 0.9181583212212953],
    ]
    assert draws(2**63 - 1, 2, np.array([2**32 - 1]), 1, stream=8).tolist() == [
        [0.19236062793863984]
    ]


@given(
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 2**32 - 1),
    stream=st.integers(0, 2**32 - 1),
    samples=st.lists(st.integers(0, 2**32 - 1), max_size=8),
    count=st.integers(0, 7),
)
def test_a_sample_draws_the_same_in_any_company(
    seed: int, epoch: int, stream: int, samples: list[int], count: int
) -> None:
    """Who else is in the batch, and how many numbers are asked for, changes no number."""
    together = draws(seed, epoch, np.array(samples, dtype=np.int64), count, stream=stream)
    assert together.shape == (len(samples), count)
    assert ((together >= 0) & (together < 1)).all()
    for sample, row in zip(samples, together, strict=True):
        alone = draws(seed, epoch, np.array([sample]), count + 3, stream=stream)
        assert np.array_equal(alone[0, :count], row)


def test_draws_are_uniform_and_unlike_their_neighbours() -> None:
    """In seed, epoch, sample, stream and place; p-values of fixed numbers, so never by chance."""
    base = draws(0, 1, SAMPLES, 4)
    assert kstest(base.ravel(), "uniform").pvalue > 0.01
    for other in (
        draws(1, 1, SAMPLES, 4),
        draws(2**32, 1, SAMPLES, 4),
        draws(0, 2, SAMPLES, 4),
        draws(0, 1, SAMPLES + 1, 4),
        draws(0, 1, SAMPLES, 4, stream=1),
        np.roll(base, 1, axis=1),
    ):
        assert kstest((base - other).ravel() % 1, "uniform").pvalue > 0.01
        assert abs(np.corrcoef(base.ravel(), other.ravel())[0, 1]) < 3 / base.size**0.5


@pytest.mark.parametrize(("epoch", "sample"), [(2**32, 0), (0, 2**32), (-1, 0), (0, -1)])
def test_numbers_too_large_for_the_counter_are_refused(epoch: int, sample: int) -> None:
    with pytest.raises(ValueError, match=r"from 0 to 2\*\*32 - 1"):
        draws(0, epoch, np.array([sample]), 1)
