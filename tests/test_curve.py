"""What a terminal shows of a run: the curve, and the progress."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
import toy
from rich.console import Console

from striate.draw.curve import curve
from striate.draw.progress import progress
from striate.layers import Volume
from striate.recipes import Recipe
from striate.records import Ended, EpochEnded, Evaluated, Record, Score, Started, Stepped

STEADY = """\
training loss → 0.01             validation error, % → 10
   0.89 ┤⠈⠢⡀                          40 ┤     ⠑⢄
        │  ⠈⠑⢄                           │       ⠉⠢⡀
        │     ⠑⢄                         │         ⠈⠢⢄
        │       ⠑⠢⡀                      │            ⠑⠤⡀
  0.094 ┤         ⠈⠢⢄                 20 ┤              ⠈⠢⢄
        │            ⠑⠤⡀                 │                 ⠑⢄
        │              ⠈⠢⡀               │                   ⠉⠢
        │                ⠈⠢⣀             │
   0.01 ┤                   ⠑⢄         0 ┤
        └─────────────────────           └─────────────────────
         0            4 epochs            0            4 epochs"""


def told(losses: Sequence[float], errors: Sequence[float]) -> list[Record]:
    """The records of a run with so many epochs as errors and a step for each loss."""
    volume, epochs = Volume(4, 4, 1), max(1, len(errors))
    each = len(losses) // epochs
    records: list[Record] = [Started(volume, Volume(8, 8, 1), 48, 12, epochs, each or 1, 2345)]
    for step, loss in enumerate(losses, 1):
        epoch = (step - 1) // (each or 1) + 1
        records.append(Stepped(epoch, step, loss, 10, 5, float(step)))
        if step == each * epoch and errors:
            records.append(EpochEnded(epoch, step, loss, 0.5, float(step)))
            scored = Score(12, loss, errors[epoch - 1], 0.0)
            records.append(Evaluated(epoch, "validation", scored, float(step)))
    return [*records, Ended(epochs, len(losses), float(len(losses)))]


@pytest.mark.parametrize("width", [40, 60, 81, 100])
@pytest.mark.parametrize(
    "losses", [[2.3], [2.3, 0.0], [0.0] * 4, [10.0 ** (-n / 9) for n in range(900)]]
)
def test_a_curve_keeps_to_its_width(width: int, losses: list[float]) -> None:
    for errors in ([0.5], [0.5, 0.0], [0.0, 0.0]):
        lines = curve(told(losses, errors), width).plain.split("\n")
        assert len(lines) == 12
        assert {len(line) for line in lines} <= {width, width - 1}


def test_a_steady_fall_is_a_straight_line_from_corner_to_corner() -> None:
    """The loss on its logarithmic scale, the error from 0 up."""
    records = told([10.0 ** (-n / 20) for n in range(1, 41)], [0.4, 0.3, 0.2, 0.1])
    drawn = [line.rstrip() for line in curve(records, 63).plain.split("\n")]
    assert drawn == STEADY.split("\n")


def test_steps_that_share_a_column_are_averaged() -> None:
    """Steps between 1 and 3, fifty to a column, are nearly as flat as their mean."""
    drawn = curve(told([1.0, 3.0] * 1000, [0.5] * 4), 60).plain
    assert "training loss → 2" in drawn
    assert " 2.0" in drawn.splitlines()[1]


def test_a_run_without_steps_draws_nothing() -> None:
    drawn = curve([], 60).plain
    assert "training loss" in drawn and "⠁" not in drawn and "→" not in drawn


def test_without_a_terminal_each_epoch_is_a_line() -> None:
    written = io.StringIO()
    records = told([2.0, 1.0, 0.5, 0.25], [0.25, 0.125])
    passed = list(progress(iter(records), Console(file=written, width=40)))
    assert passed == records
    assert written.getvalue().splitlines() == [
        "2,345 parameters; 48 images of 4x4x1, centred in 8x8x1; 12 more held out for validation",
        "epoch 1/2  loss 1.0000  accuracy  50.0%  validation  75.0%  10 images/s",
        "epoch 2/2  loss 0.2500  accuracy  50.0%  validation  87.5%  10 images/s",
    ]


def test_a_terminal_has_a_bar_with_the_time_left() -> None:
    written = io.StringIO()
    console = Console(file=written, width=100, force_terminal=True, color_system=None)
    for record in progress(told([2.0, 1.0, 0.5, 0.25], [0.25, 0.125]), console):
        if isinstance(record, Stepped) and record.step == 3:
            break
    shown = written.getvalue()
    assert "epoch 2/2" in shown
    assert "loss 0.5000  accuracy 50.0%  10 images/s  0:00:01 left" in shown


def test_a_real_run_is_shown_whole() -> None:
    _, records, _, _ = toy.trained(Recipe(epochs=2, batch=10))
    written = io.StringIO()
    assert list(progress(records, Console(file=written))) == records
    assert written.getvalue().count("images/s") == 2
    assert "⠀" not in curve(records).plain, "empty cells are spaces: fonts draw the blank pattern"
