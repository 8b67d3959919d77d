"""The lecture's pattern, [(CONV-RELU)*N-POOL?]*M-(FC-RELU)*K,SOFTMAX: matched, counted, generated.

A pattern is words joined by `-` or `,`, groups in round or square brackets, `*N` for a repetition
whose count has that name, `*3` for an exact one and `?` for what may be left out. Words:

    CONV RELU POOL FC    a convolution; any activation function; any pool; a fully connected layer
    SOFTMAX              the classifier at the end: `fc` and `softmax`, either alone, or `rbf`
    any kind of layer    exactly that kind: BN, MAXPOOL, TANH

Layers that the pattern does not speak of and that leave the volume as it is (normalisations,
dropout, id, scale, layerscale, flatten) are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from striate.errors import NotationError, Place, Source, UnknownWord, nearest
from striate.layers import (
    JOINS,
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
from striate.network import Network, read

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
PASSED_OVER = frozenset(
    {"bn", "layernorm", "groupnorm", "layerscale", "lrn", "dropout", "id", "scale", "flatten"}
)
MOST_WORDS = 500


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
        for found in re.finditer(r"[A-Za-z_]+|[0-9]+|[^\s]", text)
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
        if not parts:
            raise refuse("the pattern has nothing in it here")
        at += 1
        return tuple(parts)

    def piece(depth: int) -> Node:
        nonlocal at
        token, place = tokens[at]
        word = token.lower()
        if token in ("(", "["):
            at += 1
            return counted(Node(parts=group({"(": ")", "[": "]"}[token], depth + 1)))
        if not token.isidentifier():
            raise refuse(f"{token!r} cannot stand here" if token else "the pattern ends too early")
        if word not in KINDS and word not in CLASSES:
            hints = [nearest(word, {*CLASSES, *KINDS})]
            raise UnknownWord(f"there is no word {token!r} in patterns", place, hints=hints)
        at += 1
        return counted(Node(word))

    def counted(node: Node) -> Node:
        nonlocal at
        if tokens[at][0] == "?":
            at += 1
            return replace(node, low=0)
        if tokens[at][0] != "*":
            return node
        at += 1
        count = tokens[at][0]
        if count.isidentifier():
            node = replace(node, low=0, high=None, name=count.upper())
        elif not (count.isascii() and count.isdigit()):
            raise refuse("a repetition has a name or a number: *N, *3")
        elif len(count) > 5 or int(count) * _size(node) > MOST_WORDS:
            raise refuse(f"a pattern has at most {MOST_WORDS:,} words, all repetitions written out")
        else:
            node = replace(node, low=int(count), high=int(count))
        at += 1
        return node

    return Node(parts=group("", 0))


def _size(node: Node) -> int:
    """The words of a node, exact repetitions written out."""
    return (sum(map(_size, node.parts)) or 1) * max(1, node.high or 1)


def match(network: Network | str, pattern: str = LECTURE) -> Match:
    """Asks whether a network follows a pattern, and with which counts. Counts are greedy.

    Args:
        network: a Network, or what `read` takes.
        pattern: by default the lecture's.

    Raises:
        NotationError: the pattern is none.
    """
    network = network if isinstance(network, Network) else read(network)
    tree = parse_pattern(pattern)
    every = list(network.main.steps())
    for step in every:
        if step.layer.kind in JOINS:
            return Match(False, reason=f"it branches at {step.name}, and a pattern is one sequence")
    if any(step.inputs != (index - 1,) for index, step in enumerate(every)):
        return Match(False, reason="it refers to labels, and a pattern is one sequence")
    silent = PASSED_OVER - _words(tree)
    passed = tuple(sorted({step.layer.kind for step in every} & silent))
    steps = [step for step in every if step.layer.kind not in silent]
    noted, furthest = _walk(tree, [step.layer.kind for step in steps])
    if noted is not None:
        return Match(True, {name: tuple(noted.get(name, ())) for name in _names(tree)}, passed)
    where = f"at {steps[furthest].name}" if furthest < len(steps) else "at its end"
    return Match(False, {}, passed, f"it stops following the pattern {where}")


def _words(node: Node) -> frozenset[str]:
    return frozenset({node.word}).union(*map(_words, node.parts))


def _names(node: Node) -> list[str]:
    """The names of counts as they are written: N before the M around it."""
    return [*(name for part in node.parts for name in _names(part)), *filter(None, [node.name])]


@dataclass(eq=False, slots=True)
class _State:
    """A place in a pattern written out, and the ways on from it, the preferred one first.

    Attributes:
        ways: the states that follow; the pattern's end has none.
        word: what a layer must be to pass; empty where none is needed.
        name: the count that begins here.
        adds: where the count began that goes up by one here.
    """

    ways: list[_State] = field(default_factory=list)
    word: str = ""
    name: str = ""
    adds: _State | None = None


_Trail = tuple[Any, _State] | None  # a state that concerns a count, after those before it


def _write_out(node: Node, then: _State) -> _State:
    """The state in which a node begins, `then` being what follows it."""
    if node.high is None:
        again = _State()
        begin = _State([again], name=node.name)
        again.ways = [_State([_once(node, again)], adds=begin), then]
        return begin
    after = then
    for _ in range(node.high - node.low):
        then = _State([_once(node, then), after])
    for _ in range(node.low):
        then = _once(node, then)
    return then


def _once(node: Node, then: _State) -> _State:
    if node.word:
        return _State([then], node.word)
    for part in reversed(node.parts):
        then = _write_out(part, then)
    return then


def _walk(tree: Node, kinds: list[str]) -> tuple[dict[str, list[int]] | None, int]:
    """The counts along the first way through a pattern, or None, and how many kinds were passed.

    What failed in one state at one kind fails there again, so each such pair is tried once, and the
    time is at most the pattern's length times the network's.
    """
    waiting: list[tuple[_State, int, _Trail]] = [(_write_out(tree, _State()), 0, None)]
    tried: set[tuple[_State, int]] = set()
    furthest = 0
    while waiting:
        state, at, trail = waiting.pop()
        if (state, at) in tried:
            continue
        tried.add((state, at))
        furthest = max(furthest, at)
        if not state.ways and at == len(kinds):
            return _counts(trail), furthest
        if state.name or state.adds:
            trail = (trail, state)
        taken = _taken(state.word, kinds[at : at + 2]) if state.word else [0]
        waiting += [(way, at + n, trail) for way in reversed(state.ways) for n in taken]
    return None, furthest


def _taken(word: str, kinds: list[str]) -> list[int]:
    """How many of the next kinds a word can take, the fewest first."""
    if word == "softmax":
        ends = bool(kinds) and kinds[0] in ("fc", "softmax", "rbf")
        return [1] * ends + [2] * (kinds == ["fc", "softmax"])
    return [1] * (bool(kinds) and kinds[0] in CLASSES.get(word, {word}))


def _counts(trail: _Trail) -> dict[str, list[int]]:
    """The counts of each name in order, from the states that begin and raise them."""
    states: list[_State] = []
    while trail:
        trail, state = trail
        states.append(state)
    counts: dict[str, list[int]] = {}
    place: dict[_State, int] = {}
    for state in reversed(states):
        if state.adds:
            counts[state.adds.name][place[state.adds]] += 1
        else:
            place[state] = len(counts.setdefault(state.name, []))
            counts[state.name].append(0)
    return counts


def within_bounds(found: Match) -> bool:
    """Whether the counts keep to what the lecture calls usual: N up to 5, K up to 2."""
    return all(
        max(found.counts.get(name, (0,)), default=0) <= most for name, most in BOUNDS.items()
    )


def generate(
    input: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    N: int | Iterable[int] = (1, 2, 3),
    M: int | Iterable[int] = (1, 2, 3),
    K: int | Iterable[int] = (0, 1, 2),
    pool: Iterable[bool] = (True,),
    filters: int = 16,
    units: int = 128,
) -> Iterator[Network]:
    """The networks of the lecture's pattern within bounds, the smallest first.

    Every convolution is 3x3 and keeps the size; every pool is 2x2 and halves it; each stage has
    twice the filters of the one before. Numbers of stages whose pools could not all halve the
    volume evenly are left out.

    Args:
        input: the input volume.
        classes: units of the classifier.
        N: convolutions in a stage.
        M: stages.
        K: hidden fully connected layers.
        pool: whether a stage ends in a pool.
        filters: of the first stage.
        units: of each hidden fully connected layer.
    """
    settings: Mapping[str, list[int]] = {"M": _sorted(M), "N": _sorted(N), "K": _sorted(K)}
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


def _sorted(counts: int | Iterable[int]) -> list[int]:
    return [counts] if isinstance(counts, int) else sorted(counts)
