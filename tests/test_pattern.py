"""The lecture's pattern: over the zoo, against regular expressions, and what it generates."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate import zoo
from striate.cli.match import LECTURE as SAID
from striate.errors import NotationError, UnknownWord
from striate.network import Network
from striate.pattern import LECTURE, Match, Node, generate, match, parse_pattern, within_bounds

# -- the lecture's pattern over the zoo


@pytest.mark.parametrize(
    ("name", "n", "m", "k"),
    [
        ("vgg16", (2, 2, 3, 3, 3), 5, 2),
        ("vgg19", (2, 2, 4, 4, 4), 5, 2),
        ("alexnet", (1, 1, 3), 3, 2),
        ("alexnet-lecture", (1, 1, 3), 3, 2),
        ("zfnet", (1, 1, 3), 3, 2),
        ("lenet5-lecture", (1, 1, 1), 3, 1),  # [CONV-POOL-CONV-POOL-CONV-FC], and FC for classes
        ("convnetjs-cifar10", (1, 1, 1), 3, 0),
        ("lecture-toy", (2, 2, 2), 3, 0),
        ("two-layer", (), 0, 1),
        ("linear-classifier", (), 0, 0),
    ],
)
def test_zoo_counts(name: str, n: tuple[int, ...], m: int, k: int) -> None:
    found = match(zoo.read(name))
    assert found
    assert found.counts == {"N": n, "M": (m,), "K": (k,)}
    assert within_bounds(found)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("googlenet", "it branches at inception_3a.concat1, and a pattern is one sequence"),
        ("resnet18", "it branches at basic1.add1, and a pattern is one sequence"),
        ("lenet5", "it branches at c3, and a pattern is one sequence"),
        ("lenet-caffe", "it stops following the pattern at maxpool1"),
    ],
)
def test_zoo_reasons(name: str, reason: str) -> None:
    assert match(zoo.read(name)) == Match(False, reason=reason)


def test_passed_over() -> None:
    """Layers that the pattern does not speak of are passed over, unless it does speak of them."""
    network = Network.parse(
        "[8x8x3] conv3-4 bn relu lrn maxpool2 fc-5 relu dropout(0.5) fc-3 softmax"
    )
    assert match(network).passed_over == ("bn", "dropout", "lrn")
    assert match(network, "CONV-BN-RELU-POOL-(FC-RELU)*K-SOFTMAX").passed_over == ("dropout", "lrn")
    assert not match(network, "CONV-RELU-BN-POOL-FC-RELU-SOFTMAX")


def test_labels() -> None:
    """A label that something else reads is no matter; a step back to it is."""
    text = "[8x8x3] a: conv3-4 b: relu {} fc-3 softmax head out from @b: fc-2"
    assert match(Network.parse(text.format("maxpool2")))
    back = match(Network.parse(text.format("@a relu")))
    assert back.reason == "it refers to labels, and a pattern is one sequence"


def test_blocks_in_blocks_are_a_sequence() -> None:
    text = "unit(k) = conv3-k relu\nstage(k) = unit(k) unit(k) maxpool2\n[8x8x3] stage(4)*2 fc-3"
    assert match(Network.parse(text)).counts == {"N": (2, 2), "M": (2,), "K": (0,)}


def test_within_bounds() -> None:
    assert not within_bounds(match(Network.parse("[8x8x3] (conv3-4 relu)*6 fc-3")))
    assert not within_bounds(match(Network.parse("[8x8x3] (fc-4 relu)*3 fc-3")))


def test_the_command_line_says_the_same_pattern() -> None:
    assert SAID == LECTURE


# -- an independent oracle: Python's regular expressions over one letter for each layer

WORDS = {"CONV": "c", "RELU": "r", "POOL": "p", "FC": "f", "BN": "b", "SOFTMAX": "(?:fs|f|s)"}
LAYERS = {"c": "conv1-2", "r": "relu", "p": "maxpool1", "f": "fc-2", "b": "bn", "s": "softmax"}


@dataclass
class Piece:
    """A piece of a pattern, as the tests know it. `many` is "", "?", "*NAME" or "*3"."""

    word: str
    parts: list[Piece]
    many: str

    def text(self) -> str:
        inner = self.word or f"({'-'.join(part.text() for part in self.parts)})"
        return inner + self.many

    def once(self) -> str:
        return WORDS[self.word] if self.word else "".join(part.regex() for part in self.parts)

    def regex(self) -> str:
        exact = f"{{{self.many[1:]}}}" if self.many[1:].isdigit() else self.many[:1]
        return f"(?:{self.once()}){exact}"

    def named(self) -> list[str]:
        own = [self.many[1:]] if self.many[1:].isalpha() else []
        return [*(name for part in self.parts for name in part.named()), *own]


def spelt(pieces: list[Piece], counts: dict[str, list[int]]) -> Iterator[tuple[str, dict]]:
    """Every way to write pieces out with counts taken in order, and the counts that are left."""
    if not pieces:
        yield "", counts
        return
    first, rest = pieces[0], pieces[1:]
    times: list[int] = [1]
    if first.many == "?":
        times = [0, 1]
    elif first.many[1:].isdigit():
        times = [int(first.many[1:])]
    elif first.many:
        name = first.many[1:]
        if not counts[name]:
            return
        times, counts = [counts[name][0]], {**counts, name: counts[name][1:]}
    for each in times:
        inside = first.parts if first.parts else []
        unit = inside * each if not first.word else []
        text = WORDS[first.word] * each if first.word else ""
        for written, left in spelt(unit, counts):
            for following, remains in spelt(rest, left):
                yield text + written + following, remains


@st.composite
def patterns(draw: st.DrawFn) -> Piece:
    """Patterns of any shape; every named repetition has a name of its own."""
    names = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

    def piece(depth: int) -> Piece:
        many = draw(st.sampled_from(["", "", "?", "*", "*", "*0", "*2"]))
        if many == "*":
            many += next(names)
        if depth == 0 or draw(st.booleans()):
            return Piece(draw(st.sampled_from(list(WORDS))), [], many)
        return Piece("", [piece(depth - 1) for _ in range(draw(st.integers(1, 3)))], many)

    return Piece("", [piece(2) for _ in range(draw(st.integers(1, 3)))], "")


@st.composite
def samples(draw: st.DrawFn) -> tuple[Piece, str]:
    """A pattern and a sequence: one that it writes, now and then changed, or any."""
    pattern = draw(patterns())

    def write(piece: Piece) -> str:
        times = {"": 1, "?": draw(st.integers(0, 1)), "*0": 0, "*2": 2}.get(piece.many)
        times = draw(st.integers(0, 3)) if times is None else times
        return "".join(_once(piece) for _ in range(times))

    def _once(piece: Piece) -> str:
        if piece.word == "SOFTMAX":
            return draw(st.sampled_from(["fs", "f", "s"]))
        return WORDS[piece.word] if piece.word else "".join(map(write, piece.parts))

    # Short: the regular expressions of nested repetitions take time that grows exponentially.
    sequence = write(pattern)[:9]
    if draw(st.integers(0, 2)) == 0:
        at = draw(st.integers(0, len(sequence)))
        sequence = sequence[:at] + draw(st.sampled_from(list(LAYERS))) + sequence[at + 1 :]
    return pattern, sequence


@settings(max_examples=300, deadline=None, derandomize=True)
@given(samples())
def test_agrees_with_regular_expressions(sample: tuple[Piece, str]) -> None:
    """Python's `re` says the same, and the counts written out give the sequence again."""
    pattern, sequence = sample
    text = "-".join(part.text() for part in pattern.parts)
    if not sequence:
        return
    found = match(Network.parse("[1x1x2] " + " ".join(map(LAYERS.get, sequence))), text)
    heard = sequence if "BN" in text else sequence.replace("b", "")
    assert bool(found) == bool(re.fullmatch(pattern.regex(), heard)), text
    if found:
        assert list(found.counts) == pattern.named()
        counts = {name: list(values) for name, values in found.counts.items()}
        written = spelt(pattern.parts, counts)
        assert any(not any(left.values()) and re.fullmatch(w, heard) for w, left in written)


