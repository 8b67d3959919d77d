"""Operators that pool."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from striate import layers
from striate.layers import Pair
from striate.recover.onnx.registry import named, pytorch, wholes
from striate.recover.onnx.sides import padding, sliding
from striate.recover.pytorch.registry import require
from striate.recover.values import SPATIAL, Constant, Value

if TYPE_CHECKING:
    from striate.recover.onnx.calls import Call
    from striate.recover.onnx.tracing import OnnxTracer


@named("MaxPool")
def _maxpool(trace: OnnxTracer, call: Call, input: Value) -> Value:
    dilation = Pair(*call.get("dilations", (1, 1)))
    return _pool(trace, call, input, layers.MaxPool, dilation=dilation)


@named("AveragePool")
def _avgpool(trace: OnnxTracer, call: Call, input: Value) -> Value:
    counted = "padded" if call.get("count_include_pad", 0) else "inside"
    return _pool(trace, call, input, layers.AvgPool, counted=counted)


@named("Subsample")
def _subsample(
    trace: OnnxTracer, call: Call, input: Value, weight: Constant, bias: Constant
) -> Value:
    """Our own: the mean of each window, times a coefficient, plus a bias."""
    size = np.prod(call.get("kernel_shape"))
    require(not any(call.get("pads", ())), weight.size == bias.size == input.met(SPATIAL).depth)
    summed = trace.derived(weight, "of sums", trace.array(weight) / size)
    return _pool(trace, call, input, layers.Subsample, {"weight": summed, "bias": bias})


def _pool(
    trace: OnnxTracer,
    call: Call,
    input: Value,
    kind: type[layers.Pool],
    weights: dict[str, Constant | None] | None = None,
    **options: Any,
) -> Value:
    """Where no padding is met, it makes no difference how it is counted."""
    met = input.met(SPATIAL)
    kernel, stride = Pair(*call.get("kernel_shape")), Pair(*call.get("strides", (1, 1)))
    layer = kind(kernel=kernel, stride=stride, pad=Pair(0, 0), **options)
    if isinstance(layer, layers.AvgPool):
        padded = any(padding(call, layer, met))
        require(layer.counted == "inside" or not call.get("ceil_mode"))
        if not padded and not call.get("ceil_mode"):
            layer = replace(layer, counted="padded")
    return sliding(trace, call, input, layer, weights)


@named("GlobalAveragePool", "GlobalMaxPool")
def _whole(trace: OnnxTracer, call: Call, input: Value) -> Value:
    name = "mean" if call.operator == "GlobalAveragePool" else "amax"
    return pytorch(name, trace, input, (2, 3), True)


@named("ReduceMean", "ReduceMax")
def _reduced(trace: OnnxTracer, call: Call, input: Value, axes: Constant | None = None) -> Value:
    name = "mean" if call.operator == "ReduceMean" else "amax"
    found = wholes(trace, axes if axes is not None else call.get("axes"))
    return pytorch(name, trace, input, found, bool(call.get("keepdims", 1)))
