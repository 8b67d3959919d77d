"""ONNX's windows: padding that differs at the end, or that is only named, as layers have it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from striate.errors import Misfit
from striate.layers import AvgPool, Conv, MaxPool, Pad, Pair, Pool, Volume, Window
from striate.recover.values import SPATIAL, Constant, Unknown, Value
from striate.recover.windows import _plainly_padded

if TYPE_CHECKING:
    from striate.recover.onnx.calls import Call
    from striate.recover.onnx.tracing import OnnxTracer

Sides = tuple[int, int, int, int]  # above, on the left, below, on the right


def padding(call: Call, layer: Window, met: Volume) -> Sides:
    """What a call says, in numbers or by a name."""
    way = call.get("auto_pad", "NOTSET")
    if way == "NOTSET":
        top, left, bottom, right = call.get("pads", (0, 0, 0, 0))
        return top, left, bottom, right
    if way == "VALID":
        return 0, 0, 0, 0
    before, after = [], []
    for slide in layer.slides(met):
        positions = -(-slide.size // slide.stride)
        whole = max(0, (positions - 1) * slide.stride + slide.span - slide.size)
        small, large = whole // 2, whole - whole // 2
        before.append(small if way == "SAME_UPPER" else large)
        after.append(large if way == "SAME_UPPER" else small)
    return before[0], before[1], after[0], after[1]


def fitted(layer: Window, met: Volume, pads: Sides, size: Pair) -> tuple[Window, Pad | None]:
    """The window that gives an output of this size, and padding as a layer before it where needed.

    Windows that start at the same places see the same, whatever padding lies behind the last of
    them: so padding at the end is a matter of rounding, but where it counts in a mean.
    """
    means = isinstance(layer, AvgPool) and layer.counted == "padded"
    for rounding in ("exact", "floor") if means and any(pads) else ("exact", "floor", "ceil"):
        found = replace(layer, pad=Pair(*pads[:2]), rounding=rounding)
        if _gives(found, met, size):
            return _plain(found, met), None
    if isinstance(layer, Pool) and not means:
        raise Unknown
    border, end = Pair(*pads[:2]), Pair(*pads[2:])
    around = Pad(border=border, end=None if end == border else end)
    padded = around.volume(met)
    for rounding in ("exact", "floor"):
        found = replace(layer, pad=Pair(0, 0), rounding=rounding)
        if _gives(found, padded, size):
            return _plain(found, padded), around
    raise Unknown


def _gives(layer: Window, met: Volume, size: Pair) -> bool:
    try:
        return layer.volume(met)[:2] == size
    except Misfit:
        return False


def _plain(layer: Window, met: Volume) -> Window:
    """Without what is said anyway; a pool over the whole volume as that."""
    if isinstance(layer, Conv):
        return _plainly_padded(layer, met)
    unpadded = layer.pad == (0, 0)
    alone = layer.dilation == (1, 1) and isinstance(layer, MaxPool | AvgPool)
    if alone and unpadded and layer.kernel == met[:2]:
        return type(layer)()
    if unpadded:
        layer = replace(layer, pad=None)
    if isinstance(layer, Pool) and layer.stride == layer.kernel:
        layer = replace(layer, stride=None)
    return layer


def sliding(
    trace: OnnxTracer,
    call: Call,
    input: Value,
    layer: Window,
    weights: dict[str, Constant | None] | None = None,
) -> Value:
    """A layer that slides, and the padding that it needs before it."""
    met = input.met(SPATIAL)
    found, around = fitted(layer, met, padding(call, layer, met), Pair(*trace.shapes[0][2:]))
    if around is not None:
        input = trace.spatial(trace.add(around, [input]))
    return trace.spatial(trace.add(found, [input], weights))
