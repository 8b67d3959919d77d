"""A run from its beginning or from where it stopped, to its end: what `striate train` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from striate.compute import Compute
from striate.data import Splits, prepare
from striate.data.tell import Tell, silent
from striate.diagnosis import NotFinite
from striate.errors import RunError
from striate.keeping import EVERY, keep, note, restore
from striate.network import Network
from striate.ranks import ALONE, Ranks
from striate.recipes import Recipe
from striate.records import Record, Warned
from striate.runs import Run, create_run, lasting, open_run
from striate.state import State, initial
from striate.train import train

REWIND = 0.5  # the rate's factor each time a run goes back
MOST_REWINDS = 10


@dataclass(frozen=True)
class Session:
    """A run in work: its folder, its images, its state.

    Attributes:
        warnings: what resuming it brought to light.
    """

    run: Run
    splits: Splits
    state: State
    ranks: Ranks = ALONE
    warnings: tuple[str, ...] = ()

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
        for warning in self.warnings:
            yield Warned(self.state.progress.step, warning, self.state.progress.seconds)
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
                yield from (
                    keep(self.run, self.state, records, every=every)
                    if self.ranks.first
                    else records
                )
                return
            except NotFinite as error:
                if not rewind or self.state.progress.rewinds == MOST_REWINDS:
                    raise
                yield self._rewound(error)

    def _rewound(self, error: NotFinite) -> Record:
        """Back at the last checkpoint, with a lower rate."""
        before = self.state.progress
        restore(self.run, self.state, writes=self.ranks.first)
        progress = self.state.progress
        progress.lowered, progress.rewinds = before.lowered * REWIND, before.rewinds + 1
        rate = f"the learning rate times {progress.lowered:g}"
        message = f"{error}. Back to step {progress.step}, {rate}"
        return Warned(progress.step, message, progress.seconds)


def begin(
    path: Path | None,
    network: Network,
    splits: Splits,
    recipe: Recipe,
    compute: Compute,
    *,
    ranks: Ranks = ALONE,
) -> Session:
    """A new run in a new folder.

    Raises:
        DataError: the images do not fit the network.
        RunError: the folder cannot be made or holds something, or the recipe cannot be followed.
    """
    preparation = prepare(network, splits, recipe.normalisation)
    model = compute.place(initial(network, recipe, splits.train, preparation))
    state = State(model, recipe)
    run = None
    if ranks.first:
        run = create_run(path, network, splits, preparation, recipe, compute)
        for file in splits.unreadable:
            note(run, Warned(0, f"passed over {file.path}: {file.reason}", 0.0))
    where = ranks.told(str(run.path) if run else "")
    return Session(run or replace(open_run(where), compute=compute), splits, state, ranks)


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
    splits = run.splits(source, tell=tell)
    if splits.train.classes != run.classes:
        raise RunError(
            f"{run.path} was trained on the classes {', '.join(run.classes)}, but "
            f"{splits.source} has {', '.join(splits.train.classes)}"
        )
    now = replace(
        run,
        network=network or run.network,
        recipe=recipe or run.recipe,
        data=lasting(source) if source else run.data,
        fingerprint=splits.fingerprint,
        compute=compute or run.compute,
    )
    model = initial(now.network, now.recipe, splits.train, now.preparation)
    state = State(now.compute.place(model), now.recipe)
    warnings = restore(now, state, accept=accept, writes=ranks.first)
    if ranks.first and now != run:
        now.write()
    return Session(now, splits, state, ranks, tuple(warnings))
