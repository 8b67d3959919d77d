"""The progress of a training run in a terminal, and a line an epoch everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from striate.records import EpochEnded, Evaluated, Record, Started, Stepped


def progress(records: Iterable[Record], console: Console | None = None) -> Iterator[Record]:
    """Pass records on, showing each first.

    Args:
        console: where; standard error by default, so that standard output carries results alone.

    A terminal has a bar with the epoch, the loss and the accuracy in training so far, images a
    second and the time left. Each epoch leaves a line: losses, accuracies, images a second.
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
    epochs = steps = seen = correct = 0
    total_loss = began = speed = 0.0
    passed: EpochEnded | None = None
    with bar:
        for record in records:
            match record:
                case Started():
                    epochs, steps = record.epochs, record.epochs * record.steps_per_epoch
                    bar.update(task, total=steps)
                    say(_opening(record))
                case Stepped():
                    seen += record.images
                    correct += record.images - record.wrong
                    total_loss += record.loss * record.images
                    speed = seen / max(record.seconds - began, 1e-9)
                    left = record.seconds / record.step * (steps - record.step)
                    bar.update(
                        task,
                        completed=record.step,
                        epoch=f"{record.epoch}/{epochs}",
                        figures=f"loss {total_loss / seen:.4f}  accuracy {correct / seen:.1%}  "
                        f"{speed:,.0f} images/s  {timedelta(seconds=round(left))} left",
                    )
                case EpochEnded():
                    passed = record
                case Evaluated(split="validation") if passed:
                    say(_line(passed, record, epochs, speed))
                    seen, correct, total_loss, began = 0, 0, 0.0, record.seconds
            yield record


def _opening(record: Started) -> str:
    placed = "" if record.images == record.input else f", centred in {record.input}"
    return (
        f"{record.parameters:,} parameters; {record.training:,} images of {record.images}"
        f"{placed}; {record.validation:,} more held out for validation"
    )


def _line(passed: EpochEnded, held_out: Evaluated, epochs: int, speed: float) -> str:
    number = f"{passed.epoch}/{epochs}"
    return (
        f"epoch {number:>{2 * len(str(epochs)) + 1}}  loss {passed.loss:.4f}  "
        f"accuracy {1 - passed.error:6.1%}  validation {1 - held_out.score.top1_error:6.1%}  "
        f"{speed:,.0f} images/s"
    )
