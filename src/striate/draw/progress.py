"""The progress of a training run in a terminal, and a line an epoch everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from striate.draw.plain import line
from striate.records import (
    Ended,
    EpochEnded,
    Evaluated,
    Featured,
    Record,
    Started,
    Stepped,
    Transferred,
    Warned,
)

SILENCE = 60.0  # seconds after which a log that is no terminal hears of an epoch under way
SHARES = {"waiting": "data", "forward": "forward", "backward": "backward", "update": "update"}


def progress(records: Iterable[Record], console: Console | None = None) -> Iterator[Record]:
    """Pass records on, showing each first.

    Args:
        console: where; standard error by default, so that standard output carries results alone.

    A terminal has a bar with the epoch, the loss and the accuracy in training so far, images a
    second, the time left, and how the time is spent: waiting for data, forward, backward, update.
    Each epoch leaves a line: losses, accuracies, images a second.
    """
    console = console or Console(stderr=True)
    bar = Progress(
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[figures]}"),
        console=console,
        expand=True,
        transient=True,
        disable=not console.is_terminal,
    )
    say = partial(console.print, highlight=False, soft_wrap=True)
    task = bar.add_task("", epoch="", figures="")
    epochs = steps = 0
    epoch, run = _Sums(), _Sums()
    heard = 0.0
    passed: EpochEnded | None = None
    validated = True
    with bar:
        for record in records:
            match record:
                case Started():
                    epochs, steps = record.epochs, record.epochs * record.steps_per_epoch
                    validated = bool(record.validation)
                    bar.update(task, total=steps, completed=record.step)
                    say(_opening(record))
                    epoch.began = run.began = heard = record.seconds
                case Transferred():
                    source = record.origin.source.removeprefix(f"{Path.cwd()}/")
                    said = line(f"from {source}: {record.origin}; {record.preparation}")
                    say(escape(said))
                case Featured():
                    depth, *sides = record.shape
                    shape = "x".join(map(str, (*sides, depth)))
                    once = "computed before" if record.kept else "computed once"
                    say(f"frozen up to {record.after}: {shape} of each image, {once}")
                case Stepped():
                    epoch.add(record)
                    run.add(record)
                    left = (record.seconds - run.began) / run.steps * (steps - record.step)
                    figures = f"{epoch.figures()}  {timedelta(seconds=round(left))} left"
                    number = f"{record.epoch}/{epochs}"
                    bar.update(
                        task,
                        completed=record.step,
                        epoch=number,
                        figures=f"{figures}  {run.shares()}" if console.width > 120 else figures,
                    )
                    if not console.is_terminal and record.seconds - heard > SILENCE:
                        heard = record.seconds
                        say(f"epoch {number} step {record.step:,}/{steps:,}  {figures}")
                case EpochEnded():
                    passed = record
                case Warned():
                    say(f"[bold yellow]warning[/]: {escape(line(record.message))}")
                case Ended():
                    if record.early:
                        say(
                            f"stopped early: the validation error was lowest after epoch "
                            f"{record.best_epoch}, whose weights are kept"
                        )
                    if run.steps:
                        say(f"time: {run.shares()}")
            if passed and isinstance(record, Evaluated if validated else EpochEnded):
                say(_line(passed, record, epochs, epoch.speed))
                passed, epoch, heard = None, _Sums(began=record.seconds), record.seconds
            yield record


@contextmanager
def working(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for work before training: what `Tell` of striate.data says."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        console=console,
        expand=True,
        transient=True,
        disable=not console.is_terminal,
    )
    tasks: dict[str, object] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(line(what))
        bar.update(tasks[what], completed=done, total=total or None)  # type: ignore[arg-type]

    with bar:
        yield tell


@dataclass
class _Sums:
    """Sums over the steps of an epoch or a run, from `began` on."""

    began: float = 0.0
    steps: int = 0
    seen: int = 0
    correct: int = 0
    loss: float = 0.0
    speed: float = 0.0
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SHARES, 0.0))

    def add(self, record: Stepped) -> None:
        self.steps += 1
        self.seen += record.images
        self.correct += record.images - record.wrong
        self.loss += record.loss * record.images
        self.speed = self.seen / max(record.seconds - self.began, 1e-9)
        for name in self.spent:
            self.spent[name] += getattr(record, name)

    def figures(self) -> str:
        return (
            f"loss {self.loss / self.seen:.4f}  accuracy {self.correct / self.seen:.1%}  "
            f"{self.speed:,.0f} images/s"
        )

    def shares(self) -> str:
        total = sum(self.spent.values()) or 1.0
        return "  ".join(f"{SHARES[name]} {each / total:.0%}" for name, each in self.spent.items())


def _opening(record: Started) -> str:
    placed = "" if record.images == record.input else f", centred in {record.input}"
    if record.images.height > record.input.height or record.images.width > record.input.width:
        placed = f", cut to {record.input}"
    first = f"; goes on after step {record.step:,}" if record.step else ""
    ranks = f"; {record.ranks} processes" if record.ranks > 1 else ""
    held_out = f"{record.validation:,} more" if record.validation else "none"
    return (
        f"{record.parameters:,} parameters; {record.training:,} images of {record.images}"
        f"{placed}; {held_out} held out for validation\n"
        f"on {record.compute}{ranks}{first}"
    )


def _line(passed: EpochEnded, last: Evaluated | EpochEnded, epochs: int, speed: float) -> str:
    number, validation = f"{passed.epoch}/{epochs}", ""
    if isinstance(last, Evaluated):
        validation = f"validation {1 - last.score.top1_error:6.1%}  "
    return (
        f"epoch {number:>{2 * len(str(epochs)) + 1}}  loss {passed.loss:.4f}  "
        f"accuracy {1 - passed.error:6.1%}  {validation}"
        f"{speed:,.0f} images/s"
    )
