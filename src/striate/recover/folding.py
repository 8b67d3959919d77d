"""What comes several times in a row, once: `(conv3-64 relu)*2`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from striate.tree import Item, Repeat
from striate.tree import Sequence as Items

LONGEST = 40  # items that are repeated as one


class Run(NamedTuple):
    """Items that come several times in a row: how many that saves, and where they stand."""

    saved: int
    first: int
    period: int
    stop: int


def folded(items: Sequence[Item]) -> Items:
    """The same items, repetitions written as such; the longest stretch first, from the left."""
    while runs := _chosen(items):
        at, found = 0, list[Item]()
        for _, first, period, stop in runs:
            body = folded(items[first : first + period])
            found += [*items[at:first], Repeat(body, (stop - first) // period)]
            at = stop
        items = [*found, *items[at:]]
    return tuple(items)


def _chosen(items: Sequence[Item]) -> list[Run]:
    """Those that do not overlap, in their order."""
    numbers: dict[Item, int] = {}
    alike = [numbers.setdefault(each, len(numbers)) for each in items]
    taken = [False] * len(items)
    chosen = []
    for run in sorted(_runs(alike), key=lambda run: (-run.saved, run.period, run.first)):
        if not (taken[run.first] or taken[run.stop - 1] or any(taken[run.first : run.stop])):
            taken[run.first : run.stop] = [True] * (run.stop - run.first)
            chosen.append(run)
    return sorted(chosen, key=lambda run: run.first)


def _runs(alike: Sequence[int]) -> Iterator[Run]:
    """From each place, for each period: as many times as it comes."""
    for period in range(1, min(LONGEST, len(alike) // 2) + 1):
        same = 0  # how many from here on are as those a period later
        for first in reversed(range(len(alike) - period)):
            same = same + 1 if alike[first] == alike[first + period] else 0
            if same >= period:
                saved = same // period * period
                yield Run(saved, first, period, first + saved + period)
