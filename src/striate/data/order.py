"""Order and chance, as functions of numbers that a run can write down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WORD = np.uint64(32)
LOW = np.uint64(2**32 - 1)
# Philox-4x32-10: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as
# easy as 1, 2, 3", SC 2011, section 3.3; its multipliers and what its key grows by.
ROUNDS = 10
FIRST, SECOND = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY = 0x9E3779B9, 0xBB67AE85


def shuffled(count: int, seed: int, stage: int = 0) -> NDArray[np.int64]:
    """The numbers below `count` in an order that depends on (count, seed, stage) and nothing else.

    Args:
        seed, stage: whole numbers below 2**64; a stage is an epoch or a class.

    Philox is a function of its key, the same in every version of NumPy, which is promised of no
    `Generator.permutation` (NEP 19). An epoch's order thus needs no state to be saved.
    """
    generator = np.random.Philox(key=np.array([seed, stage], dtype=np.uint64))
    return np.argsort(generator.random_raw(count), kind="stable")


def draws(
    seed: int, epoch: int, samples: NDArray[np.int64], count: int, *, stream: int = 0
) -> NDArray[np.float64]:
    """Random numbers for each sample, uniform in [0, 1), multiples of 2**-53: (n, count).

    Each is a function of (seed, epoch, sample, stream, its place in the row) and nothing else, so
    that an image is augmented the same whoever loads it and whatever else is in its batch.

    Args:
        seed: a whole number below 2**64.
        epoch, samples, stream: whole numbers below 2**32. Each use of chance has a stream of its
            own, so that one more of them changes no other.

    Raises:
        ValueError: a number is too large or negative.

    Philox-4x32-10 with the seed as its key and (pair of places, sample, epoch, stream) as its
    counter. NumPy's own Philox would need a generator for each sample.
    """
    highest, lowest = max(0, samples.max(initial=0)), samples.min(initial=0)
    if max(highest, epoch, stream) >= 2**32 or min(lowest, epoch, stream) < 0:
        raise ValueError("epoch, samples and stream must be from 0 to 2**32 - 1")
    blocks = -(-count // 2)
    counter = np.empty((4, len(samples), blocks), dtype=np.uint64)
    counter[0] = np.arange(blocks)
    counter[1] = samples[:, np.newaxis]
    counter[2], counter[3] = epoch, stream
    words = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
    # 27 bits of one word above 26 of the next: all that a float64 below 1 holds.
    upper, lower = words[0::2] >> np.uint64(5), words[1::2] >> np.uint64(6)
    pairs = (upper * 2.0**26 + lower) * 2.0**-53
    return pairs.transpose(1, 2, 0).reshape(len(samples), 2 * blocks)[:, :count]


def philox(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Philox-4x32-10 of many counters: (4, ...) words of 32 bits to as many random ones."""
    a, b, c, d = counter
    for step in range(ROUNDS):
        low, high = ((k + step * grown) & 0xFFFFFFFF for k, grown in zip(key, KEY, strict=True))
        first, second = a * FIRST, c * SECOND
        a, b = (second >> WORD) ^ b ^ np.uint64(low), second & LOW
        c, d = (first >> WORD) ^ d ^ np.uint64(high), first & LOW
    return np.stack((a, b, c, d))
