"""Opaque layers: what the notation cannot express is unknown, and never counted as nothing."""

from __future__ import annotations

import json
import re

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from strategies_layers import texts

from striate.build import build
from striate.comparison import compare
from striate.draw.comparison import render
from striate.draw.formats import FORMATS
from striate.draw.plain import plain
from striate.errors import StriateError
from striate.lab.editor import checked
from striate.layers import Opaque, Volume
from striate.network import Network, read
from striate.pattern import match

TEXT = "[8x8x3] conv3-4 relu opaque8x8-4(attention) conv3-4 bn relu fc-2 softmax"
UNKNOWN = ("macs", "flops", "buffers", "kept_bytes", "training_peak_bytes", "fixed_bytes")


def with_opaque(text: str) -> str:
    """The text with a layer of unknown cost in front, which changes no volume."""

    def added(found: re.Match[str]) -> str:
        height, width, depth = re.findall("[0-9]+", found[0])
        return f"{found[0]} opaque{height}x{width}-{depth}(attention)"

    start = text.find("---\n") + 1
    blocks, line, network = text[start:].rpartition("\n[")
    return text[:start] + blocks + line + re.sub(r"[^]]*\]", added, network, count=1)


def test_its_word_and_its_volume() -> None:
    network = read("[9x7x3] relu opaque4x3-8(Attention, learned=1000)")
    assert network.output == (4, 3, 8)
    layer = network.steps[1].layer
    assert layer == Opaque(extent=(4, 3), depth=8, name="attention", learned=1000)
    assert str(network).endswith("relu opaque4x3-8(attention, learned=1000)")
    assert str(read("[9x7x3] opaque4-8(unknown)")).endswith("opaque4-8")
    assert read("[9x7x3] opaque4-8").output == Volume(4, 4, 8)


def test_what_is_unknown_and_what_is_known() -> None:
    account = read(TEXT).account(convention="all")
    before, opaque, after = (account.rows[at] for at in (2, 3, 4))
    assert (opaque.parameters, opaque.macs, opaque.flops, opaque.kept) == (None,) * 4
    assert opaque.activations == 256
    assert before.kept == 4 * 256  # for the ReLU itself
    assert (after.parameters, after.macs) == (144, 9216)
    assert before.field.size == (3, 3) and before.field.aligned
    assert opaque.field.size == after.field.size == (None, None)
    totals = account.totals
    assert all(getattr(totals, name) is None for name in UNKNOWN)
    assert totals.parameters is totals.weights is totals.training_bytes(2) is None
    assert totals.activations == 192 + 256 * 3 + 2
    assert "unknown parameters, unknown MACs" in repr(account)


def test_a_volume_that_only_it_may_keep_is_not_known_to_be_let_go() -> None:
    rows = {row.name: row.kept for row in read("[4x4x3] conv3-2 opaque4-2 fc-2").account().rows}
    assert rows == {"input": 4 * 48, "conv1": None, "opaque1": None, "fc1": 0}


def test_stated_parameters_count() -> None:
    totals = read("[8x8x3] conv3-4 opaque8x8-4(learned=1000) fc-2").account().totals
    assert totals.parameters == 112 + 1000 + 514
    assert totals.weight_bytes == 4 * totals.parameters
    assert totals.macs is totals.fixed_bytes is totals.training_bytes_fixed is None


def test_in_a_head_it_leaves_the_network_known() -> None:
    text = "[8x8x3] x: conv3-4 relu fc-2 softmax\nhead aux from @x: opaque1x1-2 softmax"
    totals = read(text).account().totals
    assert totals.macs == 8 * 8 * 108 + 512
    assert totals.parameters_with_heads is totals.macs_with_heads is totals.kept_bytes is None
    assert "with the heads that only train: aux; 1 opaque layer unknown" in str(read(text).table())


@strategies.quick
@given(st.one_of(texts(), strategies.texts()))
def test_every_reader_says_so(text: str) -> None:
    """With heads, branches, repetitions: each format is written, all other rows are the same."""
    network, plainly = Network.parse(with_opaque(text)), Network.parse(text)
    account, known = network.account(), plainly.account()
    assert account.totals.macs is account.totals.parameters is account.totals.kept_bytes is None
    assert account.totals.activations == known.totals.activations + network.input.size
    rest = [(row.volume, row.parameters, row.macs) for row in account.rows[2:]]
    assert rest == [(row.volume, row.parameters, row.macs) for row in known.rows[1:]]
    for write in FORMATS.values():
        assert write(account)
    found = json.loads(FORMATS["json"](account))
    assert found["totals"]["macs"] is found["totals"]["training_bytes"] is None
    assert f"at least {known.totals.macs:,} for one image" in str(network.table(batch=3))
    assert "unknown" in plain(render(compare(plainly, network)))
    told = checked(str(network))
    assert told["totals"] == {"parameters": None, "macs": None}
    with pytest.raises(StriateError, match="opaque"):
        build(network)


def test_two_of_them_are_counted() -> None:
    said = str(read("[4x4x2] opaque4-2(learned=5) opaque4-2 fc-2").table())
    assert "at least 71; 1 opaque layer unknown" in said
    assert "at least 64 for one image: 64, padding included; 2 opaque layers unknown" in said


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_what_each_format_says(format: str) -> None:
    said = FORMATS[format](read(TEXT).account())
    wanted = {
        "csv": ",8,8,4,,,,,,256,,,,,",
        "json": '"macs": null',
        "lecture": "params: unknown",
        "latex": "total & & unknown & unknown",
    }
    assert wanted.get(format, "| unknown | unknown | 256 | unknown |") in said


def test_where_a_number_is_needed_the_error_names_it() -> None:
    network = read(TEXT)
    for asked in (
        lambda: network.account(memory="8GB").budget,
        lambda: network.account().known("macs"),
        lambda: network.account().rows[3].known("parameters"),
    ):
        with pytest.raises(StriateError, match=r"what opaque1 costs is unknown.*opaque8-4\("):
            asked()
    assert network.account().known("activations") == 962
    with pytest.raises(StriateError, match=r"opaque1, opaque8-4\(attention\) at 1:22, cannot be"):
        network.build()
    assert not match(network)
