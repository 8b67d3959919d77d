"""Pools, means over positions, and their opposite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate import layers
from striate.layers import Pair
from striate.recover.pytorch.registry import named, require
from striate.recover.values import FLAT, LAST, LINE, SPATIAL, TOKENS, Value
from striate.recover.windows import pair, pool_layer, whole_or_parts

if TYPE_CHECKING:
    from striate.recover.pytorch.tracing import Tracer


@named("max_pool2d")
def _maxpool(
    trace: Tracer,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    require(not return_indices)
    met = input.met(SPATIAL)
    layer = pool_layer(
        layers.MaxPool, met, kernel_size, stride, padding, ceil_mode, dilation=pair(dilation)
    )
    return trace.spatial(trace.add(layer, [input]))


@named("avg_pool2d")
def _avgpool(
    trace: Tracer,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    require(divisor_override is None)
    met = input.met(SPATIAL)
    counted = "padded" if count_include_pad or not (any(pair(padding)) or ceil_mode) else "inside"
    layer = pool_layer(
        layers.AvgPool, met, kernel_size, stride, padding, ceil_mode, counted=counted
    )
    return trace.spatial(trace.add(layer, [input]))


@named("adaptive_avg_pool2d")
def _adaptive_average(trace: Tracer, input: Value, output_size: Any) -> Value:
    return _adaptive(trace, layers.AvgPool, input, output_size)


@named("adaptive_max_pool2d", "adaptive_max_pool2d_with_indices")
def _adaptive_maximum(
    trace: Tracer, input: Value, output_size: Any, return_indices: bool = False
) -> Value:
    require(not return_indices)
    return _adaptive(trace, layers.MaxPool, input, output_size)


def _adaptive(trace: Tracer, kind: type[layers.Pool], input: Value, size: Any) -> Value:
    """The whole volume, or parts of it that are all the same; the volume itself where it fits."""
    met = input.met(SPATIAL)
    layer = whole_or_parts(kind, met, size)
    return input if layer is None else trace.spatial(trace.add(layer, [input]))


@named("mean")
def _mean(trace: Tracer, input: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return _over_positions(trace, layers.AvgPool, input, dim, keepdim)


@named("amax")
def _largest(trace: Tracer, input: Value, dim: Any = (), keepdim: bool = False) -> Value:
    return _over_positions(trace, layers.MaxPool, input, dim, keepdim)


POSITIONS = {SPATIAL: {2, 3}, LAST: {1, 2}, LINE: {2}, TOKENS: {1}}


def _over_positions(
    trace: Tracer, kind: type[layers.Pool], input: Value, axes: Any, keeps: bool
) -> Value:
    met = input.met(*POSITIONS)
    axes = (axes,) if isinstance(axes, int) else tuple(axes or ())
    rank = input.rank
    require({axis % rank for axis in axes} == POSITIONS[input.order])
    node = input if met[:2] == (1, 1) else trace.spatial(trace.add(kind(), [input]))
    return node.ordered(input.order if keeps else FLAT)


@named("interpolate", "upsample")
def _upsample(
    trace: Tracer,
    input: Value,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Value:
    met = input.met(SPATIAL)
    _, _, height, width = trace.shapes[0]
    require(mode in ("nearest", "bilinear"), not align_corners, not antialias)
    if (height, width) == met[:2]:
        return input
    require(height % met.height == 0, width % met.width == 0)
    factor = Pair(height // met.height, width // met.width)
    return trace.spatial(trace.add(layers.Upsample(factor=factor, method=mode), [input]))
