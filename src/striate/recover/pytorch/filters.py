"""Functions with filters: convolutions and fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate import layers
from striate.layers import Pair
from striate.recover.pytorch.registry import named
from striate.recover.values import FLAT, LAST, SPATIAL, TOKENS, Constant, Value
from striate.recover.windows import conv_layer, deconv_layer, pair

if TYPE_CHECKING:
    from striate.recover.pytorch.tracing import Tracer


@named("conv2d")
def _conv(
    trace: Tracer,
    input: Value,
    weight: Constant,
    bias: Constant | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    met = input.met(SPATIAL)
    layer = conv_layer(
        met, weight.shape, pair(stride), padding, pair(dilation), groups, bias is not None
    )
    node = trace.add(layer, [input], {"weight": weight, "bias": bias})
    return trace.spatial(node)


@named("conv_transpose2d")
def _deconv(
    trace: Tracer,
    input: Value,
    weight: Constant,
    bias: Constant | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Value:
    layer = deconv_layer(
        weight.shape, stride, padding, output_padding, dilation, groups, bias is not None
    )
    input.met(SPATIAL)
    return trace.spatial(trace.add(layer, [input], {"weight": weight, "bias": bias}))


@named("linear")
def _linear(trace: Tracer, input: Value, weight: Constant, bias: Constant | None = None) -> Value:
    """On channels that come last it is a convolution of 1x1."""
    said = "yes" if bias is not None else "no"
    weights = {"weight": weight, "bias": bias}
    if input.order in (LAST, TOKENS):
        input.met(input.order)
        layer = layers.Conv(kernel=Pair(1, 1), filters=weight.shape[0], bias=said)
        return trace.spatial(trace.add(layer, [input], weights)).ordered(input.order)
    input.met(FLAT)
    dense = layers.FullyConnected(units=weight.shape[0], bias=said)
    return trace.spatial(trace.add(dense, [input], weights)).ordered(FLAT)
