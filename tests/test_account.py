"""Rows and totals: sums, shares, conventions of counting, and what is loaded to count."""

from __future__ import annotations

import re
import sys

import pytest
import strategies
from conftest import Run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies_layers import EVERY, SETTINGS, fitting, pairs, texts, volumes

from striate.account import shares
from striate.errors import StriateError
from striate.layers import KINDS, Conv, Volume
from striate.network import Network, read
from striate.steps import Part

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
EITHER = st.one_of(texts(), strategies.texts())

SUMMED = ("parameters", "weights", "biases", "buffers", "macs", "flops", "activations")


# -- rows and totals


@quick
@given(EITHER)
def test_totals_are_sums_of_rows(text: str) -> None:
    """Every total is the sum of the rows of the network itself, heads apart."""
    account = Network.parse(text).account(convention="all")
    for what in SUMMED:
        assert getattr(account.totals, what) == sum(getattr(row, what) for row in account.rows), (
            what
        )
    heads = [row for rows in account.heads.values() for row in rows]
    assert account.totals.parameters_with_heads == sum(
        row.parameters for row in (*account.rows, *heads)
    )
    assert account.totals.macs_with_heads == sum(row.macs for row in (*account.rows, *heads))
    assert account.totals.kept_bytes == sum(row.kept for row in (*account.rows, *heads))


@quick
@given(EITHER)
def test_rows_are_the_steps_in_order(text: str) -> None:
    """One row for the input, then one for each layer, named and sized as the network has it."""
    network = Network.parse(text)
    account = network.account()
    assert [row.name for row in account.rows[1:]] == [step.name for step in network.main.steps()]
    assert account.rows[0].volume == network.input
    assert account.rows[0].word == "input"
    for name, part in network.expansion.heads.items():
        assert [row.name for row in account.heads[name]] == [step.name for step in part.steps()]
        assert {row.head for row in account.heads[name]} <= {name}
    for step in network.steps:
        row = account.row(step)
        assert (row.name, row.volume, row.layer) == (step.name, step.volume, step.stated)


@quick
@given(EITHER)
def test_parts_have_their_rows(text: str) -> None:
    """The rows of the parts of a network are its rows, each once."""
    network = Network.parse(text)
    account = network.account()

    def gathered(part: Part) -> list:
        rows = []
        for child in part.children:
            rows += gathered(child) if isinstance(child, Part) else [account.row(child)]
        return rows

    assert gathered(network.main) == list(account.rows[1:])


@quick
@given(EITHER)
def test_activations_the_lectures_way(text: str) -> None:
    """The input and every new volume count once; what works on the volume it meets does not."""
    network = Network.parse(text)
    new = {"conv", "deconv", "maxpool", "avgpool", "subsample", "fc", "rbf", "pad", "upsample"}
    new |= {"opaque"}
    assert {kind for kind, each in KINDS.items() if not each.in_place} == new
    expected = network.input.size + sum(
        step.volume.size for step in network.main.steps() if step.layer.kind in new
    )
    totals = network.account().totals
    assert totals.activations == expected
    assert totals.activation_bytes == 4 * expected


def test_vgg_as_the_lecture_counts_it() -> None:
    """The lecture's own rows sum to 15,237,608 values, not to the 24M that it prints."""
    totals = read("vgg16").account().totals
    assert totals.activations == 15_237_608
    assert totals.parameters == 138_357_544
    assert totals.weights == 138_344_128
    assert totals.macs == 15_470_264_320


def test_heads_stand_apart() -> None:
    """GoogLeNet's auxiliary heads cost parameters and MACs that its own totals do not have."""
    account = read("googlenet").account()
    assert list(account.heads) == ["aux1", "aux2"]
    alone = Network.parse(str(read("googlenet")).partition("head aux1")[0]).account()
    for what in SUMMED:
        assert getattr(account.totals, what) == getattr(alone.totals, what)
    assert account.totals.forward_peak_bytes == alone.totals.forward_peak_bytes
    assert account.totals.parameters_with_heads > account.totals.parameters
    assert account.totals.training_peak_bytes > alone.totals.training_peak_bytes


def test_batch_normalisation_takes_the_bias() -> None:
    """No bias directly before `bn`; its scale and shift count as biases, statistics as buffers."""
    rows = {
        row.name: row for row in Network.parse("[4x4x3] conv3-8 bn conv3-8 relu bn").account().rows
    }
    assert (rows["conv1"].biases, rows["conv2"].biases) == (0, 8)
    assert (rows["bn1"].weights, rows["bn1"].biases, rows["bn1"].buffers) == (0, 16, 16)


def test_totals_of_nothing_learned() -> None:
    """A network without weights has totals too."""
    account = Network.parse("[4x4x3] relu").account(memory=1000)
    totals = account.totals
    assert (totals.parameters, totals.macs, totals.activations) == (0, 0, 48)
    assert totals.training_bytes_fixed == 0
    assert account.budget.batch == 1000 // totals.training_peak_bytes


# -- shares


@quick
@given(EITHER)
def test_shares(text: str) -> None:
    """Fractions of a whole, the largest row among them, and the fewest rows that hold half."""
    account = Network.parse(text).account()
    for share in shares(account):
        values = [getattr(row, share.what) for row in account.rows]
        whole = sum(values)
        assert whole == getattr(account.totals, share.what) > 0
        assert share.largest_fraction == max(values) / whole
        assert getattr(share.largest, share.what) == max(values)
        of_kind = sum(getattr(row, share.what) for row in account.rows if row.kind == share.kind)
        assert share.fraction == of_kind / whole
        assert share.fraction >= share.largest_fraction or share.kind != share.largest.kind
        held = [getattr(row, share.what) for row in share.half]
        assert 2 * sum(held) >= whole > 2 * sum(held[:-1])
        assert held == sorted(values, reverse=True)[: len(held)]


