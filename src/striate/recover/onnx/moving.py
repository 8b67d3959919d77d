"""Operators that move values without changing them; most are no layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate.recover.onnx.registry import named, number, pytorch, wholes
from striate.recover.pytorch.registry import OPERATIONS, require
from striate.recover.values import FLAT, LAST, ROWS, SPATIAL, Constant, Value

if TYPE_CHECKING:
    from striate.recover.onnx.calls import Call
    from striate.recover.onnx.tracing import OnnxTracer


@named("Identity", "Cast", "CastLike")
def _same(trace: OnnxTracer, call: Call, input: Value, *like: Any) -> Value:
    return input


@named("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshaped(trace: OnnxTracer, call: Call, input: Value, *rest: Any) -> Value:
    volume = input.volume
    if input.order == LAST and volume and trace.shapes[0][1:] == (volume.size,):
        return input.ordered(FLAT if volume[:2] == (1, 1) else ROWS)  # as TensorFlow flattens
    return pytorch("reshape", trace, input)


@named("Transpose")
def _transposed(trace: OnnxTracer, call: Call, input: Value) -> Value:
    axes = call.get("perm") or list(range(len(trace.shapes[0])))[::-1]
    return pytorch("permute", trace, input, *axes)


@named("Expand")
def _expanded(trace: OnnxTracer, call: Call, input: Value, *rest: Any) -> Value:
    return pytorch("expand", trace, input)


@named("Split")
def _split(trace: OnnxTracer, call: Call, input: Value, *rest: Any) -> Value | list[Value]:
    return OPERATIONS["split"](trace, input, None, call.get("axis", 0))


@named("Slice")
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


@named("Gather")
def _gathered(trace: OnnxTracer, call: Call, input: Value, index: Constant) -> Value:
    require(call.get("axis", 0) == 1, len(index.shape) == 1)
    parts = (slice(None), wholes(trace, index))
    return pytorch("__getitem__", trace, input, parts)


@named("Pad")
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


@named("Resize", "Upsample")
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
