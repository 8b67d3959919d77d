"""`striate print`: the canonical text."""

from __future__ import annotations

import click

from striate.cli.arguments import net


@click.command("print")
@net
def command(net: str) -> None:
    """Print a network's canonical text. Comments are not part of it."""
    from striate.network import read

    print(read(net))
