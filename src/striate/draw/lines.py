"""Rows to lines as a person reads them: words that share a volume on one line, repetitions folded.

The table in the terminal, in a notebook, in Markdown and in LaTeX all render these lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from striate.account import Account, Row
from striate.account.ledger import times as many
from striate.account.ledger import total
from striate.layers import JOINS
from striate.steps import INPUT, Part, Step

GROUP = "group"
LONGEST_PERIOD = 8
FEWEST_LAYERS = 4  # a layer by itself is folded from this many on; two or three are read faster


@dataclass
class Entry:
    """A line with all that is drawn under it, or a join with its branches.

    Attributes:
        rows: the layers of the line itself: one, and what works on its volume.
        title: how a part is called, or what stands before the layers.
        inner: what a part consists of.
        branches: what a join joins; its own line follows them.
        given: the row of a volume that is taken as it is, where nothing is added to it.
        times: how often this stands here in a row.
        last: the same in its last repetition, whose receptive field is larger.
    """

    rows: list[Row] = field(default_factory=list)
    title: str = ""
    inner: list[Entry] = field(default_factory=list)
    branches: list[list[Entry]] = field(default_factory=list)
    given: Row | None = None
    times: int = 1
    last: Entry | None = None

    @property
    def text(self) -> str:
        return " ".join([*filter(None, [self.title]), *(row.word for row in self.rows)])

    def parts(self) -> Iterable[Entry]:
        """What is drawn under the line, or of a join before it."""
        return [*(entry for branch in self.branches for entry in branch), *self.inner]

    def every_row(self) -> Iterable[Row]:
        for entry in self.parts():
            for _ in range(entry.times):
                yield from entry.every_row()
        yield from self.rows

    def end(self) -> Row:
        """The row whose volume this leaves."""
        if self.inner:
            return (self.inner[-1].last or self.inner[-1]).end()
        end = self.rows[-1] if self.rows else self.given
        assert end is not None
        return end

    def signature(self) -> object:
        """Equal for entries that differ in nothing but their place."""
        own = [(row.volume, row.parameters, row.macs, row.rounded) for row in self.rows]
        branches = [[entry.signature() for entry in branch] for branch in self.branches]
        return self.text, self.times, own, branches, [entry.signature() for entry in self.inner]


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        text: the words.
        stem: what is drawn before them: indentation, and the branches of joins.
        rest: the same for what is drawn under them.
        depth: under how many other lines, that sum it up, it stands.
        times: repetitions folded into it.
        heads: whether it names a part and sums up the lines under it.
        row: the last of its rows, for the volume.
        parameters, flops, activations: sums over its rows and all its repetitions; None where
            one of them is not known.
        field: the receptive field, over repetitions from the first's to the last's.
    """

    text: str
    stem: str
    rest: str
    depth: int
    times: int
    heads: bool
    row: Row
    parameters: int | None
    flops: int | None
    activations: int
    field: str


def lines(account: Account) -> list[Line]:
    """The lines of a whole network: the input, its words and blocks, then its further heads."""
    return [line for entry in entries(account) for line in _lines(entry, entry)]


def entries(account: Account) -> list[Entry]:
    """The same before they are drawn."""
    network, made = account.network, _Entries(account)
    found = [Entry([account.rows[0]]), *fold(made.of(network.main))]
    for name, part in network.expansion.heads.items():
        found.append(Entry(title=f"head {name}", inner=fold(made.of(part))))
    return found


# -- the network to entries