@pytest.mark.parametrize(
    ("pattern", "counts"),
    [
        ("CONV*A-CONV*B", {"A": (5,), "B": (0,)}),
        ("CONV*A-CONV-CONV*B", {"A": (4,), "B": (0,)}),
        ("(CONV*A)*B", {"A": (5,), "B": (1,)}),
        ("(CONV*N)*N", {"N": (1, 5)}),  # the outer one begins first
        ("CONV*2-(CONV?-CONV)*C", {"C": (2,)}),
        ("CONV?-conv*n", {"N": (4,)}),
        ("CONV*0-(CONV*5)*M", {"M": (1,)}),
    ],
)
def test_counts_are_greedy(pattern: str, counts: dict[str, tuple[int, ...]]) -> None:
    assert match(Network.parse("[4x4x2] conv1-2*5"), pattern).counts == counts


def test_where_it_stops() -> None:
    network = Network.parse("[8x8x3] conv3-4 relu conv3-4 tanh maxpool2 fc-3")
    assert match(network, "(CONV-RELU)*N-MAXPOOL-SOFTMAX")
    assert match(network, "CONV-RELU").reason == "it stops following the pattern at conv2"
    assert "at tanh1" in match(network, "(CONV-RELU-CONV-SIGMOID)-POOL-FC").reason
    assert "at its end" in match(network, "(CONV-RELU)*2-POOL-FC-RELU").reason


