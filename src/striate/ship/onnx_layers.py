"""Each kind of layer as nodes of an ONNX graph: an entry for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from striate import layers
from striate.layers.window import Slide
from striate.ship.engines import PIXELS, PROBABILITIES, SCORES
from striate.ship.stages import Stage


class Graph:
    """Nodes and constants as they are added; a volume is known by the name of its tensor."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.taken = dict.fromkeys((PIXELS, PROBABILITIES, SCORES), 1)

    def op(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output, which is returned."""
        output = self._free(name)
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, values: Any, name: str) -> str:
        """Add a constant: floats as float32, whole numbers as int64."""
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu().numpy()
        array = np.asarray(values)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = self._free(name)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _free(self, name: str) -> str:
        count = self.taken[name] = self.taken.get(name, 0) + 1
        return name if count == 1 else self._free(f"{name}_{count}")


Module = Any  # of PyTorch, of the kind that `kinds.py` makes for the layer
AFFINE = ("weight", "bias")


def _conv(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    module: Module = stage.module
    layer = stage.layer
    assert isinstance(layer, layers.Conv)
    conv = module.conv if layer.bias == "point" else module
    rows, columns = layer.made_up(stage.met)
    high, wide = conv.padding
    given = [inputs[0], graph.constant(conv.weight, f"{stage.name}.weight")]
    if conv.bias is not None:
        given.append(graph.constant(conv.bias, f"{stage.name}.bias"))
    made = graph.op(
        "Conv",
        given,
        stage.name,
        kernel_shape=list(conv.kernel_size),
        strides=list(conv.stride),
        pads=[high, wide, high + rows, wide + columns],
        dilations=list(conv.dilation),
        group=conv.groups,
    )
    if layer.bias != "point":
        return made
    point = graph.constant(module.point.bias, f"{stage.name}.point")
    return graph.op("Add", [made, point], f"{stage.name}/point")


def _deconv(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    module: Module = stage.module
    name, pad, extra = stage.name, module.padding, module.output_padding
    # ONNX Runtime refuses output_padding from the stride on, which a dilated kernel may have: rows
    # at the end are then padding that is not cut off, and zeros beyond it.
    kept = [min(each) for each in zip(pad, extra, strict=True)]
    beyond = [e - k for e, k in zip(extra, kept, strict=True)]
    made = graph.op(
        "ConvTranspose",
        [inputs[0], graph.constant(module.weight, f"{name}.weight")],
        name,
        kernel_shape=list(module.kernel_size),
        strides=list(module.stride),
        pads=[*pad, *(p - k for p, k in zip(pad, kept, strict=True))],
        dilations=list(module.dilation),
        group=module.groups,
    )
    if any(beyond):
        zeros = graph.constant([0, 0, 0, 0, 0, 0, *beyond], f"{name}.beyond")
        made = graph.op("Pad", [made, zeros], f"{name}/padded")
    if module.bias is None:
        return made
    bias = graph.constant(module.bias.reshape(1, -1, 1, 1), f"{name}.bias")
    return graph.op("Add", [made, bias], f"{name}/bias")


def _window(stage: Stage) -> tuple[dict[str, Any], tuple[Slide, Slide], tuple[int, int]]:
    """A pool's attributes, its slides, and the rows and columns that `ceil` makes up at the end.

    Stated as padding: ONNX's own ceil_mode and PyTorch's disagree in some releases.
    """
    layer = stage.layer
    assert isinstance(layer, layers.Pool)
    slides = layer.slides(stage.met)
    high, wide = (max(0, -slide.excess(layer.rounding)) for slide in slides)
    ups = [slide.padding for slide in slides]
    attributes = {
        "kernel_shape": [slide.kernel for slide in slides],
        "strides": [slide.stride for slide in slides],
        "pads": [*ups, ups[0] + high, ups[1] + wide],
    }
    return attributes, slides, (high, wide)


def _maxpool(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.MaxPool)
    if layer.whole:
        return graph.op("GlobalMaxPool", inputs, stage.name)
    attributes, _, _ = _window(stage)
    pads = attributes["pads"]
    if any(pad >= side for pad, side in zip(pads, 2 * attributes["kernel_shape"], strict=True)):
        # ONNX Runtime refuses padding as wide as the kernel, as rows that `ceil` makes up may be.
        borders = graph.constant([0, 0, *pads[:2], 0, 0, *pads[2:]], f"{stage.name}.borders")
        least = graph.constant(torch.tensor(-torch.inf), f"{stage.name}.least")
        inputs = [graph.op("Pad", [*inputs, borders, least], f"{stage.name}/padded")]
        attributes["pads"] = [0, 0, 0, 0]
    return graph.op("MaxPool", inputs, stage.name, dilations=list(layer.dilation), **attributes)


def _avgpool(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    layer = stage.layer
    assert isinstance(layer, layers.AvgPool)
    if layer.whole:
        return graph.op("GlobalAveragePool", inputs, stage.name)
    attributes, slides, made_up = _window(stage)
    padded = layer.counted == "padded"
    mean = graph.op("AveragePool", inputs, stage.name, count_include_pad=int(padded), **attributes)
    if not (padded and any(made_up)):
        return mean
    # PyTorch counts padding, but not what `ceil` makes up beyond it.
    counts = [_counts(slide, layer.rounding) for slide in slides]
    share = np.outer(*[slide.kernel / each for slide, each in zip(slides, counts, strict=True)])
    return graph.op("Mul", [mean, graph.constant(share, f"{stage.name}.share")], stage.name)


def _counts(slide: Slide, rounding: str) -> NDArray[np.float64]:
    """How many positions each window covers within the padded volume."""
    starts = np.arange(slide.positions(rounding)) * slide.stride
    ends = np.minimum(starts + slide.kernel, slide.size + 2 * slide.padding)
    return (ends - starts).astype(np.float64)


def _subsample(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    module: Module = stage.module
    attributes, slides, _ = _window(stage)
    mean = graph.op("AveragePool", inputs, f"{stage.name}/mean", count_include_pad=1, **attributes)
    size = slides[0].kernel * slides[1].kernel
    weight = graph.constant(module.weight * size, f"{stage.name}.weight")
    scaled = graph.op("Mul", [mean, weight], f"{stage.name}/scaled")
    return graph.op("Add", [scaled, graph.constant(module.bias, f"{stage.name}.bias")], stage.name)


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
    layers.Conv: _conv,
    layers.Deconv: _deconv,
    layers.MaxPool: _maxpool,
    layers.AvgPool: _avgpool,
    layers.Subsample: _subsample,
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
