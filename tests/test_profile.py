"""Where the time of a step goes: the right rows, their counts, and times that are their own."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from conftest import Run
from torch import nn

import striate
from striate.compute import Compute
from striate.draw.plain import plain
from striate.draw.speed import duration, ms, render, to_json
from striate.errors import DataError, RunError
from striate.fast.kernels import NoKernels, library
from striate.network import Network
from striate.recipes import Recipe
from striate.timing import machine, profile, timers
from striate.timing.profile import Profile
from striate.timing.timers import Timers

RESIDUAL = striate.read(
    """[8x8x3] conv3-8 bn relu
    add(conv3-8 bn relu conv3-8 bn | id) relu
    add(conv3-16/2(floor) bn relu conv3-16 bn | conv1-16/2(floor)) relu
    avgpool fc-4 softmax"""
)
BATCH = 4


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SIDE", 32)
    monkeypatch.setattr(machine, "COPIED", 2**12)
    monkeypatch.setattr(profile, "SECONDS", 0.0)


def profiled(network: Network, compute: Compute | None = None) -> Profile:
    return profile.profile(network, Recipe(batch=BATCH), compute or Compute())


def test_layers_are_the_rows_of_the_table_in_their_order() -> None:
    rows = [row.name for row in RESIDUAL.account().rows]
    names = [layer.name for layer in profiled(RESIDUAL).layers]
    assert names == [name for name in rows if name in names]
    # What computes nothing has no time: the input, id, the softmax apart.
    assert set(rows) - set(names) == {"input", "add1.branch2.id1", "softmax1"}


def test_multiply_adds_and_flops_are_those_of_the_batch() -> None:
    """Two for each multiply-add; backward twice as many, but for the first layer's input."""
    found, totals = profiled(RESIDUAL), RESIDUAL.account().totals
    assert sum(layer.macs for layer in found.layers) == BATCH * totals.macs
    first = found.layers[0].macs
    assert found.flops == 2 * (3 * BATCH * totals.macs - first)


def test_bytes_are_what_is_met_and_given_and_the_weights() -> None:
    network = striate.read("[4x4x3] conv3-8 fc-4 softmax")
    first, second = profiled(network).layers
    image, middle, scores = 4 * BATCH * 48, 4 * BATCH * 128, 4 * BATCH * 4
    weights, dense = 4 * (3 * 9 * 8 + 8), 4 * (128 * 4 + 4)
    # The images need no gradient.
    assert first.bytes == 2 * (image + middle + weights) + weights
    assert second.bytes == 2 * (middle + scores + dense) + middle + dense


def test_a_part_computed_as_a_whole_is_one_row() -> None:
    """LeNet-5's C3: six branches and more, one convolution in training."""
    found = {layer.name: layer for layer in profiled(striate.read("lenet5")).layers}
    assert found["c3"].macs == BATCH * sum(
        row.macs for row in striate.read("lenet5").account().rows if row.name.startswith("c3.")
    )
    assert not any(name.startswith("c3.") for name in found)
    assert "s2" in found  # a pool inside it is its own


def test_layers_computed_in_one_are_named_by_all() -> None:
    try:
        library()
    except NoKernels as reason:
        pytest.skip(str(reason))
    fused = Compute(memory_format="channels_last", engine="fused")
    found, plainly = profiled(RESIDUAL, fused), profiled(RESIDUAL)
    assert found.flops == plainly.flops
    rows = {row for layer in found.layers for row in layer.name.rpartition(".")[2].split("+")}
    assert {"bn1", "relu1", "bn2", "add1", "relu2"} <= rows
    kinds = {layer.kind for layer in found.layers}
    assert {"bn+relu", "bn+add+relu"} <= kinds


def test_heads_that_only_train_are_there() -> None:
    network = striate.read(
        "[8x8x3] conv3-8 relu label: conv3-8 relu avgpool fc-4 softmax\n"
        "head side from @label: avgpool fc-4 softmax"
    )
    names = {layer.name for layer in profiled(network).layers}
    heads = {row.name for row in network.account().heads["side"] if row.kind == "fc"}
    assert heads <= names


def test_a_compiled_network_has_no_layers() -> None:
    with pytest.raises(RunError, match="no layers to time one by one: --engine fused has"):
        profiled(RESIDUAL, Compute(engine="compiled"))


def test_a_network_without_classes_cannot_be_profiled() -> None:
    with pytest.raises(DataError, match="let its text end in fc"):
        profiled(striate.read("[8x8x3] conv3-8 relu"))


# -- timers


class Pair(nn.Module):
    """A container with work of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        first: torch.Tensor = self.first(given)
        return first + self.second(given)


def test_a_modules_time_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by one each time it is read, hooks take no time at all."""
    clock = itertools.count()
    monkeypatch.setattr(timers, "now", lambda device: float(next(clock)))
    module, given = Pair(), torch.randn(2, 3)
    with Timers("cpu") as found:
        module(given).sum().backward()
        taken = found.taken()
    # Entering a module and leaving it are one reading apart, whatever is inside.
    assert taken.forward["first"] == taken.forward["second"]
    assert set(taken.forward) == {"", "first", "second"}
    # Each node is one: addmm, the transposed weight, two weights to accumulate; the sum's one.
    assert taken.backward["first"] == taken.backward["second"] >= 3
    assert taken.backward[""] == 1


def test_timers_leave_no_hook_behind() -> None:
    module, given = Pair(), torch.randn(2, 3)
    with Timers("cpu") as found:
        pass
    module(given).sum().backward()
    assert not found.taken().calls


def test_timers_change_nothing() -> None:
    module, given = Pair(), torch.randn(2, 3)
    module(given).sum().backward()
    before = [each.grad.clone() for each in module.parameters() if each.grad is not None]
    module.zero_grad()
    with Timers("cpu"):
        module(given).sum().backward()
    after = [each.grad for each in module.parameters() if each.grad is not None]
    assert all(map(torch.equal, before, after))


# -- what is shown


def test_the_table_says_all_that_takes_time() -> None:
    text = plain(render(profiled(RESIDUAL)))
    for words in ("conv1", "add1.branch1.bn2", "feeding", "update", "images/s", "of peak"):
        assert words in text


def test_of_a_long_network_the_longest_are_shown() -> None:
    network = striate.read("[8x8x3] (conv3-4 bn relu)*12 avgpool fc-4 softmax")
    found = profiled(network)
    assert "6 others" in plain(render(found))
    assert "others" not in plain(render(found, every=True))


def test_json_holds_every_layer() -> None:
    found = profiled(RESIDUAL)
    told = json.loads(to_json(found))
    assert [each["name"] for each in told["layers"]] == [each.name for each in found.layers]
    assert told["flops"] == found.flops
    assert told["layers"][0]["volume"] == "8x8x8"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0001234, "0.123 ms"),
        (0.01234, "12.3 ms"),
        (12.34, "12.3 s"),
        (200, "3 min 20 s"),
        (59.6, "59.6 s"),
        (119.6, "2 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (273_600, "3 days 4 h"),
    ],
)
def test_times_as_a_person_says_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_milliseconds() -> None:
    assert [ms(each) for each in (0.00012, 0.0012, 0.012, 1.2)] == [
        "0.120",
        "1.20",
        "12.0",
        "1,200",
    ]


def test_the_command(run: Run) -> None:
    ran = run("profile", "[8x8x1] conv3-4 relu fc-3 softmax", "batch=4", "--exact")
    assert ran.returncode == 0, ran.stderr
    assert "a training step of 4 images on cpu" in ran.stdout
    assert "conv1" in ran.stdout
