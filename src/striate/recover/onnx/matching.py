"""Patterns of operators, found in a graph.

A pattern is an operator and what it is called on: `X` is the volume, `Some` a constant under a
name, a number a constant of that one value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any, NamedTuple

from striate.recover.onnx.calls import Call, Live

X = "X"
NEAR = 1e-4  # of a constant in a pattern: in half precision it is rounded
SWAPS = frozenset(["Add", "Mul"])


class Some(NamedTuple):
    """Any constant."""

    name: str


@dataclass(frozen=True)
class Of:
    """An operator with these inputs, and attributes that are wanted of it.

    `keep` is a name under which its attributes are kept.
    """

    operator: str
    inputs: tuple[Any, ...]
    wanted: Mapping[str, float] = field(default_factory=dict)
    keep: str = ""


def of(operator: str, *inputs: Any, keep: str = "", **wanted: float) -> Of:
    """A pattern in one line."""
    return Of(operator, inputs, wanted, keep)


class Found(NamedTuple):
    """What a pattern's names stand for: tensors, and attributes of what is kept."""

    tensors: dict[str, str]
    kept: dict[str, Mapping[str, Any]]


class Matcher:
    """Looks for patterns in the calls of a graph."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.makers = {name: call for call in live.calls for name in call.outputs if name}

    def replaced(self, call: Call, pattern: Of, made: Callable[[Live, Found], Call | None]) -> Call:
        for found in self.matches(pattern, call.outputs[0], Found({}, {})):
            layer = made(self.live, found)
            if layer is not None:
                return replace(layer, outputs=call.outputs, node=call.node)
        return call

    def matches(self, pattern: Any, name: str, found: Found) -> Iterator[Found]:
        """All ways in which a tensor is what a pattern says."""
        if isinstance(pattern, float | int):
            array = self.live.arrays.get(name)
            if array is not None and array.size == 1:
                value = float(array.reshape(-1)[0])
                if math.isclose(value, pattern, rel_tol=NEAR):
                    yield found
        elif isinstance(pattern, Some):
            if name in self.live.arrays and found.tensors.get(pattern.name, name) == name:
                yield found._replace(tensors=found.tensors | {pattern.name: name})
        elif pattern == X:
            if name and name not in self.live.arrays and found.tensors.get(X, name) == name:
                yield found._replace(tensors=found.tensors | {X: name})
        else:
            yield from self._calls(pattern, name, found)

    def _calls(self, pattern: Of, name: str, found: Found) -> Iterator[Found]:
        call = self.makers.get(name)
        if call is None or call.operator != pattern.operator:
            return
        inputs = tuple(each for each in call.inputs if each)
        if len(inputs) != len(pattern.inputs) or not all(
            math.isclose(float(call.get(key, math.nan)), value, rel_tol=NEAR)
            for key, value in pattern.wanted.items()
        ):
            return
        if pattern.keep:
            found = found._replace(kept=found.kept | {pattern.keep: call.attributes})
        orders = permutations(inputs) if call.operator in SWAPS else [inputs]
        for order in orders:
            ways = [found]
            for each, tensor in zip(pattern.inputs, order, strict=True):
                ways = [way for one in ways for way in self.matches(each, tensor, one)]
            yield from ways
