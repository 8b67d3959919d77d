"""What both ways of reading a network note: layers as they come, and which volumes they meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import count

from striate.layers import Flatten, Layer, Volume
from striate.recover.graph import Node, Weight, numbered
from striate.recover.values import CHANNELS, FLAT, SPATIAL, Constant, Unknown, Value
from striate.steps import INPUT


class Notes:
    """Nodes by number.

    Attributes:
        shapes: of the tensors that the function at hand gives, their number of images first.
    """

    def __init__(self, input: Volume) -> None:
        super().__init__()
        self.input = input
        self.nodes: dict[int, Node] = {}
        self.count = count()
        self.shapes: list[tuple[int, ...]] = []

    @property
    def path(self) -> tuple[str, ...]:
        """The modules of the source within which it is computed, outermost first."""
        return ()

    def weight(self, constant: Constant) -> Constant:
        """A tensor as a layer's; raises Unknown where its values have no name."""
        if not constant.name:
            raise Unknown  # weights that are computed from others
        return constant

    def add(
        self,
        layer: Layer,
        inputs: list[Value],
        weights: Mapping[str, Constant | None] | None = None,
        volume: Volume | None = None,
    ) -> int:
        """A node with this layer; its volume is what the layer says that it gives."""
        given = {name: self.weight(each) for name, each in (weights or {}).items() if each}
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

    def unknown(
        self,
        said: str,
        met: Iterable[Value],
        used: frozenset[str],
        shape: tuple[int, ...] | None,
        images: int,
    ) -> Value:
        """A node for what has no layer; what shape it has is all that is known of it.

        A tensor of the shape of the volume that it comes from is one like it: nothing is known of
        what stands where, so it may as well stand in that order.
        """
        met = list(met)
        order, volume = SPATIAL, None
        origin = next((each for value in met if (each := _volume(value))), None)
        if shape is not None and shape[:1] == (images,) and 0 not in shape:
            if len(shape) == 2:
                order, volume = FLAT, Volume(1, 1, shape[1])
            elif origin and shape[1:] == origin.shape():
                order, volume = origin.order, origin.volume
            elif len(shape) == 4:
                volume = Volume(shape[2], shape[3], shape[1])
        inputs = tuple(dict.fromkeys(each.node for each in met))
        node = Node(None, inputs, volume, path=self.path, said=said, used=used)
        origin = None if volume else origin
        return Value(numbered(self.count, self.nodes, node), order, volume, origin=origin)

    def logged(self, input: Value) -> Value:
        """The logarithm of the softmax of this."""
        input = self.in_a_row(input)
        node = Node(
            None, (input.node,), input.volume, path=self.path, said="log_softmax", logs=True
        )
        return replace(input, node=numbered(self.count, self.nodes, node))

    def volume(self, node: int) -> Volume | None:
        return self.input if node == INPUT else self.nodes[node].volume

    def spatial(self, node: int) -> Value:
        """A node's volume as (N, D, H, W)."""
        return Value(node, SPATIAL, self.volume(node))

    def in_a_row(self, value: Value) -> Value:
        """The same, flattened by a layer of its own where it is flat and its volume is not."""
        if not value.spread:
            return value
        return self.spatial(self.add(Flatten(), [value])).ordered(FLAT)


def _volume(value: Value) -> Value | None:
    """The value, or the last volume that it comes from; none in whose order no layer gives one."""
    found = value if value.volume else value.origin
    return found if found and found.order in CHANNELS and not found.stretched else None
