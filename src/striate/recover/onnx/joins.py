"""Sums, products and concatenations; biases that are added."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from striate import layers
from striate.recover.graph import Weight
from striate.recover.onnx.registry import named, number, pytorch
from striate.recover.pytorch.registry import require
from striate.recover.values import CHANNELS, SPATIAL, Constant, Unknown, Value

if TYPE_CHECKING:
    from striate.recover.onnx.calls import Call
    from striate.recover.onnx.tracing import OnnxTracer


@named("Add", "Sum")
def _add(trace: OnnxTracer, call: Call, first: Any, *others: Any) -> Any:
    for other in others:
        constant, value = (first, other) if isinstance(first, Constant) else (other, first)
        if isinstance(constant, Constant):
            first = _biased(trace, call, value, constant)
        else:
            first = pytorch("add", trace, first, other)
    return first


def _biased(trace: OnnxTracer, call: Call, input: Value, bias: Constant) -> Value:
    """A constant that is added is the bias of the layer right before, if that has none."""
    node = trace.nodes[input.node]
    layer, volume = node.layer, input.met(*CHANNELS)
    require(trace.alone(input), len(call.inputs) == 2)
    if not isinstance(layer, layers.Conv | layers.Deconv | layers.FullyConnected):
        raise Unknown
    require(layer.bias == "no")
    own = trace.weight(bias)
    shape = input.against(bias.shape)
    if shape == input.channels():
        said, weights = "yes", {**node.weights, "bias": Weight(own.name)}
    else:
        require(isinstance(layer, layers.Conv), input.order == SPATIAL)
        require(shape == (1, *volume[:2]))
        said = "point"
        weights = {"conv.weight": node.weights["weight"], "point.bias": Weight(own.name)}
    used = node.used | {own.name}
    trace.nodes[input.node] = replace(
        node, layer=replace(layer, bias=said), weights=weights, used=used
    )
    return input


@named("Mul")
def _multiply(trace: OnnxTracer, call: Call, first: Any, second: Any) -> Value:
    given = [first, second]
    for n, each in enumerate(given):
        if isinstance(each, Constant) and (value := number(trace, each)) is not None:
            given[n] = value
    return pytorch("mul", trace, *given)


@named("Div")
def _divide(trace: OnnxTracer, call: Call, first: Value, second: Constant) -> Value:
    value = number(trace, second)
    require(value is not None)
    return pytorch("div", trace, first, value)


@named("Concat")
def _concat(trace: OnnxTracer, call: Call, *given: Value) -> Value:
    return pytorch("cat", trace, list(given), call.get("axis"))
