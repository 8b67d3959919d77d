"""PyTorch's functions as layers: an entry for each, with the function's own arguments.

An operation gives what its results are, or raises Unknown where it is none of our layers. What
shape each result has is compared with what PyTorch gives, so that no entry can be wrong in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from striate import layers
from striate.layers import Pair
from striate.recover.moving import MOVING
from striate.recover.values import FLAT, LAST, SPATIAL, Constant, Unknown, Value
from striate.recover.windows import conv_layer, deconv_layer, pair, pool_layer, whole_or_parts

if TYPE_CHECKING:
    from striate.recover.tracing import Tracer

Operation = Callable[..., Value | list[Value]]
OPERATIONS: dict[str, Operation] = dict(MOVING)


def named(*names: str) -> Callable[[Operation], Operation]:
    """Registers an operation under PyTorch's names for it."""

    def register(operation: Operation) -> Operation:
        for name in names:
            OPERATIONS[name] = operation
        return operation

    return register


def require(*wanted: bool) -> None:
    """Raises Unknown unless all hold."""
    if not all(wanted):
        raise Unknown


# -- layers with filters


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
    if input.order == LAST:
        input.met(LAST)
        layer = layers.Conv(kernel=Pair(1, 1), filters=weight.shape[0], bias=said)
        return trace.spatial(trace.add(layer, [input], weights)).ordered(LAST)
    input.met(FLAT)
    dense = layers.FullyConnected(units=weight.shape[0], bias=said)
    return trace.spatial(trace.add(dense, [input], weights)).ordered(FLAT)


# -- pooling


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


POSITIONS = {SPATIAL: {2, 3}, LAST: {1, 2}, "NDP": {2}}


def _over_positions(
    trace: Tracer, kind: type[layers.Pool], input: Value, axes: Any, keeps: bool
) -> Value:
    met = input.met(*POSITIONS)
    axes = (axes,) if isinstance(axes, int) else tuple(axes or ())
    rank = len(input.shape()) + 1
    require({axis % rank for axis in axes} == POSITIONS[input.order])
    keeps_axes = keeps and input.order != "NDP"
    require(not keeps or keeps_axes)
    node = input if met[:2] == (1, 1) else trace.spatial(trace.add(kind(), [input]))
    return node.ordered(input.order if keeps_axes else FLAT)


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


# -- value by value


def _plain(layer: layers.Layer) -> Operation:
    def apply(trace: Tracer, input: Value, inplace: bool = False) -> Value:
        return valuewise(trace, layer, input)

    return apply


def valuewise(trace: Tracer, layer: layers.Layer, input: Value) -> Value:
    """A layer that takes a volume whatever the order of its axes."""
    require(input.volume is not None, not input.stretched)
    node = trace.add(layer, [input])
    return Value(node, input.order, input.volume, input.groups)


for _names, _layer in {
    ("relu", "relu_"): layers.Relu(),
    ("relu6",): layers.Relu6(),
    ("tanh", "tanh_"): layers.Tanh(),
    ("sigmoid", "sigmoid_"): layers.Sigmoid(),
    ("silu", "silu_"): layers.Silu(),
    ("mish", "mish_"): layers.Mish(),
    ("hardsigmoid", "hardsigmoid_"): layers.HardSigmoid(),
    ("hardswish", "hardswish_"): layers.HardSwish(),
}.items():
    named(*_names)(_plain(_layer))


@named("hardtanh", "hardtanh_", "clamp", "clamp_", "clip")
def _clamped(
    trace: Tracer,
    input: Value,
    min: float | None = None,
    max: float | None = None,
    *,
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,
) -> Value:
    low, high = (min, max) if (min, max) != (None, None) else (min_val, max_val)
    require(low == 0, high in (6, None))
    return valuewise(trace, layers.Relu6() if high == 6 else layers.Relu(), input)


@named("leaky_relu", "leaky_relu_")
def _leaky(
    trace: Tracer, input: Value, negative_slope: float = 0.01, inplace: bool = False
) -> Value:
    return valuewise(trace, layers.LeakyRelu(slope=negative_slope), input)


@named("elu", "elu_")
def _elu(trace: Tracer, input: Value, alpha: float = 1.0, inplace: bool = False) -> Value:
    return valuewise(trace, layers.Elu(alpha=alpha), input)