def test_most_memory_early_most_parameters_late() -> None:
    """VGG-16: most memory is in early CONV, most parameters are in late FC (CS231n, lecture 7)."""
    found = {share.what: share for share in shares(read("vgg16").account())}
    assert found["parameters"].kind == "fc"
    assert found["parameters"].fraction == pytest.approx(0.89, abs=0.005)
    assert [row.name for row in found["parameters"].half] == ["fc1"]
    assert found["activations"].kind == "conv"
    assert [row.name for row in found["activations"].half] == ["conv1", "conv2", "conv3"]
    assert found["macs"].kind == "conv"


# -- rounding


def counts(said: str) -> dict[str, tuple[int, int]]:
    """Rows and columns out of the words: `drops 1 row and 2 columns`, by what is said of them."""
    found = {}
    for part in filter(None, said.split(", ")):
        kind = "padding" if part.endswith(" of padding") else part.partition(" ")[0]
        found[kind] = tuple(
            int(number[1]) if (number := re.search(rf"(\d+) {word}", part)) else 0
            for word in ("row", "column")
        )
    return found


@quick
@given(volumes(1, 12, 2), pairs(1, 4), pairs(1, 4), pairs(0, 2), st.sampled_from(("floor", "ceil")))
def test_rounded_rows_and_columns(met: Volume, kernel, stride, pad, rounding: str) -> None:
    """What floor drops and ceil makes up, found by sliding the window until it stops."""
    layer = fitting(Conv(kernel=kernel, filters=1, stride=stride, pad=pad, rounding=rounding), met)
    if layer is None or layer.rounding != rounding or layer.pad != pad:
        return
    said = counts(layer.rounded(met))
    made = layer.volume(met)
    for axis in (0, 1):
        reached = {
            place
            for output in range(made[axis])
            for place in range(output * stride[axis], output * stride[axis] + kernel[axis])
        }
        last = max(reached)
        size, border = met[axis], pad[axis]
        beyond = [place for place in range(last + 1, size + 2 * border)]
        assert said.get("drops", (0, 0))[axis] == sum(place < size + border for place in beyond)
        assert said.get("padding", (0, 0))[axis] == sum(place >= size + border for place in beyond)
        assert said.get("makes", (0, 0))[axis] == max(0, last + 1 - size - 2 * border)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[7x7x3] conv3-2/3(pad=0, floor)", "drops 1 row and 1 column"),
        ("[7x7x3] conv3-2/3(pad=0, ceil)", "makes up 2 rows and 2 columns"),
        ("[224x224x3] conv7-64/2(pad=3, floor)", "drops 1 row and 1 column of padding"),
        ("[8x9x3] maxpool3/2(floor)", "drops 1 row"),
        ("[9x8x3] maxpool3/2(ceil)", "makes up 1 column"),
        ("[8x8x3] maxpool2(floor)", ""),
        ("[8x8x3] relu", ""),
    ],
)
def test_rounding_in_words(text: str, said: str) -> None:
    """The words of the table."""
    assert Network.parse(text).account().rows[-1].rounded == said


# -- what counting takes


def test_resnet_1202_is_counted() -> None:
    """Thousands of layers are read and counted, and each of them has its row."""
    network = read("resnet1202")
    account = network.account()
    assert sum(row.kind == "conv" for row in account.rows) == 1201
    assert sum(row.kind == "fc" for row in account.rows) == 1
    assert 19_300_000 < account.totals.parameters < 19_500_000  # 19.4M, He et al. 2015, table 6


def test_counting_grows_with_the_layers_alone() -> None:
    """Twice the layers take twice the calls, not four times: no pass looks back at all others."""

    def calls(times: int) -> int:
        network = Network.parse(f"[8x8x4] (add(conv3-4 bn relu | id) relu)*{times} fc-2")
        done = 0

        def count(frame: object, event: str, argument: object) -> None:
            nonlocal done
            done += event == "call"

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            network.account(memory=10**9).budget  # noqa: B018  # worked out when asked for
        finally:
            sys.setprofile(before)
        return done

    small, large = calls(50), calls(100)
    assert large < 2.2 * small


def test_nothing_here_loads_torch(python: Run) -> None:
    """Reading and counting a network leave torch and numpy where they are."""
    program = (
        "import sys, striate\n"
        "from striate.account import account, shares\n"
        "from striate.network import read\n"
        "found = account(read('googlenet'), memory=10**9)\n"
        "found.budget, shares(found)\n"
        "print(sorted({'torch', 'numpy', 'sklearn'} & set(sys.modules)))\n"
    )
    done = python("-c", program)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_options_go_by_name() -> None:
    """Convention, precision and optimiser are names; an unknown one is said with those known."""
    network = read("lenet5")
    for option in ("convention", "precision", "optimiser"):
        with pytest.raises(StriateError, match=f"there is no {option} 'unheard'"):
            network.account(**{option: "unheard"})


@quick
@given(st.data(), st.sampled_from(sorted(EVERY)), volumes(1, 5, 4))
def test_no_count_is_negative(data: st.DataObject, kind: str, met: Volume) -> None:
    """Every kind of layer counts from 0, at volumes of one position too."""
    drawn = SETTINGS[kind](data.draw, met) if kind in SETTINGS else {}
    layer = fitting(KINDS[kind](**drawn), met)
    if layer is not None:
        numbers = (*layer.parameters(met), layer.buffers(met), layer.macs(met))
        assert min(*numbers, layer.operations(met), *layer.saved(met)[:5]) >= 0
