"""`striate check`: is this a network?"""

from __future__ import annotations

import click

from striate.cli.arguments import net


@click.command("check")
@net
def command(net: str) -> None:
    """Say that a network is valid, or where and why it is not.

    The exit code is 1 where it is not.
    """
    from striate.network import read

    network = read(net)
    layers = f"{len(network.steps):,} layer{'s' if len(network.steps) > 1 else ''}"
    name = f"{network.name}: " if network.name else ""
    print(f"{name}valid, {layers}, {network.input} -> {network.output}")
