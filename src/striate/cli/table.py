"""`striate table`: everything that can be counted before anything runs."""

from __future__ import annotations

import click

from striate.cli.arguments import choice, net

# Said here again so that `--help` loads nothing; a test keeps them those of account and draw.
FORMATS = ("text", "lecture", "markdown", "csv", "json", "latex")
CONVENTIONS = ("paper", "torch", "all")
PRECISIONS = ("float32", "bfloat16", "float16")
OPTIMISERS = ("sgd", "momentum", "adam")


@click.command("table")
@net
@click.option(
    "--input", metavar="HxWxD", help="Another input volume; the text's own checks are left out."
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Images at a time, for the totals.",
)
@click.option("--memory", metavar="SIZE", help="Find the largest batch to train in it: 8GB, 16GiB.")
@choice(
    "--convention",
    CONVENTIONS,
    "paper",
    "A FLOP: paper 1 per MAC, torch 2 per MAC, all operations.",
)
@choice("--precision", PRECISIONS, "float32", "Of every value.")
@choice(
    "--optimiser",
    OPTIMISERS,
    "momentum",
    "What training keeps beside each parameter.",
)
@choice("--format", FORMATS, "text", "Of the table.")
def command(
    net: str,
    input: str | None,
    batch: int,
    memory: str | None,
    convention: str,
    precision: str,
    optimiser: str,
    format: str,
) -> None:
    """Count a network: volumes, parameters, MACs, memory, fields."""
    from striate.account import account
    from striate.network import read

    network = read(net)
    if input is not None:
        network = network.with_input(input)
    counted = account(
        network,
        convention=convention,
        batch=batch,
        memory=memory,
        precision=precision,
        optimiser=optimiser,
    )
    if format == "text":
        from striate.draw.plain import show
        from striate.draw.table import Table

        show(Table(counted))
    else:
        from striate.draw import formats

        print(formats.FORMATS[format](counted))
