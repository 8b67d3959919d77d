"""Which layers hold the parameters, the memory, the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striate.account.ledger import Account, Row

WHAT: dict[str, Callable[[Row], int]] = {
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
    """For parameters, activations and MACs, who holds them; what there is none of is left out."""
    found = []
    for what, value in WHAT.items():
        whole = sum(value(row) for row in account.rows)
        if not whole:
            continue
        ordered = sorted(account.rows, key=value, reverse=True)
        by_kind: dict[str, int] = {}
        for row in account.rows:
            by_kind[row.kind] = by_kind.get(row.kind, 0) + value(row)
        kind = max(by_kind, key=lambda each: by_kind[each])
        half, held = [], 0
        for row in ordered:
            if 2 * held >= whole:
                break
            half.append(row)
            held += value(row)
        share = Share(
            what, kind, by_kind[kind] / whole, ordered[0], value(ordered[0]) / whole, tuple(half)
        )
        found.append(share)
    return found
