"""Two networks side by side: which words changed, and by how much the totals did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from striate.account import Account, account
from striate.draw.lines import Line, lines
from striate.draw.table import label
from striate.network import Network

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

    def totals(self) -> Iterator[tuple[str, int, int]]:
        """Each total's name and its two values."""
        for name in TOTALS:
            yield name, getattr(self.left.totals, name), getattr(self.right.totals, name)


def compare(left: Network, right: Network, convention: str = "paper") -> Comparison:
    """Lines up two networks, as a text tool lines up two files."""
    accounts = account(left, convention), account(right, convention)
    lefts, rights = lines(accounts[0]), lines(accounts[1])
    matcher = SequenceMatcher(
        None, [_key(x) for x in lefts], [_key(x) for x in rights], autojunk=False
    )
    changes: list[Change] = []
    for _, a, b, c, d in matcher.get_opcodes():
        pairs = max(b - a, d - c)
        for offset in range(pairs):
            one = lefts[a + offset] if a + offset < b else None
            two = rights[c + offset] if c + offset < d else None
            changes.append(Change(one, two))
    return Comparison(*accounts, tuple(changes))


def _key(line: Line) -> tuple[str, str, int]:
    return label(line), str(line.row.volume), line.parameters
