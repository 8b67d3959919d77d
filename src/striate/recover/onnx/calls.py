"""An ONNX graph as calls, and what is known of its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from onnx import TypeProto

from striate.foreign import nodes
from striate.recover.onnx.opening import Array, Opened


@dataclass(frozen=True)
class Call:
    """A node: an operator, what it is called on, and its attributes.

    Attributes:
        node: its message; of what stands for several nodes, that of the last.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    node: Any = None

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


@dataclass
class Live:
    """The calls that depend on the image, in order, and all that they read.

    Attributes:
        arrays: constants by name.
        origins: the initializers that a computed constant comes from.
        types: of all tensors; None where one is not known.
    """

    file: Opened
    calls: list[Call] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    origins: dict[str, frozenset[str]] = field(default_factory=dict)
    types: dict[str, TypeProto | None] = field(default_factory=dict)
    computed: int = 0

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Of a tensor, where all its sides are known."""
        if name in self.arrays:
            return tuple(self.arrays[name].shape)
        return shape_of(self.types.get(name))

    def readers(self) -> dict[str, list[Call]]:
        found: dict[str, list[Call]] = {}
        for call in self.calls:
            for name in dict.fromkeys(read(call)):
                found.setdefault(name, []).append(call)
        return found


def shape_of(kind: TypeProto | None) -> tuple[int, ...] | None:
    """Of a type, where all its sides are known."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    sides = kind.tensor_type.shape.dim
    known = all(each.HasField("dim_value") and each.dim_value >= 0 for each in sides)
    return tuple(each.dim_value for each in sides) if known else None


def read(call: Call) -> list[str]:
    """What a call reads, also within graphs of its own."""
    names = [each for each in call.inputs if each]
    if call.node is not None and (inner := list(_inner(call.node))):
        made = {each for graph in inner for node in nodes(graph) for each in node.output}
        read = {each for graph in inner for node in nodes(graph) for each in node.input}
        read |= {each.name for graph in inner for each in graph.output}
        names += sorted(read - made - {""})
    return names


def _inner(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
