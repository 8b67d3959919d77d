"""Multiply-adds and operations: against torch's own counter, and against loops."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_layers import EVERY, SETTINGS, fitting, texts, volumes
from torch.utils.flop_counter import FlopCounterMode

from striate.account import CONVENTIONS
from striate.build import build
from striate.errors import StriateError
from striate.layers import KINDS, Layer, Volume
from striate.network import Network, read
from striate.pattern import ACTIVATIONS

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MULTIPLIES = ("conv", "deconv", "fc", "rbf")


def counted_by_torch(network: Network, batch: int = 1) -> int:
    """Operations that torch counts for one batch, heads left out; nothing is computed."""
    with torch.device("meta"):
        module = build(network).eval()
    height, width, depth = network.input
    images = torch.empty(batch, depth, height, width, device="meta")
    with FlopCounterMode(display=False) as counter:
        module(images)
    return counter.get_total_flops()


@quick
@given(texts())
def test_multiply_adds_as_torch_counts(text: str) -> None:
    """The flop counter sees twice our multiply-adds in every generated network."""
    network = Network.parse(text)
    assert counted_by_torch(network) == 2 * network.account().totals.macs


@quick
@given(texts(nested=False, kinds=("conv", "deconv", "fc"), most=3), st.integers(1, 3))
def test_torch_counts_in_proportion_to_the_batch(text: str, batch: int) -> None:
    """A batch costs as many times one image's multiply-adds."""
    network = Network.parse(text)
    assert counted_by_torch(network, batch) == 2 * batch * network.account().totals.macs


@pytest.mark.parametrize(
    "name", ["vgg16", "resnet50", "googlenet", "alexnet", "resnet20-b", "lenet5"]
)
def test_multiply_adds_of_published_networks(name: str) -> None:
    """The flop counter agrees on whole published networks."""
    network = read(name)
    assert counted_by_torch(network) == 2 * network.account().totals.macs


# -- loops: one multiply-add at a time, in plain Python


def loops(layer: Layer, met: Volume) -> int:
    """The multiply-adds of a layer, counted one by one; taps that fall on padding count too."""
    made = layer.volume(met)
    if layer.kind in ("fc", "rbf"):
        return sum(
            1
            for _ in product(
                range(met.height), range(met.width), range(met.depth), range(made.depth)
            )
        )
    kernel = list(product(range(layer.kernel.height), range(layer.kernel.width)))
    count = 0
    if layer.kind == "conv":  # each output looks at its own group's inputs
        for filter in range(made.depth):
            group = filter * layer.groups // made.depth
            for _ in product(range(made.height), range(made.width)):
                for _ in kernel:
                    count += sum(
                        1 for c in range(met.depth) if c * layer.groups // met.depth == group
                    )
    else:  # each input is spread over its own group's outputs
        for channel in range(met.depth):
            group = channel * layer.groups // met.depth
            for _ in product(range(met.height), range(met.width)):
                for _ in kernel:
                    count += sum(
                        1 for k in range(made.depth) if k * layer.groups // made.depth == group
                    )
    return count


@quick
@given(st.data(), st.sampled_from(MULTIPLIES), volumes(1, 5, 4))
def test_multiply_adds_by_loops(data: st.DataObject, kind: str, met: Volume) -> None:
    """Every multiply-add of a small layer, with groups, dilation, rectangles and padding."""
    layer = fitting(KINDS[kind](**SETTINGS[kind](data.draw, met)), met)
    if layer is not None:
        assert layer.macs(met) == loops(layer, met)


class Counted(float):
    """A number that counts what is done with it."""

    done = 0

    def _count(self, value: float) -> Counted:
        Counted.done += 1
        return Counted(value)

    def __add__(self, other: float) -> Counted:
        return self._count(float(self) + float(other))

    def __sub__(self, other: float) -> Counted:
        return self._count(float(self) - float(other))

    def __mul__(self, other: float) -> Counted:
        return self._count(float(self) * float(other))

    def __truediv__(self, other: float) -> Counted:
        return self._count(float(self) / float(other))

    def __pow__(self, other: float) -> Counted:
        return self._count(float(self) ** float(other))

    def larger(self, other: float) -> Counted:
        return self._count(max(float(self), float(other)))


def total(values: list[Counted]) -> Counted:
    """The sum of n values, n - 1 additions."""
    result = values[0]
    for each in values[1:]:
        result = result + each
    return result


def window(layer, met: Volume) -> list[list[Counted]]:
    """The values in each window of a pool, padding too."""
    height, width = layer.slides(met)
    return [[Counted(1)] * (height.kernel * width.kernel) for _ in range(layer.volume(met).size)]


def run_max(layer, met: Volume) -> None:
    for values in window(layer, met):
        result = values[0]
        for each in values[1:]:
            result = result.larger(each)


def run_mean(layer, met: Volume) -> None:
    for values in window(layer, met):
        total(values) / len(values)


def run_subsample(layer, met: Volume) -> None:
    for values in window(layer, met):
        total(values) * 0.5 + 0.25


def run_bias(layer, met: Volume) -> None:
    for _ in range(layer.volume(met).size if layer.bias != "no" else 0):
        Counted(1) + 0.5


def run_lrn(layer, met: Volume) -> None:
    for _ in range(met.size):  # n squares, their sum, times alpha, plus k, to the beta, divided
        squares = [Counted(1) * 1 for _ in range(layer.size)]
        Counted(1) / (total(squares) * layer.alpha + layer.k) ** layer.beta


def run_bn(layer, met: Volume) -> None:
    for _ in range(met.size):  # at test time: one scale and one shift for each value
        Counted(1) * 0.5 + 0.25


