"""From a text to a table, a training run, its curve, and the error on images never seen before."""

from pathlib import Path

from rich.console import Console

import striate
from striate.compute import choose
from striate.data import load, prepare
from striate.draw.curve import curve
from striate.draw.progress import progress
from striate.evaluate import score
from striate.recipes import read
from striate.state import State, initial
from striate.train import train


def main() -> None:
    """Train examples/digits.net on scikit-learn's digits."""
    console = Console()
    network = striate.read(Path(__file__).with_name("digits.net"))
    console.print(network.table())

    recipe = read("default")
    splits = load("digits")
    preparation = prepare(network, splits)
    compute = choose(network, recipe.batch)
    state = State(compute.place(initial(network, recipe)), recipe)
    records = list(progress(train(state, splits, preparation, compute=compute), console))
    console.print()
    console.print(curve(records, min(console.width, 100)))

    tested = score(state.model, splits.test, preparation)
    console.print(f"\ntest accuracy {1 - tested.top1_error:.1%} on {tested.count} images")


if __name__ == "__main__":
    main()
