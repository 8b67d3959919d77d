"""Each kind of layer as nodes of an ONNX graph: an entry for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from striate import layers
from striate.ship import onnx_windows as windows
from striate.ship.onnx_nodes import Graph
from striate.ship.stages import Stage

Module = Any  # of PyTorch, of the kind that `kinds.py` makes for the layer
AFFINE = ("weight", "bias")


def _dense(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    module: Module = stage.module
    given = [inputs[0], graph.constant(module.weight, f"{stage.name}.weight")]
    if module.bias is not None:
        given.append(graph.constant(module.bias, f"{stage.name}.bias"))
    return graph.op("Gemm", given, stage.name, transB=1)


def _rbf(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    """2 x·c - |x|² - |c|²."""
    module: Module = stage.module
    codes = graph.constant(module.codes, f"{stage.name}.codes")
    lengths = graph.constant(-module.codes.square().sum(dim=1), f"{stage.name}.lengths")
    axes = graph.constant([1], f"{stage.name}.axes")
    own = graph.op("ReduceSumSquare", [inputs[0], axes], f"{stage.name}/own", keepdims=1)
    products = graph.op(
        "Gemm", [inputs[0], codes, lengths], f"{stage.name}/products", alpha=2.0, transB=1
    )
    return graph.op("Sub", [products, own], stage.name)


def _batchnorm(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    module: Module = stage.module
    weight = module.weight if module.weight is not None else torch.ones_like(module.running_var)
    given = {
        "weight": weight,
        "bias": module.bias,
        "mean": module.running_mean,
        "variance": module.running_var,
    }
    names = [graph.constant(each, f"{stage.name}.{what}") for what, each in given.items()]
    return graph.op("BatchNormalization", [*inputs, *names], stage.name, epsilon=module.eps)


def _layernorm(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    module: Module = stage.module
    names = [graph.constant(getattr(module, each), f"{stage.name}.{each}") for each in AFFINE]
    options = {"axis": -1, "epsilon": module.eps}
    if stage.flat:
        return graph.op("LayerNormalization", [*inputs, *names], stage.name, **options)
    turned = graph.op("Transpose", inputs, f"{stage.name}/turned", perm=[0, 2, 3, 1])
    made = graph.op("LayerNormalization", [turned, *names], f"{stage.name}/normed", **options)
    return graph.op("Transpose", [made], stage.name, perm=[0, 3, 1, 2])


def _groupnorm(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    """Each group as one channel: GroupNormalization scales groups before ONNX's version 21."""
    module: Module = stage.module
    name, (height, width, depth) = stage.name, stage.met
    apart = graph.constant([0, module.num_groups, -1], f"{name}.apart")
    ones, zeros = (
        graph.constant(torch.full((module.num_groups,), each), f"{name}.plain")
        for each in (1.0, 0.0)
    )
    groups = graph.op("Reshape", [*inputs, apart], f"{name}/groups")
    normed = graph.op(
        "InstanceNormalization", [groups, ones, zeros], f"{name}/normed", epsilon=module.eps
    )
    shape = graph.constant([0, depth, height, width], f"{name}.shape")
    at = graph.op("Reshape", [normed, shape], f"{name}/volume")
    weight, bias = (
        graph.constant(getattr(module, each).reshape(-1, 1, 1), f"{name}.{each}") for each in AFFINE
    )
    return graph.op("Add", [graph.op("Mul", [at, weight], f"{name}/scaled"), bias], name)


