"""The texts of the zoo: that they parse, print, cite, stay short, and agree with their page."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from striate import zoo
from striate.account import account
from striate.network import Network
from striate.steps import Step

NAMES = zoo.names()
PAGE = Path(__file__).parents[1] / "docs" / "zoo.md"

read = cache(zoo.read)
every_network = pytest.mark.parametrize("name", NAMES)


@every_network
def test_canonical_text_gives_the_same_network(name: str) -> None:
    network = read(name)
    again = Network.parse(str(network))
    assert again == network
    assert str(again) == str(network)
    assert [plain(step) for step in again.steps] == [plain(step) for step in network.steps]


def plain(step: Step) -> Step:
    return replace(step, place=None)


@every_network
def test_citation(name: str) -> None:
    front = read(name).front
    assert {"name", "paper", "year"} <= set(front) <= {"name", "paper", "year", "note"}
    assert front["year"] in front["paper"]


@every_network
def test_layout(name: str) -> None:
    lines = zoo.text(name).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    checks = [found.start() for line in lines if (found := re.search(r"(?<=\s)\[[\dx]+\]$", line))]
    assert len(set(checks)) <= 1, "the volumes stand below each other"
    assert checks or not re.search(r"\bconv", zoo.text(name)), "the paper's volumes are checks"


CLASSES = {"alphago-policy": 361, "two-stream-spatial": 101, "two-stream-temporal": 101}
ENDS = {"linear-classifier": "fc", "two-layer": "fc", "lenet5": "rbf"}


@every_network
def test_end(name: str) -> None:
    """Softmax over the classes of ImageNet, or of the ten digits or objects, but for a few."""
    network = read(name)
    classes = CLASSES.get(name, 1000 if network.input.height > 200 else 10)
    ends = [network.expansion.output, *network.expansion.head_outputs.values()]
    for end in ends:
        assert network.steps[end].volume == (1, 1, classes)
        assert network.steps[end].layer.kind == ENDS.get(name, "softmax")


def test_heads() -> None:
    heads = {(name, head) for name in NAMES for head in read(name).expansion.heads}
    assert heads == {("googlenet", "aux1"), ("googlenet", "aux2")}


def test_widths_of_alphago_are_written_once() -> None:
    """So that its other published widths (128, 256, 384) are a change of one number."""
    assert set(re.findall(r"conv\d-(\d+)", zoo.text("alphago-policy"))) == {"192", "1"}


@pytest.mark.parametrize("depth", [18, 34, 20, 32, 44, 56, 110, 1202])
def test_options_differ_in_the_shortcut_alone(depth: int) -> None:
    usual = "b" if depth in (18, 34) else "a"
    names = [f"resnet{depth}" + (f"-{option}" if option != usual else "") for option in "abc"]
    a, b, c = (zoo.text(name).split("---\n")[1] for name in names)
    assert a == b.replace("shortcut-k/s", "shortcut-k/s(a)")
    assert c == b.replace("shortcut-k/s", "shortcut-k/s(c)")


def test_page_lists_the_networks_and_their_numbers() -> None:
    row = re.compile(r"^\| `(.+)` \| (.+), (\d{4}) \| ([\d,]+) \| ([\d,]+) \|$", re.MULTILINE)
    page = {found[0]: found[1:] for found in row.findall(PAGE.read_text("utf-8"))}
    assert sorted(page) == NAMES
    for name in NAMES:
        network = read(name)
        totals = account(network).totals
        figures = (f"{totals.parameters:,}", f"{totals.macs:,}")
        assert page[name] == (network.name, network.front["year"], *figures), name
