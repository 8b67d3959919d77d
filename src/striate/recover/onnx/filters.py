"""Operators with filters, and what sees everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from striate import layers
from striate.layers import Pair
from striate.recover.onnx.registry import named, pytorch
from striate.recover.onnx.sides import sliding
from striate.recover.pytorch.registry import require
from striate.recover.values import FLAT, ROWS, SPATIAL, Constant, Value

if TYPE_CHECKING:
    from striate.recover.onnx.calls import Call
    from striate.recover.onnx.tracing import OnnxTracer


@named("Conv")
def _conv(
    trace: OnnxTracer, call: Call, input: Value, weight: Constant, bias: Constant | None = None
) -> Value:
    _, _, height, width = weight.shape
    layer = layers.Conv(
        kernel=Pair(height, width),
        filters=weight.shape[0],
        stride=Pair(*call.get("strides", (1, 1))),
        pad=Pair(0, 0),
        dilation=Pair(*call.get("dilations", (1, 1))),
        groups=call.get("group", 1),
        bias="no" if bias is None else "yes",
    )
    return sliding(trace, call, input, layer, {"weight": weight, "bias": bias})


@named("ConvTranspose")
def _deconv(
    trace: OnnxTracer, call: Call, input: Value, weight: Constant, bias: Constant | None = None
) -> Value:
    """Padding is cut off; what is cut off less at the end is `extra`."""
    met = input.met(SPATIAL)
    stride = Pair(*call.get("strides", (1, 1)))
    dilation = Pair(*call.get("dilations", (1, 1)))
    require(call.get("auto_pad", "NOTSET") == "NOTSET", call.get("output_shape") is None)
    top, left, _, _ = call.get("pads", (0, 0, 0, 0))
    extra = []
    sides = zip(trace.shapes[0][2:], met[:2], weight.shape[2:], stride, dilation, strict=True)
    for pad, (side, size, kernel, step, apart) in zip((top, left), sides, strict=True):
        extra.append(side - ((size - 1) * step - 2 * pad + apart * (kernel - 1) + 1))
    groups = call.get("group", 1)
    around = stride, (top, left), extra, groups, dilation
    return pytorch("conv_transpose2d", trace, input, weight, bias, *around)


@named("Gemm")
def _gemm(
    trace: OnnxTracer, call: Call, input: Value, weight: Constant, bias: Constant | None = None
) -> Value:
    require(call.get("alpha", 1) == 1, not call.get("transA", 0))
    require(bias is None or call.get("beta", 1) == 1)
    if not call.get("transB", 0):
        weight = trace.derived(weight, "transposed", trace.array(weight).T)
    if bias is not None:
        require(bias.size == weight.shape[0])
    return _linear(trace, input, weight, bias)


@named("MatMul")
def _matmul(trace: OnnxTracer, call: Call, input: Value, weight: Constant) -> Value:
    require(isinstance(weight, Constant), len(weight.shape) == 2)
    return _linear(trace, input, trace.derived(weight, "transposed", trace.array(weight).T), None)


def _linear(trace: OnnxTracer, input: Value, weight: Constant, bias: Constant | None) -> Value:
    if input.order == ROWS:
        height, width, depth = input.met(ROWS)
        rows = trace.array(weight).reshape(-1, height, width, depth).transpose(0, 3, 1, 2)
        weight = trace.derived(weight, "channels first", rows.reshape(weight.shape))
        input = input.ordered(FLAT)
    return pytorch("linear", trace, input, weight, bias)


@named("RadialBasis")
def _rbf(trace: OnnxTracer, call: Call, input: Value, codes: Constant, lengths: Constant) -> Value:
    input.met(FLAT)
    require(np.allclose(trace.array(lengths), -np.square(trace.array(codes)).sum(axis=1)))
    layer = layers.RadialBasis(units=codes.shape[0])
    return trace.spatial(trace.add(layer, [input], {"codes": codes})).ordered(FLAT)
