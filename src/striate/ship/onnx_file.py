"""ONNX files, which anyone may have made: read whole, checked before anything computes them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

import onnx
from onnx import TensorProto

from striate.errors import StriateError
from striate.ship.about import KEY, About, understood
from striate.ship.engines import PIXELS, PROBABILITIES

LARGEST = 2**31 - 1  # bytes: no larger message can be parsed
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
        StriateError: it is none, is cut off, refers to other files, asks for operators that no
            artefact has, or does not say its classes and how images become its pixels.
    """
    content = _content(path)
    try:
        model = onnx.load_model_from_string(content)
        if not model.graph.node:
            raise ValueError("it holds no graph")
    except Exception as reason:  # protobuf's own errors have no common base
        raise StriateError(f"{path} is no ONNX file, or is cut off: {_short(reason)}") from None
    said = {each.key: each.value for each in model.metadata_props}
    if KEY not in said:
        raise StriateError(
            f"{path} was not written by striate export: it does not say its classes, nor how an "
            "image becomes its input"
        )
    _check(path, model)
    about = understood(said[KEY], str(path))
    _check_ends(path, model, about)
    return OnnxFile(content, about)


def _content(path: Path) -> bytes:
    try:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            about = os.fstat(file.fileno())
            if not S_ISREG(about.st_mode):
                raise StriateError(f"{path} is not a file")
            if about.st_size > LARGEST:
                raise StriateError(f"{path} is larger than the 2 GiB that an ONNX file may have")
            return file.read(LARGEST)
    except OSError as reason:
        raise StriateError(f"{path} cannot be read: {reason.strerror or reason}") from None


def _check(path: Path, model: Any) -> None:
    """Refuse what reaches outside the file or computes more than layers do."""
    if model.functions or model.training_info:
        raise StriateError(f"{path} holds functions or training steps, which no artefact has")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise StriateError(f"{path} asks for the operator {node.op_type!r}: it is not run here")
    if any(_outside(tensor) for tensor in _tensors(model.graph)):
        raise StriateError(f"{path} keeps weights in other files, which are not read: embed them")
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as reason:
        raise StriateError(f"{path} is damaged: {_short(reason)}") from None
    graph = inferred.graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        sides = [side.dim_value for side in value.type.tensor_type.shape.dim if side.dim_value]
        if math.prod(sides) > WIDEST:
            raise StriateError(f"{path}: {value.name} would hold {math.prod(sides):,} values")


def _tensors(graph: Any) -> Iterator[Any]:
    """Those of the graph and of its nodes; `_check` refuses nodes with graphs of their own."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _outside(tensor: Any) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data)


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


def _short(reason: Exception) -> str:
    return " ".join(str(reason).split())[:300] or type(reason).__name__
