"""Amounts of memory as a person writes them."""

from __future__ import annotations

import re
from fractions import Fraction

from striate.errors import StriateError

SMALLEST_BARE = 10**6  # of a number without a unit, which is more likely a forgotten one
UNITS = {"": 1, "B": 1}
UNITS |= {f"{prefix}B": 1000**n for n, prefix in enumerate("KMGT", 1)}
UNITS |= {f"{prefix}IB": 1024**n for n, prefix in enumerate("KMGT", 1)}


def parse_memory(text: str) -> int:
    """Bytes from `8GB`, `512 MiB` or a plain number of bytes; GB is 10^9 bytes and GiB is 2^30.

    Raises:
        StriateError: the text is no amount of memory.
    """
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?I?B?)\s*", text.upper())
    if found:
        unit = found[2] if found[2].endswith("B") or not found[2] else f"{found[2]}B"
        amount = int(Fraction(found[1]) * UNITS.get(unit, 0))
        if not found[2] and 0 < amount < SMALLEST_BARE:
            raise StriateError(f"{text!r} is so many bytes: did you mean {text.strip()}GB?")
        if amount > 0:
            return amount
    raise StriateError(f"{text!r} is no amount of memory: say 8GB (10^9 bytes each) or 8GiB (2^30)")
