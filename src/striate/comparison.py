"""Two networks side by side: which words changed, and by how much the totals did."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from striate.account import Account, account
from striate.draw.lines import Line, lines
from striate.draw.table import label
from striate.network import Network, read

TOTALS = ("parameters", "macs", "activations", "kept_bytes", "training_peak_bytes")


@dataclass(frozen=True)
class Change:
    """A pair of lines that correspond: equal, changed, or on one side only."""

    left: Line | None
    right: Line | None

    @property
    def same(self) -> bool:
        return (
            self.left is not None and self.right is not None and _key(self.left) == _key(self.right)
        )


@dataclass(frozen=True)
class Comparison:
    """Two accounts and how their lines correspond."""

    left: Account
    right: Account
    changes: tuple[Change, ...]

    def totals(self) -> Iterator[tuple[str, int | None, int | None]]:
        """Each total's name and its two values, None where one is not known."""
        for name in TOTALS:
            yield name, getattr(self.left.totals, name), getattr(self.right.totals, name)


def compare(left: Network | str, right: Network | str, convention: str = "paper") -> Comparison:
    """Lines up two networks, as a text tool lines up two files.

    Args:
        left: a Network, or what `read` takes.
        right: the same, to compare it with.
        convention: how FLOPs are counted.
    """
    left, right = (each if isinstance(each, Network) else read(each) for each in (left, right))
    accounts = account(left, convention), account(right, convention)
    changes = _changes(lines(accounts[0]), lines(accounts[1]), KEYS)
    return Comparison(*accounts, tuple(changes))


def _changes(
    lefts: Sequence[Line], rights: Sequence[Line], keys: Sequence[Callable[[Line], object]]
) -> Iterator[Change]:
    """Lines with equal keys correspond; what is between them is tried again with the next key."""
    if not (keys and lefts and rights):
        yield from (Change(line, None) for line in lefts)
        yield from (Change(None, line) for line in rights)
        return
    alike = [[str(keys[0](line)) for line in side] for side in (lefts, rights)]
    matcher = SequenceMatcher(None, alike[0], alike[1], autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield from map(Change, lefts[a:b], rights[c:d])
        else:
            yield from _changes(lefts[a:b], rights[c:d], keys[1:])


def _key(line: Line) -> tuple[str, str, int | None]:
    return label(line), str(line.row.volume), line.parameters


def _kind(line: Line) -> str:
    """`conv` for `x: conv3-64 relu`, `basic` for `basic(64)`."""
    found = re.match(r"(?:\w+: )?([^\W\d]*)", line.text)
    return found[1] if found else ""


KEYS = (_key, label, _kind)
