"""What training changes: weights, the update rule's memory, the averages, the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.average import Average
from striate.data import Images, Preparation, shuffled
from striate.errors import NotationError, RunError
from striate.freezing import freeze
from striate.network import Network
from striate.recipes import Recipe
from striate.rules import optimiser
from striate.schedules import side
from striate.whitening import IMAGES, first_convolution, whiten


@dataclass
class Progress:
    """How far a run is: all its numbers.

    Attributes:
        step: steps done.
        steps: of an epoch.
        loss, wrong, seen: sums over the epoch under way.
        errors: the validation error after each epoch; none where all images are trained on.
        ends: the steps done after each epoch.
        lowered: the rate's factor after the rewinds.
        rewinds: how often the run went back to a checkpoint.
        seconds: of training.
    """

    step: int = 0
    steps: int = 0
    loss: float = 0.0
    wrong: int = 0
    seen: int = 0
    errors: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    lowered: float = 1.0
    rewinds: int = 0
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """Whole epochs done."""
        return len(self.ends)

    @property
    def best_epoch(self) -> int:
        """The epoch with the least validation error, counted from 1; without errors the last."""
        return self.errors.index(min(self.errors)) + 1 if self.errors else self.epochs


def initial(
    network: Network,
    recipe: Recipe,
    images: Images | None = None,
    preparation: Preparation | None = None,
) -> nn.Module:
    """The module with the weights that the recipe's seed and initialisation give it, on the CPU.

    Args:
        images, preparation: the training images, for a recipe that whitens their patches.

    Raises:
        StateError: there is no such initialisation.
        RunError: the recipe whitens and there are no images, or the first layer is too small;
            images are to grow, and the network takes no smaller ones; or it freezes all layers.
    """
    _check_growth(network, recipe)
    torch.manual_seed(recipe.seed)
    model = network.build(initialisation=recipe.initialisation)
    if recipe.whiten:
        if images is None or preparation is None:
            raise RunError("recipe: whiten needs the training images to start from")
        chosen = np.sort(shuffled(len(images), recipe.seed)[:IMAGES])
        whiten(first_convolution(model), preparation(images.pixels[chosen]))
    freeze(model, recipe)
    return model


def _check_growth(network: Network, recipe: Recipe) -> None:
    """Where images grow, the network must be the same one on all their sizes."""
    if recipe.grow_from is None:
        return
    height, width, depth = network.input
    parameters = network.account().known("parameters")
    steps = (step / 256 for step in range(257))
    for size in sorted({(side(recipe, at, height), side(recipe, at, width)) for at in steps}):
        try:
            found = network.with_input((*size, depth)).account().known("parameters")
        except NotationError as reason:
            why = f"does not fit them: {str(reason).splitlines()[0]}"
        else:
            if found == parameters:
                continue
            why = "would have other weights: end its text in a pool over all positions, as avgpool"
        raise RunError(
            f"recipe: grow_from={recipe.grow_from:g} trains on images of {size[0]}x{size[1]}, "
            f"and the network {why}"
        )


class State:
    """A model in training. `train` changes it step by step; between steps it can be saved.

    Args:
        model: with its first weights, on the device where it will train.
        recipe: how it will be trained.

    Raises:
        RunError: nothing of the model can be trained, or this PyTorch lacks the update rule.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.optimiser = optimiser(model, recipe)
        self.average = Average(model, recipe.average) if recipe.average is not None else None
        self.progress = Progress()
        self.asked_to_stop = False
        self.unsaved = True  # no checkpoint holds this state under this recipe

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that training changes, named by where it belongs."""
        parts = {"model": self.model.state_dict(), "optimiser": self.optimiser.tensors()}
        if self.average:
            parts["average"] = self.average.tensors()
        return {
            f"{part}.{name}": each for part, found in parts.items() for name, each in found.items()
        }

    def load(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, to the bit.

        Raises:
            RunError: it is of another network or recipe.
        """
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}, "average": {}}
        for name, each in tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = each
        try:
            self.model.load_state_dict(parts["model"])
            self.optimiser.load(parts["optimiser"])
            if self.average:
                self.average.load(parts["average"])
            self.progress = Progress(**progress)
        except (RuntimeError, KeyError, TypeError, ValueError) as reason:
            raise RunError(
                f"the checkpoint is of another network or recipe: {str(reason).splitlines()[0]}"
            ) from None

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The model with the weights to use: their average where the recipe keeps one."""
        if not self.average:
            yield self.model
            return
        kept = {name: each.clone() for name, each in self.model.state_dict().items()}
        self.model.load_state_dict(kept | self.average.tensors())
        try:
            yield self.model
        finally:
            self.model.load_state_dict(kept)

    def weights(self) -> dict[str, Tensor]:
        """The weights to use."""
        return weights_among(self.tensors())


def weights_among(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights to use among the tensors of a state."""
    found: dict[str, Tensor] = {}
    for part in ("model.", "average."):
        found |= {
            name.removeprefix(part): each for name, each in tensors.items() if name.startswith(part)
        }
    return found
