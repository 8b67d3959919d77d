"""The curve of a run in a terminal."""

from __future__ import annotations

import pytest
import toy
from toy import told

from striate.draw.curve import curve
from striate.recipes import Recipe

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


def test_the_curve_of_a_real_run_has_no_blank_patterns() -> None:
    """Empty cells are spaces: fonts draw the pattern without dots too."""
    _, records, _, _ = toy.trained(Recipe(epochs=2, batch=10))
    assert "⠀" not in curve(records).plain