def run_norm(sets: int, layer, met: Volume) -> None:
    for _ in range(sets):
        values = [Counted(1)] * (met.size // sets)
        mean = total(values) / len(values)
        apart = [each - mean for each in values]
        variance = total([each * each for each in apart]) / len(values)
        deviation = (variance + layer.eps) ** 0.5
        for each in apart:
            each / deviation * 0.5 + 0.25


def run_distance(layer, met: Volume) -> None:
    """A subtraction, a square and a sum for each value and unit; a square and sum are one MAC."""
    for _ in range(layer.units):
        result = Counted(0)
        for _ in range(met.size):
            difference = Counted(1) - 0.5
            result = result + difference * difference


def run_softmax(layer, met: Volume) -> None:
    """An exponential, a sum and a division for each value."""
    for _ in range(met.height * met.width):
        result = Counted(0)
        powers = [Counted(2) ** 1 for _ in range(met.depth)]
        for each in powers:
            result = result + each
        for each in powers:
            each / result


BY_HAND = {
    "conv": run_bias,
    "deconv": run_bias,
    "fc": run_bias,
    "maxpool": run_max,
    "avgpool": run_mean,
    "subsample": run_subsample,
    "bn": run_bn,
    "layernorm": lambda layer, met: run_norm(met.height * met.width, layer, met),
    "groupnorm": lambda layer, met: run_norm(layer.groups, layer, met),
    "rbf": run_distance,
    "softmax": run_softmax,
}
BY_VALUE = ACTIVATIONS | {"scale", "layerscale"}
FREE = {"flatten", "dropout", "id", "pad", "take", "slice", "shuffle", "shortcut"}
ESTIMATED = {"lrn": run_lrn, "upsample": None}


@quick
@given(st.data(), st.sampled_from(sorted(BY_HAND)), volumes(1, 5, 3))
def test_operations_by_loops(data: st.DataObject, kind: str, met: Volume) -> None:
    """Operations are those of the layer's formula, beyond two for every multiply-add."""
    given_settings = SETTINGS[kind](data.draw, met) if kind in SETTINGS else {}
    layer = fitting(KINDS[kind](**given_settings), met)
    if layer is None:
        return
    Counted.done = 0
    BY_HAND[kind](layer, met)
    beyond = 2 * layer.macs(met) if kind == "rbf" else 0
    assert layer.operations(met) == Counted.done - beyond


@quick
@given(st.data(), st.sampled_from(sorted(BY_VALUE | FREE)), volumes(1, 5, 3))
def test_operations_of_simple_layers(data: st.DataObject, kind: str, met: Volume) -> None:
    """One operation for each value of an activation; none for what only moves values."""
    given_settings = SETTINGS[kind](data.draw, met) if kind in SETTINGS else {"factor": 2.0}
    layer = fitting(KINDS[kind](**{} if kind not in SETTINGS else given_settings), met)
    if layer is not None:
        assert layer.operations(met) == (met.size if kind in BY_VALUE else 0)
        assert layer.macs(met) == 0


def test_operations_of_local_response_normalisation() -> None:
    """Squares once for each value, then n - 1 sums, times, plus, power, divided: n + 4."""
    met = Volume(3, 2, 7)
    layer = KINDS["lrn"](size=5)
    Counted.done = 0
    run_lrn(layer, met)
    squares_again = (layer.size - 1) * met.size  # a square serves all its neighbours
    assert layer.operations(met) == Counted.done - squares_again


def test_operations_of_upsampling() -> None:
    """Nearest moves values; bilinear weighs four of them: four products and three sums."""
    met = Volume(3, 2, 7)
    assert KINDS["upsample"](factor=2).operations(met) == 0
    assert KINDS["upsample"](factor=2, method="bilinear").operations(met) == 7 * 4 * met.size


def test_every_kind_has_its_operations_counted() -> None:
    """No kind is left out of these tests."""
    assert {*BY_HAND, *BY_VALUE, *FREE, *ESTIMATED} == EVERY


@pytest.mark.parametrize("branches", [2, 3, 4])
def test_operations_of_joins(branches: int) -> None:
    """A sum of n volumes is n - 1 additions for each value; concatenation is free.

    So is a product, whose factors may be smaller than what it gives.
    """
    inside = " | ".join(["relu"] * branches)
    gates = f"avgpool | {inside}"
    network = Network.parse(f"[3x4x5] add({inside}) mul({inside}) mul({gates}) concat({inside})")
    rows = {row.name: row.flops for row in network.account(convention="all").rows}
    assert rows["add1"] == rows["mul1"] == (branches - 1) * 60
    assert rows["mul2"] == branches * 60
    assert rows["concat1"] == 0


# -- the conventions


@quick
@given(texts())
def test_conventions_are_reconciled(text: str) -> None:
    """`torch` is twice `paper`; `all` adds the operations of every layer; MACs never change."""
    network = Network.parse(text)
    accounts = {name: network.account(convention=name) for name in CONVENTIONS}
    assert set(accounts) == {"paper", "torch", "all"}
    steps = {step.name: step for step in network.steps}
    for rows in zip(*(accounts[name].rows for name in ("paper", "torch", "all")), strict=True):
        paper, by_torch, everything = rows
        assert paper.macs == by_torch.macs == everything.macs == paper.flops
        assert by_torch.flops == 2 * paper.macs
        step = steps.get(paper.name) if paper.layer else None
        other = step.layer.operations(step.met) if step else 0
        assert everything.flops == 2 * paper.macs + other
    for name, account in accounts.items():
        assert account.totals.flops == sum(row.flops for row in account.rows), name


def test_an_unknown_convention_is_refused() -> None:
    """A convention goes by its name."""
    with pytest.raises(StriateError, match="there is no convention 'marketing'"):
        read("lenet5").account(convention="marketing")
