"""How long batches take here, by their size: measured once, before the first request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from striate.layers.volume import Volume

SIZES = (1, 2, 4, 8, 16, 32, 64)
LONGEST = 0.5  # seconds that a batch may take: whoever comes just after it has begun waits so long
TRIES = 3
LONG = 0.3  # seconds after which no more tries are made
ENOUGH = 0.95  # of the best rate: what a larger batch gains beyond is not worth its wait

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Speed:
    """Seconds by size of batch.

    Attributes:
        seconds: of each size that was measured, rising from 1.
    """

    seconds: Mapping[int, float]

    @cached_property
    def best(self) -> int:
        """The smallest size at which images pass about as fast as at any."""
        most = max(size / seconds for size, seconds in self.seconds.items())
        return next(
            size for size, seconds in self.seconds.items() if size / seconds >= ENOUGH * most
        )

    @cached_property
    def rate(self) -> float:
        """Images a second, in batches of the best size."""
        return self.best / self.seconds[self.best]

    def gain(self, size: int) -> float:
        """Seconds that are saved if one image more is in a batch of a size, and not in the next."""
        for (low, less), (high, more) in pairwise(self.seconds.items()):
            if low <= size < high:
                return max(0.0, self.seconds[1] - (more - less) / (high - low))
        return 0.0


def measure(network: Network, volume: Volume) -> Speed:
    """Time a network on batches of noise, larger ones as long as they gain."""
    found: dict[int, float] = {}
    noise = np.random.default_rng(0).integers(0, 256, (SIZES[-1], *volume), np.uint8)
    for size in SIZES:
        seconds = _timed(network, noise[:size])
        if seconds > LONGEST and size > 1:
            break
        found[size] = seconds
        rates = [each / seconds for each, seconds in found.items()]
        if len(rates) > 2 and max(rates[-2:]) < 1.02 * max(rates[:-2]):
            break
    return Speed(found)


def _timed(network: Network, pixels: NDArray[np.uint8]) -> float:
    """The least seconds of some tries; the first is slower: memory, kernels for this size."""
    began, found = time.perf_counter(), []
    for _ in range(1 + TRIES):
        before = time.perf_counter()
        network(pixels)
        found.append(max(time.perf_counter() - before, 1e-6))
        if time.perf_counter() - began > LONG:
            break
    return min(found)
