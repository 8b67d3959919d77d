"""Layers with windows as nodes of an ONNX graph: convolutions and pools."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate import layers
from striate.layers.window import Slide
from striate.ship.onnx_nodes import Graph
from striate.ship.stages import Stage

Module = Any  # of PyTorch, of the kind that `kinds.py` makes for the layer


def conv(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    """A convolution, its bias and the rows that `ceil` makes up with it."""
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


def deconv(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    """A transposed convolution, its bias apart."""
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


def maxpool(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    """The largest of each window."""
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


def avgpool(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    """The mean of each window, of what it is counted over."""
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


def subsample(graph: Graph, stage: Stage, inputs: list[str]) -> str:
    """The sum of each window, times a coefficient, plus a bias."""
    module: Module = stage.module
    attributes, slides, _ = _window(stage)
    mean = graph.op("AveragePool", inputs, f"{stage.name}/mean", count_include_pad=1, **attributes)
    size = slides[0].kernel * slides[1].kernel
    weight = graph.constant(module.weight * size, f"{stage.name}.weight")
    scaled = graph.op("Mul", [mean, weight], f"{stage.name}/scaled")
    return graph.op("Add", [scaled, graph.constant(module.bias, f"{stage.name}.bias")], stage.name)
