"""ONNX files, which anyone may have made: read whole, checked before anything computes them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from onnx import TensorProto

from striate.errors import StriateError
from striate.foreign import content_of, model_of, outside, short, tensors
from striate.ship.about import KEY, About, understood
from striate.ship.engines import PIXELS, PROBABILITIES

WIDEST = 2**30  # values of one volume of one image, which no network of the zoo comes near
# What `striate export` writes, and what ONNX Runtime's quantisation makes of it. Nothing among them
# reads files, loops, or makes more than the shapes say.
OPERATORS = frozenset(
    [
        *("Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv"),
        *("ConvTranspose", "DequantizeLinear", "Div", "Elu", "Flatten", "Gather", "Gelu", "Gemm"),
        *("GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity"),
        *("InstanceNormalization", "LRN", "LayerNormalization", "LeakyRelu", "MatMul", "MaxPool"),
        *("Mish", "Mul", "Pad", "Pow", "QuantizeLinear", "ReduceSumSquare", "Relu", "Reshape"),
        *("Resize", "Sigmoid", "Slice", "Softmax", "Sub", "Sum", "Tanh", "Transpose"),
    ]
)


class OnnxFile(NamedTuple):
    """A checked file.

    Attributes:
        content: its bytes.
        about: what it says of itself.
    """

    content: bytes
    about: About


def read_onnx(path: Path) -> OnnxFile:
    """An ONNX file that `striate export` wrote, or one like it.

    Raises:
        StriateError: it is none, is cut off, refers to other files, asks for operators or volumes
            that no artefact has, or does not say its classes and how images become its pixels.
    """
    content = content_of(path)
    model = model_of(path, content)
    said = {each.key: each.value for each in model.metadata_props}
    if KEY not in said:
        raise StriateError(
            f"{path} was not written by striate export: it does not say its classes, nor how an "
            "image becomes its input"
        )
    _check(path, model)
    about = understood(said[KEY], str(path))
    _check_ends(path, model, about)
    _check_volumes(path, model, about)
    return OnnxFile(content, about)


def _check(path: Path, model: Any) -> None:
    """Refuse what reaches outside the file or computes more than layers do."""
    if model.functions or model.training_info:
        raise StriateError(f"{path} holds functions or training steps, which no artefact has")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise StriateError(f"{path} asks for the operator {node.op_type!r}: it is not run here")
    if any(outside(tensor) for tensor in tensors(model.graph)):
        raise StriateError(f"{path} keeps weights in other files, which are not read: embed them")
    try:
        onnx.checker.check_model(model)
    except Exception as reason:
        raise StriateError(f"{path} is damaged: {short(reason)}") from None


def _check_ends(path: Path, model: Any, about: About) -> None:
    """Refuse a graph whose ends are not those that its metadata promise."""
    constants = {each.name for each in model.graph.initializer}
    inputs = {each.name: each for each in model.graph.input if each.name not in constants}
    outputs = {each.name: each for each in model.graph.output}
    wanted = f"{PIXELS} of {about.volume}, {PROBABILITIES} of {len(about.classes)} classes"
    if inputs.keys() != {PIXELS} or PROBABILITIES not in outputs:
        raise StriateError(f"{path} is damaged: it must take and give {wanted}")
    ends = (
        (inputs[PIXELS], TensorProto.UINT8, [0, *about.volume]),
        (outputs[PROBABILITIES], TensorProto.FLOAT, [0, len(about.classes)]),
    )
    for value, kind, shape in ends:
        found = value.type.tensor_type
        if found.elem_type != kind or [each.dim_value for each in found.shape.dim] != shape:
            raise StriateError(f"{path} is damaged: it must take and give {wanted}")


def _check_volumes(path: Path, model: Any, about: About) -> None:
    """Refuse volumes of more values than any layer has, or of nobody knows how many.

    Changes the model: it takes one image, so that every side is a number, and what it says of its
    own volumes is forgotten.
    """
    for end in model.graph.input:
        for side in end.type.tensor_type.shape.dim[:1]:
            side.dim_value = side.dim_value or 1
    for end in model.graph.output:
        end.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as reason:
        raise StriateError(f"{path} is damaged: {short(reason)}") from None
    graph = inferred.graph
    told = {
        each.name: math.prod(side.dim_value for side in each.type.tensor_type.shape.dim)
        for each in (*graph.value_info, *graph.output)
        if each.type.tensor_type.HasField("shape")
    }
    for name in (name for node in graph.node for name in node.output if name):
        if not (count := told.get(name, 0)):
            raise StriateError(f"{path}: nobody can tell how many values {name} would hold")
        if count > WIDEST:
            raise StriateError(f"{path}: {name} would hold {count:,} values")
    if told[PROBABILITIES] != len(about.classes):
        raise StriateError(f"{path} is damaged: it gives {told[PROBABILITIES]} probabilities")