class _Entries:
    """Makes the entries of parts, knowing the labels, and which volumes are read more than once."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.steps = account.network.steps
        self.labels = {at: name for name, at in account.network.expansion.labels.items()}
        read = Counter(index for step in self.steps for index in step.inputs)
        self.shared = {index for index, times in read.items() if times > 1}

    def of(self, part: Part) -> list[Entry]:
        entries: list[Entry] = []
        at = part.entry
        for child in part.children:
            if isinstance(child, Part):
                entry, leave = child.entry, child.exit
            else:
                entry, leave = child.inputs[0], child.index
            if entry != at:
                entries.append(self.given(entry))
            if isinstance(child, Part):
                entries.append(self.part(child))
            elif self.follows(child, entries):
                entries[-1].rows.append(self.account.row(child))
            else:
                entries.append(Entry([self.account.row(child)], self.label(child)))
            at = leave
        if part.exit != at:
            entries.append(self.given(part.exit))
        return entries

    def follows(self, step: Step, entries: list[Entry]) -> bool:
        """Whether a layer works on the volume of the line above it (bn, relu, dropout, ...).

        Where something else reads that volume too, it keeps a line of its own.
        """
        if not entries or not entries[-1].rows or not step.layer.in_place:
            return False
        same = self.account.row(step).volume == entries[-1].rows[-1].volume
        return same and step.inputs[0] not in self.shared and not self.label(step)

    def part(self, part: Part) -> Entry:
        """A block or a group with what is in it; a join with its branches."""
        if part.kind not in JOINS:
            inner = fold(self.of(part))
            given = None if inner else self.row(part.exit)
            return Entry(title=part.title or part.kind, inner=inner, given=given)
        branches, join = part.children[:-1], part.children[-1]
        assert isinstance(join, Step)
        found = []
        for branch in branches:
            assert isinstance(branch, Part)
            found.append(fold(self.of(branch)) or [self.given(branch.exit)])
        return Entry([self.account.row(join)], self.label(join), branches=found)

    def given(self, index: int) -> Entry:
        """A volume that is taken as it is: `@x`."""
        row = self.row(index)
        return Entry(title=f"@{self.labels.get(index, row.name)}", given=row)

    def row(self, index: int) -> Row:
        return self.account.rows[0] if index == INPUT else self.account.row(self.steps[index])

    def label(self, step: Step) -> str:
        """`x:` where the text labels the word so."""
        return f"{step.name}:" if self.labels.get(step.index) == step.name else ""


# -- repetitions


def fold(entries: Sequence[Entry]) -> list[Entry]:
    """Neighbouring repetitions become one entry, or one group of entries, with a count."""
    signatures = [entry.signature() for entry in entries]
    folded: list[Entry] = []
    at = 0
    while at < len(entries):
        period, times = _repetition(signatures, at)
        if period == 1 and times < FEWEST_LAYERS and not entries[at].parts():
            times = 1
        group = list(entries[at : at + period])
        last = list(entries[at + period * (times - 1) : at + period * times])
        if times == 1:
            folded.append(group[0])
        elif period == 1:
            group[0].times, group[0].last = times, last[0]
            folded.append(group[0])
        else:
            folded.append(Entry(title=GROUP, inner=group, times=times, last=Entry(inner=last)))
        at += period * times
    return folded


def _repetition(signatures: list[object], at: int) -> tuple[int, int]:
    """The period and count of the repetition from here that covers the most; (1, 1) if none."""
    best = (1, 1)
    for period in range(1, min(LONGEST_PERIOD, (len(signatures) - at) // 2) + 1):
        unit, times = signatures[at : at + period], 1
        while signatures[at + period * times : at + period * (times + 1)] == unit:
            times += 1
        if times > 1 and period * times > best[0] * best[1]:
            best = (period, times)
    return best


# -- entries to lines


def _lines(entry: Entry, last: Entry, stem: str = "", rest: str = "", depth: int = 0) -> list[Line]:
    """The lines of an entry, `last` being its counterpart where what it is part of is repeated."""
    last = last.last or last
    if entry.branches and entry.times == 1:
        return _branches(entry, last, stem, rest, depth)
    only = entry.inner[0] if len(entry.inner) == 1 else None
    if only and only.times == 1 and only.rows and not only.branches and entry.title:
        titled = Entry(only.rows, f"{entry.title} = {only.title}".strip(), times=entry.times)
        return [_line(titled, last, stem, rest, depth)]
    found = [_line(entry, last, stem, rest, depth)]
    stem = rest = f"{rest}  "
    if entry.branches:
        found += _branches(entry, last, stem, rest, depth + 1)
    for inner, inner_last in zip(entry.inner, last.inner, strict=True):
        found += _lines(inner, inner_last, stem, rest, depth + 1)
    return found


def _branches(entry: Entry, last: Entry, stem: str, rest: str, depth: int) -> list[Line]:
    """The branches under each other, then the join itself."""
    found: list[Line] = []
    for branch, branch_last in zip(entry.branches, last.branches, strict=True):
        drawn = "├ "
        for inner, inner_last in zip(branch, branch_last, strict=True):
            found += _lines(inner, inner_last, stem + drawn, f"{rest}│ ", depth)
            stem, drawn = rest, "│ "
    join = Entry(entry.rows, entry.title)
    return [*found, _line(join, Entry(last.rows), f"{stem}└ ", f"{rest}  ", depth)]


def _line(entry: Entry, last: Entry, stem: str, rest: str, depth: int) -> Line:
    rows, times = list(entry.every_row()), entry.times
    return Line(
        text=GROUP if entry.branches else entry.text,
        stem=stem,
        rest=rest,
        depth=depth,
        times=times,
        heads=bool(entry.parts()),
        row=last.end(),
        parameters=many(times, total(row.parameters for row in rows)),
        flops=many(times, total(row.flops for row in rows)),
        activations=times * sum(row.activations for row in rows),
        field=_field(entry.end(), last.end()),
    )


def _field(first: Row, last: Row) -> str:
    """`212 /32`: size and stride; over a repetition from the first's size to the last's.

    A star says that paths which met are not centred on the same position of the input.
    """
    sizes = "…".join(dict.fromkeys(_size(row) for row in (first, last)))
    jumps = last.field.height.jump, last.field.width.jump
    if None in jumps or not any(jumps) or last.volume[:2] == (1, 1):
        return sizes  # one position has no step to the next, nor have those that see the same
    steps = [f"({jump})" if "/" in str(jump) else str(jump) for jump in dict.fromkeys(jumps)]
    return f"{sizes} /{'x'.join(steps)}" + ("" if last.field.aligned else " *")


def _size(row: Row) -> str:
    height, width = row.field.size
    if height is None or width is None:
        return "unknown"
    return str(height) if height == width else f"{height}x{width}"
