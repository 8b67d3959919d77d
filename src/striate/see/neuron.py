"""The neuron's view: at one position, what a filter meets and what comes of it, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from striate.errors import SeeError
from striate.see.copies import copied, layer, spatial, volumes


@dataclass(frozen=True, eq=False)
class Neuron:
    """One unit of a layer at one position of its map: w·x + b.

    Attributes:
        patch: x, what it meets, (depth of its group, rows, columns), zeros where padding is.
        weights: w, its filter, of the same shape.
        bias: b; 0.0 where the layer has none.
        value: the sum of patch * weights, plus bias, in float64.
        output: what the network computed there.
    """

    patch: Tensor
    weights: Tensor
    bias: float
    value: float
    output: float


def neuron(
    model: nn.Module, image: Tensor, name: str, unit: int, row: int = 0, column: int = 0
) -> Neuron:
    """What a unit of a convolution, or of a fully connected layer, computes at a position.

    Args:
        model: float32 (N, D, H, W) to class scores; it is not touched.
        image: prepared, (D, H, W).
        name: the layer's, as in the table.
        unit: counted from 0.
        row, column: of its output, counted from 0.

    Raises:
        SeeError: there is no such layer, unit or position, or the layer is of another kind.
    """
    copy = copied(model)
    found = layer(copy, name)
    if not isinstance(found, nn.Conv2d | nn.Linear):
        kind = type(found).__name__
        raise SeeError(f"{name} lays no filter on what it meets: it is a {kind}")
    met: list[Tensor] = []
    found.register_forward_pre_hook(lambda module, inputs: met.append(inputs[0]))
    with torch.no_grad(), volumes(copy, [name]) as given:
        copy(image[None])
    output = spatial(given[name])[0]
    places = zip(("unit", "row", "column"), (unit, row, column), output.shape, strict=True)
    for what, at, count in places:
        if not 0 <= at < count:
            raise SeeError(f"{name} has no {what} {at}: they go from 0 to {count - 1}")
    weights, volume = spatial(found.weight.detach())[unit], spatial(met[0])[0]
    if isinstance(found, nn.Conv2d):
        group = unit // (found.out_channels // found.groups)
        patch = _patch(volume[group * len(weights) :][: len(weights)], found, row, column)
    else:
        patch = volume
    bias = 0.0 if found.bias is None else found.bias[unit].item()
    value = (patch.double() * weights.double()).sum().item() + bias
    return Neuron(patch, weights, bias, value, output[unit, row, column].item())


def _patch(volume: Tensor, convolution: nn.Conv2d, row: int, column: int) -> Tensor:
    """The part of (depth, H, W) under the filter, with zeros beyond its borders."""
    spans = []
    for axis, at in enumerate((row, column)):
        first = at * convolution.stride[axis] - int(convolution.padding[axis])
        step, taps = convolution.dilation[axis], convolution.kernel_size[axis]
        spans.append(range(first, first + step * taps, step))
    before = [max(0, -span[0]) for span in spans]
    after = [
        max(0, span[-1] + 1 - side) for span, side in zip(spans, volume.shape[1:], strict=True)
    ]
    padded = pad(volume, (before[1], after[1], before[0], after[0]))
    rows, columns = (
        [place + more for place in span] for span, more in zip(spans, before, strict=True)
    )
    return padded[:, rows][:, :, columns]
