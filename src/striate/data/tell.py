"""How long work says how far it is, to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and of how much: 0 where that is not known."""


def silent(what: str, done: int, total: int) -> None:
    """Say nothing."""
