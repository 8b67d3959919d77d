"""What is shown of a run as it goes: a bar in a terminal, lines everywhere else."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace

import pytest
import toy
from rich.console import Console
from toy import told

from striate.draw.progress import progress, working
from striate.recipes import Recipe
from striate.records import Ended, Evaluated, Record, Started, Stepped, Warned


def shown(records: Iterable[Record], width: int = 40) -> list[str]:
    """The lines that a file gets."""
    written = io.StringIO()
    passed = list(progress(iter(records), Console(file=written, width=width)))
    assert passed == list(records)
    return written.getvalue().splitlines()


def in_terminal(records: Iterable[Record], width: int) -> str:
    """All that a terminal gets."""
    written = io.StringIO()
    console = Console(file=written, width=width, force_terminal=True, color_system=None)
    list(progress(records, console))
    return written.getvalue()


def test_without_a_terminal_each_epoch_is_a_line() -> None:
    """Whole ones, however narrow whatever is there says it is."""
    assert shown(told([2.0, 1.0, 0.5, 0.25], [0.25, 0.125])) == [
        "2,345 parameters; 48 images of 4x4x1, centred in 8x8x1; 12 more held out for validation",
        "on cpu, 1 thread, float32",
        "epoch 1/2  loss 1.0000  accuracy  50.0%  validation  75.0%  10 images/s",
        "epoch 2/2  loss 0.2500  accuracy  50.0%  validation  87.5%  10 images/s",
        "time: data 10%  forward 20%  backward 50%  update 20%",
    ]


def test_without_validation_an_epoch_still_has_its_line() -> None:
    records = told([2.0, 1.0, 0.5, 0.25], [0.25, 0.125])
    blind = [replace(each, validation=0) if isinstance(each, Started) else each for each in records]
    assert shown([each for each in blind if not isinstance(each, Evaluated)]) == [
        "2,345 parameters; 48 images of 4x4x1, centred in 8x8x1; none held out for validation",
        "on cpu, 1 thread, float32",
        "epoch 1/2  loss 1.0000  accuracy  50.0%  10 images/s",
        "epoch 2/2  loss 0.2500  accuracy  50.0%  10 images/s",
        "time: data 10%  forward 20%  backward 50%  update 20%",
    ]


def test_without_a_terminal_a_long_epoch_is_heard_of_every_minute() -> None:
    """The last line tells the time that remains; after an epoch's own line the minute is new."""
    lines = shown(told([1.0] * 260, [0.5, 0.5]))
    steps = [line for line in lines if " step " in line]
    assert [line.split("  ")[0] for line in steps] == [
        f"epoch {epoch}/2 step {step}/260"
        for epoch, step in ((1, 61), (1, 122), (2, 191), (2, 252))
    ]
    assert steps[0].endswith("loss 1.0000  accuracy 50.0%  10 images/s  0:03:19 left")


def test_a_terminal_has_a_bar_with_the_time_left() -> None:
    text = in_terminal(told([2.0, 1.0, 0.5], [0.25, 0.125, 0.1])[:-3], width=100)
    assert "epoch 3/3" in text
    assert "loss 0.5000  accuracy 50.0%  10 images/s  0:00:00 left" in text
    assert "backward" not in text, "there is no room for it"


def test_a_wide_terminal_also_says_how_the_time_is_spent() -> None:
    text = in_terminal(told([1.0] * 4, [0.5])[:-3], width=150)
    assert "0:00:00 left  data 10%  forward 20%  backward 50%  update 20%" in text


def test_a_run_that_goes_on_counts_its_time_from_where_it_did() -> None:
    """And says where that is."""
    records = told([1.0] * 8, [0.5, 0.5])
    evaluated = next(at for at, each in enumerate(records) if isinstance(each, Evaluated))
    started = records[0]
    assert isinstance(started, Started)
    resumed = replace(started, step=4, seconds=4.0, ranks=2)
    lines = shown([resumed, *records[evaluated + 1 :]])
    assert lines[1] == "on cpu, 1 thread, float32; 2 processes; goes on after step 4"
    assert lines[2].startswith("epoch 2/2") and lines[2].endswith("10 images/s")


@pytest.mark.parametrize("width", [40, 150])
def test_a_warning_is_one_line_whatever_it_quotes(width: int) -> None:
    """A folder's name may hold new lines, rich's brackets and a terminal's commands."""
    lines = shown([Warned(3, "runs/[/red]\n\x1b[2Jé is damaged", 1.0)], width)
    assert lines == ["warning: runs/[/red]\\n\\x1b[2Jé is damaged"]


def test_an_early_stop_is_said_with_the_epoch_whose_weights_are_kept() -> None:
    lines = shown(told([1.0] * 6, [0.5, 0.25, 0.5], early=True))
    assert lines[-2] == (
        "stopped early: the validation error was lowest after epoch 2, whose weights are kept"
    )


def test_a_run_that_had_ended_shows_no_times() -> None:
    records = told([1.0], [0.5])
    assert len(shown([records[0], records[-1]])) == 2


def test_what_is_shown_first_is_passed_on_then() -> None:
    """A reader further on may stop anywhere, and the display ends with it."""
    written = io.StringIO()
    console = Console(file=written, width=100, force_terminal=True, color_system=None)
    for record in progress(told([1.0] * 4, [0.5]), console):
        if isinstance(record, Stepped) and record.step == 2:
            break
    assert "epoch 1/1" in written.getvalue()


def test_a_real_run_is_shown_whole() -> None:
    _, records, _, _ = toy.trained(Recipe(epochs=2, batch=10))
    assert isinstance(records[-1], Ended)
    assert sum("images/s" in line for line in shown(records)) == 2


def test_work_before_training_has_bars_in_a_terminal_and_is_silent_elsewhere() -> None:
    """Whatever the names of what is worked on hold, and where nobody knows how much there is."""
    for terminal in (True, False):
        written = io.StringIO()
        console = Console(file=written, width=80, force_terminal=terminal, color_system=None)
        with working(console) as tell:
            tell("decoding [/b]photos", 3, 10)
            tell("decoding [/b]photos", 10, 10)
            tell("looking", 1, 0)
        assert ("decoding [/b]photos" in written.getvalue()) is terminal
        assert terminal or not written.getvalue()
