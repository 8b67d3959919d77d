"""Operators that work value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate import layers
from striate.recover.onnx.registry import Operator, named, number, plain, pytorch
from striate.recover.pytorch.registry import require, valuewise
from striate.recover.values import Constant, Value

if TYPE_CHECKING:
    from striate.recover.onnx.calls import Call
    from striate.recover.onnx.tracing import OnnxTracer


def _activation(layer: layers.Layer) -> Operator:
    return lambda trace, call, input: valuewise(trace, layer, input)


for _name, _layer in {
    "Relu": layers.Relu(),
    "Relu6": layers.Relu6(),
    "Tanh": layers.Tanh(),
    "Sigmoid": layers.Sigmoid(),
    "Mish": layers.Mish(),
    "HardSwish": layers.HardSwish(),
}.items():
    named(_name)(_activation(_layer))


@named("Swish")
def _silu(trace: OnnxTracer, call: Call, input: Value) -> Value:
    require(call.get("alpha", 1) == 1)
    return valuewise(trace, layers.Silu(), input)


@named("HardSigmoid")
def _hardsigmoid(trace: OnnxTracer, call: Call, input: Value) -> Value:
    require(abs(call.get("alpha", 0.2) - 1 / 6) < 1e-6, call.get("beta", 0.5) == 0.5)
    return valuewise(trace, layers.HardSigmoid(), input)


@named("LeakyRelu")
def _leaky(trace: OnnxTracer, call: Call, input: Value) -> Value:
    return valuewise(trace, layers.LeakyRelu(slope=plain(call.get("alpha", 0.01))), input)


@named("Elu")
def _elu(trace: OnnxTracer, call: Call, input: Value) -> Value:
    return valuewise(trace, layers.Elu(alpha=plain(call.get("alpha", 1.0))), input)


@named("Gelu")
def _gelu(trace: OnnxTracer, call: Call, input: Value) -> Value:
    return pytorch("gelu", trace, input, call.get("approximate", "none"))


@named("ScaledTanh")
def _scaled_tanh(trace: OnnxTracer, call: Call, input: Value) -> Value:
    slope = call.get("slope")
    slope = 2 / 3 if abs(slope - 2 / 3) < 1e-7 else plain(slope)
    layer = layers.ScaledTanh(amplitude=plain(call.get("amplitude")), slope=slope)
    return valuewise(trace, layer, input)


@named("Softmax", "LogSoftmax")
def _softmax(trace: OnnxTracer, call: Call, input: Value) -> Value:
    old = trace.live.file.opsets.get("", 1) < 13  # then over all axes from this one on
    axis = call.get("axis", 1 if old else -1)
    require(not old or len(trace.shapes[0]) == 2)
    name = "softmax" if call.operator == "Softmax" else "log_softmax"
    return pytorch(name, trace, input, axis)


@named("Dropout")
def _dropout(
    trace: OnnxTracer,
    call: Call,
    input: Value,
    ratio: Constant | None = None,
    training: Constant | None = None,
) -> Value | list[Value]:
    """Its mask, where it is given, must not be read."""
    require(training is None or not trace.array(training).any())
    require(not any(trace.readers.get(name) for name in call.outputs[1:]))
    share = plain(call.get("ratio", 0.5)) if ratio is None else number(trace, ratio)
    require(share is not None)
    found = valuewise(trace, layers.Dropout(probability=share or 0), input)
    return [found] * len(trace.shapes)
