"""Each kind of layer as lines of Python: an entry for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from striate import layers
from striate.ship.stages import Stage


class Code(NamedTuple):
    """A layer as Python.

    Attributes:
        result: the expression of what it gives; `{0}` is what it meets, `{1}` the second of a join.
        modules: what `__init__` sets, by the part of the name after the layer's.
        tensors: its weights, by their names in the module's state.
    """

    result: str
    modules: Mapping[str, str] = {}
    tensors: Mapping[str, Tensor] = {}


Module = Any  # of PyTorch, of the kind that `kinds.py` makes for the layer


def _options(**options: tuple[Any, Any]) -> str:
    """Those whose value is not the usual one: `, stride=2`."""
    return "".join(
        f", {name}={_short(value)}" for name, (value, usual) in options.items() if value != usual
    )


def _short(value: Any) -> str:
    """A pair as one number where it is the same twice."""
    if isinstance(value, tuple) and len(value) == 2:
        return str(value[0]) if value[0] == value[1] else str(tuple(value))
    return repr(value)


def _weights(module: Module) -> dict[str, Tensor]:
    return {f".{name}": each for name, each in module.state_dict().items()}


def _conv(stage: Stage) -> Code:
    layer, module = stage.layer, stage.module
    assert isinstance(layer, layers.Conv)
    conv: Module = module.conv if layer.bias == "point" else module  # type: ignore[union-attr]
    options = _options(
        stride=(conv.stride, (1, 1)),
        padding=(conv.padding, (0, 0)),
        dilation=(conv.dilation, (1, 1)),
        groups=(conv.groups, 1),
        bias=(conv.bias is not None, True),
    )
    sizes = f"{conv.in_channels}, {conv.out_channels}, {_short(conv.kernel_size)}"
    modules, tensors = {"": f"nn.Conv2d({sizes}{options})"}, _weights(conv)
    rows, columns = layer.made_up(stage.met)
    met = f"F.pad({{0}}, (0, {columns}, 0, {rows}))" if rows or columns else "{0}"
    result = f"{{self}}({met})"
    if layer.bias == "point":
        point: Tensor = cast("Module", module).point.bias
        modules["_point"] = f"nn.Parameter(torch.zeros{tuple(point.shape)})"
        tensors["_point"] = point
        result += " + {self}_point"
    return Code(result, modules, tensors)


def _deconv(stage: Stage) -> Code:
    conv: Module = stage.module
    options = _options(
        stride=(conv.stride, (1, 1)),
        padding=(conv.padding, (0, 0)),
        output_padding=(conv.output_padding, (0, 0)),
        dilation=(conv.dilation, (1, 1)),
        groups=(conv.groups, 1),
        bias=(conv.bias is not None, True),
    )
    sizes = f"{conv.in_channels}, {conv.out_channels}, {_short(conv.kernel_size)}"
    return Code("{self}({0})", {"": f"nn.ConvTranspose2d({sizes}{options})"}, _weights(conv))


def _pooled(stage: Stage, kind: str, **more: tuple[Any, Any]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.Pool)
    height, width = layer.slides(stage.met)
    kernel = (height.kernel, width.kernel)
    options = _options(
        stride=((height.stride, width.stride), kernel),
        padding=((height.padding, width.padding), (0, 0)),
        ceil_mode=(layer.rounding == "ceil", False),
        **more,
    )
    return f"F.{kind}({{0}}, {_short(kernel)}{options})"


def _maxpool(stage: Stage) -> Code:
    layer = stage.layer
    assert isinstance(layer, layers.MaxPool)
    if layer.whole:
        return Code("{0}.amax((2, 3), keepdim=True)")
    return Code(_pooled(stage, "max_pool2d", dilation=(tuple(layer.dilation), (1, 1))))


def _avgpool(stage: Stage) -> Code:
    layer = stage.layer
    assert isinstance(layer, layers.AvgPool)
    if layer.whole:
        return Code("{0}.mean((2, 3), keepdim=True)")
    return Code(_pooled(stage, "avg_pool2d", count_include_pad=(layer.counted == "padded", True)))


def _subsample(stage: Stage) -> Code:
    module: Module = stage.module
    shape = tuple(module.weight.shape)
    summed = _pooled(stage, "avg_pool2d", divisor_override=(1, None))
    return Code(
        f"{summed} * {{self}}_weight + {{self}}_bias",
        {
            "_weight": f"nn.Parameter(torch.ones{shape})",
            "_bias": f"nn.Parameter(torch.zeros{shape})",
        },
        {"_weight": module.weight, "_bias": module.bias},
    )


def _dense(stage: Stage) -> Code:
    module: Module = stage.module
    options = _options(bias=(module.bias is not None, True))
    made = f"nn.Linear({module.in_features}, {module.out_features}{options})"
    return Code("{self}({0})", {"": made}, _weights(module))


def _rbf(stage: Stage) -> Code:
    """Minus the squared distance to each code, multiplied out as in the model."""
    codes: Tensor = cast("Module", stage.module).codes
    lengths = "{0}.square().sum(1, keepdim=True) - {self}.square().sum(1)"
    return Code(
        f"2 * {{0}} @ {{self}}.T - {lengths}",
        {"": f"nn.Parameter(torch.zeros{tuple(codes.shape)}, requires_grad=False)"},
        {"": codes},
    )


def _batchnorm(stage: Stage) -> Code:
    module: Module = stage.module
    kind = type(module).__name__
    options = _options(eps=(module.eps, 1e-5), momentum=(module.momentum, 0.1))
    tensors = {".weight": torch.ones_like(module.running_mean)} | _weights(module)
    made = f"nn.{kind}({module.num_features}{options})"
    return Code("{self}({0})", {"": made}, tensors)


def _layernorm(stage: Stage) -> Code:
    module: Module = stage.module
    made = f"nn.LayerNorm({module.normalized_shape[0]}{_options(eps=(module.eps, 1e-5))})"
    result = "{self}({0})" if stage.flat else "{self}({0}.movedim(1, -1)).movedim(-1, 1)"
    return Code(result, {"": made}, _weights(module))


def _groupnorm(stage: Stage) -> Code:
    module: Module = stage.module
    sizes = f"{module.num_groups}, {module.num_channels}{_options(eps=(module.eps, 1e-5))}"
    return Code("{self}({0})", {"": f"nn.GroupNorm({sizes})"}, _weights(module))


def _layerscale(stage: Stage) -> Code:
    weight: Tensor = cast("Module", stage.module).weight
    made = f"nn.Parameter(torch.ones{tuple(weight.shape)})"
    return Code("{0} * {self}_scale", {"_scale": made}, {"_scale": weight})


def _lrn(stage: Stage) -> Code:
    module: Module = stage.module
    numbers = f"{module.size}, {module.alpha!r}, {module.beta!r}, {module.k!r}"
    return Code(f"F.local_response_norm({{0}}, {numbers})")


def _scaled_tanh(stage: Stage) -> Code:
    layer = stage.layer
    assert isinstance(layer, layers.ScaledTanh)
    return Code(f"{layer.amplitude!r} * torch.tanh({layer.slope!r} * {{0}})")


def _gelu(stage: Stage) -> Code:
    approximate: str = cast("Module", stage.module).approximate
    return Code(f"F.gelu({{0}}{_options(approximate=(approximate, 'none'))})")


def _pad(stage: Stage) -> Code:
    layer = stage.layer
    assert isinstance(layer, layers.Pad)
    (top, left), (bottom, right) = layer.border, layer.after
    return Code(f"F.pad({{0}}, ({left}, {right}, {top}, {bottom}))")


def _upsample(stage: Stage) -> Code:
    layer = stage.layer
    assert isinstance(layer, layers.Upsample)
    options = f"scale_factor={tuple(map(float, layer.factor))}, mode={layer.method!r}"
    return Code(f"F.interpolate({{0}}, {options})")


def _take(stage: Stage) -> Code:
    layer = stage.layer
    assert isinstance(layer, layers.Take)
    return Code(f"{{0}}[:, {list(layer.channels)}]")


def _shortcut(stage: Stage) -> Code:
    layer = stage.layer
    assert isinstance(layer, layers.Shortcut)
    rows, columns = layer.stride
    new = layer.filters - stage.met.depth
    return Code(f"F.pad({{0}}[:, :, ::{rows}, ::{columns}], (0, 0, 0, 0, 0, {new}))")


def _plainly(result: str) -> Callable[[Stage], Code]:
    return lambda stage: Code(result)


WRITERS: dict[type[layers.Layer], Callable[[Stage], Code]] = {
    layers.Conv: _conv,
    layers.Deconv: _deconv,
    layers.MaxPool: _maxpool,
    layers.AvgPool: _avgpool,
    layers.Subsample: _subsample,
    layers.FullyConnected: _dense,
    layers.RadialBasis: _rbf,
    layers.Flatten: _plainly("{0}.flatten(1)"),
    layers.Relu: _plainly("F.relu({0})"),
    layers.Relu6: _plainly("F.relu6({0})"),
    layers.LeakyRelu: lambda stage: Code(f"F.leaky_relu({{0}}, {stage.layer.slope!r})"),  # type: ignore[attr-defined]
    layers.Elu: lambda stage: Code(f"F.elu({{0}}, {stage.layer.alpha!r})"),  # type: ignore[attr-defined]
    layers.Tanh: _plainly("torch.tanh({0})"),
    layers.ScaledTanh: _scaled_tanh,
    layers.Sigmoid: _plainly("torch.sigmoid({0})"),
    layers.Gelu: _gelu,
    layers.Silu: _plainly("F.silu({0})"),
    layers.Mish: _plainly("F.mish({0})"),
    layers.HardSigmoid: _plainly("F.hardsigmoid({0})"),
    layers.HardSwish: _plainly("F.hardswish({0})"),
    layers.Softmax: _plainly("torch.softmax({0}, dim=1)"),
    layers.Scale: lambda stage: Code(f"{{0}} * {stage.layer.factor!r}"),  # type: ignore[attr-defined]
    layers.BatchNorm: _batchnorm,
    layers.LayerNorm: _layernorm,
    layers.GroupNorm: _groupnorm,
    layers.LayerScale: _layerscale,
    layers.LocalResponseNorm: _lrn,
    layers.Pad: _pad,
    layers.Upsample: _upsample,
    layers.Take: _take,
    layers.Slice: lambda stage: Code(f"{{0}}[:, {stage.layer.first}:{stage.layer.stop}]"),  # type: ignore[attr-defined]
    layers.Shuffle: lambda stage: Code(f"F.channel_shuffle({{0}}, {stage.layer.groups})"),  # type: ignore[attr-defined]
    layers.Shortcut: _shortcut,
    layers.Add: _plainly("{sum}"),
    layers.Mul: _plainly("{product}"),
    layers.Concat: _plainly("torch.cat([{all}], dim=1)"),
}
