"""A run from its beginning or from where it stopped, to its end: what `striate train` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from striate import checkpoints, pretrained
from striate.average import Average
from striate.compute import Compute
from striate.data import Preparation, Splits, prepare
from striate.data.tell import Tell, silent
from striate.diagnosis import NotFinite
from striate.errors import RunError
from striate.keeping import EVERY, keep, note, restore
from striate.network import Network
from striate.origin import some
from striate.ranks import ALONE, Ranks
from striate.recipes import Recipe
from striate.records import Record, Transferred, Warned
from striate.runs import Run, create_run, lasting, open_run, versions
from striate.state import State, initial
from striate.train import check_validation, train
from striate.transfer.begin import begin_with, preparation_for, renamed
from striate.transfer.known import Known, known

REWIND = 0.5  # the rate's factor each time a run goes back
MOST_REWINDS = 10


@dataclass(frozen=True)
class Session:
    """A run in work: its folder, its images, its state.

    Attributes:
        warnings: what beginning or resuming it brought to light.
        transferred: what it began with, where that is to be said.
    """

    run: Run
    splits: Splits
    state: State
    ranks: Ranks = ALONE
    warnings: tuple[str, ...] = ()
    transferred: Transferred | None = None

    def records(
        self, *, workers: int = 0, every: float = EVERY, rewind: bool = False
    ) -> Iterator[Record]:
        """Train to the end and keep the run; yield what happens.

        Args:
            workers: processes that load batches ahead.
            every: seconds between checkpoints within an epoch.
            rewind: where numbers are no longer finite, go back to the last checkpoint and halve
                the learning rate, instead of raising NotFinite.
        """
        if self.transferred:
            if self.ranks.first:
                note(self.run, self.transferred)
            yield self.transferred
        for warning in self.warnings:
            yield self._warned(warning)
        back: int | None = None  # the step that the last rewind led to
        while True:
            records = train(
                self.state,
                self.splits,
                self.run.preparation,
                compute=self.run.compute,
                workers=workers,
                ranks=self.ranks,
            )
            try:
                if self.ranks.first:
                    records = keep(self.run, self.state, records, every=every)
                yield from records
                return
            except NotFinite as error:
                if not rewind or self.state.progress.rewinds == MOST_REWINDS:
                    raise
                back = self._rewind(back)
                rate = f"the learning rate times {self.state.progress.lowered:g}"
                yield self._warned(f"{error}. Back to step {back}, {rate}")

    def _rewind(self, before: int | None) -> int:
        """Go back to the newest checkpoint, with a lower rate; returns its step.

        If that did not help the last time, it holds the trouble already: the one before it is used.
        """
        held = checkpoints.steps(self.run.checkpoints)
        self.ranks.told(None)  # every rank has seen what there is
        if before is not None and before == max(held, default=None) and len(held) > 1:
            if self.ranks.first:
                checkpoints.discard_after(self.run.checkpoints, before - 1)
            self.ranks.told(None)
        lowered, rewinds = self.state.progress.lowered, self.state.progress.rewinds
        restore(self.run, self.state, writes=self.ranks.first)
        progress = self.state.progress
        progress.lowered, progress.rewinds = lowered * REWIND, rewinds + 1
        self.state.unsaved = True
        return progress.step

    def _warned(self, message: str) -> Record:
        record = Warned(self.state.progress.step, message, self.state.progress.seconds)
        if self.ranks.first:
            note(self.run, record)
        return record


def begin(
    path: Path | None,
    network: Network,
    splits: Splits,
    recipe: Recipe,
    compute: Compute | Callable[[], Compute],
    *,
    start: Known | None = None,
    head: str | None = None,
    ranks: Ranks = ALONE,
) -> Session:
    """A new run in a new folder.

    Args:
        compute: where to and how; or what finds out, which is asked once nothing can be refused
            any more.
        start: weights to begin with, and the preparation of images that goes with them. By default
            weights are drawn, and the preparation is measured.
        head: of the last layer, as `striate.transfer.begin_with` takes it.

    Raises:
        DataError: the images do not fit the network.
        RunError: the folder cannot be made or holds something, the recipe cannot be followed, or
            none of the weights fit.
    """
    check_validation(recipe, splits)
    there = preparation_for(start, network) if start else None
    measured = prepare(network, splits, "none" if there else recipe.normalisation)
    preparation = there or measured
    model = initial(network, recipe, splits.train, preparation)
    transferred, origin = None, None
    warnings: list[str] = []
    if recipe.freeze and not start:
        warnings.append("frozen layers keep weights that were drawn: nothing was learned there")
    if start:
        origin = begin_with(start, model, network, splits.train.classes, head)
        if head == "keep" and (others := renamed(start, splits.train.classes)):
            warnings.append(f"the head is kept: {some(others)}")
        transferred = Transferred(origin, _prepared(preparation, there is not None))
        if origin.other:
            warnings.append(f"these layers compute in another way there: {some(origin.other)}")
        if origin.taken < origin.tensors / 2:
            new = f"{origin.tensors - origin.taken} of {origin.tensors}"
            warnings.append(f"{new} tensors begin anew: low rates suit those alone that are taken")
    compute = compute() if callable(compute) else compute
    state = State(compute.place(model), recipe)
    run = None
    if ranks.first:
        run = create_run(path, network, splits, preparation, recipe, compute, origin)
        for file in splits.unreadable:
            note(run, Warned(0, f"passed over {file.path}: {file.reason}", 0.0))
    where = ranks.told(str(run.path) if run else "")
    run = run or replace(open_run(where), compute=compute)
    return Session(run, splits, state, ranks, tuple(warnings), transferred)


def _prepared(preparation: Preparation, there: bool) -> str:
    """In words."""
    if preparation.mean_image is not None:
        numbers = "a mean image subtracted"
    else:
        mean, deviation = (
            " ".join(f"{each:.3f}" for each in values)
            for values in (preparation.mean, preparation.deviation)
        )
        numbers = f"mean {mean}, deviation {deviation}"
    return f"images prepared as there: {numbers}" if there else f"images measured anew: {numbers}"


def resume(
    run: Run,
    *,
    network: Network | None = None,
    recipe: Recipe | None = None,
    source: str | None = None,
    compute: Compute | None = None,
    accept: bool = False,
    ranks: Ranks = ALONE,
    tell: Tell = silent,
) -> Session:
    """A run that goes on from its newest checkpoint.

    Args:
        network, recipe, source, compute: others than the run's own; they need `accept`, apart from
            compute, which only changes the last bits.
        accept: go on although the network, the recipe or the images have changed.

    Raises:
        RunError: something has changed and is not accepted, or no checkpoint can be used.
        DataError: the images cannot be found.
    """
    if pretrained.reference(run.path) in pretrained.names():
        raise RunError(f"{run.path.name} came along with striate and stays as it is")
    network, recipe = network or run.network, recipe or run.recipe
    compute = compute or run.compute
    if network.input != run.network.input:
        raise RunError(f"{run.path} takes {run.network.input}: another input needs a new run")
    for name in ("normalisation", "validation"):
        if getattr(recipe, name) != getattr(run.recipe, name):
            raise RunError(f"recipe: {name} cannot change within a run: begin a new one")
    splits = replace(run, network=network, recipe=recipe).splits(source, tell=tell)
    if splits.train.classes != run.classes:
        raise RunError(
            f"{run.path} was trained on the classes {', '.join(run.classes)}, but "
            f"{splits.source} has {', '.join(splits.train.classes)}"
        )
    now = replace(
        run,
        network=network,
        recipe=recipe,
        data=lasting(source) if source else run.data,
        fingerprint=splits.fingerprint,
        compute=replace(compute, threads=min(compute.threads, torch.get_num_threads())),
        images=splits.train.volume,
        versions=versions(),
    )
    model = initial(now.network, now.recipe, splits.train, now.preparation)
    state = State(now.compute.place(model), now.recipe)
    warnings = restore(
        now, state, accept=accept, writes=ranks.first, anew=partial(_again, now, state)
    )
    done = state.progress.epochs
    if done > now.recipe.epochs:
        raise RunError(f"{run.path} has {done} epochs done: epochs={now.recipe.epochs} is too few")
    if done == now.recipe.epochs:
        warnings.append(f"all {done} epochs are done: a larger epochs=N, accepted, trains on")
    for what, version in now.versions.items():
        if run.versions.get(what) != version:
            before = run.versions.get(what, "an unknown version")
            warnings.append(f"{what} was {before} and is {version}: the last bits may differ")
    if ranks.first and now != run:
        now.write()
    return Session(now, splits, state, ranks, tuple(warnings))


def _again(run: Run, state: State) -> None:
    """Give the state the weights that the run began with, where it has not saved any yet."""
    if run.origin is None:
        return
    start = known(run.origin.source)
    if start.sha256 != run.origin.sha256:
        raise RunError(
            f"{run.path} began with the weights of {run.origin.source}, which are others now, and "
            "saved none before it stopped: begin a new run"
        )
    begin_with(start, state.model, run.network, run.classes, run.origin.head or None)
    if run.recipe.average is not None:
        state.average = Average(state.model, run.recipe.average)