def _layerscale(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    module: Module = stage.module
    weight = graph.constant(module.weight, f"{stage.name}.weight")
    return graph.op("Mul", [inputs[0], weight], stage.name)


def _lrn(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    module: Module = stage.module
    size = module.size
    if size % 2 and module.alpha > 0 and module.beta > 0:
        return graph.op(
            "LRN",
            inputs,
            stage.name,
            size=size,
            alpha=module.alpha,
            beta=module.beta,
            bias=module.k,
        )
    # Of an even number of channels ONNX takes one more after, PyTorch one more before; and ONNX
    # Runtime refuses an alpha or a beta of 0.
    name, depth = stage.name, stage.met.depth
    square = graph.op("Mul", [inputs[0], inputs[0]], f"{name}/square")
    zeros = graph.constant([0, size // 2, 0, 0, 0, (size - 1) // 2, 0, 0], f"{name}.around")
    padded = graph.op("Pad", [square, zeros], f"{name}/padded")
    axis = graph.constant([1], f"{name}.axis")
    parts = [
        graph.op(
            "Slice",
            [padded, *(graph.constant([at], f"{name}.at") for at in (first, first + depth)), axis],
            f"{name}/part",
        )
        for first in range(size)
    ]
    summed = graph.op("Sum", parts, f"{name}/sum")
    share = graph.constant(np.float32(module.alpha / size), f"{name}.alpha")
    scaled = graph.op("Mul", [summed, share], f"{name}/scaled")
    base = graph.op(
        "Add", [scaled, graph.constant(np.float32(module.k), f"{name}.k")], f"{name}/base"
    )
    power = graph.constant(np.float32(module.beta), f"{name}.beta")
    divisor = graph.op("Pow", [base, power], f"{name}/divisor")
    return graph.op("Div", [inputs[0], divisor], name)


def _scaled_tanh(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.ScaledTanh)
    slope = graph.constant(np.float32(layer.slope), f"{stage.name}.slope")
    amplitude = graph.constant(np.float32(layer.amplitude), f"{stage.name}.amplitude")
    steep = graph.op("Mul", [inputs[0], slope], f"{stage.name}/steep")
    tanh = graph.op("Tanh", [steep], f"{stage.name}/tanh")
    return graph.op("Mul", [tanh, amplitude], stage.name)


def _relu6(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    ends = [graph.constant(np.float32(each), f"{stage.name}.ends") for each in (0, 6)]
    return graph.op("Clip", [inputs[0], *ends], stage.name)


def _silu(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    gate = graph.op("Sigmoid", inputs, f"{stage.name}/gate")
    return graph.op("Mul", [inputs[0], gate], stage.name)


def _scale(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    module: Module = stage.module
    factor = graph.constant(np.float32(module.factor), f"{stage.name}.factor")
    return graph.op("Mul", [inputs[0], factor], stage.name)


def _pad(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.Pad)
    zeros = graph.constant([0, 0, *layer.border, 0, 0, *layer.after], f"{stage.name}.around")
    # With its axes named, ONNX Runtime does not make it part of a pool, which it does wrongly:
    # no window of a max pool would see these zeros, and an average may have no wide ones. All axes,
    # because where it turns the volume it turns the borders alone.
    axes = graph.constant([0, 1, 2, 3], f"{stage.name}.axes")
    return graph.op("Pad", [inputs[0], zeros, "", axes], stage.name)


def _upsample(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.Upsample)
    scales = graph.constant([1.0, 1.0, *map(float, layer.factor)], f"{stage.name}.factor")
    ways: dict[str, Any] = {
        "nearest": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        "bilinear": {"coordinate_transformation_mode": "half_pixel"},
    }
    mode = {"nearest": "nearest", "bilinear": "linear"}[layer.method]
    return graph.op("Resize", [inputs[0], "", scales], stage.name, mode=mode, **ways[layer.method])


def _take(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.Take)
    channels = graph.constant(list(layer.channels), f"{stage.name}.channels")
    return graph.op("Gather", [inputs[0], channels], stage.name, axis=1)


def _slice(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.Slice)
    given = [[layer.first], [layer.stop], [1]]
    names = [graph.constant(each, f"{stage.name}.channels") for each in given]
    return graph.op("Slice", [inputs[0], *names], stage.name)


def _shuffle(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.Shuffle)
    order = torch.arange(stage.met.depth).view(layer.groups, -1).T.flatten()
    channels = graph.constant(order, f"{stage.name}.channels")
    return graph.op("Gather", [inputs[0], channels], stage.name, axis=1)


def _shortcut(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.Shortcut)
    name, at = stage.name, inputs[0]
    if layer.stride != (1, 1):
        ends = [stage.met.height, stage.met.width]
        given = [[0, 0], ends, [2, 3], list(layer.stride)]
        at = graph.op(
            "Slice", [at, *(graph.constant(each, f"{name}.rows") for each in given)], name
        )
    new = layer.filters - stage.met.depth
    return graph.op("Pad", [at, graph.constant([0] * 5 + [new, 0, 0], f"{name}.channels")], name)


def _mul(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    at, *others = inputs
    for other in others:
        at = graph.op("Mul", [at, other], stage.name)
    return at


def _plainly(kind: str, **attributes: Any) -> Callable[[Graph, Stage, list[str]], str]:
    return lambda graph, stage, inputs: graph.op(kind, inputs, stage.name, **attributes)


WRITERS: dict[type[layers.Layer], Callable[[Graph, Stage, list[str]], str]] = {
    layers.Conv: windows.conv,
    layers.Deconv: windows.deconv,
    layers.MaxPool: windows.maxpool,
    layers.AvgPool: windows.avgpool,
    layers.Subsample: windows.subsample,
    layers.FullyConnected: _dense,
    layers.RadialBasis: _rbf,
    layers.Flatten: _plainly("Identity"),
    layers.Relu: _plainly("Relu"),
    layers.Relu6: _relu6,
    layers.LeakyRelu: lambda graph, stage, inputs: graph.op(
        "LeakyRelu",
        inputs,
        stage.name,
        alpha=stage.module.negative_slope,  # type: ignore[union-attr]
    ),
    layers.Elu: lambda graph, stage, inputs: graph.op(
        "Elu",
        inputs,
        stage.name,
        alpha=stage.module.alpha,  # type: ignore[union-attr]
    ),
    layers.Tanh: _plainly("Tanh"),
    layers.ScaledTanh: _scaled_tanh,
    layers.Sigmoid: _plainly("Sigmoid"),
    layers.Gelu: lambda graph, stage, inputs: graph.op(
        "Gelu",
        inputs,
        stage.name,
        approximate=stage.module.approximate,  # type: ignore[union-attr]
    ),
    layers.Silu: _silu,
    layers.Mish: _plainly("Mish"),
    layers.HardSigmoid: _plainly("HardSigmoid", alpha=1 / 6),
    layers.HardSwish: _plainly("HardSwish"),
    layers.Softmax: _plainly("Softmax", axis=1),
    layers.Scale: _scale,
    layers.BatchNorm: _batchnorm,
    layers.LayerNorm: _layernorm,
    layers.GroupNorm: _groupnorm,
    layers.LayerScale: _layerscale,
    layers.LocalResponseNorm: _lrn,
    layers.Pad: _pad,
    layers.Upsample: _upsample,
    layers.Take: _take,
    layers.Slice: _slice,
    layers.Shuffle: _shuffle,
    layers.Shortcut: _shortcut,
    layers.Add: lambda graph, stage, inputs: graph.op(
        "Add" if len(inputs) == 2 else "Sum", inputs, stage.name
    ),
    layers.Mul: _mul,
    layers.Concat: _plainly("Concat", axis=1),
}
