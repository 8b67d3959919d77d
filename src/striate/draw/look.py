"""A look at a source: a table of its classes, the facts under it, and the warnings last."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from striate.draw.numbers import in_bytes
from striate.draw.plain import line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from striate.data.findings import Look
    from striate.layers.volume import Pair

MOST_CLASSES = 24  # rows; of more, the largest and the smallest are shown
MOST_FILES = 10


def render(look: Look) -> RenderableType:
    """What a terminal shows."""
    from rich.console import Group
    from rich.text import Text

    classes = "1 class" if len(look.classes) == 1 else f"{len(look.classes):,} classes"
    heading = f"{line(look.source)}: {_images(look.total)} of {classes}, {in_bytes(look.bytes)}"
    parts: list[RenderableType] = [Text(heading), Text(), _table(look), Text(), _facts(look)]
    for warning in look.warnings:
        parts.append(Text.assemble("\n", ("warning", "bold yellow"), f": {line(warning)}"))
    for file in look.unreadable[:MOST_FILES]:
        parts.append(Text(f"  {line(file.path)}: {line(file.reason)}"))
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
    found["warnings"] = look.warnings
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
            table.add_row(Text(line(look.classes[label])), *numbers)
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
        facts.add_row(heading, Text(line(words)))
    return facts


def _said(look: Look) -> Iterator[tuple[str, str]]:
    smallest, median, largest = map(_size, (look.smallest, look.median, look.largest))
    if look.sizes == 1:
        yield "size", f"{smallest} (height x width), all images"
    else:
        yield (
            "sizes",
            f"{smallest} to {largest} (height x width), median {median}; {look.sizes:,} different",
        )
    if look.formats:
        yield "format", _counted(look.formats)
    yield "mode", _counted(look.modes)
    if look.turned:
        yield "turned", f"{_images(look.turned)}, to stand upright as EXIF says"
    figures = (" ".join(f"{each:.4f}" for each in both) for both in (look.mean, look.deviation))
    yield "mean", "{}, deviation {} (of {}, from 0 to 1)".format(*figures, look.measured)
    if look.spare:
        spare = ", ".join(f"{count:,} in {split}" for split, count in look.spare.items())
        yield "copies", f"{spare}: the same picture again within its split"
    if look.passed_over:
        kinds = {f".{kind}" if kind else "no extension": n for kind, n in look.passed_over.items()}
        yield "passed over", f"{_counted(kinds, always=True)}: not image files"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _size(size: Pair) -> str:
    return f"{size.height}x{size.width}"


def _counted(counts: Mapping[str, int], always: bool = False) -> str:
    """`RGB`, or `1,200 RGB, 3 L` where there are several."""
    if len(counts) == 1 and not always:
        return next(iter(counts))
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
