"""The lecture's pattern, [(CONV-RELU)*N-POOL?]*M-(FC-RELU)*K,SOFTMAX: matched, counted, generated.

A pattern is words joined by `-` or `,`, groups in round or square brackets, `*N` for a repetition
whose count has that name, `*3` for an exact one and `?` for what may be left out. Words:

    CONV RELU POOL FC    a convolution; any activation function; any pool; a fully connected layer
    SOFTMAX              the classifier at the end: `fc` and `softmax`, either alone, or `rbf`
    any kind of layer    exactly that kind: BN, MAXPOOL, TANH

Layers that the pattern does not speak of and that leave the volume as it is (bn, lrn, dropout, id,
scale, flatten) are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

from striate.errors import NotationError, Place, Source, UnknownWord, nearest
from striate.expand import Part
from striate.layers import (
    KINDS,
    Conv,
    FullyConnected,
    Layer,
    MaxPool,
    Pair,
    Relu,
    Softmax,
    Volume,
)
from striate.layers.activation import Activation
from striate.network import Network

LECTURE = "[(CONV-RELU)*N-POOL?]*M-(FC-RELU)*K,SOFTMAX"
BOUNDS = {"N": 5, "K": 2}  # "where N is usually up to ~5, M is large, 0 <= K <= 2" (lecture 7)
ACTIVATIONS = frozenset(
    kind for kind, layer in KINDS.items() if issubclass(layer, Activation) and kind != "softmax"
)
CLASSES = {
    "conv": frozenset({"conv"}),
    "relu": ACTIVATIONS,
    "pool": frozenset({"maxpool", "avgpool", "subsample"}),
    "fc": frozenset({"fc"}),
}
PASSED_OVER = frozenset({"bn", "lrn", "dropout", "id", "scale", "flatten"})
MOST_REPETITIONS = 1000


@dataclass(frozen=True)
class Node:
    """A piece of a pattern: a word, or a group of pieces, so many times.

    Attributes:
        word: what a single layer must be; empty for a group.
        parts: the pieces of a group.
        low, high: how often, high being None for no limit.
        name: what the count is called.
    """

    word: str = ""
    parts: tuple[Node, ...] = ()
    low: int = 1
    high: int | None = 1
    name: str = ""


@dataclass(frozen=True)
class Match:
    """How a network follows a pattern, or where it stops doing so.

    Attributes:
        matches: whether it does.
        counts: of each named repetition, in order: VGG-16 has N = 2, 2, 3, 3, 3 and M = 5.
        passed_over: the kinds of layers that the pattern does not speak of.
        reason: why it does not match; empty if it does.
    """

    matches: bool
    counts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()
    reason: str = ""

    def __bool__(self) -> bool:
        return self.matches


def parse_pattern(text: str) -> Node:
    """Reads a pattern.

    Raises:
        NotationError: it is no pattern; the error names the column.
    """
    source = Source(text, "pattern")
    tokens = [
        (found[0], Place(source, found.start(), found.end()))
        for found in re.finditer(r"[A-Za-z_]+|\d+|[^\s]", text)
        if found[0] not in "-,"
    ]
    tokens.append(("", Place(source, len(text), len(text) + 1)))
    at = 0

    def refuse(message: str) -> NotationError:
        return NotationError(message, tokens[at][1], hints=[f"such as {LECTURE}"])

    def group(closing: str, depth: int) -> tuple[Node, ...]:
        nonlocal at
        if depth > 20:
            raise refuse("the pattern's brackets nest too deep")
        parts: list[Node] = []
        while tokens[at][0] != closing:
            parts.append(piece(depth))
        at += 1
        if not parts:
            at -= 1
            raise refuse("the pattern has nothing in it here")
        return tuple(parts)

    def piece(depth: int) -> Node:
        nonlocal at
        token, place = tokens[at]
        at += 1
        if token in ("(", "["):
            return counted(Node(parts=group({"(": ")", "[": "]"}[token], depth + 1)))
        word = token.lower()
        if not token.isidentifier():
            at -= 1
            raise refuse(f"{token!r} cannot stand here" if token else "the pattern ends too early")
        if word not in KINDS and word not in CLASSES:
            known = [*CLASSES, *KINDS]
            hints = [nearest(word, known)]
            raise UnknownWord(f"there is no word {token!r} in patterns", place, hints=hints)
        return counted(Node(word))

    def counted(node: Node) -> Node:
        nonlocal at
        if tokens[at][0] == "?":
            at += 1
            return Node(node.word, node.parts, 0, 1)
        if tokens[at][0] != "*":
            return node
        count = tokens[at + 1][0]
        at += 2
        if count.isdigit() and len(count) < 5:
            return Node(node.word, node.parts, int(count), int(count))
        if count.isidentifier():
            return Node(node.word, node.parts, 0, None, count.upper())
        at -= 1
        raise refuse("a repetition has a name or a number: *N, *3")

    return Node(parts=group("", 0))


def match(network: Network, pattern: str = LECTURE) -> Match:
    """Asks whether a network follows a pattern, and with which counts. Counts are greedy.

    Raises:
        NotationError: the pattern is none.
    """
    tree = parse_pattern(pattern)
    for child in network.main.children:
        if isinstance(child, Part) and any(isinstance(inner, Part) for inner in child.children):
            return Match(
                False, reason=f"it branches at {child.name}, and a pattern is one sequence"
            )
    if any(step.inputs != (index - 1,) for index, step in enumerate(network.main.steps())):
        return Match(False, reason="it refers to labels, and a pattern is one sequence")
    named = _named(tree)
    steps = [step for step in network.main.steps() if step.layer.kind not in PASSED_OVER - named]
    kinds = [step.layer.kind for step in steps]
    passed = sorted({step.layer.kind for step in network.main.steps()} & (PASSED_OVER - named))
    matcher = _Matcher(kinds)
    if len(kinds) in matcher.ends(tree, 0):
        counts: dict[str, list[int]] = {}
        matcher.count(tree, 0, len(kinds), counts)
        written = [name.upper() for name in re.findall(r"\*\s*([A-Za-z_]+)", pattern)]
        found = {name: tuple(counts.get(name, ())) for name in written}
        return Match(True, found, tuple(passed))
    where = "at its end" if matcher.furthest == len(kinds) else f"at {steps[matcher.furthest].name}"
    return Match(False, {}, tuple(passed), f"it stops following the pattern {where}")


def _named(node: Node) -> frozenset[str]:
    return frozenset({node.word}).union(*(_named(part) for part in node.parts))


class _Matcher:
    """Which stretches of a sequence of kinds a node can take; every question is answered once."""

    def __init__(self, kinds: list[str]) -> None:
        self.kinds = kinds
        self.furthest = 0
        self.ends = lru_cache(maxsize=None)(self._ends)
        self.once = lru_cache(maxsize=None)(self._once)

    def _ends(self, node: Node, start: int) -> frozenset[int]:
        """Where the node can end if it starts here, all its repetitions taken."""
        found = {start} if node.low == 0 else set()
        reached = {start}
        for done in range(1, (node.high or MOST_REPETITIONS) + 1):
            reached = {end for at in reached for end in self.once(node, at)} - (
                found if node.high is None else set()
            )
            if not reached:
                break
            if done >= node.low:
                found |= reached
        return frozenset(found)

    def _once(self, node: Node, start: int) -> frozenset[int]:
        """Where one repetition of the node can end."""
        if node.word:
            return frozenset(self._word(node.word, start))
        reached = frozenset({start})
        for part in node.parts:
            reached = frozenset(end for at in reached for end in self.ends(part, at))
        return reached - ({start} if node.high is None else frozenset())

    def _word(self, word: str, start: int) -> Iterator[int]:
        self.furthest = max(self.furthest, start)
        kinds = self.kinds[start : start + 2]
        if word == "softmax":
            if kinds == ["fc", "softmax"]:
                yield start + 2
            if kinds and kinds[0] in ("fc", "softmax", "rbf"):
                yield start + 1
        elif kinds and kinds[0] in CLASSES.get(word, {word}):
            yield start + 1

    def count(self, node: Node, start: int, end: int, counts: dict[str, list[int]]) -> None:
        """Notes the counts of one way to take exactly this stretch, the longest pieces first."""
        own: list[int] = counts.setdefault(node.name, []) if node.name else []
        place, at, times = len(own), start, 0
        own.append(0)
        while at < end or times < node.low:
            rest = Node(node.word, node.parts, max(0, node.low - times - 1), node.high)
            if node.high is not None:
                rest = Node(node.word, node.parts, rest.low, max(0, node.high - times - 1))
            following = max(
                e for e in self.once(node, at) if e <= end and self._completes(rest, e, end)
            )
            self._count_parts(node.parts, at, following, counts)
            at, times = following, times + 1
        own[place] = times

    def _completes(self, rest: Node, at: int, end: int) -> bool:
        return end in self.ends(rest, at) if rest.high != 0 else at == end

    def _count_parts(
        self, parts: tuple[Node, ...], start: int, end: int, counts: dict[str, list[int]]
    ) -> None:
        at = start
        for number, part in enumerate(parts):
            rest = Node(parts=parts[number + 1 :])
            at_end = max(
                e
                for e in self.ends(part, at)
                if e <= end and (end in self.ends(rest, e) if rest.parts else e == end)
            )
            self.count(part, at, at_end, counts)
            at = at_end


def within_bounds(found: Match) -> bool:
    """Whether the counts keep to what the lecture calls usual: N up to 5, K up to 2."""
    return all(
        max(found.counts.get(name, (0,)), default=0) <= most for name, most in BOUNDS.items()
    )


def generate(
    input: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    N: Iterable[int] = (1, 2, 3),
    M: Iterable[int] = (1, 2, 3),
    K: Iterable[int] = (0, 1, 2),
    pool: Iterable[bool] = (True,),
    filters: int = 16,
    units: int = 128,
) -> Iterator[Network]:
    """The networks of the lecture's pattern within bounds, the smallest first; those that fit.

    Every convolution is 3x3 and keeps the size; every pool is 2x2 and halves it; each stage has
    twice the filters of the one before.

    Args:
        input: the input volume.
        classes: units of the classifier.
        N: convolutions in a stage.
        M: stages.
        K: hidden fully connected layers.
        pool: whether a stage ends in a pool.
        filters: of the first stage.
        units: of each hidden fully connected layer.

    Raises:
        DoesNotFit: never for sizes that can be halved; what cannot be is left out.
    """
    settings: Mapping[str, list[int]] = {"M": sorted(M), "N": sorted(N), "K": sorted(K)}
    for stages, convs, hidden, pools in product(*settings.values(), pool):
        if pools and any(side % 2**stages for side in Volume(*input)[:2]):
            continue
        made: list[Layer] = []
        for stage in range(stages):
            width = filters * 2**stage
            made += [Conv(kernel=Pair(3, 3), filters=width), Relu()] * convs
            made += [MaxPool(kernel=Pair(2, 2))] * pools
        made += [FullyConnected(units=units), Relu()] * hidden
        made += [FullyConnected(units=classes), Softmax()]
        yield Network.of(input, *made, name=f"N={convs} M={stages} K={hidden}")