@named("gelu")
def _gelu(trace: Tracer, input: Value, approximate: str = "none") -> Value:
    said = {"none": "exact", "tanh": "tanh"}[approximate]
    return valuewise(trace, layers.Gelu(approximation=said), input)


@named("softmax")
def _softmax(
    trace: Tracer, input: Value, dim: int = -1, _stacklevel: int = 3, dtype: Any = None
) -> Value:
    rank = len(input.shape()) + 1
    channels = {SPATIAL: 1, FLAT: 1, LAST: 3}.get(input.order)
    require(dim % rank == channels, dtype is None)
    return valuewise(trace, layers.Softmax(), trace.in_a_row(input))


@named("dropout", "dropout_", "dropout2d", "feature_dropout")
def _dropout(
    trace: Tracer, input: Value, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Value:
    return valuewise(trace, layers.Dropout(probability=p), input)


# -- normalisation


@named("batch_norm")
def _batchnorm(
    trace: Tracer,
    input: Value,
    running_mean: Constant | None = None,
    running_var: Constant | None = None,
    weight: Constant | None = None,
    bias: Constant | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    require(bias is not None, running_mean is not None, not training)
    input.met(SPATIAL, FLAT)
    input = trace.in_a_row(input)
    layer = layers.BatchNorm(
        scale="yes" if weight is not None else "no", eps=eps, momentum=momentum
    )
    weights = {
        "weight": weight,
        "bias": bias,
        "running_mean": running_mean,
        "running_var": running_var,
    }
    return trace.spatial(trace.add(layer, [input], weights)).ordered(input.order)


@named("layer_norm")
def _layernorm(
    trace: Tracer,
    input: Value,
    normalized_shape: Any,
    weight: Constant | None = None,
    bias: Constant | None = None,
    eps: float = 1e-5,
) -> Value:
    """Over the channels alone; they stand last in PyTorch's own."""
    input.met(LAST, FLAT)
    input = trace.in_a_row(input)
    require(input.volume is not None and tuple(normalized_shape) == (input.volume.depth,))
    require(weight is not None, bias is not None)
    node = trace.add(layers.LayerNorm(eps=eps), [input], {"weight": weight, "bias": bias})
    return trace.spatial(node).ordered(input.order)


@named("group_norm")
def _groupnorm(
    trace: Tracer,
    input: Value,
    num_groups: int,
    weight: Constant | None = None,
    bias: Constant | None = None,
    eps: float = 1e-5,
) -> Value:
    input.met(SPATIAL)
    require(weight is not None, bias is not None)
    layer = layers.GroupNorm(groups=num_groups, eps=eps)
    return trace.spatial(trace.add(layer, [input], {"weight": weight, "bias": bias}))


@named("local_response_norm")
def _lrn(
    trace: Tracer,
    input: Value,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Value:
    """PyTorch divides alpha by the number of channels, the paper does not."""
    input.met(SPATIAL)
    layer = layers.LocalResponseNorm(size=size, alpha=alpha / size, beta=beta, k=k)
    return trace.spatial(trace.add(layer, [input]))


# -- sums, products, concatenations


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
    require(first.order != FLAT or first.volume == second.volume)
    assert first.volume is not None and second.volume is not None
    layer = layers.Mul(branches=2)
    volume = layer.join([first.volume, second.volume])
    node = trace.add(layer, [first, second], volume=volume)
    return Value(node, first.order, volume, first.groups)


def _by_channel(trace: Tracer, input: Value, factor: Constant) -> Value:
    input.met(SPATIAL, LAST, FLAT)
    input = trace.in_a_row(input)
    met = input.met(input.order)
    channels = {SPATIAL: (met.depth, 1, 1), LAST: (met.depth,), FLAT: (met.depth,)}[input.order]
    shape = factor.shape
    while len(shape) > len(channels) and shape[0] == 1:
        shape = shape[1:]
    require(shape == channels)
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
    channels = {SPATIAL: 1, FLAT: 1, LAST: 3}.get(order)
    require(all(each.order == order for each in values))
    require(dim % (len(values[0].shape()) + 1) == channels)
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
