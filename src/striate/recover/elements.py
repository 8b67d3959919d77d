"""A Graph as a person would write it down: one layer after the other, branches where it parts.

Every node stands once. What is read again elsewhere, where branches do not say so, is referred to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from striate.layers import BatchNorm, Flatten, FullyConnected, Join, Layer
from striate.layers.dense import RadialBasis
from striate.recover.graph import Graph, Node, dominators
from striate.steps import INPUT

DEEPEST = 12  # branches within each other: brackets in a text may nest forty deep


@dataclass(eq=False)
class Leaf:
    """One layer."""

    node: int
    layer: Layer


@dataclass(eq=False)
class Fork:
    """Branches from the volume here, and the join that they meet in."""

    node: int
    kind: str
    branches: list[list[Element]]


@dataclass(eq=False)
class Reference:
    """The volume of a node that stands further up."""

    node: int


@dataclass(eq=False)
class Called:
    """Elements that are written as the call of a block, with its arguments."""

    block: str
    arguments: dict[str, int]
    inner: list[Element] = field(default_factory=list)


Element = Leaf | Fork | Reference | Called


def elements(graph: Graph) -> list[Element]:
    """The whole graph, from its input to its output."""
    writer = _Writer(graph)
    return _settled(writer.between(INPUT, graph.output))


def ordered(items: list[Element]) -> Iterator[int]:
    """The nodes in the order in which their words stand, each join after its branches."""
    for item in items:
        match item:
            case Leaf(node):
                yield node
            case Fork(node, _, branches):
                for branch in branches:
                    yield from ordered(branch)
                yield node
            case Called():
                yield from ordered(item.inner)


def references(items: list[Element]) -> Iterator[int]:
    """The nodes that are referred to."""
    for item in items:
        match item:
            case Reference(node):
                yield node
            case Fork():
                for branch in item.branches:
                    yield from references(branch)
            case Called():
                yield from references(item.inner)


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tree = dominators(graph)
        self.joins = {INPUT: 0}  # how many stand on the longest way to each node
        for index, node in graph.nodes.items():
            self.joins[index] = node.joins + max(
                (self.joins[each] for each in node.inputs), default=0
            )
        self.written: set[int] = set()

    def between(self, start: int, end: int, deep: int = 0) -> list[Element]:
        """What leads from the volume of one node to that of another, which it stands above.

        Args:
            deep: how many branches this is within. In the deepest, joins refer to what is before
                them rather than to branch once more.
        """
        way: list[tuple[int, int]] = []  # what is to be written, from its end, and where it starts
        begin: list[Element] = []
        while end != start:
            if end in self.written or end == INPUT:
                begin = [Reference(end)]
                break
            node = self.graph.nodes[end]
            before = node.inputs[0]
            if node.joins:
                before = self.tree.above[end] if deep < DEEPEST else self.furthest(node)
            way.append((end, before))
            end = before
        return begin + [self.one(each, before, deep) for each, before in reversed(way)]

    def furthest(self, node: Node) -> int:
        """Of what is joined that which most joins lead to."""
        return max(node.inputs, key=lambda each: self.joins[each])

    def one(self, index: int, before: int, deep: int) -> Element:
        node = self.graph.nodes[index]
        if not node.joins:
            assert node.layer is not None
            self.written.add(index)
            return Leaf(index, node.layer)
        branches = [self.between(before, each, deep + 1) for each in node.inputs]
        self.written.add(index)
        return Fork(index, _kind(node), _arranged(_kind(node), branches))


def _kind(node: Node) -> str:
    assert isinstance(node.layer, Join)
    return node.layer.kind


def _arranged(kind: str, branches: list[list[Element]]) -> list[list[Element]]:
    """Of a sum the long branch first, as He et al. write it; of a gate what it gates."""
    refers = any([*references(each)] for each in branches)
    if len(branches) != 2 or kind == "concat" or refers:
        return branches
    lengths = [sum(1 for _ in ordered(branch)) for branch in branches]
    swapped = lengths[0] < lengths[1] if kind == "add" else lengths[0] > lengths[1]
    return branches[::-1] if swapped else branches


def _settled(items: list[Element]) -> list[Element]:
    """Biases left to the notation's rule where it says what is so: none right before a `bn`."""
    for item, after in zip(items, [*items, None][1:], strict=True):
        if isinstance(item, Leaf) and getattr(item.layer, "bias", "") in ("yes", "no"):
            normed = isinstance(after, Leaf) and isinstance(after.layer, BatchNorm)
            if item.layer.bias == ("no" if normed else "yes"):  # type: ignore[attr-defined]
                item.layer = replace(item.layer, bias="auto")  # type: ignore[call-arg]
        elif isinstance(item, Fork):
            item.branches = [_settled(branch) for branch in item.branches]
    return items


def implied(graph: Graph) -> Graph:
    """Without flattening right before layers that flatten anyway."""
    dense = (FullyConnected, RadialBasis, Flatten)
    readers = graph.readers()
    gone = {
        index: node.inputs[0]
        for index, node in graph.nodes.items()
        if isinstance(node.layer, Flatten)
        and index != graph.output
        and all(isinstance(graph.nodes[each].layer, dense) for each in readers[index])
    }
    nodes = {
        index: replace(node, inputs=tuple(gone.get(each, each) for each in node.inputs))
        for index, node in graph.nodes.items()
        if index not in gone
    }
    return replace(graph, nodes=nodes)
