"""Normalisations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate import layers
from striate.recover.pytorch.registry import named, require
from striate.recover.values import FLAT, LAST, SPATIAL, TOKENS, Constant, Value

if TYPE_CHECKING:
    from striate.recover.pytorch.tracing import Tracer


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
    input.met(LAST, TOKENS, FLAT)
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
