"""Text to Network and back: the identity, the canonical forms, and what the words mean."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import Maker
from strategies import quick, scripts, thorough

from striate.errors import Source
from striate.layers import (
    KINDS,
    AvgPool,
    Conv,
    Deconv,
    Dropout,
    FullyConnected,
    Layer,
    LocalResponseNorm,
    MaxPool,
    Pad,
    Pair,
    Relu,
    Take,
    Upsample,
    Volume,
)
from striate.network import Network, read
from striate.notation import read_script, write_script
from striate.notation.edit import without_checks
from striate.notation.words import layer_of, split_kind, word_of
from striate.steps import Step
from striate.tree import Call, Name, Operation, Repeat, Script, Word

VGG16 = """
name: VGG-16 (configuration D)
paper: Simonyan & Zisserman 2014, arXiv:1409.1556, table 1
---
[224x224x3]
(conv3-64  relu)*2 maxpool2     [112x112x64]
(conv3-128 relu)*2 maxpool2     [56x56x128]
(conv3-256 relu)*3 maxpool2     [28x28x256]
(conv3-512 relu)*3 maxpool2     [14x14x512]
(conv3-512 relu)*3 maxpool2     [7x7x512]
(fc-4096 relu dropout(0.5))*2 fc-1000 softmax
"""

RESNET34 = """
name: ResNet-34
paper: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, table 1
---
basic(k, s=1) = add(conv3-k/s(floor) bn relu conv3-k bn | shortcut-k/s) relu

[224x224x3]
conv7-64/2(pad=3, floor) bn relu maxpool3/2(pad=1, floor)   [56x56x64]
basic(64)*3
basic(128, s=2) basic(128)*3                                [28x28x128]
basic(256, s=2) basic(256)*5                                [14x14x256]
basic(512, s=2) basic(512)*2                                [7x7x512]
avgpool fc-1000 softmax
"""

INCEPTION = """
inception(a, b1, b2, c1, c2, d) =
    concat( conv1-a relu
          | conv1-b1 relu conv3-b2 relu
          | conv1-c1 relu conv5-c2 relu
          | maxpool3/1(pad=1) conv1-d relu )
