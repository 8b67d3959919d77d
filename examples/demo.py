"""From a text to a table, a training run, its curve, and the error on images never seen before."""

from pathlib import Path

from rich.console import Console

import striate
from striate.data import load, prepare
from striate.draw.curve import curve
from striate.draw.progress import progress
from striate.evaluate import score
from striate.recipes import Recipe
from striate.train import initial, train, use_threads


def main() -> None:
    """Train examples/digits.net on scikit-learn's digits."""
    console = Console()
    network = striate.read(Path(__file__).with_name("digits.net"))
    console.print(network.table())

    recipe = Recipe()
    splits = load("digits")
    preparation = prepare(network, splits)
    use_threads(network, recipe.batch)
    model = initial(network, recipe)
    records = list(progress(train(model, splits, preparation, recipe), console))
    console.print()
    console.print(curve(records, min(console.width, 100)))

    tested = score(model, splits.test, preparation)
    console.print(f"\ntest accuracy {1 - tested.top1_error:.1%} on {tested.count} images")


if __name__ == "__main__":
    main()
