"""`striate print`: the canonical text."""

from __future__ import annotations

from striate.cli.table import Net


def print_canonical(net: Net) -> None:
    """Print a network's canonical text. Comments are not part of it."""
    from striate.network import read

    print(read(net), end="")
