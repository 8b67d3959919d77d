"""What the notation cannot express, as few `opaque` words as its volumes allow.

An opaque word meets one volume and gives one. So it takes with it whatever lies between the last
volume that all of it comes from and the first that all of it leads to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from striate.layers import Opaque, Pair
from striate.recover.graph import Graph, Node, common, dominators
from striate.steps import INPUT

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
    above, below = dominators(graph), _enders(graph)
    depth, height = _depths(above), _depths(below)
    readers = graph.readers()
    readers[graph.output].add(END)
    inside = {start}
    while True:
        entries = {each for i in inside for each in graph.nodes[i].inputs} - inside
        exits = {i for i in inside if readers[i] - inside}
        grown = set(inside)
        first = common(entries, above, depth) if entries else INPUT
        if len(entries) > 1 or (entries and graph.volume(first) is None):
            while graph.volume(first) is None:
                first = above[first]
            grown |= (graph.after([first]) & graph.before(inside)) - {first, INPUT}
        outside = {each for i in exits for each in readers[i] - inside}
        if len(exits) > 1 or any(graph.volume(i) is None for i in exits):
            last = common([*outside, *exits], below, height) if outside else END
            while last != END and graph.volume(last) is None:
                last = below[last]
            last = graph.output if last == END else last
            grown |= graph.before([last]) & graph.after(inside)
        grown -= {INPUT}
        if grown == inside:
            return inside
        inside = grown


def _enders(graph: Graph) -> dict[int, int]:
    """For each node, the first one that every way from it leads through."""
    readers = graph.readers()
    readers[graph.output].add(END)
    below, height = {END: END}, {END: 0}
    for index in [*reversed(graph.nodes), INPUT]:
        below[index] = common(readers[index] or {END}, below, height)
        height[index] = height[below[index]] + 1
    return below


def _depths(above: Mapping[int, int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for index in above:
        way = [index]
        while way[-1] not in found and above[way[-1]] != way[-1]:
            way.append(above[way[-1]])
        base = found.get(way[-1], 0)
        for number, each in enumerate(reversed(way)):
            found[each] = base + number
    return found


def _closed(
    graph: Graph, inside: set[int], start: int, sizes: Mapping[str, int]
) -> Graph:
    """The graph with one opaque node in the place of a region."""
    readers = graph.readers()
    readers[graph.output].add(END)
    members = [each for each in graph.nodes if each in inside]
    last = next(each for each in reversed(members) if readers[each] - inside)
    entries = {each for i in inside for each in graph.nodes[i].inputs} - inside
    volume = graph.volume(last)
    if volume is None:
        raise ValueError("the network gives no volume")
    used = frozenset().union(*(graph.nodes[each].used for each in members))
    path = _shared([graph.nodes[each].path for each in members])
    layer = Opaque(
        extent=Pair(volume.height, volume.width),
        depth=volume.depth,
        name=_name(graph, path, graph.nodes[start]),
        learned=sum(sizes.get(name, 0) for name in used),
    )
    node = Node(layer, (entries.pop() if entries else INPUT,), volume, {}, path, used=used)
    nodes = {
        i: node if i == last else n for i, n in graph.nodes.items() if i not in inside or i == last
    }
    return replace(graph, nodes=nodes)


def _shared(paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    """What all paths begin with."""
    shared = paths[0]
    for path in paths:
        same = sum(1 for _ in _while_equal(shared, path))
        shared = shared[:same]
    return shared


def _while_equal(first: tuple[str, ...], second: tuple[str, ...]) -> list[str]:
    found = []
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        found.append(one)
    return found


def _name(graph: Graph, path: tuple[str, ...], node: Node) -> str:
    """The module that it is, or else the operation in the way."""
    said = graph.kinds.get(path[-1], "") if path else ""
    return snake(said if said not in ("", "Sequential") else node.said) or "unknown"


def snake(name: str) -> str:
    """`BasicBlock` as `basic_block`: as the notation names things."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z]{2})|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").lstrip("0123456789_")
