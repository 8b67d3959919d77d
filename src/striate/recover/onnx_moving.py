"""ONNX's operators that move values without changing them; most are no layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.recover.operations import OPERATIONS, require
from striate.recover.values import LAST, SPATIAL, Constant, Unknown, Value

if TYPE_CHECKING:
    from striate.recover.onnx_folding import Call
    from striate.recover.onnx_tracing import OnnxTracer

MOVING: dict[str, Callable[..., Value | list[Value]]] = {}


def _named(*names: str) -> Callable[[Any], Any]:
    def register(operator: Any) -> Any:
        for name in names:
            MOVING[name] = operator
        return operator

    return register


def pytorch(name: str, *given: Any, **named: Any) -> Any:
    """What a function of PyTorch's comes to, which does the same."""
    return OPERATIONS[name](*given, **named)


def plain(number: float) -> float:
    """A number that is stored in 32 bits as a person would write it: 1e-5."""
    return float(str(np.float32(number)))


def wholes(trace: OnnxTracer, given: Any, default: Any = None) -> Any:
    """A list of whole numbers, from a constant or an attribute."""
    if given is None:
        return default
    if isinstance(given, Constant):
        return [int(each) for each in trace.array(given).reshape(-1)]
    if isinstance(given, Value):
        raise Unknown
    return list(given)


def number(trace: OnnxTracer, given: Constant) -> float | None:
    """The value of a constant that has one."""
    array = trace.array(given)
    return plain(array.reshape(-1)[0]) if array.size == 1 else None


@_named("Identity", "Cast", "CastLike")
def _same(trace: OnnxTracer, call: Call, input: Value, *like: Any) -> Value:
    return input


@_named("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshaped(trace: OnnxTracer, call: Call, input: Value, *rest: Any) -> Value:
    return pytorch("reshape", trace, input)


@_named("Transpose")
def _transposed(trace: OnnxTracer, call: Call, input: Value) -> Value:
    axes = call.get("perm") or list(range(len(trace.shapes[0])))[::-1]
    return pytorch("permute", trace, input, *axes)


@_named("Expand")
def _expanded(trace: OnnxTracer, call: Call, input: Value, *rest: Any) -> Value:
    return pytorch("expand", trace, input)


@_named("Split")
def _split(trace: OnnxTracer, call: Call, input: Value, *rest: Any) -> list[Value]:
    return pytorch("split", trace, input, None, call.get("axis", 0))


@_named("Slice")
def _sliced(trace: OnnxTracer, call: Call, input: Value, *given: Any) -> Value:
    names = ("starts", "ends", "axes", "steps")
    parts = [wholes(trace, each) for each in given] or [call.get(name) for name in names]
    starts, ends, axes, steps = [*parts, None, None][:4]
    rank = len(trace.shapes[0])
    index = [slice(None)] * rank
    axes = axes if axes is not None else range(len(starts))
    for axis, first, stop, step in zip(axes, starts, ends, steps or [1] * len(starts), strict=True):
        require(step > 0)
        index[axis % rank] = slice(first, stop, step)
    for side, each in enumerate(index):
        if each.indices(2**31)[:2] == (0, 2**31) and each.step in (None, 1):
            index[side] = slice(None)
    return pytorch("__getitem__", trace, input, tuple(index))


@_named("Gather")
def _gathered(trace: OnnxTracer, call: Call, input: Value, index: Constant) -> Value:
    require(call.get("axis", 0) == 1, len(index.shape) == 1)
    parts = (slice(None), wholes(trace, index))
    return pytorch("__getitem__", trace, input, parts)


@_named("Pad")
def _padded(
    trace: OnnxTracer,
    call: Call,
    input: Value,
    pads: Constant | None = None,
    value: Constant | None = None,
    axes: Constant | None = None,
) -> Value:
    input.met(SPATIAL, LAST)
    order = input.order
    found = wholes(trace, pads if pads is not None else call.get("pads"))
    require(call.get("mode", "constant") == "constant")
    require((number(trace, value) if value is not None else call.get("value", 0)) == 0)
    around = [[0] * 4, [0] * 4]
    sides = wholes(trace, axes, range(4))
    for n, axis in enumerate(sides):
        around[0][axis % 4], around[1][axis % 4] = found[n], found[n + len(sides)]
    if order == LAST:
        around = [[each[n] for n in (0, 3, 1, 2)] for each in around]
    (images, before, top, left), (further, new, bottom, right) = around
    require(images == further == before == 0)
    sides = (left, right, top, bottom, 0, new)
    padded: Value = pytorch("pad", trace, input.ordered(SPATIAL), sides)
    return padded.ordered(order)


@_named("Resize", "Upsample")
def _resized(trace: OnnxTracer, call: Call, input: Value, *rest: Any) -> Value:
    """Every row and column several times, or between two; other ways of ONNX are no layer."""
    met = input.met(SPATIAL)
    mode = call.get("mode", "nearest")
    places = call.get("coordinate_transformation_mode", "half_pixel")
    places = "asymmetric" if call.operator == "Upsample" else places
    nearest = call.get("nearest_mode", "round_prefer_floor")
    nearest = "floor" if call.operator == "Upsample" else nearest
    half = places in ("half_pixel", "pytorch_half_pixel")
    factors = {side // whole for side, whole in zip(trace.shapes[0][2:], met[:2], strict=True)}
    if mode == "nearest":
        plainly = places == "asymmetric" and (nearest == "floor" or factors <= {1, 2})
        require(plainly or (half and nearest == "round_prefer_floor"), nearest != "ceil")
        method = "nearest"
    else:
        require(mode == "linear", half, not call.get("antialias", 0))
        method = "bilinear"
    return pytorch("interpolate", trace, input, mode=method)