# -- patterns that are none


@pytest.mark.parametrize(
    ("pattern", "column", "message"),
    [
        ("", 1, "the pattern has nothing in it here"),
        ("CONV-()", 7, "the pattern has nothing in it here"),
        ("(CONV", 6, "the pattern ends too early"),
        ("CONV)", 5, "')' cannot stand here"),
        ("[CONV)", 6, "')' cannot stand here"),
        ("CONV*", 6, "a repetition has a name or a number: *N, *3"),
        ("CONV*²", 6, "a repetition has a name or a number: *N, *3"),
        ("CONV??", 6, "'?' cannot stand here"),
        ("*N", 1, "'*' cannot stand here"),
        ("CONV*501", 6, "a pattern has at most 500 words, all repetitions written out"),
        ("(CONV*30-FC)*30", 14, "a pattern has at most 500 words, all repetitions written out"),
        (f"CONV*{'9' * 5000}", 6, "a pattern has at most 500 words, all repetitions written out"),
        ("(" * 21 + "CONV" + ")" * 21, 22, "the pattern's brackets nest too deep"),
    ],
)
def test_refusals(pattern: str, column: int, message: str) -> None:
    with pytest.raises(NotationError) as refused:
        parse_pattern(pattern)
    assert refused.value.message == message
    assert refused.value.place is not None
    assert refused.value.place.column == column
    assert LECTURE in str(refused.value)


def test_unknown_word() -> None:
    with pytest.raises(UnknownWord) as refused:
        parse_pattern("CONV-REUL")
    assert str(refused.value) == (
        "pattern:1:6: there is no word 'REUL' in patterns\n"
        "  1 | CONV-REUL\n    |      ^^^^\n  did you mean relu?"
    )


PIECES = ["CONV", "fc", "(", ")", "[", "]", "*", "?", "N", "3", "-", ",", " ", "é", "²", "٣", "_"]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=20)))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_pattern(text), Node)
    except NotationError as refused:
        assert str(refused).startswith("pattern:")


@pytest.mark.parametrize(
    "pattern",
    [
        "(CONV*A)*B",
        "(CONV*A)*B-FC",
        "(((CONV*A)*B-BN?)*C)*D-FC",
        "((CONV?)*20)*20-FC",
        "(CONV?)*500-FC",
    ],
)
def test_no_exponential_time(pattern: str) -> None:
    network = Network.parse("[4x4x2] conv1-2*300")
    before = time.process_time()
    match(network, pattern)
    assert time.process_time() - before < 10


def test_long_networks() -> None:
    assert match(Network.parse("[2x2x1] relu*5000"), "RELU*N").counts == {"N": (5000,)}


# -- networks from the pattern


def test_generated_networks_match() -> None:
    """Every network within the bounds fits, matches, and has exactly the counts asked for."""
    made = list(generate(N=[1, 3], M=[1, 2], K=[0, 2]))
    asked = list(product([1, 2], [1, 3], [0, 2]))
    assert len(made) == len(asked)
    for network, (m, n, k) in zip(made, asked, strict=True):
        assert match(network).counts == {"N": (n,) * m, "M": (m,), "K": (k,)}
        assert network.name == f"N={n} M={m} K={k}"
        assert network.output == (1, 1, 10)
        assert Network.parse(str(network)) == network


def test_generated_without_pools() -> None:
    (network,) = generate((5, 7, 1), 3, N=[2], M=[1], K=[1], pool=[False], filters=4, units=6)
    assert match(network).counts == {"N": (2,), "M": (1,), "K": (1,)}
    assert [str(step.volume) for step in network.steps[-3:]] == ["1x1x6", "1x1x3", "1x1x3"]


def test_generated_only_where_pools_fit() -> None:
    made = generate((12, 12, 3), N=[1], M=[1, 2, 3, 4], K=[0])
    assert [match(network).counts["M"] for network in made] == [(1,), (2,)]
