"""The largest batch that trains in a given memory, and what stands in the way of a larger one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from striate.account.ledger import Account, Row


@dataclass(frozen=True)
class Budget:
    """What fits in a memory, training with the account's optimiser and precision.

    Attributes:
        memory: bytes given.
        batch: the largest batch that fits; 0 where not even one image does.
        used: bytes at that batch.
        blocking: the row that takes the largest share of the next image's memory, or of the weights
            where those alone leave no room.
        what: what of it stands in the way: parameters, or activations kept for the backward pass.
        share: that row's part of all of these, from 0 to 1.
    """

    memory: int
    batch: int
    used: int
    blocking: Row
    what: str
    share: float


def budget(account: Account, memory: int) -> Budget:
    """Solves fixed + batch x peak <= memory.

    Raises:
        StriateError: what training needs is not known.
    """
    fixed, peak = account.known("training_bytes_fixed"), account.known("training_peak_bytes")
    rows = [*account.rows, *(row for rows in account.heads.values() for row in rows)]
    batch = max(0, (memory - fixed) // peak)
    used = fixed + batch * peak
    heaviest = max(rows, key=lambda row: row.known("parameters"))
    widest = max(rows, key=lambda row: (row.known("kept"), row.volume.size))
    share = heaviest.known("parameters") / max(1, account.known("parameters_with_heads"))
    if not batch and share * fixed > widest.known("kept"):
        return Budget(memory, batch, used, heaviest, "parameters", share)
    share = widest.known("kept") / max(1, account.known("kept_bytes"))
    return Budget(memory, batch, used, widest, "activations", share)
