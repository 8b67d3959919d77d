"""The checked table: rich in a terminal, HTML in a notebook, plain text elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

from striate.account import Account
from striate.draw.lines import Line, lines
from striate.draw.numbers import short, whole
from striate.draw.plain import plain
from striate.draw.summary import notes, summary

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

WIDE = 100  # columns of a terminal in which exact numbers have room
LEAST_ROOM = 18  # columns for the layers' names


@dataclass(frozen=True, repr=False)
class Table:
    """A network's table: `print(network.table())`, or the last line of a notebook cell."""

    account: Account

    @property
    def columns(self) -> tuple[str, ...]:
        convention = self.account.convention
        work = "MACs" if convention == "paper" else f"FLOPs ({convention})"
        return ("layer", "volume", "parameters", work, "activations", "field")

    @property
    def title(self) -> str:
        front = self.account.network.front
        return " · ".join(front[key] for key in ("name", "paper") if key in front)

    def cells(self, line: Line, exact: bool = True) -> tuple[str, ...]:
        """The cells of one line; a zero is left blank, so that the eye finds the work."""

        def number(value: int | None) -> str:
            return "" if value == 0 else whole(value) if exact else short(value)

        numbers = (number(each) for each in (line.parameters, line.flops, line.activations))
        return (label(line), str(line.row.volume), *numbers, line.field)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        if self.title:
            yield Text(self.title, style="bold")
        found = lines(self.account)
        room, (names, *cells) = self._fitted(found, options.max_width)
        table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for name in names:
            table.add_column(name, justify="left" if name == "layer" else "right", no_wrap=True)
        for line, (_, *others) in zip(found, cells, strict=True):
            style = "bold" if line.heads else "dim" if line.stem else ""
            table.add_row(Text(label(line, room)), *map(Text, others), style=style)
        yield table
        yield Text()
        pairs = RichTable.grid(padding=(0, 2))
        for heading, sentence in self.sentences():
            pairs.add_row(Text(heading, style="bold"), Text(sentence))
        yield pairs

    def _fitted(self, found: list[Line], width: int) -> tuple[int, list[tuple[str, ...]]]:
        """The room for the first column, and the heading and cells of all that have room beside it.

        A number is never cut: where exact ones do not fit they are shortened, and where those do
        not fit either, the last columns are left out.
        """
        work = "MACs" if self.account.convention == "paper" else "FLOPs"
        shorter = ("layer", "volume", "params", work, "values", "field")
        exact = [self.columns, *(self.cells(line) for line in found)]
        rows = [shorter, *(self.cells(line, exact=False) for line in found)]
        for candidate, columns in ((exact, 6), *((rows, columns) for columns in (6, 5, 4, 3, 2))):
            widths = [max(map(len, column)) for column in zip(*candidate, strict=True)]
            room = width - sum(2 + each for each in widths[1:columns]) - 1
            if room >= LEAST_ROOM and (candidate is rows or width >= WIDE):
                break
        return max(room, 1), [row[:columns] for row in candidate]

    def sentences(self) -> list[tuple[str, str]]:
        """What stands under the table: headings and sentences."""
        return [*summary(self.account), *notes(self.account)]

    def __str__(self) -> str:
        return plain(self)

    def __repr__(self) -> str:
        """What a Python prompt shows: the table itself."""
        return str(self)

    def _repr_html_(self) -> str:
        return "\n".join(self._html())

    def _html(self) -> Iterator[str]:
        if self.title:
            yield f"<p><b>{escape(self.title)}</b></p>"
        yield "<table>"
        yield f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in self.columns)}</tr>"
        for line in lines(self.account):
            tag = "th" if line.heads else "td"
            first, *others = (escape(cell) for cell in self.cells(line))
            left = f'<{tag} style="text-align:left;white-space:pre">{first}</{tag}>'
            yield f"<tr>{left}{''.join(f'<{tag}>{cell}</{tag}>' for cell in others)}</tr>"
        yield "</table><dl>"
        for heading, sentence in self.sentences():
            yield f"<dt>{escape(heading)}</dt><dd>{escape(sentence)}</dd>"
        yield "</dl>"


def label(line: Line, room: int = 10**9) -> str:
    """The first cell: indented, branches drawn, repetitions counted, wrapped to the room."""
    times = f"{line.times} × " if line.times > 1 else ""
    hanging = f"{line.rest}  "
    wrapped = wrap(
        times + line.text,
        max(room, len(hanging) + 8),
        initial_indent=line.stem,
        subsequent_indent=hanging,
        break_on_hyphens=False,
    )
    return "\n".join(wrapped)
