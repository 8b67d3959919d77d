"""A Graph as a Network: blocks found, repetitions folded, volumes written in as checks."""

from __future__ import annotations

from collections.abc import Mapping

from striate.errors import NotationError
from striate.layers import Identity
from striate.network import Network
from striate.recover.blocks import Blocks
from striate.recover.elements import Called, Element, Fork, elements, ordered, references
from striate.recover.folding import folded
from striate.recover.graph import Graph
from striate.recover.saying import Saying
from striate.steps import INPUT, Step
from striate.tree import Check, Item, Label, Script, Word


def written(graph: Graph, front: Mapping[str, str]) -> tuple[Network, dict[int, Step]]:
    """The network of a graph, and the step of each node.

    What a text with blocks comes to is compared with the graph, layer by layer; where it is not
    the same, it is written without them.

    Args:
        front: the front matter.
    """
    try:
        return _written(graph, front, blocks=True)
    except (NotationError, ValueError):
        return _written(graph, front, blocks=False)


def _written(
    graph: Graph, front: Mapping[str, str], *, blocks: bool
) -> tuple[Network, dict[int, Step]]:
    found = elements(graph)
    search = Blocks(graph)
    if blocks:
        search.search(found)
    body: list[Item] = []
    outer = list(dict.fromkeys(_outer(found)))
    labels = {node: f"x{number}" for number, node in enumerate(outer, 1)}
    say = Saying(search.found, labels, search.volume)
    if INPUT in labels:
        body.append(Label(labels[INPUT], Word("id")))
    for item, checked in zip(say.items(found), _checked(graph, found), strict=True):
        body.append(item)
        if checked is not None:
            body.append(Check(search.volume(checked)))
    script = Script(
        graph.input, folded(body), tuple(search.found.values()), front=tuple(front.items())
    )
    network = Network(script)
    steps = [step for step in network.steps if not isinstance(step.layer, Identity)]
    order = [each for each in ordered(found) if not isinstance(graph.nodes[each].layer, Identity)]
    steps_of = dict(zip(order, steps, strict=True))
    for node, step in steps_of.items():
        if type(step.layer) is not type(graph.nodes[node].layer) or (
            step.volume != graph.nodes[node].volume
        ):
            raise ValueError(f"{step.name} is not what was read")
    return network, steps_of


def _outer(found: list[Element]) -> list[int]:
    """What is referred to outside of all blocks: these have labels of their own."""
    names: list[int] = []
    for each in found:
        if isinstance(each, Called):
            continue
        if isinstance(each, Fork):
            for branch in each.branches:
                names += _outer(branch)
        else:
            names += references([each])
    return names


def _checked(graph: Graph, found: list[Element]) -> list[int | None]:
    """For each element the node whose volume is said after it: where the size changes next."""
    last: list[int] = []
    at = INPUT
    for each in found:
        at = [at, *ordered([each])][-1]
        last.append(at)
    said: list[int | None] = []
    for here, after in zip(last, [*last, None][1:], strict=True):
        one, other = graph.volume(here), graph.volume(after) if after is not None else None
        changes = one is not None and other is not None and one[:2] != other[:2]
        said.append(here if changes and here != INPUT else None)
    return said
