"""`striate table`: everything that can be counted before anything runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

Net = Annotated[
    str, typer.Argument(metavar="NET", help="A name of the zoo, a .net file, or a text.")
]


class TableFormat(StrEnum):
    """Ways to write the table."""

    text = "text"
    lecture = "lecture"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    latex = "latex"


class Convention(StrEnum):
    """What counts as a FLOP."""

    paper = "paper"
    torch = "torch"
    all = "all"


class Precision(StrEnum):
    """The width of a value."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Optimiser(StrEnum):
    """Which rule updates the weights."""

    sgd = "sgd"
    momentum = "momentum"
    adam = "adam"


def table(
    net: Net,
    input: Annotated[
        str | None,
        typer.Option(
            metavar="HxWxD", help="Another input volume; the text's own checks are left out."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time, for the totals.")] = 1,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Find the largest batch to train in it: 8GB, 16GiB."),
    ] = None,
    convention: Annotated[
        Convention,
        typer.Option(help="What a FLOP is: paper 1 per MAC, torch 2 per MAC, all operations."),
    ] = Convention.paper,
    precision: Annotated[Precision, typer.Option(help="Of every value.")] = Precision.float32,
    optimiser: Annotated[
        Optimiser, typer.Option(help="What training keeps beside each parameter.")
    ] = Optimiser.momentum,
    format: Annotated[TableFormat, typer.Option(help="Of the table.")] = TableFormat.text,
) -> None:
    """Count a network: volumes, parameters, MACs, memory, fields."""
    from striate.account import account, parse_memory
    from striate.network import read
    from striate.notation.read import read_volume

    network = read(net)
    if input is not None:
        network = network.with_input(read_volume(input))
    counted = account(
        network,
        convention=convention.value,
        batch=batch,
        memory=parse_memory(memory) if memory is not None else None,
        precision=precision.value,
        optimiser=optimiser.value,
    )
    if format is TableFormat.text:
        from striate.draw.plain import show
        from striate.draw.table import Table

        show(Table(counted))
    else:
        from striate.draw.formats import FORMATS

        print(FORMATS[format.value](counted))
