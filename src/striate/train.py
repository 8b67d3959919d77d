"""The training loop, top to bottom. It tells what happens in records and displays nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from striate.data import Preparation, Splits, shuffled
from striate.errors import RunError, nearest
from striate.evaluate import score
from striate.initialise import INITIALISATIONS
from striate.network import Network
from striate.recipes import Recipe
from striate.records import Ended, EpochEnded, Evaluated, Record, Started, Stepped

AUXILIARY_WEIGHT = 0.3  # Szegedy et al. 2014, arXiv:1409.4842, section 5

# Multiply-adds of a step's forward pass below which one thread is the safer choice: a second brings
# at most a sixth on an idle machine, and on a busy one costs many times the whole (bench/LOG.md).
SMALL_STEP = 100_000_000


def use_threads(network: Network, batch: int) -> int:
    """Give small networks one thread and leave large ones all; returns how many there are now.

    The thread count is among what decides a run's last bits.
    """
    if batch * network.account().totals.macs < SMALL_STEP:
        torch.set_num_threads(1)
    return torch.get_num_threads()


def initial(network: Network, recipe: Recipe) -> nn.Module:
    """The module with the weights that the recipe's seed and initialisation give it.

    Raises:
        RunError: there is no such initialisation.
    """
    if recipe.initialisation not in INITIALISATIONS:
        hint = nearest(recipe.initialisation, INITIALISATIONS)
        raise RunError(f"recipe: there is no initialisation {recipe.initialisation!r}; {hint}")
    torch.manual_seed(recipe.seed)
    return network.build(initialisation=recipe.initialisation)


def train(
    model: nn.Module, splits: Splits, preparation: Preparation, recipe: Recipe
) -> Iterator[Record]:
    """Train a model in place, on the device where it lies, and yield what happens.

    The loop rests while a record is read: at `Evaluated` the weights are an epoch's last ones.
    Same model, splits, recipe, machine, thread count and versions: same weights to the bit.

    Raises:
        RunError: the loss of a step is not finite; that step has not touched the weights.
    """
    torch.manual_seed(recipe.seed)
    images, device = splits.train, next(model.parameters()).device
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    steps = math.ceil(len(images) / recipe.batch)
    parameters = sum(each.numel() for each in model.parameters() if each.requires_grad)
    began, step = perf_counter(), 0
    yield Started(
        images=images.volume,
        input=preparation.input,
        training=len(images),
        validation=len(splits.validation),
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        parameters=parameters,
    )
    for epoch in range(1, recipe.epochs + 1):
        model.train()
        total_loss, total_wrong = 0.0, 0
        # Batches differ by one image at most: a last batch of a single one would stop batch norm.
        for batch in np.array_split(shuffled(len(images), recipe.seed, epoch), steps):
            pixels = torch.from_numpy(preparation(images.pixels[batch])).to(device)
            labels = torch.from_numpy(images.labels[batch]).to(device)

            scores, auxiliary = _outputs(model(pixels))
            loss = cross_entropy(scores, labels)
            objective = loss + AUXILIARY_WEIGHT * sum(cross_entropy(a, labels) for a in auxiliary)
            step += 1
            if not math.isfinite(objective.item()):
                raise RunError(
                    f"the loss is {objective.item()} at step {step} (epoch {epoch}): "
                    f"a learning rate below {recipe.learning_rate} may help"
                )
            optimiser.zero_grad()
            torch.autograd.backward(objective)
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * (1 - (step - 1) / (steps * recipe.epochs))
            optimiser.step()

            wrong = int((scores.argmax(dim=1) != labels).sum())
            total_loss += loss.item() * len(batch)
            total_wrong += wrong
            yield Stepped(epoch, step, loss.item(), len(batch), wrong, perf_counter() - began)
        count = len(images)
        seconds = perf_counter() - began
        yield EpochEnded(epoch, step, total_loss / count, total_wrong / count, seconds)
        held_out = score(model, splits.validation, preparation)
        yield Evaluated(epoch, "validation", held_out, perf_counter() - began)
    yield Ended(recipe.epochs, step, perf_counter() - began)


def _outputs(given: Tensor | dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The class scores, and those of auxiliary heads where a network has some."""
    if isinstance(given, Tensor):
        return given, []
    return given["main"], [scores for head, scores in given.items() if head != "main"]
