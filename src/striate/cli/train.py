"""`striate train`: from a text and images to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from striate.cli.table import Net
from striate.recipes import Recipe


def train(
    net: Net,
    data: Annotated[
        str, typer.Option(metavar="SOURCE", help="`digits`, or a folder with MNIST's IDX files.")
    ],
    epochs: Annotated[
        int, typer.Option(min=1, help="How often every training image is seen.")
    ] = Recipe.epochs,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the weights, the images' order and dropout.")
    ] = Recipe.seed,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to keep the run; by default runs/NET-SOURCE-N."),
    ] = None,
) -> None:
    """Train a network on images, keep the run, and say its error on the test images."""
    from striate.data import load, prepare
    from striate.draw.curve import curve
    from striate.draw.progress import progress
    from striate.evaluate import score
    from striate.network import read
    from striate.records import Evaluated, Record
    from striate.runs import create_run
    from striate.train import initial
    from striate.train import train as training

    network, splits, recipe = read(net), load(data), Recipe(epochs=epochs, seed=seed)
    preparation = prepare(network, splits)
    model = initial(network, recipe)
    kept = create_run(run, network, splits, preparation, recipe)

    console = Console(stderr=True)
    records: list[Record] = []
    for record in progress(training(model, splits, preparation, recipe), console):
        records.append(record)
        kept.record(record)
        if isinstance(record, Evaluated):
            kept.save(model)
    if console.is_terminal:
        console.print(curve(records, min(console.width, 100)))

    tested = score(model, splits.test, preparation)
    kept.record(Evaluated(epochs, "test", tested, records[-1].seconds))
    print(f"test error {tested.top1_error:.2%} (top-1, {tested.count:,} images)")
    print(f"run {kept.path}")
