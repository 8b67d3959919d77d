"""TensorBoard's event files hold the numbers of the records."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from toy import told

from striate.draw.board import board
from striate.errors import RunError
from striate.records import EpochEnded, Record, Started, Stepped

pytest.importorskip("tensorboard")


def test_every_number_is_in_the_event_files_by_its_step(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    records = told([2.0, 1.0, 0.5, 0.25], [0.25, 0.125])
    assert list(board(iter(records), tmp_path / "new" / "folder")) == records
    read = EventAccumulator(str(tmp_path / "new" / "folder"))
    read.Reload()
    found = {
        name: [(each.step, each.value) for each in read.Scalars(name)]
        for name in read.Tags()["scalars"]
    }
    assert found == {
        "loss/step": [(1, 2.0), (2, 1.0), (3, 0.5), (4, 0.25)],
        "learning rate": [(step, pytest.approx(0.1)) for step in (1, 2, 3, 4)],
        "loss/training": [(2, 1.0), (4, 0.25)],
        "error/training": [(2, 0.5), (4, 0.5)],
        "loss/validation": [(2, 1.0), (4, 0.25)],
        "error/validation": [(2, 0.25), (4, 0.125)],
    }


def test_a_run_that_goes_on_writes_over_what_it_does_again(tmp_path: Path) -> None:
    """After a resume, and after a rewind within a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def again(losses: list[float], step: int) -> list[Record]:
        began, *rest = told(losses, [0.5])
        moved = [
            replace(each, step=each.step + step)
            for each in rest
            if isinstance(each, Stepped | EpochEnded)
        ]
        assert isinstance(began, Started)
        return [replace(began, step=step), *moved]

    list(board(iter(told([4.0, 3.0, 2.0], [0.5])), tmp_path))
    list(board(iter([*again([8.0, 7.0], 1), *again([6.0], 2)]), tmp_path))
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    found = [(each.step, each.value) for each in read.Scalars("loss/step")]
    assert found == [(1, 4.0), (2, 8.0), (3, 6.0)]


def test_without_tensorboard_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RunError, match=r"not installed: pip install 'striate\[tensorboard\]'"):
        next(board(iter(told([1.0], [0.5])), tmp_path))
