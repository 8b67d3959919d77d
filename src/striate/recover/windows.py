"""Windows as PyTorch and ONNX state them, as layers with their padding and rounding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from striate.errors import Misfit
from striate.layers import AvgPool, Conv, Deconv, MaxPool, Pair, Pool, Volume, Window
from striate.recover.values import Unknown


def pair(value: Any) -> Pair:
    """One number for both axes, or two."""
    if isinstance(value, int):
        return Pair(value, value)
    found = tuple(value)
    if len(found) == 1:
        found *= 2
    if len(found) != 2 or not all(isinstance(each, int) for each in found):
        raise Unknown
    return Pair(*found)


def conv_layer(
    met: Volume,
    weight: tuple[int, ...],
    stride: Pair,
    padding: Any,
    dilation: Pair,
    groups: int,
    bias: bool,
) -> Conv:
    """A convolution whose weights have this shape, (filters, depth / groups, height, width)."""
    filters, _, height, width = weight
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise Unknown
        spare = [d * (f - 1) for d, f in zip(dilation, (height, width), strict=True)]
        if padding == "same" and any(each % 2 for each in spare):
            raise Unknown
        padding = [each // 2 if padding == "same" else 0 for each in spare]
    layer = Conv(
        kernel=Pair(height, width),
        filters=filters,
        stride=stride,
        pad=pair(padding),
        dilation=dilation,
        groups=groups,
        bias="yes" if bias else "no",
    )
    return cast(Conv, rounded(_plainly_padded(layer, met), met))


def _plainly_padded(layer: Conv, met: Volume) -> Conv:
    """Without a stated padding where it is the one that a convolution has anyway."""
    plain = replace(layer, pad=None)
    try:
        same = plain.padding(met) == layer.pad
    except Misfit:
        return layer
    return plain if same else layer


def rounded(layer: Window, met: Volume, ceil: bool = False) -> Window:
    """With `floor` or `ceil` where the window does not fit exactly, and only there."""
    if all(slide.fits for slide in layer.slides(met)):
        return layer
    return replace(layer, rounding="ceil" if ceil else "floor")


def deconv_layer(
    weight: tuple[int, ...],
    stride: Any,
    padding: Any,
    extra: Any,
    dilation: Any,
    groups: int,
    bias: bool,
) -> Deconv:
    """A transposed convolution with weights (depth, filters / groups, height, width)."""
    _, filters, height, width = weight
    return Deconv(
        kernel=Pair(height, width),
        filters=filters * groups,
        stride=pair(stride),
        pad=pair(padding),
        extra=pair(extra),
        dilation=pair(dilation),
        groups=groups,
        bias="yes" if bias else "no",
    )


def pool_layer(
    kind: type[Pool],
    met: Volume,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil: bool,
    **options: Any,
) -> Pool:
    """A pool; one window over all of the volume is said as that."""
    size = pair(kernel)
    step = size if stride is None or stride == [] else pair(stride)
    pad = pair(padding)
    plain = options in ({}, {"dilation": (1, 1)}, {"counted": "padded"})
    if size == met[:2] and pad == (0, 0) and plain:
        return kind()
    layer = kind(
        kernel=size,
        stride=None if step == size else step,
        pad=None if pad == (0, 0) else pad,
        **options,
    )
    return cast(Pool, rounded(layer, met, ceil))


def whole_or_parts(kind: type[Pool], met: Volume, size: Any) -> MaxPool | AvgPool | None:
    """PyTorch's adaptive pools: None where each output is one input."""
    sides = (size, size) if isinstance(size, int) or size is None else tuple(size)
    wanted = [side or whole for side, whole in zip(sides, met[:2], strict=True)]
    if wanted == list(met[:2]):
        return None
    if wanted == [1, 1]:
        return cast(AvgPool, kind())
    if any(whole % side for side, whole in zip(wanted, met[:2], strict=True)):
        raise Unknown  # windows of several sizes
    kernel = Pair(*(whole // side for side, whole in zip(wanted, met[:2], strict=True)))
    return cast(AvgPool, kind(kernel=kernel))
