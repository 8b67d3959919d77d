"""Sums, products and concatenations, of volumes and with constants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate import layers
from striate.recover.pytorch.registry import named, require, valuewise
from striate.recover.values import CHANNELS, Constant, Value

if TYPE_CHECKING:
    from striate.recover.pytorch.tracing import Tracer


@named("add", "add_", "__add__", "__radd__", "__iadd__")
def _add(trace: Tracer, input: Any, other: Any, *, alpha: float = 1) -> Value:
    require(alpha == 1)
    first, second = _both(input, other)
    require(first.order == second.order, first.volume == second.volume)
    node = trace.add(layers.Add(branches=2), [first, second])
    return Value(node, first.order, first.volume, first.groups)


@named("mul", "mul_", "__mul__", "__rmul__", "__imul__", "multiply")
def _multiply(trace: Tracer, input: Any, other: Any) -> Value:
    """By another volume, by a learned factor for each channel, or by a number."""
    if not isinstance(input, Value):
        input, other = other, input
    require(isinstance(input, Value))
    if isinstance(other, Constant):
        return _by_channel(trace, input, other)
    if isinstance(other, int | float):
        return valuewise(trace, layers.Scale(factor=float(other)), input)
    first, second = _both(input, other)
    require(first.order == second.order)
    require(first.volume is not None, second.volume is not None)
    first, second = trace.in_a_row(first), trace.in_a_row(second)
    assert first.volume is not None and second.volume is not None
    layer = layers.Mul(branches=2)
    volume = layer.join([first.volume, second.volume])
    node = trace.add(layer, [first, second], volume=volume)
    return Value(node, first.order, volume, first.groups)


def _by_channel(trace: Tracer, input: Value, factor: Constant) -> Value:
    input = trace.in_a_row(input)
    input.met(*CHANNELS)
    require(input.against(factor.shape) == input.channels())
    node = trace.add(layers.LayerScale(), [input], {"weight": factor})
    return trace.spatial(node).ordered(input.order)


@named("div", "div_", "__truediv__", "__itruediv__", "divide")
def _divide(trace: Tracer, input: Value, other: Any, *, rounding_mode: Any = None) -> Value:
    require(rounding_mode is None, isinstance(other, int | float) and other != 0)
    return valuewise(trace, layers.Scale(factor=1 / other), input)


@named("cat", "concat", "concatenate")
def _concat(trace: Tracer, tensors: Any, dim: int = 0) -> Value:
    require(bool(tensors), all(isinstance(each, Value) for each in tensors))
    values = [trace.in_a_row(each) for each in tensors]
    order = values[0].order
    require(all(each.order == order for each in values))
    require(dim % values[0].rank == CHANNELS.get(order))
    volumes = [each.met(order) for each in values]
    if len(values) == 1:
        return values[0]
    layer = layers.Concat(branches=len(values))
    node = trace.add(layer, values, volume=layer.join(volumes))
    return trace.spatial(node).ordered(order)


def _both(first: Any, second: Any) -> tuple[Value, Value]:
    require(isinstance(first, Value), isinstance(second, Value))
    require(first.volume is not None, second.volume is not None)
    return first, second
