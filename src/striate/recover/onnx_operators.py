"""ONNX's operators as layers: an entry for each, most by way of the function of PyTorch's like it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from striate import layers
from striate.layers import Pair
from striate.recover.graph import Weight
from striate.recover.onnx_moving import MOVING, number, plain, pytorch, wholes
from striate.recover.onnx_windows import fitted, padding
from striate.recover.operations import require, valuewise
from striate.recover.values import FLAT, LAST, SPATIAL, Constant, Unknown, Value

if TYPE_CHECKING:
    from striate.recover.onnx_folding import Call
    from striate.recover.onnx_tracing import OnnxTracer

Operator = Callable[..., Value | list[Value]]
OPERATORS: dict[str, Operator] = dict(MOVING)


def named(*names: str) -> Callable[[Operator], Operator]:
    """Registers an operator under ONNX's names for it."""

    def register(operator: Operator) -> Operator:
        for name in names:
            OPERATORS[name] = operator
        return operator

    return register


# -- windows


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
    return _sliding(trace, call, input, layer, {"weight": weight, "bias": bias})


def _sliding(
    trace: OnnxTracer,
    call: Call,
    input: Value,
    layer: layers.Window,
    weights: dict[str, Constant | None] | None = None,
) -> Value:
    met = input.met(SPATIAL)
    found, around = fitted(layer, met, padding(call, layer, met), Pair(*trace.shapes[0][2:]))
    if around is not None:
        input = trace.spatial(trace.add(around, [input]))
    return trace.spatial(trace.add(found, [input], weights))


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
    operation = OPERATIONS["conv_transpose2d"]
    return operation(trace, input, weight, bias, stride, (top, left), extra, groups, dilation)


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
    return _sliding(trace, call, input, layer, weights)


@named("GlobalAveragePool", "GlobalMaxPool")
def _whole(trace: OnnxTracer, call: Call, input: Value) -> Value:
    name = "mean" if call.operator == "GlobalAveragePool" else "amax"
    return pytorch(name, trace, input, (2, 3), True)


@named("ReduceMean", "ReduceMax")
def _reduced(trace: OnnxTracer, call: Call, input: Value, axes: Constant | None = None) -> Value:
    name = "mean" if call.operator == "ReduceMean" else "amax"
    found = wholes(trace, axes if axes is not None else call.get("axes"))
    return pytorch(name, trace, input, found, bool(call.get("keepdims", 1)))


# -- layers that see everything


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
    return pytorch("linear", trace, input, weight, bias)


@named("RadialBasis")
def _rbf(trace: OnnxTracer, call: Call, input: Value, codes: Constant, lengths: Constant) -> Value:
    input.met(FLAT)
    require(np.allclose(trace.array(lengths), -np.square(trace.array(codes)).sum(axis=1)))
    layer = layers.RadialBasis(units=codes.shape[0])
    return trace.spatial(trace.add(layer, [input], {"codes": codes})).ordered(FLAT)


# -- value by value


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


@named("Softmax")
def _softmax(trace: OnnxTracer, call: Call, input: Value) -> Value:
    old = trace.live.file.opsets.get("", 1) < 13  # then over all axes from this one on
    axis = call.get("axis", 1 if old else -1)
    require(not old or len(trace.shapes[0]) == 2)
    return pytorch("softmax", trace, input, axis)


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
    share = call.get("ratio", 0.5) if ratio is None else number(trace, ratio)
    found = valuewise(trace, layers.Dropout(probability=plain(share)), input)
    return [found] * len(trace.shapes)


# -- normalisation


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


# -- sums, products, concatenations


@named("Add", "Sum")
def _add(trace: OnnxTracer, call: Call, first: Any, *others: Any) -> Value:
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
    layer, volume = node.layer, input.met(SPATIAL, LAST, FLAT)
    require(trace.alone(input), len(call.inputs) == 2)
    if not isinstance(layer, layers.Conv | layers.Deconv | layers.FullyConnected):
        raise Unknown
    require(layer.bias == "no")
    own = trace.weight(bias)
    shape = (1,) * (len(input.shape()) - len(bias.shape)) + bias.shape[-len(input.shape()) :]
    channels = {SPATIAL: (volume.depth, 1, 1), LAST: (1, 1, volume.depth), FLAT: (volume.depth,)}
    if bias.size == volume.depth and shape == channels[input.order]:
        said, weights = "yes", {**node.weights, "bias": Weight(own.name)}
    else:
        require(isinstance(layer, layers.Conv), input.order == SPATIAL)
        require(shape == (1, *volume[:2]), bias.size == volume.height * volume.width)
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
