"""An ONNX graph to a Graph: its calls followed, each an entry of a table of operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.errors import Misfit, StriateError
from striate.layers import Identity, Layer, Volume
from striate.layers.settings import BadSetting
from striate.recover.graph import Graph
from striate.recover.noting import Notes
from striate.recover.onnx.beginning import Beginning
from striate.recover.onnx.calls import Call, Live, read
from striate.recover.onnx.naming import Naming
from striate.recover.onnx.opening import Array
from striate.recover.onnx.registry import OPERATORS
from striate.recover.values import FLAT, LAST, SPATIAL, Constant, Unknown, Value
from striate.steps import INPUT

KEPT = ("running_mean", "running_var", "codes")  # what a layer keeps and does not learn
MOST_LOST = 1_000  # operators that are no layers: with more it is no ConvNet
# What an operator may do with inputs that it does not expect.
UNFIT = (
    Unknown,
    Misfit,
    BadSetting,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class OnnxTracer(Notes):
    """Notes layers as calls come, and what each tensor is."""

    def __init__(self, live: Live, calls: list[Call], start: Beginning, naming: Naming) -> None:
        super().__init__(start.volume)
        self.live, self.calls, self.naming = live, calls, naming
        self.start = start.value
        self.values: dict[str, Value] = {start.name: start.value}
        self.images = (live.shape(start.name) or (0,))[0]
        self.within: tuple[str, ...] = ()
        self.shared: dict[str, int] = {}  # how many layers each tensor is the weight of
        self.names: dict[int, list[str]] = {}  # the tensors that hold each node's volume
        self.readers = {live.file.output: 1}
        for call in calls:
            for name in read(call):
                self.readers[name] = self.readers.get(name, 0) + 1

    def run(self) -> tuple[Graph, Value]:
        """The graph, and what the file's output is of it."""
        for call in self.calls:
            self.noted(call)
        output, path = self.live.file.output, self.live.file.path
        lost = sum(node.layer is None for node in self.nodes.values())
        if lost > MOST_LOST:
            raise StriateError(f"{path} is no ConvNet: {lost:,} of its operators are no layers")
        found = self.values.get(output)
        if found is None:
            raise StriateError(f"{path} gives nothing that depends on its input")
        if found.volume is None or found.order not in (SPATIAL, LAST, FLAT) or found.stretched:
            shape = self.live.shape(output) or "a shape that is not known"
            raise StriateError(f"{path} gives values of {shape}: no volume, no scores of classes")
        found = self.in_a_row(found)
        last = found.node if found.node != INPUT else self.add(Identity(), [found])
        return Graph(self.input, self.nodes, last, self.naming.kinds()), found

    def noted(self, call: Call) -> None:
        self.within = self.naming.path(call.node)
        names = [name for name in call.outputs if name]
        shapes = [self.live.shape(name) for name in names]
        self.shapes = [shape or () for shape in shapes]
        begun, shared = dict(self.nodes), dict(self.shared)
        try:
            operator = OPERATORS.get(call.operator)
            if operator is None or None in shapes:
                raise Unknown
            found = operator(self, call, *(self.given(name) for name in call.inputs))
            values = list(found) if isinstance(found, list) else [found]
            if len(values) != len(shapes):
                raise Unknown
            for value, shape in zip(values, self.shapes, strict=True):
                value.check(shape)
        except UNFIT:
            self.nodes, self.shared = begun, shared
            values = [self.lost(call, shape) for shape in shapes]
        for name, value in zip(names, values, strict=True):
            self.values[name] = value
            self.names.setdefault(value.node, []).append(name)

    def lost(self, call: Call, shape: tuple[int, ...] | None) -> Value:
        """What has no layer; constants that are not computed stand where the input does."""
        names = read(call)
        met = [self.values[name] for name in names if name in self.values] or [self.start]
        used = frozenset(name for name in names if name in self.live.arrays)
        return self.unknown(call.operator.rpartition(".")[2], met, used, shape, self.images)

    @property
    def path(self) -> tuple[str, ...]:
        return self.within

    def alone(self, value: Value) -> bool:
        """Whether a node's volume is read but once."""
        names = self.names.get(value.node, [])
        return bool(names) and all(self.readers.get(name) == 1 for name in names)

    # -- constants

    def given(self, name: str) -> Any:
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

    def add(
        self,
        layer: Layer,
        inputs: list[Value],
        weights: Mapping[str, Constant | None] | None = None,
        volume: Volume | None = None,
    ) -> int:
        """As before; ONNX does not look whether all weights are as large as they have to be."""
        sizes = [each.size for each in (weights or {}).values() if each]
        met = inputs[0].volume
        if sizes and met:
            parameters, buffers = layer.parameters(met), layer.buffers(met)
            if parameters is None or sum(sizes) != parameters.total + (buffers or 0):
                raise Unknown
        return super().add(layer, inputs, weights, volume)

    def weight(self, constant: Constant) -> Constant:
        """A tensor that is no other layer's: exporters keep equal ones once."""
        times = self.shared[constant.name] = self.shared.get(constant.name, 0) + 1
        if times == 1:
            return constant
        return self.derived(constant, f"read again, {times}", self.array(constant))
