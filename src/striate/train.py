"""The training loop, top to bottom. It tells what happens in records and displays nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from math import inf, isfinite
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate
from torch.nn.parallel import DistributedDataParallel

from striate.compute import Compute
from striate.data import Preparation, Splits
from striate.data.augment import Batch, augmentation
from striate.data.feed import feed
from striate.data.loader import Batches
from striate.diagnosis import not_finite, scores_not_finite
from striate.errors import RunError
from striate.evaluate import Prepare, ScoresNotFinite, score
from striate.fast.halves import Halves, total_norm
from striate.features import Shortened, ready, shortened
from striate.freezing import rest
from striate.losses import loss_of, most, outputs
from striate.ranks import ALONE, Ranks, distributed, synchronise
from striate.recipes import Recipe
from striate.records import (
    Ended,
    EpochEnded,
    Evaluated,
    Featured,
    Record,
    Started,
    Stepped,
    Stopped,
    Warned,
)
from striate.rules import constrain
from striate.schedules import epochs_since_lowest, factor, plateau_factor, side
from striate.state import Progress, State
from striate.whitening import let_bias_learn


def train(
    state: State,
    splits: Splits,
    preparation: Preparation,
    *,
    compute: Compute | None = None,
    workers: int = 0,
    ranks: Ranks = ALONE,
) -> Iterator[Record]:
    """Train a model in place, from where its state is to the end of its recipe; yield what happens.

    The loop rests while a record is read, and the state can be saved then: after `Stepped` and
    `Evaluated` it holds all that came before. Same state, splits, recipe, compute and versions:
    same weights to the bit, whatever the number of workers and however often it was resumed.

    Args:
        state: the model, its recipe and how far it is.
        splits: trains on the first, scores the second, if there is one, after each epoch, and
            leaves the third alone.
        preparation: what is done to pixels before the network.
        compute: on what and how; by default in float32 on the device where the model lies.
        workers: processes that load batches ahead.
        ranks: the processes that share each batch.

    Raises:
        NotFinite: a loss or a gradient is not; that step has not touched the weights.
        RunError: the recipe goes by validation errors, and no images are held out.
    """
    device = next(state.model.parameters()).device
    compute = compute or Compute(str(device), threads=torch.get_num_threads())
    try:
        yield from _trained(state, splits, preparation, compute, workers, ranks)
    finally:
        state.optimiser.keep(None)
        let_bias_learn(state.model, state.recipe, 0)  # as it was before the first epoch


def _trained(
    state: State,
    splits: Splits,
    preparation: Preparation,
    compute: Compute,
    workers: int,
    ranks: Ranks,
) -> Iterator[Record]:
    """The loop itself."""
    model, recipe, progress = state.model, state.recipe, state.progress
    device = next(model.parameters()).device
    augmented = augmentation(recipe, preparation, splits.train)
    check_validation(recipe, splits)
    batches = Batches(splits.train, recipe.batch, recipe.seed, ranks.share)
    steps, end = batches.per_epoch, batches.per_epoch * recipe.epochs
    if ranks.world > 1:
        synchronise(model)
    trained = [each for each in model.parameters() if each.requires_grad]
    let_bias_learn(model, recipe, progress.epochs + 1)
    if ranks.world > 1:
        _check_shares(ranks, len(splits.train) // steps, recipe.accumulate)
    _align(progress, steps)
    clock = _Clock(progress.seconds)

    yield Started(
        images=splits.train.volume,
        input=preparation.input,
        training=len(splits.train),
        validation=len(splits.validation or ()),
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        parameters=sum(each.numel() for each in trained),
        compute=str(compute),
        ranks=ranks.world,
        step=progress.step,
        seconds=progress.seconds,
    )
    learns, held_out = model, splits.validation
    prepared: Prepare = preparation
    short = shortened(model, recipe, splits, preparation, compute)
    if isinstance(short, Shortened):  # from here on features stand in place of images
        learns, held_out, prepared = short.rest, short.validation, ready
        batches = replace(batches, images=short.train)
        fed = short.feed(batches, progress.step, end, device)
        yield Featured(short.after, short.train.pixels.shape[1:], short.kept, clock.seconds)
    else:
        if short:
            said = f"each step computes what frozen layers make of its images anew: {short}"
            yield Warned(progress.step, said, clock.seconds)
        way: dict[str, Any] = {"device": device, "layout": compute.layout, "workers": workers}
        fed = feed(batches, augmented, progress.step, end, **way)
    module = together = compute.training(learns)
    if compute.halves(recipe) and ranks.world == 1:
        state.optimiser.keep(Halves(module))
    if ranks.world > 1:
        module = distributed(together)
    for epoch in range(progress.epochs + 1, recipe.epochs + 1):
        if epochs_since_lowest(progress.errors) >= (recipe.early_stopping or inf):
            break
        if let_bias_learn(model, recipe, epoch) and ranks.world > 1:
            module = distributed(together)  # expects gradients of what learned when it was made
        model.train()
        module.train()  # a twin's containers have a mode of their own
        rest(model, recipe)
        while progress.step < epoch * steps:
            clock.start()
            batch = _grown(next(fed), recipe, (progress.step + 0.5) / end)
            clock.lap("waiting")

            _seed(device, recipe.seed, progress.step, ranks.rank)
            state.optimiser.zero_grad()
            count = batches.count(progress.step)
            loss = wrong = 0.0
            parts = batch.parts(recipe.accumulate)
            for number, part in enumerate(parts, 1):
                with _unsynchronised(module) if number < len(parts) else nullcontext():
                    with compute.autocast():
                        scores, auxiliary = outputs(module, compute.arranged(part.images))
                    own = loss_of(scores, part, recipe.label_smoothing)
                    heads = sum(loss_of(each, part, recipe.label_smoothing) for each in auxiliary)
                    objective = (own + recipe.auxiliary_weight * heads) / count
                    loss += own.item()
                    wrong += int((scores.argmax(dim=1) != most(part)).sum())
                    clock.lap("forward")
                    # Ranks' gradients are averaged: times their number, they are summed.
                    torch.autograd.backward(objective * ranks.world)
                    clock.lap("backward")

            asked = float(state.asked_to_stop)  # of one rank, it stops all after the same step
            loss, wrong, asked = ranks.total([loss, wrong, asked])
            norm = total_norm(each.grad for each in trained if each.grad is not None)
            if not isfinite(loss) or not isfinite(norm.item()):
                raise not_finite(state, learns, parts, compute, epoch, loss / count)
            if recipe.clip:
                nn.utils.clip_grads_with_norm_(trained, recipe.clip, norm)
            # A step's rate is that of its middle: neither the first nor the last is for nothing.
            rate = factor(recipe, (progress.step + 0.5) / end)
            rate *= plateau_factor(recipe, progress.errors)
            rate *= progress.lowered
            state.optimiser.set_rate(rate)
            state.optimiser.step()
            constrain(model, recipe)
            if state.average:
                state.average.update(model, progress.step)
            progress.step += 1
            progress.loss += loss
            progress.wrong += int(wrong)
            progress.seen += count
            clock.lap("update")
            progress.seconds = clock.seconds
            yield Stepped(
                epoch,
                progress.step,
                loss / count,
                count,
                int(wrong),
                rate * recipe.learning_rate,
                **clock.laps,
                seconds=progress.seconds,
            )
            if asked:
                yield Stopped(epoch, progress.step, progress.seconds)
                return
        loss, error = progress.loss / progress.seen, progress.wrong / progress.seen
        progress.ends.append(progress.step)
        progress.loss, progress.wrong, progress.seen = 0.0, 0, 0
        progress.seconds = clock.seconds
        yield EpochEnded(epoch, progress.step, loss, error, progress.seconds)
        if held_out is None:
            continue
        with state.averaged(), compute.autocast():
            try:
                found = score(compute.scoring(learns), held_out, prepared)
            except ScoresNotFinite as reason:
                raise scores_not_finite(state, reason, epoch) from None
        progress.errors.append(found.top1_error)
        progress.seconds = clock.seconds
        yield Evaluated(epoch, "validation", found, progress.seconds)
    done = progress.epochs
    yield Ended(done, progress.step, progress.best_epoch, done < recipe.epochs, clock.seconds)


def check_validation(recipe: Recipe, splits: Splits) -> None:
    """Refuse a recipe that goes by validation errors where there will be none."""
    if splits.validation is None and (recipe.early_stopping or recipe.schedule == "plateau"):
        what = "early_stopping" if recipe.early_stopping else "the schedule plateau"
        raise RunError(f"recipe: {what} goes by validation errors, and validation=0 gives none")


def _grown(batch: Batch, recipe: Recipe, progress: float) -> Batch:
    """The batch with its images scaled down to the size that they have by now."""
    full = batch.images.shape[2:]
    size = [side(recipe, progress, each) for each in full]
    if size == list(full):
        return batch
    images = interpolate(batch.images, size, mode="bilinear", antialias=True)
    return replace(batch, images=images)


class _Clock:
    """Seconds since training began, and how those of a step were spent."""

    def __init__(self, before: float) -> None:
        self.began = perf_counter() - before
        self.laps: dict[str, float] = {}
        self.last = self.began

    @property
    def seconds(self) -> float:
        return perf_counter() - self.began

    def start(self) -> None:
        self.laps = dict.fromkeys(("waiting", "forward", "backward", "update"), 0.0)
        self.last = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.laps[name] += now - self.last
        self.last = now


def _check_shares(ranks: Ranks, batch: int, parts: int) -> None:
    """Every rank must have as many parts of a batch, or they would wait for each other for ever."""
    shares = [replace(ranks, rank=each).share(batch) for each in range(ranks.world)]
    least = min(each.stop - each.start for each in shares)
    if least < parts:
        in_parts = f" in {parts} parts" if parts > 1 else ""
        raise RunError(
            f"recipe: batches of {batch}{in_parts} are too small for {ranks.world} processes, "
            f"one of which would have {least}: enlarge batch, or start fewer processes"
        )


def _align(progress: Progress, steps: int) -> None:
    """Begin the epoch under way anew where the number of its steps has changed since."""
    if progress.steps != steps:
        progress.steps, progress.step = steps, progress.epochs * steps
        progress.loss, progress.wrong, progress.seen = 0.0, 0, 0
        progress.ends = [steps * (epoch + 1) for epoch in range(progress.epochs)]


def _unsynchronised(module: nn.Module) -> AbstractContextManager[object]:
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def _seed(device: torch.device, *numbers: int) -> None:
    """Give a step random numbers of its own, for dropout, so that their state need not be saved."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    else:  # torch.manual_seed costs half a millisecond where there is no GPU
        torch.default_generator.manual_seed(seed)
