"""The checked table: rich in a terminal, HTML in a notebook, plain text elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

from striate.account import Account
from striate.draw.lines import Line, lines
from striate.draw.numbers import short
from striate.draw.summary import notes, summary

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

WIDE = 100  # columns of a terminal in which exact numbers have room


@dataclass(frozen=True)
class Table:
    """A network's table: `print(network.table())`, or the last line of a notebook cell."""

    account: Account

    @property
    def columns(self) -> tuple[str, ...]:
        work = (
            "MACs" if self.account.convention == "paper" else f"FLOPs ({self.account.convention})"
        )
        return ("layer", "volume", "parameters", work, "activations", "field")

    @property
    def title(self) -> str:
        front = self.account.network.front
        return " · ".join(front[key] for key in ("name", "paper") if key in front)

    def cells(self, line: Line, exact: bool = True) -> tuple[str, ...]:
        """The cells of one line; a zero is left blank, so that the eye finds the work."""

        def number(value: int) -> str:
            return "" if value == 0 else f"{value:,}" if exact else short(value)

        numbers = (number(each) for each in (line.parameters, line.flops, line.activations))
        return (label(line), str(line.row.volume), *numbers, line.field)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        if self.title:
            yield Text(self.title, style="bold")
        found = lines(self.account)
        wide = options.max_width >= WIDE
        names = self.columns if wide else ("layer", "volume", "params", "MACs", "memory", "field")
        cells = [self.cells(line, exact=wide) for line in found]
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        room = max(16, options.max_width - sum(widths[1:]) - 2 * len(widths))
        table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for name in names:
            table.add_column(name, justify="left" if name == "layer" else "right", no_wrap=True)
        for line, (_, *others) in zip(found, cells, strict=True):
            style = "bold" if line.heads else "dim" if line.indent else ""
            table.add_row(Text(label(line, room)), *map(Text, others), style=style)
        yield table
        yield Text()
        pairs = RichTable.grid(padding=(0, 2))
        for heading, sentence in self.sentences():
            pairs.add_row(Text(heading, style="bold"), Text(sentence))
        yield pairs

    def sentences(self) -> list[tuple[str, str]]:
        """What stands under the table: headings and sentences."""
        rounding = notes(self.account)
        return summary(self.account) + [
            ("" if number else "rounding", note) for number, note in enumerate(rounding)
        ]

    def __str__(self) -> str:
        from io import StringIO

        from rich.console import Console

        console = Console(file=StringIO(), width=120, no_color=True, highlight=False)
        console.print(self)
        written: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
        return "\n".join(each.rstrip() for each in written.splitlines())

    def _repr_html_(self) -> str:
        return "\n".join(self._html())

    def _html(self) -> Iterator[str]:
        yield f"<p><b>{escape(self.title)}</b></p><table>"
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


def label(line: Line, room: int = 1000) -> str:
    """The first cell: indented, branches drawn, repetitions counted, wrapped to the room."""
    times = f"{line.times} × " if line.times > 1 else ""
    before = "  " * line.indent + (f"{line.marker} " if line.marker else "")
    after = "  " * line.indent + ("│   " if line.marker in "├│" and line.marker else "  ")
    wrapped = wrap(
        times + line.text,
        room,
        initial_indent=before,
        subsequent_indent=after,
        break_on_hyphens=False,
    )
    return "\n".join(wrapped) or before
