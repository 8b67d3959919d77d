"""Our side of bench/gpu.py: CIFAR-10 from fresh weights to six views, a run in each turn.

    python ours_cifar.py NETWORK RECIPE IMAGES.zip --device cuda [--limit N] [--epochs N]

Counted as the scripts count: from the first whitening to the last view, without the loading of the
images. Trained on all training images, as the scripts are.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from turns import Turns

from striate.compute import Compute
from striate.data import Splits, load, prepare
from striate.data.device import resident
from striate.evaluate.measures import summarise
from striate.evaluate.predictions import predict
from striate.network import Network, read
from striate.probe import fastest
from striate.recipes import Recipe
from striate.recipes import read as read_recipe
from striate.state import State, initial
from striate.train import train


def limited(splits: Splits, limit: int | None) -> Splits:
    """Few images, the same to train on and to score, for a dry run."""
    if limit is None:
        return splits
    images = splits.test.take(np.random.default_rng(0).permutation(len(splits.test))[:limit])
    return replace(splits, train=images, test=images)


def run(
    network: Network, recipe: Recipe, splits: Splits, preparation: Any, compute: Compute
) -> dict[str, float]:
    """The accuracy of one run and its seconds."""
    began = _now(compute)
    model = compute.place(initial(network, recipe, splits.train, preparation))
    for _ in train(State(model, recipe), splits, preparation, compute=compute):
        pass
    with compute.autocast():
        said = predict([compute.scoring(model)], splits.test, preparation, views="6")
    seconds = _now(compute) - began
    return {"accuracy": 1 - summarise(said, [1]).errors[1].fraction, "seconds": seconds}


def _now(compute: Compute) -> float:
    if compute.device != "cpu":
        torch.cuda.synchronize()
    return perf_counter()


def main() -> None:
    """A run in each turn, each with its own seed."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("network")
    options.add_argument("recipe")
    options.add_argument("data", type=Path)
    options.add_argument("--device", default="cuda")
    options.add_argument("--limit", type=int, help="images of each part")
    options.add_argument("--epochs", type=int)
    given = options.parse_args()
    turns = Turns()
    network, recipe = read(given.network), read_recipe(given.recipe)
    if given.epochs:
        recipe = recipe.changed(epochs=given.epochs)
    if given.limit:
        recipe = recipe.changed(batch=min(recipe.batch, given.limit // 2))
    splits = limited(load(given.data, input=network.input, validation=0), given.limit)
    preparation = prepare(network, splits, recipe.normalisation)
    splits = replace(splits, train=resident(splits.train, given.device))
    compute = fastest(network, recipe.batch, device=given.device)
    run(network, recipe.changed(seed=10**6), splits, preparation, compute)  # warms, as theirs
    turns.ready(settings=str(compute))
    seed = 0
    while True:
        turns.done(**run(network, recipe.changed(seed=seed), splits, preparation, compute))
        seed += 1


if __name__ == "__main__":
    main()
