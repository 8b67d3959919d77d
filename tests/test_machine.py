"""What the machine can do: measured once, kept, measured again when the file is no good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from striate.compute import Compute
from striate.timing import machine
from striate.timing.machine import Rates, Readings, memory, rates


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SIDE", 32)
    monkeypatch.setattr(machine, "COPIED", 2**12)


def test_the_limit_is_the_slower_of_arithmetic_and_memory() -> None:
    rates = Rates(products=100.0, traffic=10.0)
    assert rates.ridge == 10
    assert rates.seconds(flops=200, moved=10) == 2
    assert rates.seconds(flops=200, moved=30) == 3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_rates_are_measured_once(precision: str, tmp_path: Path) -> None:
    compute = Compute(precision=precision)
    first = rates(compute, Readings(tmp_path))
    assert first.products > 0
    assert first.traffic > 0
    assert rates(compute, Readings(tmp_path)) == first


def test_each_precision_and_number_of_threads_has_rates_of_its_own(tmp_path: Path) -> None:
    for threads in (1, 2):
        rates(Compute(threads=threads), Readings(tmp_path))
    rates(Compute(precision="bfloat16"), Readings(tmp_path))
    assert len(Readings(tmp_path).kept) == 5  # three products, two of traffic


def test_measuring_leaves_the_number_of_threads_as_it_was(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    rates(Compute(threads=before + 1), Readings(tmp_path))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 1}', '{"a": ["b"]}', "\0"])
def test_a_damaged_file_is_measured_anew(damage: str, tmp_path: Path) -> None:
    readings = Readings(tmp_path)
    readings.path.write_text(damage)
    again = Readings(tmp_path)
    assert again.get("what", lambda: [1.0, 2.0]) == [1.0, 2.0]
    again.save()
    assert json.loads(readings.path.read_text()) == {"what": [1.0, 2.0]}


def test_what_another_process_kept_stays(tmp_path: Path) -> None:
    one, other = Readings(tmp_path), Readings(tmp_path)
    one.get("one", lambda: [1.0])
    one.save()
    other.get("other", lambda: [2.0])
    other.save()
    assert Readings(tmp_path).kept == {"one": [1.0], "other": [2.0]}


def test_fresh_readings_pass_over_what_is_kept(tmp_path: Path) -> None:
    kept = Readings(tmp_path)
    kept.get("what", lambda: [1.0])
    kept.save()
    assert Readings(tmp_path, fresh=True).get("what", lambda: [2.0]) == [2.0]


def test_of_two_readings_the_lower_counts(tmp_path: Path) -> None:
    """And there is no third one, nor a second of what was kept from before."""
    readings = Readings(tmp_path)
    assert readings.get("what", lambda: [3.0, 1.0]) == [3.0, 1.0]
    assert readings.get("what", lambda: [2.0, 2.0]) == [3.0, 1.0]
    assert readings.get("what", lambda: [2.0, 2.0], again=True) == [2.0, 1.0]
    assert readings.get("what", lambda: [0.0, 0.0], again=True) == [2.0, 1.0]
    readings.save()
    assert Readings(tmp_path).get("what", lambda: [0.0, 0.0], again=True) == [2.0, 1.0]


def test_a_folder_that_cannot_be_written_keeps_nothing_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    readings = Readings(tmp_path / "file" / "below")
    assert readings.get("what", lambda: [1.0]) == [1.0]
    readings.save()


def test_there_is_some_memory() -> None:
    assert memory() > 10**8
