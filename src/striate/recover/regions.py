"""What the notation cannot express, as few `opaque` words as its volumes allow.

An opaque word meets one volume and gives one. So it takes with it whatever lies between the last
volume that all of it comes from and the first that all of it leads to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile

from striate.layers import Opaque, Pair
from striate.recover.graph import Graph, Node, Tree, dominators
from striate.steps import INPUT

LONGEST_NAME = 40
# What says less of what stands between two volumes: layers, and what moves, cuts or joins values.
USUAL = {"conv2d", "dropout", "gelu", "gemm", "layer_norm", "layer_normalization", "linear", "relu"}
MOVES = {
    *("", "add", "cat", "chunk", "concat", "expand", "flatten", "gather", "getitem", "mul", "pad"),
    *("permute", "reshape", "slice", "split", "squeeze", "stack", "sub", "transpose", "unsqueeze"),
    *("view", "unbind", "div", "roll", "contiguous"),
}
END = -2  # what reads the output


def without_unknown(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with opaque words for what has no layer, each with the parameters it reads.

    Args:
        sizes: how many values each parameter of the source has.
    """
    for index in list(graph.nodes):
        node = graph.nodes.get(index)
        if node is not None and node.layer is None:
            graph = _closed(graph, _region(graph, index), index, sizes)
    return graph


def _region(graph: Graph, start: int) -> set[int]:
    """The smallest set of nodes around this one with one volume in and one out."""
    before, behind = dominators(graph), _followers(graph)
    readers = graph.readers()
    readers[graph.output].add(END)
    inside = {start}
    while True:
        grown = set(inside)
        entries = {each for i in inside for each in graph.nodes[i].inputs} - inside
        first = before.common(entries) if entries else INPUT
        if len(entries) > 1 or graph.volume(first) is None:
            while graph.volume(first) is None:
                first = before.above[first]
            grown |= (graph.after([first]) & graph.before(inside)) - {first}
        exits = {i for i in inside if readers[i] - inside}
        if len(exits) > 1 or any(graph.volume(i) is None for i in exits):
            last = behind.common({each for i in exits for each in readers[i] - inside})
            while last != END and graph.volume(last) is None:
                last = behind.above[last]
            last = graph.output if last == END else last
            grown |= graph.before([last]) & graph.after(inside)
        grown.discard(INPUT)
        if grown == inside:
            return inside
        inside = grown


def _followers(graph: Graph) -> Tree:
    """Above each node the first one that every way from it leads through."""
    readers = graph.readers()
    readers[graph.output].add(END)
    tree = Tree({END: END}, {END: 0})
    for index in [*reversed(graph.nodes), INPUT]:
        tree.add(index, readers[index] or {END})
    return tree


def _closed(graph: Graph, inside: set[int], start: int, sizes: Mapping[str, int]) -> Graph:
    """The graph with one opaque node in the place of a region."""
    readers = graph.readers()
    readers[graph.output].add(END)
    members = [each for each in graph.nodes if each in inside]
    last = next(each for each in reversed(members) if readers[each] - inside)
    entries = {each for i in inside for each in graph.nodes[i].inputs} - inside
    volume = graph.volume(last)
    if volume is None:
        raise ValueError("the network gives no volume")
    used = frozenset[str]().union(*(graph.nodes[each].used for each in members))
    ways = zip(*(graph.nodes[each].path for each in members), strict=False)
    path = tuple(way[0] for way in takewhile(lambda way: len(set(way)) == 1, ways))
    layer = Opaque(
        extent=Pair(volume.height, volume.width),
        depth=volume.depth,
        name=_name(graph, path, [graph.nodes[start], *(graph.nodes[each] for each in members)]),
        learned=sum(sizes.get(name, 0) for name in used),
    )
    node = Node(layer, (entries.pop() if entries else INPUT,), volume, {}, path, used=used)
    nodes = {
        i: node if i == last else n for i, n in graph.nodes.items() if i not in inside or i == last
    }
    return replace(graph, nodes=nodes)


def _name(graph: Graph, path: tuple[str, ...], nodes: list[Node]) -> str:
    """The module that it is, or else the operation in the way that says most."""
    said = graph.kinds.get(path[-1], "") if path else ""
    if said in ("", "Sequential"):
        lost = [snake(each.said) for each in nodes if each.layer is None]
        said = min(lost, key=lambda each: (each in MOVES) * 2 + (each in USUAL))
    return snake(said) or "unknown"


def snake(name: str) -> str:
    """`BasicBlock` as `basic_block`: as the notation names things."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z]{2})|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    name = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").lstrip("0123456789_")
    return name[:LONGEST_NAME].rstrip("_")
