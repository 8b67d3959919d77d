"""A toy problem for the tests of training: bright or dark 4x4 images, learned in a few steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from striate.data import Images, Preparation, Splits, prepare
from striate.data.images import for_validation
from striate.layers import Volume
from striate.network import Network, read
from striate.recipes import Recipe
from striate.records import Ended, EpochEnded, Evaluated, Record, Score, Started, Stepped
from striate.state import State, initial
from striate.train import train

NETWORK = read("[4x4x1] conv3-2 relu dropout(0.1) fc-3 softmax")


def images(count: int = 60, seed: int = 0) -> Images:
    """Three classes of brightness, with noise, in turns."""
    labels = np.arange(count) % 3
    noise = np.random.default_rng(seed).integers(0, 80, (count, 4, 4, 1))
    pixels = (labels[:, None, None, None] * 80 + noise).astype(np.uint8)
    return Images(pixels, labels.astype(np.int64), ("dark", "grey", "bright"))


def splits(validation: float = 0.2) -> Splits:
    """48 images to train on, 12 held out, 60 to test."""
    kept, held_out = for_validation(images(), validation)
    return Splits("toy", kept, held_out, images(seed=1))


def trained(
    recipe: Recipe, network: Network = NETWORK
) -> tuple[nn.Module, list[Record], Splits, Preparation]:
    """A model after training, what it told, and what it was trained on."""
    data = splits(0.2 if recipe.validation else 0)
    preparation = prepare(network, data, recipe.normalisation)
    state = State(initial(network, recipe, data.train, preparation), recipe)
    return state.model, list(train(state, data, preparation)), data, preparation


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Whether all parameters and buffers are equal to the bit."""
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def told(losses: Sequence[float], errors: Sequence[float], *, early: bool = False) -> list[Record]:
    """The records of a run with so many epochs as errors and a step, of a second, for each loss."""
    volume, epochs = Volume(4, 4, 1), max(1, len(errors))
    each = len(losses) // epochs or 1
    spent = {"waiting": 0.1, "forward": 0.2, "backward": 0.5, "update": 0.2}
    records: list[Record] = [
        Started(volume, Volume(8, 8, 1), 48, 12, epochs, each, 2345, "cpu, 1 thread, float32")
    ]
    for step, loss in enumerate(losses, 1):
        epoch, seconds = (step - 1) // each + 1, float(step)
        records.append(Stepped(epoch, step, loss, 10, 5, 0.1, **spent, seconds=seconds))
        if step == each * epoch and errors:
            records.append(EpochEnded(epoch, step, loss, 0.5, seconds))
            scored = Score(12, loss, errors[epoch - 1], 0.0)
            records.append(Evaluated(epoch, "validation", scored, seconds))
    best = 1 + errors.index(min(errors)) if errors else 0
    return [*records, Ended(epochs, len(losses), best, early, float(len(losses)))]
