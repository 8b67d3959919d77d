"""What comes several times in a row, once: `(conv3-64 relu)*2`."""

from __future__ import annotations

from striate.tree import Item, Repeat, Sequence

LONGEST = 40  # items that are repeated as one


def folded(items: list[Item]) -> Sequence:
    """The same items, repetitions written as such; the longest stretch first, from the left."""
    while True:
        best = max(_repetitions(items), key=lambda found: (found[0], -found[2]), default=None)
        if best is None:
            return tuple(items)
        _, first, period, times = best
        repeated = Repeat(tuple(items[first : first + period]), times)
        items = [*items[:first], repeated, *items[first + period * times :]]


def _repetitions(items: list[Item]) -> list[tuple[int, int, int, int]]:
    """How many items each repetition saves, where it begins, its period, how many times."""
    found = []
    for period in range(1, min(LONGEST, len(items) // 2) + 1):
        first = 0
        while first + 2 * period <= len(items):
            times = 1
            here = items[first : first + period]
            while items[first + times * period : first + (times + 1) * period] == here:
                times += 1
            if times > 1:
                found.append(((times - 1) * period, first, period, times))
            first += 1
    return found
