"""`striate compare`: two networks side by side."""

from __future__ import annotations

import click

from striate.cli.arguments import net


@click.command("compare")
@net
@click.argument("other", metavar="NET")
def command(net: str, other: str) -> None:
    """Show two networks side by side: what changed, and by how much."""
    from striate.comparison import compare
    from striate.draw.comparison import render
    from striate.draw.plain import show
    from striate.network import read

    show(render(compare(read(net), read(other))))
