"""A look at a source: a table of its classes, the facts under it, and the warnings last."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from striate.data.findings import TRAIN, Look, warnings
from striate.draw.numbers import in_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

MOST_CLASSES = 24  # rows; of more, the largest and the smallest are shown
MOST_FILES = 10


def render(look: Look) -> RenderableType:
    """What a terminal shows."""
    from rich.console import Group
    from rich.text import Text

    classes = "1 class" if len(look.classes) == 1 else f"{len(look.classes):,} classes"
    heading = f"{look.source}: {look.total:,} images of {classes}, {in_bytes(look.bytes)}"
    parts: list[RenderableType] = [Text(heading), Text(), _table(look), Text(), _facts(look)]
    for warning in warnings(look):
        parts.append(Text.assemble("\n", ("warning", "bold yellow"), f": {warning}"))
    for file in look.unreadable[:MOST_FILES]:
        parts.append(Text(f"  {_line(file.path)}: {_line(file.reason)}"))
    if (more := len(look.unreadable) - MOST_FILES) > 0:
        parts.append(Text(f"  and {more:,} more; --format json lists all"))
    return Group(*parts)


def to_json(look: Look) -> str:
    """All of it, with the warnings in words."""
    found: dict[str, Any] = asdict(look)
    found["images"] = look.total
    found["counts"] = {
        split: dict(zip(look.classes, counts, strict=True)) for split, counts in look.counts.items()
    }
    found["copies"] = [
        [
            {"name": copy.name, "split": copy.split, "class": look.classes[copy.label]}
            for copy in group
        ]
        for group in look.copies
    ]
    found["unreadable"] = [each._asdict() for each in look.unreadable]
    found["warnings"] = warnings(look)
    return json.dumps(found, indent=2)


def _table(look: Look) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, show_footer=True)
    table.add_column("class", footer="all")
    for split, counts in look.counts.items():
        table.add_column(split, footer=f"{sum(counts):,}", justify="right", no_wrap=True)
    for label in _shown(look):
        if label is None:
            left_out = len(look.classes) - MOST_CLASSES
            table.add_row(f"... {left_out:,} more ...", *("" for _ in look.counts), style="dim")
        else:
            numbers = [f"{counts[label]:,}" for counts in look.counts.values()]
            table.add_row(Text(_line(look.classes[label])), *numbers)
    return table


def _shown(look: Look) -> Iterator[int | None]:
    """Labels in their order; of too many, the largest classes and the smallest, None between."""
    labels = range(len(look.classes))
    if len(labels) <= MOST_CLASSES:
        yield from labels
        return
    first = next(iter(look.counts.values()))
    by_count = sorted(labels, key=lambda label: -first[label])
    yield from by_count[: MOST_CLASSES // 2]
    yield None
    yield from by_count[-MOST_CLASSES // 2 :]


def _facts(look: Look) -> Table:
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True, style="bold")
    facts.add_column()
    for heading, words in _said(look):
        facts.add_row(heading, Text(words))
    return facts


def _said(look: Look) -> Iterator[tuple[str, str]]:
    if look.sizes == 1:
        yield "size", f"{look.smallest} (height x width), all images"
    else:
        yield (
            "sizes",
            f"{look.smallest} to {look.largest} (height x width), median {look.median}; "
            f"{look.sizes:,} different ones",
        )
    if look.formats:
        yield "format", _counted(look.formats)
    yield "mode", _counted(look.modes)
    if look.turned:
        yield "turned", f"{look.turned:,} images, to stand upright as their EXIF data say"
    of = TRAIN if TRAIN in look.counts else next(iter(look.counts))
    figures = (" ".join(f"{each:.4f}" for each in both) for both in (look.mean, look.deviation))
    yield "mean", "{}, deviation {} (of {}, from 0 to 1)".format(*figures, of)
    if look.spare:
        spare = ", ".join(f"{count:,} in {split}" for split, count in look.spare.items())
        yield "copies", f"{spare} repeat another image of the same split"
    if look.passed_over:
        kinds = {f".{kind}" if kind else "no extension": n for kind, n in look.passed_over.items()}
        yield "passed over", f"{_counted(kinds, always=True)}: not image files"


def _counted(counts: Mapping[str, int], always: bool = False) -> str:
    """`RGB`, or `1,200 RGB, 3 L` where there are several."""
    if len(counts) == 1 and not always:
        return next(iter(counts))
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _line(text: str) -> str:
    """A name in one line, whatever is in it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
