"""A few steps of real training on images that mean nothing, to see how long its parts take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf
from statistics import mean, median
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from striate.compute import Compute
from striate.data import Images, Splits, prepare
from striate.layers import Volume
from striate.network import Network
from striate.recipes import Recipe
from striate.records import Record, Stepped
from striate.rules import head
from striate.state import State, initial
from striate.timing.timers import Timed, Timers
from striate.train import train

LAPS = ("waiting", "forward", "backward", "update")
SMALL_RATE = 1e-60  # nothing in float32, so that noise teaches nothing; a step takes as long


def noise(count: int, volume: Volume, classes: int, seed: int = 0) -> Images:
    """Images of random bytes, with labels in turns."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *volume), dtype=np.uint8)
    return Images(pixels, np.arange(count) % classes, tuple(map(str, range(classes))))


def splits(network: Network, batch: int, steps: int, volume: Volume | None = None) -> Splits:
    """Noise for so many steps, of the network's input volume unless another is given."""
    classes = network.output.depth
    train = noise(batch * steps, volume or network.input, classes)
    few = train.take(np.arange(1))
    return Splits("noise", train, few, few)


class Kept(NamedTuple):
    """Bytes that stay from the forward to the backward pass: of any batch, and of each image."""

    fixed: int
    image: int


class Rehearsal:
    """Training that is taken step by step: its own loop, model and update rule.

    Args:
        batch: images in a step.
        steps: that can be taken at most.
        volume: of the images before they are fitted to the network; by default its input's.

    Raises:
        DataError: the network cannot be trained to tell classes apart.
        RunError: the recipe cannot be followed.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        compute: Compute,
        batch: int,
        steps: int,
        volume: Volume | None = None,
    ) -> None:
        data = splits(network, batch, steps, volume)
        recipe = replace(
            recipe,
            epochs=1,
            batch=batch,
            learning_rate=SMALL_RATE,
            bias_rate=None,
            head_rate=None,
            grow_from=None,  # images are as large as they become
            grow_until=None,
        )
        preparation = prepare(network, data, recipe.normalisation)
        self.model = compute.place(initial(network, recipe, data.train, preparation))
        _flatten(self.model)
        self.device, self.batch = compute.device, batch
        self._records: Iterator[Record] = train(
            State(self.model, recipe), data, preparation, compute=compute
        )

    def step(self) -> Stepped:
        """Take the next step."""
        return next(each for each in self._records if isinstance(each, Stepped))

    def steps(self, count: int, seconds: float = inf) -> list[Stepped]:
        """Take the next steps: so many, or fewer where they take longer; two at least."""
        found: list[Stepped] = []
        began = perf_counter()
        while len(found) < 2 or (len(found) < count and perf_counter() - began < seconds):
            found.append(self.step())
        return found

    def timed(self, count: int, seconds: float = inf) -> list[Timed]:
        """The same, with the times of every module in place of the steps'."""
        found: list[Timed] = []
        began = perf_counter()
        with Timers(self.device) as timers:
            while len(found) < 2 or (len(found) < count and perf_counter() - began < seconds):
                self.step()
                found.append(timers.taken())
        return found

    def kept(self) -> Kept:
        """Take the next step, and see what its forward pass keeps for its backward pass."""
        weights = {each.untyped_storage().data_ptr() for each in self.model.parameters()}
        found: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            found.setdefault(tensor.untyped_storage().data_ptr(), tensor.detach())
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            self.step()
        parts = Kept(0, 0)
        for memory, tensor in found.items():
            of_images = tensor.dim() > 1 and tensor.shape[0] == self.batch
            if memory not in weights and of_images:
                parts = parts._replace(image=parts.image + tensor.nbytes // self.batch)
            elif memory not in weights:
                parts = parts._replace(fixed=parts.fixed + tensor.nbytes)
        return parts


@torch.no_grad()
def _flatten(model: nn.Module) -> None:
    """Let the last layer say nothing, so that no gradient behind it grows over a thousand layers
    until it is not finite. To compute with zeros takes as long.
    """
    if (last := head(model)) is not None:
        for each in last.parameters():
            each.zero_()


def laps_of(steps: Sequence[Stepped]) -> dict[str, float]:
    """Seconds of a usual step by what is done: medians, but for feeding, which may be done for
    several steps at once: its mean.
    """
    found = {lap: median(getattr(each, lap) for each in steps) for lap in LAPS}
    return found | {"waiting": mean(each.waiting for each in steps)}
