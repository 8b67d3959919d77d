"""ONNX's operators by name: an entry for each, most by way of a function of PyTorch's.

An operator takes its call and what that is called on, and gives what its results are, or raises
Unknown where that is no layer of ours. What shape each result has is compared with what ONNX
infers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.recover.pytorch.registry import OPERATIONS
from striate.recover.values import Constant, Unknown, Value

if TYPE_CHECKING:
    from striate.recover.onnx.tracing import OnnxTracer

Operator = Callable[..., Value | list[Value]]
OPERATORS: dict[str, Operator] = {}


def named(*names: str) -> Callable[[Operator], Operator]:
    """Registers an operator under ONNX's names for it."""

    def register(operator: Operator) -> Operator:
        for name in names:
            OPERATORS[name] = operator
        return operator

    return register


def pytorch(name: str, *given: Any, **named: Any) -> Value:
    """What a function of PyTorch's comes to, which does the same."""
    found = OPERATIONS[name](*given, **named)
    if isinstance(found, list):
        raise Unknown
    return found


def plain(number: float) -> float:
    """A number that is stored in 32 bits as a person would write it: 1e-5."""
    return float(str(np.float32(number)))


def wholes(trace: OnnxTracer, given: Any, default: Any = None) -> Any:
    """A list of whole numbers, from a constant or an attribute."""
    if given is None:
        return default
    if isinstance(given, Constant):
        return [int(each) for each in trace.array(given).reshape(-1)]
    if isinstance(given, Value):
        raise Unknown
    return list(given)


def number(trace: OnnxTracer, given: Constant) -> float | None:
    """The value of a constant that has one."""
    array = trace.array(given)
    return plain(array.reshape(-1)[0]) if array.size == 1 else None
