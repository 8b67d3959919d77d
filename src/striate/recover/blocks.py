"""Modules that come several times become blocks of the notation, with parameters for what differs.

All instances of a class that have the same words, numbers apart, are one block. A number that is
the same in all of them stays; one that follows from another is written as that (`4*k`); the others
are the block's parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from striate.layers import Volume
from striate.notation.words import is_reserved
from striate.recover.elements import Called, Element, Fork, ordered, references
from striate.recover.folding import folded
from striate.recover.forms import Form, NoBlock
from striate.recover.graph import Graph
from striate.recover.regions import snake
from striate.recover.saying import Numbers, Saying
from striate.tree import Block

FEWEST_WORDS = 3
MOST_PARAMETERS = 10
PLAIN = ("Sequential", "ModuleList", "ModuleDict", "Module", "")  # containers without a meaning


# Where something stands: sequences from the outermost in, and the number of the element in each.
Way = tuple[tuple[list[Element], int], ...]


class Span(NamedTuple):
    """Elements side by side in a sequence, and their form."""

    sequence: list[Element]
    first: int
    stop: int
    form: Form

    @property
    def elements(self) -> list[Element]:
        return self.sequence[self.first : self.stop]


@dataclass
class Blocks:
    """Finds the blocks of a graph's elements, and writes calls of them into the elements."""

    graph: Graph
    found: dict[str, Block] = field(default_factory=dict)
    roles: dict[str, dict[str, str]] = field(default_factory=dict)

    def volume(self, index: int, met: bool = False) -> Volume:
        """The volume of a node, or the one that it meets."""
        volume = self.graph.volume(self.graph.nodes[index].inputs[0] if met else index)
        assert volume is not None
        return volume

    def search(self, elements: list[Element]) -> None:
        """Every class of modules that comes several times, inner ones first."""
        members: dict[str, set[int]] = {}
        depths: dict[str, int] = {}
        for index in ordered(elements):
            for depth, module in enumerate(self.graph.nodes[index].path):
                members.setdefault(module, set()).add(index)
                depths[module] = depth
        classes: dict[str, list[str]] = {}
        for module, nodes in members.items():
            kind = self.graph.kinds.get(module, "")
            if kind not in PLAIN and len(nodes) >= FEWEST_WORDS:
                classes.setdefault(kind, []).append(module)
        for kind in sorted(classes, key=lambda kind: -max(depths[each] for each in classes[kind])):
            named = classes[kind]
            innermost = [
                each for each in named if not any(other.startswith(f"{each}.") for other in named)
            ]
            self._define(kind, [members[each] for each in innermost], elements)

    def _define(self, kind: str, instances: list[set[int]], elements: list[Element]) -> None:
        """Blocks for the instances of one class: one for each way in which they are written."""
        alike: dict[Any, list[Span]] = {}
        everywhere, ways = Counter(references(elements)), dict(_ways(elements))
        for nodes in instances:
            place = _place(ways, nodes)
            if place is None:  # it may begin by joining what others made, as a DenseNet's layers do
                nodes = {each for each in nodes if not self._joins_others(each, nodes)}
                place = _place(ways, nodes)
            if place is None:
                continue
            sequence, first, stop = place
            within = Counter(references(sequence[first:stop]))
            if any(everywhere[node] > within[node] for node in nodes):
                continue  # something outside refers to what is inside
            labels = {node: number for number, node in enumerate(within)}
            form = Form(self.roles, labels, self.volume)
            if not set(within) <= nodes:
                continue
            try:
                words = form.words(sequence[first:stop])
            except NoBlock:
                continue
            alike.setdefault(words, []).append(Span(sequence, first, stop, form))
        calls = [call for spans in alike.values() for call in self._written(kind, spans)]
        # From the end of a sequence, so that those before stay where they are.
        for span, called in sorted(calls, key=lambda each: -each[0].first):
            span.sequence[span.first : span.stop] = [called]

    def _joins_others(self, index: int, nodes: set[int]) -> bool:
        node = self.graph.nodes[index]
        return node.joins and not nodes.issuperset(node.inputs)

    def _written(self, kind: str, spans: list[Span]) -> list[tuple[Span, Called]]:
        """One block, and a call of it for each instance; nothing where that says no less."""
        words = _words(spans[0].elements)
        if len(spans) < 2 or words < FEWEST_WORDS:
            return []
        forms = [each.form for each in spans]
        numbers = Numbers(forms[0].slots, [[s.value for s in form.slots] for form in forms])
        if len(numbers.parameters) > min(MOST_PARAMETERS, words):
            return []
        say = Saying(
            self.found,
            {node: f"x{number + 1}" for node, number in forms[0].labels.items()},
            self.volume,
            iter(numbers.said),
            iter([any(each) for each in zip(*(form.floors for form in forms), strict=True)]),
            iter([any(each) for each in zip(*(form.projects for form in forms), strict=True)]),
        )
        name = self._free(kind)
        block = Block(name, numbers.declared(), folded(say.items(spans[0].elements)))
        self.found[name], self.roles[name] = block, numbers.roles
        arguments = (
            {each.name: numbers.parameters[each.name][n] for each in block.parameters}
            for n in range(len(spans))
        )
        return [
            (span, Called(name, given, span.elements))
            for span, given in zip(spans, arguments, strict=True)
        ]

    def _free(self, kind: str) -> str:
        name = snake(kind)
        if not name or is_reserved(name):
            name = f"{name}_block".lstrip("_")
        later = (f"{name}_{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")
        numbered = (f"{name}_{number}" for number in range(27, 1000))
        names = (name, *later, *numbered)
        return next(each for each in names if each not in self.found)


def _words(elements: list[Element]) -> int:
    """How much is written: a call counts once."""
    inner = (sum(map(_words, each.branches)) for each in elements if isinstance(each, Fork))
    return len(elements) + sum(inner)


def _ways(elements: list[Element], above: Way = ()) -> Iterator[tuple[int, Way]]:
    """Each node, and where it stands."""
    for number, each in enumerate(elements):
        way = (*above, (elements, number))
        if isinstance(each, Fork):
            for branch in each.branches:
                yield from _ways(branch, way)
            yield each.node, way
        else:
            yield from ((node, way) for node in ordered([each]))


def _place(ways: Mapping[int, Way], nodes: set[int]) -> tuple[list[Element], int, int] | None:
    """Where exactly these nodes stand, side by side in one sequence."""
    held = [ways[each] for each in nodes]
    for level in range(min(map(len, held), default=0)):
        sequence = held[0][level][0]
        if any(way[level][0] is not sequence for way in held):
            return None  # in several branches
        numbers = [way[level][1] for way in held]
        first, stop = min(numbers), max(numbers) + 1
        if sum(1 for _ in ordered(sequence[first:stop])) == len(nodes):
            return sequence, first, stop
        if stop - first > 1:
            return None
    return None
