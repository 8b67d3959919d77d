"""`striate compare`: two networks side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.table import Net


def compare(
    net: Net,
    other: Annotated[str, typer.Argument(metavar="NET", help="The network to compare it with.")],
) -> None:
    """Show two networks side by side: what changed, and by how much."""
    from striate.comparison import compare as compared
    from striate.draw.comparison import render
    from striate.draw.plain import show
    from striate.network import read

    show(render(compared(read(net), read(other))))
