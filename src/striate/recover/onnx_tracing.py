"""An ONNX graph to a Graph: its calls followed, each an entry of a table that PyTorch's functions share."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from striate.errors import Misfit, StriateError
from striate.layers import Flatten, Identity, Layer, Volume
from striate.layers.settings import BadSetting
from striate.recover.graph import Graph, Node, Weight, numbered
from striate.recover.onnx_folding import Array, Call, Live, read
from striate.recover.onnx_naming import Naming
from striate.recover.onnx_operators import OPERATORS
from striate.recover.values import FLAT, SPATIAL, Constant, Unknown, Value
from striate.steps import INPUT

KEPT = ("running_mean", "running_var", "codes")  # what a layer keeps and does not learn


class OnnxTracer:
    """Notes layers as calls come, and what each tensor is."""

    def __init__(self, live: Live, calls: list[Call], naming: Naming) -> None:
        self.live, self.calls, self.naming = live, calls, naming
        self.nodes: dict[int, Node] = {}
        self.count = count()
        self.values: dict[str, Value] = {}
        self.shapes: list[tuple[int, ...]] = []
        self.path: tuple[str, ...] = ()
        self.readers: dict[str, int] = {live.file.output: 1}
        self.names: dict[int, list[str]] = {}  # the tensors that hold each node's volume
        self.batch = 0
        self.shared: dict[str, int] = {}  # how many layers each tensor is the weight of
        for call in calls:
            for name in read(call):
                self.readers[name] = self.readers.get(name, 0) + 1

    def run(self, name: str, first: Value) -> Graph:
        """The graph from a tensor on, which is the network's input."""
        self.batch = (self.live.shape(name) or (0,))[0]
        self.values[name], self.input = first, first.volume
        for call in self.calls:
            self.noted(call)
        found = self.values.get(self.live.file.output)
        if found is None:
            raise StriateError(f"{self.live.file.path} gives nothing that depends on its input")
        if found.volume is None:
            shape = self.live.shape(self.live.file.output)
            raise StriateError(
                f"{self.live.file.path} gives values of {shape}: no volume and no scores of classes"
            )
        self.given = found = self.in_a_row(found)
        output = found.node if found.node != INPUT else self.add(Identity(), [found])
        assert first.volume is not None
        return Graph(first.volume, self.nodes, output, self.naming.kinds())

    def noted(self, call: Call) -> None:
        if call.outputs[0] in self.values:
            return
        self.path = self.naming.path(call.node) if call.node is not None else ()
        shapes = [self.live.shape(name) for name in call.outputs if name]
        self.shapes = [shape or () for shape in shapes]
        begun = dict(self.nodes)
        try:
            operation = OPERATORS.get(call.operator)
            if operation is None or None in shapes:
                raise Unknown
            found = operation(self, call, *(self.given_to(name) for name in call.inputs))
            values = list(found) if isinstance(found, list) else [found]
            if len(values) != len(shapes):
                raise Unknown
            for value, shape in zip(values, self.shapes, strict=True):
                value.check(shape)
        except (Unknown, Misfit, BadSetting, TypeError, ValueError, KeyError, IndexError):
            self.nodes = begun
            values = [self.unknown(call, shape) for shape in shapes]
        for name, value in zip((name for name in call.outputs if name), values, strict=True):
            self.values[name] = value
            self.names.setdefault(value.node, []).append(name)

    def given_to(self, name: str) -> Any:
        """What an operator is called on: a value, a constant, or nothing."""
        if name in self.live.arrays:
            return Constant(name, tuple(self.live.arrays[name].shape))
        return self.values[name] if name else None

    def array(self, constant: Constant) -> Array:
        return self.live.arrays[constant.name]

    def derived(self, constant: Constant, how: str, array: Array) -> Constant:
        """A constant that is computed from another one."""
        name = f"{constant.name}, {how}"
        self.live.arrays[name] = array
        self.live.origins[name] = self.live.origins.get(constant.name, frozenset())
        return Constant(name, tuple(array.shape))

    def own(self, constant: Constant) -> Constant:
        """A weight that no other layer has: exporters keep equal tensors once."""
        times = self.shared[constant.name] = self.shared.get(constant.name, 0) + 1
        if times == 1:
            return constant
        return self.derived(constant, f"read again, {times}", self.array(constant))

    def alone(self, value: Value) -> bool:
        """Whether nothing but this call reads a value of one layer."""
        names = self.names.get(value.node, [])
        return bool(names) and all(self.readers.get(name) == 1 for name in names)

    def volume(self, index: int) -> Volume | None:
        """Of a node, or of the input."""
        return self.input if index == INPUT else self.nodes[index].volume

    def unknown(self, call: Call, shape: tuple[int, ...] | None) -> Value:
        """A node for what has no layer; what shape it has is all that is known of it."""
        volume = None
        if shape is not None and shape[:1] == (self.batch,) and min(shape) > 0:
            if len(shape) == 4:
                volume = Volume(*shape[2:], shape[1])
            elif len(shape) == 2:
                volume = Volume(1, 1, shape[1])
        names = read(call)
        inputs = dict.fromkeys(self.values[name].node for name in names if name in self.values)
        used = frozenset(name for name in names if name in self.live.arrays)
        node = Node(None, tuple(inputs), volume, {}, self.path, call.operator.lower(), used)
        index = numbered(self.count, self.nodes, node)
        return Value(index, FLAT if volume and len(shape or ()) == 2 else SPATIAL, volume)

    # -- what operations add

    def add(
        self,
        layer: Layer,
        inputs: list[Value],
        weights: Mapping[str, Constant | None] | None = None,
        volume: Volume | None = None,
    ) -> int:
        """A node with this layer; its volume is what the layer says that it gives."""
        given = {name: self.own(each) for name, each in (weights or {}).items() if each is not None}
        if volume is None:
            assert inputs[0].volume is not None
            volume = layer.volume(inputs[0].volume)
        node = Node(
            layer,
            tuple(each.node for each in inputs),
            volume,
            {name: Weight(each.name) for name, each in given.items()},
            self.path,
            used=frozenset(each.name for each in given.values()),
        )
        return numbered(self.count, self.nodes, node)

    def spatial(self, node: int) -> Value:
        """A node's volume as (N, D, H, W)."""
        return Value(node, SPATIAL, self.volume(node))

    def in_a_row(self, value: Value) -> Value:
        """The same, flattened by a layer of its own where it is flat and its volume is not."""
        if not value.spread:
            return value
        return self.spatial(self.add(Flatten(), [value])).ordered(FLAT)
