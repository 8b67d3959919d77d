"""Rows to lines as a person reads them: words that share a volume on one line, repetitions folded.

The table in the terminal, in a notebook, in Markdown and in LaTeX all render these lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from striate.account import Account, Row
from striate.expand import Part, Step
from striate.layers import JOINS

LONGEST_PERIOD = 8
FEWEST_LAYERS = 4  # a layer by itself is folded from this many on; two or three are read faster


@dataclass
class Entry:
    """One line with what is indented under it, standing for `times` repetitions.

    Attributes:
        rows: the rows of the line itself (a layer and what works on its volume).
        title: how a part is called; empty for layers.
        inner: what a part consists of.
        times: how often this stands here in a row.
        last: the same entry in its last repetition, whose receptive field is larger.
        marker: what joins branches: "├" before each, "└" before the join.
    """

    rows: list[Row] = field(default_factory=list)
    title: str = ""
    inner: list[Entry] = field(default_factory=list)
    times: int = 1
    last: Entry | None = None
    marker: str = ""

    def every_row(self) -> Iterable[Row]:
        yield from self.rows
        for entry in self.inner:
            for _ in range(entry.times):
                yield from entry.every_row()

    def signature(self) -> object:
        """Equal for entries that differ in nothing but their place."""
        own = [
            (row.word, row.volume, row.parameters, row.macs, row.kept, row.rounded)
            for row in self.rows
        ]
        return (
            self.title,
            self.marker,
            self.times,
            tuple(own),
            tuple(e.signature() for e in self.inner),
        )


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        text: the words.
        indent: how deep it stands.
        times: repetitions folded into it.
        heads: whether it names a part and sums up the lines indented under it.
        row: the last of its rows, for the volume.
        parameters, flops, activations: sums over its rows and all its repetitions.
        field: the receptive field, over repetitions from the first's to the last's.
        marker: what joins branches.
    """

    text: str
    indent: int
    times: int
    heads: bool
    row: Row
    parameters: int
    flops: int
    activations: int
    field: str
    marker: str = ""


def lines(account: Account) -> list[Line]:
    """The lines of a whole network: the input, its words and blocks, then its further heads."""
    network = account.network
    found = [_line(Entry([account.rows[0]]), 0)]
    for entry in fold(_entries(account, network.main)):
        found += _lines(entry, 0)
    for name, part in network.expansion.heads.items():
        head = Entry(title=f"head {name}", inner=fold(_entries(account, part)))
        found += _lines(head, 0)
    return found


def _entries(account: Account, part: Part) -> list[Entry]:
    entries: list[Entry] = []
    for child in part.children:
        if isinstance(child, Part):
            inner = _join(account, child) if child.kind in JOINS else fold(_entries(account, child))
            if child.kind in JOINS:
                entries += inner
            else:
                entries.append(Entry(title=child.title or child.kind, inner=inner))
        elif _follows(account, child, entries):
            entries[-1].rows.append(account.row(child))
        else:
            entries.append(Entry([account.row(child)]))
    return entries


def _follows(account: Account, step: Step, entries: list[Entry]) -> bool:
    """Whether a layer works on the volume of the line above it (bn, relu, dropout, ...)."""
    if not entries or not entries[-1].rows or not step.layer.in_place:
        return False
    return bool(step.inputs) and account.row(step).volume == entries[-1].rows[-1].volume


def _join(account: Account, join: Part) -> list[Entry]:
    """The branches under each other, then the join itself."""
    entries: list[Entry] = []
    for branch in join.children:
        if isinstance(branch, Part):
            inner = fold(_entries(account, branch)) or [Entry(title="the volume itself")]
            inner[0].marker = "├"
            for entry in inner[1:]:
                entry.marker = entry.marker or "│"
            entries += inner
        else:
            entries.append(Entry([account.row(branch)], marker="└"))
    return entries


def fold(entries: Sequence[Entry]) -> list[Entry]:
    """Neighbouring repetitions become one entry, or one group of entries, with a count."""
    signatures = [entry.signature() for entry in entries]
    folded: list[Entry] = []
    at = 0
    while at < len(entries):
        period, times = _repetition(signatures, at)
        if period == 1 and times < FEWEST_LAYERS and entries[at].rows:
            times = 1
        group = list(entries[at : at + period])
        last = list(entries[at + period * (times - 1) : at + period * times])
        if times == 1:
            folded.append(group[0])
        elif period == 1:
            group[0].times, group[0].last = times, last[0]
            folded.append(group[0])
        else:
            folded.append(Entry(title="group", inner=group, times=times, last=Entry(inner=last)))
        at += period * times
    return folded


def _repetition(signatures: list[object], at: int) -> tuple[int, int]:
    """Period and count of the repetition that starts here and covers the most; (1, 1) if none."""
    best = (1, 1)
    for period in range(1, min(LONGEST_PERIOD, (len(signatures) - at) // 2) + 1):
        unit, times = signatures[at : at + period], 1
        while signatures[at + period * times : at + period * (times + 1)] == unit:
            times += 1
        if times > 1 and period * times > best[0] * best[1]:
            best = (period, times)
    return best


def _lines(entry: Entry, indent: int, last: Entry | None = None) -> list[Line]:
    last = entry.last or last or entry
    found = [_line(entry, indent, last)]
    for inner, inner_last in zip(entry.inner, last.inner, strict=True):
        found += _lines(inner, indent + 1, inner_last if last is not entry else None)
    return found


def _line(entry: Entry, indent: int, last: Entry | None = None) -> Line:
    rows = list(entry.every_row())
    final = list((last or entry).every_row())[-1]
    times = entry.times
    return Line(
        text=entry.title or " ".join(row.word for row in entry.rows),
        indent=indent,
        times=times,
        heads=not entry.rows,
        row=final,
        parameters=times * sum(row.parameters for row in rows),
        flops=times * sum(row.flops for row in rows),
        activations=times * sum(row.activations for row in rows),
        field=_field(rows[-1], final),
        marker=entry.marker,
    )


def _field(first: Row, last: Row) -> str:
    """`212 /32`: size and stride; over a repetition from the first's size to the last's."""
    sizes = "…".join(dict.fromkeys(_size(row) for row in (first, last)))
    jumps = last.field.height.jump, last.field.width.jump
    if None in jumps or last.volume[:2] == (1, 1):  # one position has no step to the next
        return sizes
    step = str(jumps[0]) if jumps[0] == jumps[1] else f"{jumps[0]}x{jumps[1]}"
    return f"{sizes} /{step}" + ("" if last.field.aligned else " misaligned")


def _size(row: Row) -> str:
    height, width = row.field.size
    if height is None or width is None:
        return "unknown"
    return str(height) if height == width else f"{height}x{width}"