[28x28x192] inception(64, 96, 128, 16, 32, 32) [28x28x256]
"""


def script_of(text: str) -> Script:
    return read_script(Source(text))


def plain(network: Network) -> list[Step]:
    """The steps without their places in the text."""
    return [replace(step, place=None) for step in network.steps]


def layers(text: str) -> list[Layer]:
    """The layers of a few words, their biases settled."""
    return [step.layer for step in Network.parse(f"[16x16x4] {text}").steps]


def canonical(words: str, input: str = "[16x16x4]") -> str:
    """How a few words are printed."""
    return str(Network.parse(f"{input} {words}")).removeprefix(f"{input}\n")


def parameters(network: Network) -> int:
    return sum(step.layer.parameters(step.met).total for step in network.steps)


# -- the identity


@thorough
@given(scripts())
def test_print_then_read_is_the_identity(script: Script) -> None:
    text = write_script(script)
    again = script_of(text)
    assert again == script
    assert write_script(again) == text


@quick
@given(scripts())
def test_print_then_read_gives_the_same_steps(script: Script) -> None:
    network = Network(script)
    again = Network.parse(str(network))
    assert again == network
    assert plain(again) == plain(network)
    assert again.expansion.labels == network.expansion.labels
    assert again.expansion.head_outputs == network.expansion.head_outputs
    assert again.output == network.output


@quick
@given(scripts(), st.integers(0, 2**32))
def test_case_comments_and_white_space_do_not_matter(script: Script, seed: int) -> None:
    random = Random(seed)
    gaps = (" ", "\n", "\t", "\r\n", "  \n  ", " # a (comment | of words: @x [1x1]\n", "#\n")
    rule, text = re.fullmatch(r"(.*^---\n|)(.*)", write_script(script), re.M | re.S).groups()
    parts = [random.choice(gaps) if part.isspace() else part for part in re.split(r"(\s+)", text)]
    changed = "".join(random.choice((str.upper, str.lower, str.title))(part) for part in parts)
    assert script_of(rule + changed) == script
    assert script_of((rule + changed).replace("\n", "\r\n")) == script


@quick
@given(scripts())
def test_without_checks_it_still_reads(script: Script) -> None:
    network = Network(without_checks(script, script.input))
    assert "[" not in str(network).partition("]")[2].replace("# no", "")
    assert Network.parse(str(network)) == network
    assert network.output == Network(script).output


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_word_and_back(kind: str) -> None:
    tried = 0
    for seed in range(60):
        maker, met = Maker(Random(seed)), Volume(6, 5, 4)
        try:
            layer = KINDS[kind](**maker.settings(kind, met))
            volume = layer.volume(met)
        except Exception:  # what does not fit is for test_errors.py
            continue
        tried += 1
        word = word_of(layer)
        assert layer_of(word, {}) == layer
        network = Network(Script(met, (word,)))
        assert network.output == volume
        assert Network.parse(str(network)).script.body == (word,)
    assert tried > 10


# -- the examples of the specification


def test_vgg16() -> None:
    network = Network.parse(VGG16)
    assert network.front == {
        "name": "VGG-16 (configuration D)",
        "paper": "Simonyan & Zisserman 2014, arXiv:1409.1556, table 1",
    }
    assert parameters(network) == 138_357_544
    assert network.output == (1, 1, 1000)
    assert str(network) == (
        "name: VGG-16 (configuration D)\n"
        "paper: Simonyan & Zisserman 2014, arXiv:1409.1556, table 1\n"
        "---\n"
        "[224x224x3]\n"
        "(conv3-64 relu)*2 maxpool2 [112x112x64]\n"
        "(conv3-128 relu)*2 maxpool2 [56x56x128]\n"
        "(conv3-256 relu)*3 maxpool2 [28x28x256]\n"
        "(conv3-512 relu)*3 maxpool2 [14x14x512]\n"
        "(conv3-512 relu)*3 maxpool2 [7x7x512]\n"
        "(fc-4096 relu dropout(0.5))*2 fc-1000 softmax"
    )


def test_resnet34() -> None:
    network = Network.parse(RESNET34)
    # torchvision's resnet34, which this text describes, has as many
    assert parameters(network) == 21_797_672
    convolutions = [step.layer for step in network.steps if isinstance(step.layer, Conv)]
    assert len(convolutions) == 33 + 3
    assert {each.bias for each in convolutions} == {"no"}
    assert network.steps[4].name == "basic1.add1.branch1.conv1"
    assert network.steps[-3].name == "avgpool1"
    assert "basic(128, s=2) basic(128)*3 [28x28x128]" in str(network)


def test_inception() -> None:
    network = Network.parse(INCEPTION)
    assert network.output == (28, 28, 256)
    assert parameters(network) == (
        (192 * 64 + 64)
        + (192 * 96 + 96 + 9 * 96 * 128 + 128)
        + (192 * 16 + 16 + 25 * 16 * 32 + 32)
        + (192 * 32 + 32)
    )


# -- canonical forms


@pytest.mark.parametrize(
    ("written", "printed"),
    {
        "CONV3-64": "conv3-64",
        "conv3x3-64": "conv3-64",
        "conv3-64/1": "conv3-64",
        "conv3-64/2x2(floor)": "conv3-64/2(floor)",
        "conv3-64()": "conv3-64",
        "conv3-64(dilation=1, groups=1, bias=auto, exact)": "conv3-64",
        "conv3-64(pad=1x1)": "conv3-64(pad=1)",
        "conv-64(kernel=3)": "conv3-64",
        "conv(kernel=7x1, filters=6, stride=1x1)": "conv7x1-6",
        "conv7x1-64/1x2(floor)": "conv7x1-64/1x2(floor)",
        "conv3-64(bias=no, groups=2, floor, dilation=2, pad=2x1)": (
            "conv3-64(pad=2x1, dilation=2, floor, groups=2, bias=no)"
        ),
        "conv3-64(rounding=ceil)": "conv3-64(ceil)",
        "deconv4-8/2(pad=1x1, extra=0)": "deconv4-8/2(pad=1)",
        "maxpool2/2": "maxpool2",
        "maxpool2x2/2": "maxpool2",
        "maxpool4/2": "maxpool4/2",
        "maxpool2/1(floor)": "maxpool2/1(floor)",
        "avgpool": "avgpool",
        "avgpool()": "avgpool",
        "subsample2": "subsample2",
        "fc-10 [10]": "fc-10 [1x1x10]",
        "fc-10 [ 1 X 1 X 10 ]": "fc-10 [1x1x10]",
        "fc-(2 + 3*4)": "fc-14",
        "fc-(-(2 - 8))": "fc-6",
        "dropout(.5)": "dropout(0.5)",
        "dropout(5e-1)": "dropout(0.5)",
        "dropout(probability=1)": "dropout(1)",
        "leakyrelu": "leakyrelu",
        "leakyrelu(0.01)": "leakyrelu",
        "leakyrelu(-2)": "leakyrelu(-2)",
        "scaledtanh(slope=0.5)": "scaledtanh(slope=0.5)",
        "scaledtanh(1.5, 0.5)": "scaledtanh(1.5, slope=0.5)",
        "lrn(5, alpha=1e-4, beta=0.75, k=2)": "lrn",
        "lrn(k=1, 5)": None,
        "lrn(size=3, k=1e7)": "lrn(3, k=10000000.0)",
        "bn(eps=1e-3, scale=no)": "bn(scale=no, eps=0.001)",
        "pad(1x1)": "pad(1)",
        "pad(border=0x2)": "pad(0x2)",
        "upsample2(nearest)": "upsample2",
        "upsample2x1(bilinear)": "upsample2x1(bilinear)",
        "take(0, 1,2)": "take(0, 1, 2)",
        "take(channels=3)": "take(3)",
        "shortcut-4(b)": "shortcut-4",
        "shortcut-4/1(option=a)": "shortcut-4(a)",
        "(relu)*3": "relu*3",
        "(relu)*1": "(relu)",
        "relu*1": "(relu)",
        "(relu tanh)*1": "(relu tanh)",
        "((relu)*2)*3": "(relu*2)*3",
        "(x: relu)*2": "(x: relu)*2",
        "x: relu*2": "x: relu*2",
        "add(id|relu)": "add( id | relu )",
        "ADD( id\n| relu )*2": "add( id | relu )*2",
        "(conv3-4)(relu)": "(conv3-4) (relu)",
        "X: relu add(@X | id)": "x: relu add( @x | id )",
    }.items(),
)
def test_canonical_forms(written: str, printed: str | None) -> None:
    if printed is None:
        with pytest.raises(ValueError, match="has no option '5'"):
            canonical(written)
        return
    assert canonical(written) == printed
    assert canonical(printed) == printed


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("f = relu", None),
        ("F(K, S = 1) = conv3-K/S relu", "f(k, s=1) = conv3-k/s relu"),
        ("f() = relu tanh", "f() = relu tanh"),
        ("f(k) = conv3-(k)", "f(k) = conv3-k"),
        ("f(k) = conv3-(k*2)", "f(k) = conv3-(k*2)"),
        ("f(k) = conv3-(2*3)", "f(k) = conv3-6"),
        ("f(k) = conv3-((k+1)*2-k/(k*1))", "f(k) = conv3-((k + 1)*2 - k/(k*1))"),
        ("f(k) = conv3-(k - (1 - k))", "f(k) = conv3-(k - (1 - k))"),
        ("f(k) = conv3-(k - (2*k - 2*4))", "f(k) = conv3-(k - (2*k - 8))"),
        ("f(k) = conv3-(k/(k/1))", "f(k) = conv3-(k/(k/1))"),
        ("f(k) = conv3-((k/2)/2)", "f(k) = conv3-(k/2/2)"),
        ("f(k) = conv3-((k - 1) + k)", "f(k) = conv3-(k - 1 + k)"),
        ("f(k) = conv3-(-k + 2*k)", "f(k) = conv3-(0 - k + 2*k)"),
        ("f(k) = conv3-(k*-1*-1)", "f(k) = conv3-(k*-1*-1)"),
        ("f(k) = conv3-k*2 conv3-k/(k/2)(floor)", "f(k) = conv3-k*2 conv3-k/(k/2)(floor)"),
        ("f(k) = relu*k", "f(k) = relu*k"),
        ("f(k) = (relu)*(k - 2)", "f(k) = relu*(k - 2)"),
        ("f(k) = conv-8(kernel=k)", None),
        (
            "f(k) = conv-8(kernel=k, pad=k/2 - 1, floor)",
            "f(k) = conv-8(kernel=k, pad=k/2 - 1, floor)",
        ),
        ("f(k) = take(k - 4, 1)", "f(k) = take(k - 4, 1)"),
        ("f(a=6) = shortcut-a(a)", "f(a=6) = shortcut-a(a)"),
        ("f(floor=1) = conv3-4/floor(floor)", "f(floor=1) = conv3-4/floor(floor)"),
        ("f(no=1) = conv3-no(bias=no)", "f(no=1) = conv3-no(bias=no)"),
    ],
)
def test_canonical_blocks(written: str, printed: str | None) -> None:
    text = f"{written}\n[16x16x5] f({'4' if '(k' in written or '(K' in written else ''})"
    if printed is None:
        with pytest.raises(ValueError):
            Network.parse(text)
        return
    assert str(Network.parse(text)).splitlines()[0] == printed


@pytest.mark.parametrize(
    ("call", "printed"),
    {
        "f(4)": "f(4)",
        "f(k=4)": "f(4)",
        "f(4, s=1)": "f(4)",
        "f(4, 2)": "f(4, s=2)",
        "f(s=2, k=4)": "f(4, s=2)",
        "f(4, 2, 3)": "f(4, s=2, 3)",
        "f(4, n=2*2)": "f(4, n=4)",
    }.items(),
)
def test_calls(call: str, printed: str) -> None:
    text = f"f(k, s=1, n=5) = conv3-k/s(floor) conv3-n\n[8x8x3] {call}"
    if printed == "f(4, s=2, 3)":  # a default makes a parameter be named
        printed = "f(4, s=2, n=3)"
    assert str(Network.parse(text)).splitlines()[-1] == printed


def test_a_required_parameter_after_a_default_is_named() -> None:
    text = "f(s=1, k) = conv3-k/s(floor)\n[8x8x3] f(k=4) f(2, 4)\n"
    network = Network.parse(text)
    assert str(network).splitlines()[-1] == "f(k=4) f(s=2, k=4)"
    assert Network.parse(str(network)) == network


def test_long_lines_are_folded() -> None:
    text = str(Network.parse("[8x8x3] " + "conv3-8(pad=2, dilation=2, floor) " * 20))
    lines = text.splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 100
    assert all(line.startswith("    conv3-8") for line in lines[2:])
    assert str(Network.parse(text)) == text


# -- what the words mean


@pytest.mark.parametrize(
    ("words", "layer"),
    {
        "conv3-64(bias=yes)": Conv(kernel=Pair(3, 3), filters=64, bias="yes"),
        "conv7x1-6/1x2(floor)": Conv(
            kernel=Pair(7, 1), filters=6, stride=Pair(1, 2), rounding="floor", bias="yes"
        ),
        "conv3-6(groups=2, dilation=2x1, bias=no, pad=0)": Conv(
            kernel=Pair(3, 3),
            filters=6,
            groups=2,
            dilation=Pair(2, 1),
            bias="no",
            pad=Pair(0, 0),
        ),
        "conv1-6(bias=point)": Conv(kernel=Pair(1, 1), filters=6, bias="point"),
        "deconv4-64/2(pad=1, extra=1)": Deconv(
            kernel=Pair(4, 4),
            filters=64,
            stride=Pair(2, 2),
            pad=Pair(1, 1),
            extra=Pair(1, 1),
            bias="yes",
        ),
        "maxpool4/2": MaxPool(kernel=Pair(4, 4), stride=Pair(2, 2)),
        "avgpool": AvgPool(),
        "fc-10": FullyConnected(units=10, bias="yes"),
        "relu": Relu(),
        "dropout(0.25)": Dropout(probability=0.25),
        "lrn(3, 1, 0.5)": None,
        "lrn(3, k=1)": LocalResponseNorm(size=3, k=1.0),
        "pad(1x2)": Pad(border=Pair(1, 2)),
        "upsample2x3(bilinear)": Upsample(factor=Pair(2, 3), method="bilinear"),
        "take(0, 2, 2)": Take(channels=(0, 2, 2)),
    }.items(),
)
def test_words_are_layers(words: str, layer: Layer | None) -> None:
    if layer is None:
        with pytest.raises(ValueError, match="lrn has no option"):
            layers(words)
    else:
        assert layers(words) == [layer]


@pytest.mark.parametrize(
    ("text", "split"),
    {
        "conv3": ("conv", "3"),
        "conv7x1": ("conv", "7x1"),
        "conv": ("conv", None),
        "basic_2": ("basic_", "2"),
        "conv3x": ("conv3x", None),
        "x3conv": ("x3conv", None),
    }.items(),
)
def test_split_kind(text: str, split: tuple[str, str | None]) -> None:
    assert split_kind(text) == split


@pytest.mark.parametrize(
    ("words", "biases"),
    {
        "conv3-8": ["yes"],
        "conv3-8 bn": ["no"],
        "conv3-8(bias=yes) bn": ["yes"],
        "conv3-8(bias=no) relu": ["no"],
        "conv3-8 relu bn": ["yes"],
        "conv3-8 [16x16x8] bn": ["no"],
        "(conv3-8)*2 bn": ["yes", "no"],
        "(conv3-8 bn)*2": ["no", "no"],
        "x: conv3-8 bn": ["no"],
        "(conv3-8) (bn)": ["no"],
        "deconv3-8 bn": ["no"],
        "fc-8 bn": ["no"],
        "add(conv3-4 | id) bn": ["yes"],
        "conv3-8 add(bn | id)": ["yes"],
        "x: conv3-8 y: relu @x bn add(id | @y)": ["yes"],
        "shortcut-8": ["no"],
    }.items(),
)
def test_no_bias_directly_before_bn(words: str, biases: list[str]) -> None:
    found = [getattr(layer, "bias", None) for layer in layers(words)]
    assert [bias for bias in found if bias] == biases


@pytest.mark.parametrize(
    ("text", "names"),
    {
        "[8x8x3] conv3-4 relu conv3-4 relu": ["conv1", "relu1", "conv2", "relu2"],
        "[8x8x3] (conv3-4 relu)*2": ["conv1", "relu1", "conv2", "relu2"],
        "[8x8x3] relu1: relu relu relu": ["relu1", "relu2", "relu3"],
        "[8x8x3] x: relu (x: relu)*2": ["x", "x1", "x2"],
        "[8x8x3] g: (conv3-4 y: relu)*2": ["g.conv1", "g.y1", "g.conv2", "g.y2"],
        "f() = relu\n[8x8x3] f() f() x: f()": ["f1.relu1", "f2.relu1", "x.relu1"],
        "f() = relu\n[8x8x3] (x: f())*2": ["x1.relu1", "x2.relu1"],
        "[8x8x3] add(relu | id)": ["add1.branch1.relu1", "add1.branch2.id1", "add1"],
        "[8x8x3] j: concat(relu | x: id)": ["j.branch1.relu1", "j.branch2.x", "j"],
        "[8x8x3] x: relu fc-2 head out from @x: fc-3": ["x", "fc1", "out.fc1"],
        "[8x8x3] shortcut-4/2": ["conv1", "bn1"],
        "[8x8x3] shortcut-3": ["id1"],
        "[8x8x3] shortcut-4/2(a)": ["shortcut1"],
    }.items(),
)
def test_names_follow_the_text(text: str, names: list[str]) -> None:
    assert [step.name for step in Network.parse(text).steps] == names


@quick
@given(scripts())
def test_every_step_has_a_name_of_its_own(script: Script) -> None:
    names = [step.name for step in Network(script).steps]
    assert len(set(names)) == len(names)


def test_numbers_in_names_do_not_collide() -> None:
    text = "f() = relu f1() = tanh [8x8x3] f()*11 f1() (x: relu)*11 (x1: relu)*2 relu1: id relu"
    names = [step.name for step in Network.parse(text).steps]
    assert len(set(names)) == len(names) == 27


def test_labels_lead_anywhere() -> None:
    network = Network.parse("[8x8x3] x: conv3-4 relu maxpool2 upsample2 concat(id | @x)")
    assert network.output == (8, 8, 8)
    assert network.steps[-1].inputs == (4, 0)


def test_labels_of_a_repeated_group_are_its_own() -> None:
    network = Network.parse("[8x8x3] x: relu (x: conv3-3 add(@x | id))*2 add(@x | id)")
    assert [step.inputs for step in network.steps if step.layer.kind == "add"] == [
        (1, 2),
        (4, 5),
        (0, 7),
    ]


def test_labels_of_a_block_are_its_own() -> None:
    network = Network.parse("f() = x: conv3-3 add(@x | id)\n[8x8x3] x: relu f() f() add(@x | id)")
    assert network.steps[-1].inputs == (0, 7)


def test_heads() -> None:
    network = Network.parse(
        "[8x8x3] a: conv3-4 b: relu fc-2 softmax "
        "head one from @a: avgpool fc-2 head two from @b: fc-3"
    )
    assert {
        name: network.steps[at].volume for name, at in network.expansion.head_outputs.items()
    } == {
        "one": (1, 1, 2),
        "two": (1, 1, 3),
    }
    assert network.output == (1, 1, 2)
    assert network.steps[4].inputs == (0,)


def test_expressions_are_worked_out_where_the_block_is_called() -> None:
    text = """
    inner(k, n) = (conv1-k)*n
    outer(k, s=1) = conv3-(4*k - 2)/s(floor) inner(k*2, n=k - 1)
    [8x8x3] outer(3) outer(2, s=2)
    """
    filters = [step.layer.filters for step in Network.parse(text).steps]
    assert filters == [10, 6, 6, 6, 4]


def test_a_repeated_group_has_weights_of_its_own_each_time() -> None:
    assert parameters(Network.parse("[8x8x3] (conv3-3)*4")) == 4 * (3 * 3 * 3 * 3 + 3)


def test_the_tree() -> None:
    script = script_of("f(k, s=1) = conv3-(k + 1)/s\n[8x8x3] f(2)*3")
    assert script.body == (Repeat((Call("f", (("k", 2),)),), 3),)
    assert script.blocks[0].body == (
        Word(
            "conv",
            (
                ("kernel", Pair(3, 3)),
                ("stride", Name("s")),
                ("filters", Operation("+", Name("k"), 1)),
            ),
        ),
    )


# -- front matter


@pytest.mark.parametrize(
    ("front", "found"),
    {
        "": {},
        "---\n": {},
        "name: a\n---\n": {"name": "a"},
        "NAME:  a: b  \n\n# a comment\nsee also: 漢字 #1\n---  \n": {
            "name": "a: b",
            "see also": "漢字 #1",
        },
        "\n  name: a\r\n---\r\n": {"name": "a"},
    }.items(),
)
def test_front_matter(front: str, found: dict[str, str]) -> None:
    network = Network.parse(f"{front}[8x8x3] relu")
    assert network.front == found
    assert network.name == found.get("name")
    assert Network.parse(str(network)) == network


def test_front_matter_keeps_its_order() -> None:
    text = "year: 2015\nname: a\n---\n[8x8x3]\nrelu"
    assert str(Network.parse(text)) == text


def test_networks_are_equal_where_their_texts_say_the_same() -> None:
    one = Network.parse("[8x8x3] conv3x3-4/1 (relu)*2")
    assert one == Network.parse("[8x8x3]  CONV3-4\nrelu*2 # twice")
    assert one != Network.parse("[8x8x3] conv3-4 relu relu")
    assert len({one, Network.parse(str(one))}) == 1


def test_a_network_from_layers() -> None:
    network = Network.of((8, 8, 3), Conv(kernel=3, filters=4), Relu(), name="small")
    assert str(network) == "name: small\n---\n[8x8x3]\nconv3-4 relu"


def test_another_input() -> None:
    network = Network.parse("[8x8x3] conv3-4 [8x8x4] ([8x8x4]) add([8x8x4] | relu) fc-2")
    smaller = network.with_input((5, 6, 1))
    assert str(smaller) == "[5x6x1]\nconv3-4 (id) add( id | relu ) fc-2"
    assert Network.parse(str(smaller)) == smaller


def test_read_takes_texts_and_paths(tmp_path) -> None:
    path = tmp_path / "mine.net"
    path.write_text("[8x8x3]\r\nrelu", "utf-8", newline="")
    assert read(path) == read(str(path)) == read("[8x8x3] relu")
    assert read("VGG16") == read("vgg16")
