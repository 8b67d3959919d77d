"""PyTorch's functions by name: an entry for each that is one of our layers, or none at all.

An operation takes the function's own arguments and gives what its results are, or raises Unknown
where that is no layer of ours. What shape each result has is compared with what PyTorch gives, so
that no entry can be wrong in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from striate import layers
from striate.recover.noting import Notes
from striate.recover.values import Unknown, Value

Operation = Callable[..., Value | list[Value]]
Given = TypeVar("Given", bound=Operation)
OPERATIONS: dict[str, Operation] = {}


def named(*names: str) -> Callable[[Given], Given]:
    """Registers an operation under PyTorch's names for it."""

    def register(operation: Given) -> Given:
        for name in names:
            OPERATIONS[name] = operation
        return operation

    return register


def require(*wanted: bool) -> None:
    """Raises Unknown unless all hold."""
    if not all(wanted):
        raise Unknown


def valuewise(trace: Notes, layer: layers.Layer, input: Value) -> Value:
    """A layer that takes a volume whatever the order of its axes."""
    require(input.volume is not None, not input.stretched)
    node = trace.add(layer, [input])
    return Value(node, input.order, input.volume, input.groups)
