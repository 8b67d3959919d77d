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
    from rich.console import Console

    from striate.compare import compare as compared
    from striate.draw.comparison import render
    from striate.network import read

    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(render(compared(read(net), read(other))))
