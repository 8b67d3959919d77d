"""Two networks side by side: which lines correspond, and the totals."""

from __future__ import annotations

import pytest

from striate import zoo
from striate.comparison import Comparison, compare
from striate.draw.comparison import render
from striate.draw.numbers import ratio
from striate.draw.plain import plain
from striate.network import Network


def compared(left: str, right: str) -> Comparison:
    return compare(Network.parse(left), Network.parse(right))


def markers(comparison: Comparison) -> str:
    """One letter a line: = same, ~ changed, - left only, + right only."""
    return "".join(
        "=" if each.same else "-" if not each.right else "+" if not each.left else "~"
        for each in comparison.changes
    )


@pytest.mark.parametrize("name", ["lenet5", "googlenet", "resnet1202"])
def test_the_same_network(name: str) -> None:
    comparison = compare(zoo.read(name), zoo.read(name))
    assert all(change.same for change in comparison.changes)
    assert all(left == right for _, left, right in comparison.totals())


def test_one_changed_layer() -> None:
    """A wider layer changes its own line and the line that reads it, and nothing else."""
    text = "[8x8x3] conv3-4 relu maxpool2 conv3-{} relu conv3-4 tanh fc-3 softmax"
    comparison = compared(text.format(4), text.format(8))
    assert markers(comparison) == "===~~="
    changed = comparison.changes[3]
    assert changed.left and changed.right
    assert (changed.left.text, changed.right.text) == ("conv3-4 relu", "conv3-8 relu")
    assert (changed.left.parameters, changed.right.parameters) == (148, 296)


def test_insertion_and_removal() -> None:
    """What comes after an inserted layer still corresponds."""
    short = "[8x8x3] conv3-4 relu maxpool2 fc-3"
    longer = "[8x8x3] conv3-4 relu conv3-4 tanh maxpool2 fc-3"
    assert markers(compared(short, longer)) == "==+=="
    assert markers(compared(longer, short)) == "==-=="


def test_another_activation_is_a_change() -> None:
    assert markers(compared("[8x8x3] conv3-4 relu fc-3", "[8x8x3] conv3-4 tanh fc-3")) == "=~="


def test_another_count_of_repetitions() -> None:
    block = "unit() = conv3-4 relu maxpool3/1(pad=1)\n[8x8x4] unit()*{} fc-3"
    assert markers(compared(block.format(3), block.format(9))) == "=~==="


def test_heads() -> None:
    """A further head is on one side only, and does not change the network's own totals."""
    text = "[8x8x3] conv3-4 a: relu fc-3"
    comparison = compared(text, f"{text} head out from @a: avgpool fc-3 softmax")
    assert markers(comparison) == "====+++"
    totals = {name: (left, right) for name, left, right in comparison.totals()}
    for name in ("parameters", "macs", "activations"):
        assert len(set(totals[name])) == 1, name


def test_totals() -> None:
    totals = {name: (a, b) for name, a, b in compare(*map(zoo.read, ["vgg16", "vgg19"])).totals()}
    assert totals["parameters"] == (138_357_544, 143_667_240)
    assert totals["activations"][0] == 15_237_608


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        (100, 100, "="),
        (0, 0, "="),
        (100, 231, "2.31"),
        (100, 50, "0.5"),
        (0, 5, ""),
        (5, 0, ""),
        (1, 2_306, "2,306"),
        (2_306, 1, "1/2,306"),
        (3, 1_000_000, "333,333"),
    ],
)
def test_ratio(left: int, right: int, said: str) -> None:
    assert ratio(left, right) == said


def test_drawing() -> None:
    """Names, markers and totals stand in their columns; the same name twice is told apart."""
    text = "name: net\n---\n[8x8x3] conv3-4 relu {}fc-3"
    shown = plain(render(compared(text.format(""), text.format("maxpool2 ")))).splitlines()
    assert shown[0].split() == ["net", "(1)", "params", "net", "(2)", "params"]
    assert [line[:1] for line in shown[2:6]] == [" ", " ", "+", "~"]
    assert shown[7].split() == ["for", "one", "image", "net", "(1)", "net", "(2)", "ratio"]
    assert shown[9].split() == ["parameters", "883", "307", "0.348"]


def test_no_parameters() -> None:
    """Nothing is divided by zero."""
    shown = plain(render(compared("[8x8x3] relu", "[8x8x3] maxpool2 fc-3")))
    assert "network (1)" in shown
    assert "parameters" in shown
