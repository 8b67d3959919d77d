"""One layer to its module: an entry for each kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from striate import containers, layers, modules
from striate.layers import Volume
from striate.steps import Step


def module_for(step: Step, flat: bool) -> nn.Module:
    """The module of one layer where it stands.

    Args:
        flat: whether the volume that it meets is (N, K) rather than (N, D, H, W).
    """
    return MODULES[type(step.layer)](step.layer, step.met, flat)


def _two(pair: layers.Pair) -> tuple[int, int]:
    """A plain tuple: what a module prints and what torch.export can take."""
    return pair.height, pair.width


def _conv(layer: layers.Conv, met: Volume, flat: bool) -> nn.Module:
    arguments = (met.depth, layer.filters, _two(layer.kernel), _two(layer.stride))
    options: dict[str, Any] = {
        "padding": _two(layer.padding(met)),
        "dilation": _two(layer.dilation),
        "groups": layer.groups,
        "bias": layer.bias == "yes",
    }
    extra = layer.made_up(met)
    if any(extra):
        made: nn.Module = modules.CeilConv2d(*arguments, extra=extra, **options)  # type: ignore[arg-type]
    else:
        made = nn.Conv2d(*arguments, **options)
    if layer.bias != "point":
        return made
    height, width = layer.positions(met)
    return containers.sequential({"conv": made, "point": modules.PointBias(height, width)})


def _deconv(layer: layers.Deconv, met: Volume, flat: bool) -> nn.Module:
    return nn.ConvTranspose2d(
        met.depth,
        layer.filters,
        _two(layer.kernel),
        _two(layer.stride),
        padding=_two(layer.pad),
        output_padding=_two(layer.extra),
        groups=layer.groups,
        bias=layer.bias == "yes",
        dilation=_two(layer.dilation),
    )


def _maxpool(layer: layers.MaxPool, met: Volume, flat: bool) -> nn.Module:
    if layer.whole:
        return nn.AdaptiveMaxPool2d(1)
    height, width = layer.slides(met)
    return nn.MaxPool2d(
        (height.kernel, width.kernel),
        (height.stride, width.stride),
        (height.padding, width.padding),
        tuple(layer.dilation),
        ceil_mode=layer.rounding == "ceil",
    )


def _avgpool(layer: layers.AvgPool, met: Volume, flat: bool) -> nn.Module:
    if layer.whole:
        return nn.AdaptiveAvgPool2d(1)
    return _average(layer, met, padded=layer.counted == "padded")


def _average(
    layer: layers.Pool, met: Volume, divisor: int | None = None, padded: bool = True
) -> nn.AvgPool2d:
    height, width = layer.slides(met)
    return nn.AvgPool2d(
        (height.kernel, width.kernel),
        (height.stride, width.stride),
        (height.padding, width.padding),
        ceil_mode=layer.rounding == "ceil",
        count_include_pad=padded,
        divisor_override=divisor,
    )


def _subsample(layer: layers.Subsample, met: Volume, flat: bool) -> nn.Module:
    return modules.Subsample(met.depth, _average(layer, met, 1))


def _batchnorm(layer: layers.BatchNorm, met: Volume, flat: bool) -> nn.Module:
    kind = nn.BatchNorm1d if flat else nn.BatchNorm2d
    made = kind(met.depth if not flat else met.size, eps=layer.eps, momentum=layer.momentum)
    if layer.scale == "no":
        made.register_parameter("weight", None)
    return made


def _lrn(layer: layers.LocalResponseNorm, met: Volume, flat: bool) -> nn.Module:
    """PyTorch divides alpha by n; the paper's formula, which the notation means, does not."""
    return nn.LocalResponseNorm(layer.size, layer.alpha * layer.size, layer.beta, layer.k)


MODULES: dict[type[layers.Layer], Callable[[Any, Volume, bool], nn.Module]] = {
    layers.Conv: _conv,
    layers.Deconv: _deconv,
    layers.MaxPool: _maxpool,
    layers.AvgPool: _avgpool,
    layers.Subsample: _subsample,
    layers.FullyConnected: lambda layer, met, flat: nn.Linear(
        met.size, layer.units, bias=layer.bias == "yes"
    ),
    layers.RadialBasis: lambda layer, met, flat: modules.RadialBasis(met.size, layer.units),
    layers.Flatten: lambda layer, met, flat: nn.Flatten(),
    layers.Relu: lambda layer, met, flat: nn.ReLU(),
    layers.Relu6: lambda layer, met, flat: nn.ReLU6(),
    layers.LeakyRelu: lambda layer, met, flat: nn.LeakyReLU(layer.slope),
    layers.Elu: lambda layer, met, flat: nn.ELU(layer.alpha),
    layers.Tanh: lambda layer, met, flat: nn.Tanh(),
    layers.ScaledTanh: lambda layer, met, flat: modules.ScaledTanh(layer.amplitude, layer.slope),
    layers.Sigmoid: lambda layer, met, flat: nn.Sigmoid(),
    layers.Gelu: lambda layer, met, flat: nn.GELU(
        approximate="none" if layer.approximation == "exact" else "tanh"
    ),
    layers.Silu: lambda layer, met, flat: nn.SiLU(),
    layers.Mish: lambda layer, met, flat: nn.Mish(),
    layers.HardSigmoid: lambda layer, met, flat: nn.Hardsigmoid(),
    layers.HardSwish: lambda layer, met, flat: nn.Hardswish(),
    layers.Softmax: lambda layer, met, flat: nn.Softmax(dim=1),
    layers.Scale: lambda layer, met, flat: modules.Scale(layer.factor),
    layers.BatchNorm: _batchnorm,
    layers.LayerNorm: lambda layer, met, flat: (nn.LayerNorm if flat else modules.LayerNorm)(
        met.depth, eps=layer.eps
    ),
    layers.GroupNorm: lambda layer, met, flat: nn.GroupNorm(layer.groups, met.depth, layer.eps),
    layers.LayerScale: lambda layer, met, flat: modules.LayerScale(
        (met.depth,) if flat else (met.depth, 1, 1), layer.initial
    ),
    layers.LocalResponseNorm: _lrn,
    layers.Dropout: lambda layer, met, flat: nn.Dropout(layer.probability),
    layers.Identity: lambda layer, met, flat: nn.Identity(),
    layers.Pad: lambda layer, met, flat: nn.ZeroPad2d(
        (layer.border.width, layer.after.width, layer.border.height, layer.after.height)
    ),
    layers.Upsample: lambda layer, met, flat: nn.Upsample(
        scale_factor=tuple(map(float, layer.factor)), mode=layer.method
    ),
    layers.Take: lambda layer, met, flat: modules.Take(layer.channels),
    layers.Slice: lambda layer, met, flat: modules.Slice(layer.first, layer.stop),
    layers.Shuffle: lambda layer, met, flat: nn.ChannelShuffle(layer.groups),
    layers.Shortcut: lambda layer, met, flat: modules.PaddedShortcut(
        tuple(layer.stride), layer.filters - met.depth
    ),
}
