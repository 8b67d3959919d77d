"""Operators that normalise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate import layers
from striate.recover.onnx.registry import named, plain, pytorch
from striate.recover.pytorch.registry import require
from striate.recover.values import SPATIAL, Constant, Value

if TYPE_CHECKING:
    from striate.recover.onnx.calls import Call
    from striate.recover.onnx.tracing import OnnxTracer


@named("BatchNormalization")
def _batchnorm(
    trace: OnnxTracer,
    call: Call,
    input: Value,
    weight: Constant,
    bias: Constant,
    mean: Constant,
    variance: Constant,
) -> Value:
    require(not call.get("training_mode", 0))
    return pytorch(
        "batch_norm",
        trace,
        input,
        mean,
        variance,
        weight,
        bias,
        False,
        round(1 - call.get("momentum", 0.9), 6),
        plain(call.get("epsilon", 1e-5)),
    )


@named("LayerNormalization")
def _layernorm(
    trace: OnnxTracer, call: Call, input: Value, weight: Constant, bias: Constant | None = None
) -> Value:
    rank = len(trace.shapes[0])
    require(call.get("axis", -1) % rank == rank - 1)
    shape, epsilon = trace.shapes[0][-1:], plain(call.get("epsilon", 1e-5))
    return pytorch("layer_norm", trace, input, shape, weight, bias, epsilon)


@named("GroupNormalization")
def _groupnorm(
    trace: OnnxTracer, call: Call, input: Value, weight: Constant, bias: Constant
) -> Value:
    require(weight.size == bias.size == input.met(SPATIAL).depth)
    groups, epsilon = call.get("num_groups"), plain(call.get("epsilon", 1e-5))
    return pytorch("group_norm", trace, input, groups, weight, bias, epsilon)


@named("LRN")
def _lrn(trace: OnnxTracer, call: Call, input: Value) -> Value:
    """Of an even number of channels ONNX takes one more after, PyTorch one more before."""
    require(call.get("size") % 2 == 1)
    numbers = (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    alpha, beta, k = (plain(call.get(name, usual)) for name, usual in numbers)
    input.met(SPATIAL)
    share = plain(alpha / call.get("size"))
    layer = layers.LocalResponseNorm(size=call.get("size"), alpha=share, beta=beta, k=k)
    return trace.spatial(trace.add(layer, [input]))
