"""The way that this machine computes a network fastest: measured, checked, kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import striate
from striate import probe as probing
from striate.compute import Compute
from striate.errors import RunError
from striate.probe import Choice, fastest, probe

NET = striate.read("[16x16x3] conv3-16 bn relu conv3-16 bn relu avgpool fc-4 softmax")
PLAIN = Compute("cpu", "float32", "contiguous", 2)
FUSED = replace(PLAIN, memory_format="channels_last", engine="fused")
HALF = replace(FUSED, precision="bfloat16")
Rate = Callable[..., float]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(probing, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(probing, "quiet", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path


@pytest.fixture
def two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def rates(monkeypatch: pytest.MonkeyPatch, told: dict[Compute, float | Exception]) -> None:
    def rate(model: object, images: object, way: Compute) -> float:
        found = told.get(way, 1.0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(probing, "_rate", rate)


def test_a_real_probe_measures_every_way_and_leaves_no_trace() -> None:
    torch.manual_seed(7)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    found = probe(NET, 2000)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert len(found.rates) + len(found.left_out) >= 3
    assert all(rate > 0 for rate in found.rates.values())
    assert "in a probe of" in found.reason
    assert str(found.compute) in found.rates


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("told", "chosen"),
    [
        ({PLAIN: 100.0, FUSED: 150.0, HALF: 400.0}, HALF),
        ({PLAIN: 100.0, FUSED: 150.0, HALF: 155.0}, FUSED),  # too little to give up digits for
        ({PLAIN: 100.0, FUSED: 105.0, HALF: 20.0}, PLAIN),  # a processor that emulates bfloat16
        ({PLAIN: 100.0, FUSED: 150.0, HALF: RunError("conv is not right")}, FUSED),
        ({PLAIN: 100.0, HALF: 400.0, replace(HALF, threads=1): 390.0}, replace(HALF, threads=1)),
    ],
)
def test_the_plainer_way_is_taken_unless_another_gains(
    monkeypatch: pytest.MonkeyPatch, told: dict[Compute, float | Exception], chosen: Compute
) -> None:
    rates(monkeypatch, told)
    found = probe(NET, 2000)
    assert found.compute == chosen
    for way, rate in told.items():
        if isinstance(rate, Exception):
            assert found.left_out[str(way)] == "conv is not right"


@pytest.mark.usefixtures("two_threads")
def test_what_was_measured_is_recalled(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    rates(monkeypatch, {PLAIN: 100.0, HALF: 400.0})
    first = probe(NET, 2000)
    monkeypatch.setattr(probing, "_rate", lambda *given: pytest.fail("measured again"))
    assert probe(NET, 2000) == first
    (kept,) = (own_cache / "probes").iterdir()
    kept.write_text("{")
    rates(monkeypatch, {PLAIN: 100.0, FUSED: 400.0})
    assert probe(NET, 2000).compute == FUSED  # a damaged file is none


@pytest.mark.usefixtures("two_threads")
def test_what_a_busy_machine_told_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setattr(probing, "quiet", lambda: False)
    rates(monkeypatch, {})
    assert "beside other programs: the next run measures anew" in probe(NET, 2000).reason
    assert not (own_cache / "probes").exists()


@pytest.mark.usefixtures("two_threads")
def test_beside_other_programs_every_way_is_tried_on_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There two threads wait for each other, and what wins on two need not win on one."""
    alone = {replace(PLAIN, threads=1): 80.0, replace(HALF, threads=1): 320.0}
    rates(monkeypatch, {PLAIN: 10.0, FUSED: 20.0, HALF: 15.0} | alone)
    monkeypatch.setattr(probing, "quiet", lambda: False)
    assert probe(NET, 2000).compute == replace(HALF, threads=1)
    monkeypatch.setattr(probing, "quiet", lambda: True)
    assert probe(NET, 2000).compute == FUSED


@pytest.mark.usefixtures("two_threads")
def test_where_nothing_can_be_written_it_is_measured_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(probing, "cache_folder", lambda: tmp_path / "file")
    rates(monkeypatch, {PLAIN: 100.0, HALF: 400.0})
    assert probe(NET, 2000).compute == HALF


def test_what_a_person_says_and_small_steps_need_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "probe", lambda *given, **named: pytest.fail("it measured"))
    large = striate.read("resnet18")
    assert fastest(NET, 1) == Compute("cpu", "float32", "contiguous", 1)
    assert fastest(large, 8, exact=True).precision == "float32"
    assert fastest(large, 8, precision="float32").precision == "float32"
    assert fastest(large, 8, engine="fused").engine == "fused"
    with pytest.raises(RunError, match="no device"):
        fastest(large, 8, device="tpu")


def test_the_reason_is_said_with_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = Choice(HALF, "3.1 times as fast as plain float32 in a probe of 0.9 s", {}, {})
    monkeypatch.setattr(probing, "probe", lambda *given, **named: choice)
    found = fastest(striate.read("resnet18"), 8)
    assert found == HALF
    assert str(found) == (
        "cpu, 2 threads, bfloat16, channels last, fused: "
        "3.1 times as fast as plain float32 in a probe of 0.9 s"
    )
