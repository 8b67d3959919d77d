"""What both ways of reading a network note: layers as they come, and which volumes they meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count

from striate.layers import Flatten, Layer, Volume
from striate.recover.graph import Node, Weight, numbered
from striate.recover.values import FLAT, SPATIAL, Constant, Unknown, Value
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
        """A node for what has no layer; what shape it has is all that is known of it."""
        volume, flat = None, shape is not None and len(shape) == 2
        if shape is not None and shape[:1] == (images,) and len(shape) in (2, 4):
            volume = Volume(1, 1, shape[1]) if flat else Volume(shape[2], shape[3], shape[1])
        inputs = tuple(dict.fromkeys(each.node for each in met))
        node = Node(None, inputs, volume, path=self.path, said=said, used=used)
        return Value(numbered(self.count, self.nodes, node), FLAT if flat else SPATIAL, volume)

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
