"""Trains the networks that come along with striate: what `make pretrained` runs.

    python examples/pretrained.py [--cifar10 cifar10-jpeg.zip]

digits: the lab's first network. convnetjs-cifar10: the network of the ConvNetJS demo, whose
pretrained weights that page offered too; without --cifar10 it stays as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from striate import pretrained, recipes
from striate.cli.lab import NET
from striate.compute import choose
from striate.data import load
from striate.network import read
from striate.recipes import Recipe
from striate.records import Evaluated
from striate.session import begin

FILES = ("network.net", "recipe.toml", "run.json", "weights.safetensors")
DIGITS = recipes.read("default").changed(epochs=40)
CIFAR = recipes.read("default").changed(
    epochs=60, batch=128, learning_rate=0.005, weight_decay=0.01, flip="random", shift=2
)
TITLE = "The network of ConvNetJS that comes along"
NOTE = "Trained on the images of CIFAR-10 stored as JPEG, which cost a little of their sharpness."


def make(name: str, net: str, source: str, recipe: Recipe, data: str) -> None:
    """Train one, and keep what looking at it and beginning with it need.

    Args:
        source: the images.
        data: how anyone else names them.
    """
    network = read(net)
    splits = load(source, input=network.input, resize=recipe.resize, validation=recipe.validation)
    with TemporaryDirectory() as folder:
        made = Path(folder) / name
        session = begin(made, network, splits, recipe, choose(network, recipe.batch))
        for record in session.records():
            if isinstance(record, Evaluated):
                print(name, record)
        about = json.loads((made / "run.json").read_text("utf-8"))
        (made / "run.json").write_text(json.dumps({**about, "data": data}, indent=2), "utf-8")
        to = pretrained.HOME / name
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir()
        for file in FILES:
            shutil.copyfile(made / file, to / file)
        told = (made / "metrics.jsonl").read_text("utf-8").splitlines(keepends=True)
        few = [line for line in told if '"Stepped"' not in line and '"Saved"' not in line]
        (to / "metrics.jsonl").write_text("".join(few), "utf-8")


def main() -> None:
    """Make both."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--cifar10", metavar="FILE")
    given = options.parse_args()
    make("digits", NET, "digits", DIGITS, "digits")
    if given.cifar10:
        recipe = replace(CIFAR, title=TITLE, note=NOTE)
        make("convnetjs-cifar10", "convnetjs-cifar10", given.cifar10, recipe, "cifar10")


if __name__ == "__main__":
    main()
