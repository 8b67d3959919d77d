"""Numbers as a person reads them: whole where there is room, short where there is not."""

from __future__ import annotations

UNKNOWN = "unknown"


def whole(number: int | None) -> str:
    """`15,470,264`; unknown for None."""
    return UNKNOWN if number is None else f"{number:,}"


def short(number: int | None) -> str:
    """`15.5 G`, `3.2 M`, `96.0 k`, `760`: powers of 1000; unknown for None."""
    if number is None:
        return UNKNOWN
    for power, letter in reversed([*enumerate("kMGTPE", 1)]):
        if abs(number) >= 0.99995 * 1000**power:  # what rounds to 1000 M is 1 G
            return f"{number / 1000**power:.4g} {letter}"
    return str(number)


def in_bytes(number: int | None) -> str:
    """`61 MB`, `1.66 GB`: powers of 1000, as disks and drivers count; unknown for None."""
    if number is None:
        return UNKNOWN
    value = short(number)
    return f"{value}B" if value[-1].isalpha() else f"{value} B"


def percent(fraction: float) -> str:
    """`74%`; never 0% for something or 100% for less than everything."""
    if 0 < fraction < 0.005 or 0.995 <= fraction < 1:
        return f"{min(99.9, max(0.1, 100 * fraction)):.1f}%"
    return f"{fraction:.0%}"


def ratio(left: int | None, right: int | None) -> str:
    """How many times as much the second is: `2.31`, `2,307`, `1/2,307`; `=` for the same."""
    if left is None or right is None:
        return ""
    if left == right:
        return "="
    if not left or not right:
        return ""
    if right >= 1000 * left:
        return f"{right / left:,.0f}"
    if left >= 1000 * right:
        return f"1/{left / right:,.0f}"
    return f"{right / left:.3g}"
