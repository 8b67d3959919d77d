"""`striate train`: from a text and images to a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from striate.cli.arguments import net
from striate.recipes import Recipe

if TYPE_CHECKING:
    from striate.network import Network


@click.command("train")
@net
@click.option(
    "--data", metavar="SOURCE", required=True, help="`digits`, or a folder with MNIST's IDX files."
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=Recipe.epochs,
    show_default=True,
    help="How often every training image is seen.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=Recipe.seed,
    show_default=True,
    help="Of the weights, the images' order and dropout.",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to keep the run; by default runs/NET-SOURCE-N.",
)
def command(net: str, data: str, epochs: int, seed: int, run: Path | None) -> None:
    """Train a network on images and keep the run."""
    from rich.console import Console

    from striate.data import load, prepare
    from striate.draw.curve import curve
    from striate.draw.progress import progress
    from striate.evaluate import score
    from striate.network import read
    from striate.records import Evaluated, Record
    from striate.runs import create_run
    from striate.train import initial, train, use_threads

    network, splits, recipe = read(net), load(data), Recipe(epochs=epochs, seed=seed)
    preparation = prepare(network, splits)
    use_threads(network, recipe.batch)
    console = Console(stderr=True)
    records: list[Record] = []
    with _memory_explained(network, recipe.batch):
        model = initial(network, recipe)
        kept = create_run(run, network, splits, preparation, recipe)
        try:
            for record in progress(train(model, splits, preparation, recipe), console):
                records.append(record)
                kept.record(record)
                if isinstance(record, Evaluated):
                    kept.save(model)
        except KeyboardInterrupt:
            saved = sum(isinstance(record, Evaluated) for record in records)
            held = f"the weights of epoch {saved}" if saved else "no weights yet"
            console.print(f"stopped; {kept.path} holds {held}", highlight=False)
            raise SystemExit(130) from None
    if console.is_terminal:
        console.print(curve(records, min(console.width, 100)))

    tested = score(model, splits.test, preparation)
    kept.record(Evaluated(epochs, "test", tested, records[-1].seconds))
    print(f"test error {tested.top1_error:.2%} (top-1, {tested.count:,} images)")
    print(f"run {kept.path}")


@contextmanager
def _memory_explained(network: Network, batch: int) -> Iterator[None]:
    """Says what training needs where PyTorch or NumPy cannot have it."""
    from striate.draw.numbers import in_bytes
    from striate.errors import RunError

    try:
        yield
    except (MemoryError, RuntimeError) as error:  # PyTorch's CPU allocator raises RuntimeError
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        needed = in_bytes(network.account().totals.training_bytes(batch))
        raise RunError(f"memory ran out: a step of {batch} images needs {needed}") from None
