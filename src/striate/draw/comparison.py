"""Two networks side by side, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.draw.numbers import ratio, whole
from striate.draw.table import label

if TYPE_CHECKING:
    from rich.console import Group

    from striate.comparison import Comparison
    from striate.draw.lines import Line

HEADINGS = {
    "parameters": "parameters",
    "macs": "MACs",
    "activations": "activations",
    "kept_bytes": "bytes kept for backward",
    "training_peak_bytes": "bytes at training's peak",
}


def render(comparison: Comparison) -> Group:
    """Lines that differ are marked; under them the totals and their ratios."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    names = [each.network.name or "network" for each in (comparison.left, comparison.right)]
    if names[0] == names[1]:
        names = [f"{names[0]} (1)", f"{names[1]} (2)"]
    words = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("", names[0], "params", names[1], "params"):
        words.add_column(name, justify="right" if name == "params" else "left", overflow="fold")
    for change in comparison.changes:
        marker = (
            " " if change.same else "-" if not change.right else "+" if not change.left else "~"
        )
        style = "dim" if change.same else {"-": "red", "+": "green", "~": "yellow"}[marker]
        cells = (*_cells(change.left), *_cells(change.right))
        words.add_row(marker, *map(Text, cells), style=style)
    totals = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("for one image", *names, "ratio"):
        totals.add_column(name, justify="left" if name == "for one image" else "right")
    for name, left, right in comparison.totals():
        totals.add_row(HEADINGS[name], whole(left), whole(right), ratio(left, right))
    return Group(words, Text(), totals)


def _cells(line: Line | None) -> tuple[str, str]:
    if line is None:
        return "", ""
    number = "" if line.parameters == 0 else whole(line.parameters)
    return f"{label(line)}  {line.row.volume}", number
