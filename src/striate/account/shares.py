"""Which layers hold the parameters, the memory, the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from striate.account.ledger import Account, Row

WHAT: dict[str, Callable[[Row], int | None]] = {
    "parameters": lambda row: row.parameters,
    "activations": lambda row: row.activations,
    "macs": lambda row: row.macs,
}


@dataclass(frozen=True)
class Share:
    """How much of one quantity a kind of layer holds, and its largest layer.

    Attributes:
        what: parameters, activations or macs.
        kind: the kind of layer that holds the most.
        fraction: its part of the whole, from 0 to 1.
        largest: the single row that holds the most.
        largest_fraction: that row's part.
        half: the fewest rows, largest first, that hold at least half of it.
    """

    what: str
    kind: str
    fraction: float
    largest: Row
    largest_fraction: float
    half: tuple[Row, ...]


def shares(account: Account) -> list[Share]:
    """For parameters, activations and MACs, who holds them.

    What there is none of is left out, and what is not known of every layer.
    """
    return [
        _share(what, account.rows, [number or 0 for number in numbers])
        for what, value in WHAT.items()
        if any(numbers := [value(row) for row in account.rows]) and None not in numbers
    ]


def _share(what: str, rows: Sequence[Row], numbers: list[int]) -> Share:
    whole = sum(numbers)
    ordered = sorted(zip(numbers, rows, strict=True), key=lambda each: each[0], reverse=True)
    by_kind: dict[str, int] = {}
    for number, row in zip(numbers, rows, strict=True):
        by_kind[row.kind] = by_kind.get(row.kind, 0) + number
    kind = max(by_kind, key=lambda each: by_kind[each])
    half, held = [], 0
    for number, row in ordered:
        if 2 * held >= whole:
            break
        half.append(row)
        held += number
    most, largest = ordered[0]
    return Share(what, kind, by_kind[kind] / whole, largest, most / whole, tuple(half))
