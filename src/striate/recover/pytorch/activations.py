"""Functions that work value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate import layers
from striate.recover.pytorch.registry import Operation, named, require, valuewise
from striate.recover.values import CHANNELS, Value

if TYPE_CHECKING:
    from striate.recover.pytorch.tracing import Tracer


def _plain(layer: layers.Layer) -> Operation:
    def apply(trace: Tracer, input: Value, inplace: bool = False) -> Value:
        return valuewise(trace, layer, input)

    return apply


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
    require(dim % input.rank == CHANNELS.get(input.order), dtype is None)
    return valuewise(trace, layers.Softmax(), trace.in_a_row(input))


@named("log_softmax")
def _log_softmax(
    trace: Tracer, input: Value, dim: int = -1, _stacklevel: int = 3, dtype: Any = None
) -> Value:
    require(dim is not None, dtype is None)
    require(dim % input.rank == CHANNELS.get(input.order))
    return trace.logged(input)


@named("dropout", "dropout_", "dropout2d", "feature_dropout")
def _dropout(
    trace: Tracer, input: Value, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Value:
    require(not training)  # one that never rests
    return valuewise(trace, layers.Dropout(probability=p), input) if p else input
