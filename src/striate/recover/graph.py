"""What was read, before it is written: layers and which volumes they meet.

A Graph has no text yet: it says what is computed from what, and which of the source's tensors
each layer's weights are. Both PyTorch modules and ONNX files become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from striate.layers import Add, Concat, Join, Layer, Volume
from striate.steps import INPUT


class Weight(NamedTuple):
    """Where the values of a layer's tensor are: a name in the source; reshaped where they must be.

    `transposed` where a matrix lies there by inputs and outputs, as in ONNX's MatMul.
    """

    name: str
    transposed: bool = False


@dataclass(frozen=True)
class Node:
    """One layer, and where its volume comes from.

    Attributes:
        layer: None for what the notation cannot express.
        inputs: the nodes whose volumes it meets; INPUT (-1) is the network's input.
        volume: its output volume; None where it is no volume (a sequence of tokens, say).
        weights: by the names that they have in a module of ours, `weight` and `bias`.
        path: the modules of the source within which it is computed, outermost first.
        said: what the source calls it, for what has no layer.
        used: all tensors of the source that it reads, whether they are its weights or not.
        logs: whether it is the logarithm of a softmax, for which there is no layer but at the end.
    """

    layer: Layer | None
    inputs: tuple[int, ...]
    volume: Volume | None
    weights: Mapping[str, Weight] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    said: str = ""
    used: frozenset[str] = frozenset()
    logs: bool = False

    @property
    def joins(self) -> bool:
        """Whether several volumes become one."""
        return isinstance(self.layer, Join)


@dataclass(frozen=True)
class Graph:
    """Nodes by number, each after those that it reads.

    Attributes:
        input: the volume of an image.
        output: the node whose volume is given.
        kinds: what each module on a path is: its class in the source.
    """

    input: Volume
    nodes: dict[int, Node]
    output: int
    kinds: Mapping[str, str] = field(default_factory=dict)

    def volume(self, index: int) -> Volume | None:
        return self.input if index == INPUT else self.nodes[index].volume

    def readers(self) -> dict[int, set[int]]:
        """The nodes that read each volume; the output's own reader is no node."""
        found: dict[int, set[int]] = {INPUT: set(), **{index: set() for index in self.nodes}}
        for index, node in self.nodes.items():
            for each in node.inputs:
                found[each].add(index)
        return found

    def before(self, ends: Iterable[int]) -> set[int]:
        """All nodes that lead to these, and these."""
        wanted = set(ends)
        for index in reversed(self.nodes):
            if index in wanted:
                wanted.update(self.nodes[index].inputs)
        return wanted

    def after(self, starts: Iterable[int]) -> set[int]:
        """All nodes that these lead to, and these."""
        wanted = set(starts)
        for index, node in self.nodes.items():
            if wanted.intersection(node.inputs):
                wanted.add(index)
        return wanted


class Tree(NamedTuple):
    """For each node the one above it in a tree, and how far it is from the root."""

    above: dict[int, int]
    depth: dict[int, int]

    def common(self, nodes: Iterable[int]) -> int:
        """The nearest node that stands above all of these, or is one of them."""
        first, *others = nodes
        for other in others:
            while first != other:
                if self.depth[first] < self.depth[other]:
                    first, other = other, first
                first = self.above[first]
        return first

    def add(self, node: int, below: Iterable[int]) -> None:
        """A node below the nearest that stands above all of these."""
        self.above[node] = self.common(below)
        self.depth[node] = self.depth[self.above[node]] + 1


def dominators(graph: Graph) -> Tree:
    """Above each node the last one that every way to it leads through."""
    tree = Tree({INPUT: INPUT}, {INPUT: 0})
    for index, node in graph.nodes.items():
        tree.add(index, node.inputs or (INPUT,))
    return tree


def simplified(graph: Graph) -> Graph:
    """Without what the output does not need; sums and concatenations as people write them.

    A sum of sums is one sum, in the same order. A concatenation that begins as another one does
    begins with that one's volume (a DenseNet's layers all read all before them).
    """
    needed = graph.before([graph.output])
    graph = replace(graph, nodes={i: n for i, n in graph.nodes.items() if i in needed})
    readers = graph.readers()
    nodes: dict[int, Node] = {}
    longest: dict[tuple[int, ...], int] = {}
    for index, node in graph.nodes.items():
        if isinstance(node.layer, Add):
            begins = node.inputs[0]
            first = nodes.get(begins)
            alone = readers[begins] == {index} and node.inputs.count(begins) == 1
            if first and alone and isinstance(first.layer, Add) and first.path == node.path:
                nodes.pop(begins)
                node = _joining(node, (*first.inputs, *node.inputs[1:]))
        elif isinstance(node.layer, Concat):
            inputs = node.inputs
            longest[inputs] = index
            for end in range(len(inputs) - 1, 1, -1):
                if inputs[:end] in longest:
                    node = _joining(node, (longest[inputs[:end]], *inputs[end:]))
                    break
        nodes[index] = node
    return replace(graph, nodes=nodes)


def _joining(node: Node, inputs: tuple[int, ...]) -> Node:
    assert isinstance(node.layer, Join)
    return replace(node, inputs=inputs, layer=type(node.layer)(branches=len(inputs)))


def numbered(count: Iterator[int], nodes: dict[int, Node], node: Node) -> int:
    """Adds a node, and says its number."""
    index = next(count)
    nodes[index] = node
    return index
