"""What comes several times in a row, once: `(conv3-64 relu)*2`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.tree import Item, Repeat, Sequence

LONGEST = 40  # items that are repeated as one


def folded(items: list[Item]) -> Sequence:
    """The same items, repetitions written as such; the longest stretch first, from the left."""
    numbers: dict[Item, int] = {}  # equal items have equal numbers, which compare faster
    while True:
        known = np.array([numbers.setdefault(each, len(numbers)) for each in items])
        best = max(_repetitions(known), key=lambda found: (found[0], -found[2]), default=None)
        if best is None:
            return tuple(items)
        _, first, period, times = best
        repeated = Repeat(tuple(items[first : first + period]), times)
        items = [*items[:first], repeated, *items[first + period * times :]]


def _repetitions(items: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[tuple[int, ...]]:
    """For each period how many items are saved at most, where, the period, how many times."""
    for period in range(1, min(LONGEST, len(items) // 2) + 1):
        apart = np.flatnonzero(items[:-period] != items[period:])
        ends = np.append(apart, len(items) - period)
        starts = np.append(0, apart + 1)
        times = (ends - starts) // period + 1  # from the start of each stretch of equal items
        first = int(times.argmax())
        if times[first] > 1:
            most = int(times[first])
            yield (most - 1) * period, int(starts[first]), period, most
