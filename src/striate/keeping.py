"""Keeping a run: its records as they come, its checkpoints when they are due, and the way back."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from striate import checkpoints
from striate.errors import RunError
from striate.recipes import to_toml
from striate.records import EpochEnded, Evaluated, Record, Saved, Started, Stepped, Stopped, to_json
from striate.runs import Run
from striate.state import State, weights_among
from striate.storage import copy, read_tensors, write_tensors

EVERY = 300.0  # seconds between checkpoints within an epoch
LAST = 2  # checkpoints kept beside the best


def keep(
    run: Run,
    state: State,
    records: Iterable[Record],
    *,
    every: float = EVERY,
    last: int = LAST,
) -> Iterator[Record]:
    """Pass a run's records on; write each to its folder, and a checkpoint where one is due.

    That is at the start, so that a folder which takes nothing is known before hours are spent;
    after each epoch; where training was asked to stop; and within an epoch every so many seconds.
    A `Saved` follows each.

    Args:
        every: seconds.
        last: how many checkpoints stay beside that of the best epoch.

    Raises:
        RunError: the folder takes no more. What was saved before stays.
    """
    saved, steps, validated = monotonic(), 0, True
    with _Log(run) as log:
        for record in records:
            log.write(record)
            yield record
            match record:
                case Started():
                    steps, validated = record.steps_per_epoch, bool(record.validation)
                    due = state.unsaved
                case Stepped():
                    # An epoch's last step is saved with what the epoch was found to be worth.
                    due = monotonic() - saved >= every and bool(record.step % steps)
                case Stopped():
                    due = True
                case _:
                    due = isinstance(record, Evaluated if validated else EpochEnded)
                    if due:
                        _keep_weights(run, state)
            if due:
                path = _save(run, state, log, last)
                saved = monotonic()
                told = Saved(state.progress.step, str(path), record.seconds)
                log.write(told)
                yield told


def keep_now(run: Run, state: State, records: Iterable[Record]) -> None:
    """Write records, the weights as they are and a checkpoint: a run that was trained elsewhere.

    Raises:
        RunError: the folder takes no more.
    """
    with _Log(run) as log:
        for record in records:
            log.write(record)
        _keep_weights(run, state)
        _save(run, state, log, LAST)


def note(run: Run, record: Record) -> None:
    """Add a record of what came after training."""
    with _Log(run) as log:
        log.write(record)


def restore(
    run: Run,
    state: State,
    *,
    accept: bool = False,
    writes: bool = True,
    anew: Callable[[], object] = lambda: None,
) -> list[str]:
    """Bring a fresh state to the newest checkpoint that is whole, and the records with it.

    Args:
        accept: take a changed network or recipe or other images as they are now, and go on.
        writes: bring the folder back too; of many processes, the first does.
        anew: gives the state its first weights, where there is no checkpoint.

    Returns:
        What a person should know: a damaged checkpoint that was passed over, an accepted change.

    Raises:
        RunError: the run was made from something else than what it would go on with.
    """
    found, warnings = checkpoints.newest(run.checkpoints)
    if found is None:
        if warnings and not accept:
            raise RunError(
                "\n  ".join([f"{run.path} has no checkpoint that is whole:", *warnings])
                + "\n--accept-changes starts the run anew"
            )
        if writes:
            with _Log(run) as log:
                log.cut(0)
        anew()
        return [*warnings, "there is no checkpoint: the run starts anew"]
    if warnings:
        warnings.append(f"{found.path.name} is used in its place")
    before, now = found.about["made from"], _made_from(run)
    changes = [
        f"{what}: {_difference(before[what], now[what])}"
        for what in now
        if before[what] != now[what]
    ]
    if changes and not accept:
        raise RunError(
            f"{run.path} would not go on as it began:\n  "
            + "\n  ".join([*changes, *warnings])
            + "\n--accept-changes goes on all the same"
        )
    state.load(found.tensors, found.about["progress"])
    state.unsaved = bool(changes)
    if writes:
        with _Log(run) as log:
            log.cut(int(found.about["records"]))
        checkpoints.discard_after(run.checkpoints, state.progress.step)
        if state.progress.epochs and not _best_is_right(run, state):
            warnings.append(
                f"the weights of epoch {state.progress.best_epoch}, the best, are lost: "
                "best.safetensors is damaged, and no checkpoint has them"
            )
    return [*warnings, *changes]


def _save(run: Run, state: State, log: _Log, last: int) -> Path:
    progress = state.progress
    about = {
        "progress": asdict(progress),
        "records": log.flush(),
        "made from": _made_from(run),
    }
    path = checkpoints.save(run.checkpoints, progress.step, state.tensors(), about)
    state.unsaved = False
    checkpoints.discard_after(run.checkpoints, progress.step)
    checkpoints.prune(run.checkpoints, last, also=progress.ends[progress.best_epoch - 1 :][:1])
    return path


def _made_from(run: Run) -> dict[str, str]:
    return {
        "network": str(run.network),
        "recipe": to_toml(run.recipe),
        "images": f"SHA-256 {run.fingerprint}",
    }


def _difference(before: str, now: str) -> str:
    """The lines that changed."""
    lines = difflib.ndiff(before.splitlines(), now.splitlines())
    return ", ".join(
        f"{'was' if line[0] == '-' else 'is'} {line[2:].strip()}"
        for line in lines
        if line[0] in "-+"
    )


def _keep_weights(run: Run, state: State) -> None:
    """The weights after an epoch; the best and those to use are copies of the right ones."""
    epoch = state.progress.epochs
    write_tensors(run.path / "last.safetensors", state.weights(), {"epoch": str(epoch)})
    if state.progress.best_epoch == epoch:
        copy(run.path / "last.safetensors", run.path / "best.safetensors")
    _choose(run)


def _choose(run: Run) -> None:
    use = "best" if run.recipe.early_stopping else "last"
    copy(run.path / f"{use}.safetensors", run.path / "weights.safetensors")


def _best_is_right(run: Run, state: State) -> bool:
    """Whether the best weights on disk are; if not, they are taken from a checkpoint.

    They may be damaged, or of a future that was given up.
    """
    path, progress = run.path / "best.safetensors", state.progress
    about: dict[str, str] = {}
    with suppress(RunError):
        about = read_tensors(path)[1]
    right = about.get("epoch") == str(progress.best_epoch)
    if not right:
        with suppress(RunError):
            found = checkpoints.read(run.checkpoints, progress.ends[progress.best_epoch - 1])
            write_tensors(path, weights_among(found.tensors), {"epoch": str(progress.best_epoch)})
            right = True
    with suppress(RunError):
        _choose(run)
    return right


class _Log:
    """metrics.jsonl: a line for each record."""

    def __init__(self, run: Run) -> None:
        self.path = run.path / "metrics.jsonl"
        with self._said():
            self.file = self.path.open("ab")

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # what could not be written has been said
            self.file.close()

    def write(self, record: Record) -> None:
        with self._said():
            self.file.write(f"{to_json(record)}\n".encode())
            self.file.flush()

    def flush(self) -> int:
        """Make the records reach the disk; returns how many bytes they are."""
        with self._said():
            self.file.flush()
            os.fsync(self.file.fileno())
        return self.file.tell()

    def cut(self, size: int) -> None:
        """Forget the records after so many bytes: what they tell of will happen again."""
        with self._said():
            self.file.truncate(min(size, self.path.stat().st_size))

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as reason:
            raise RunError(f"{self.path} cannot be written: {reason.strerror}") from None
