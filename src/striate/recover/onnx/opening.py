"""An ONNX file, opened: everything that it needs read, nothing that lies outside its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from striate.errors import StriateError
from striate.foreign import LARGEST, content_of, model_of, nodes, outside, short, tensors

MOST_NODES = 20_000  # the largest published ConvNets come to a quarter of that
QUANTISED = (
    "QuantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "ConvInteger",
    "QLinearMatMul",
)

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Opened:
    """A checked file.

    Attributes:
        path: of the file.
        model: its message, all tensors in it.
        arrays: the values of its initializers.
        input: what it takes, by name, type and shape.
        output: the name of what it gives.
        others: of its further outputs.
    """

    path: Path
    model: Any
    arrays: Mapping[str, Array]
    input: Any
    output: str
    others: tuple[str, ...]

    @property
    def opsets(self) -> dict[str, int]:
        return {each.domain: each.version for each in self.model.opset_import}


def opened(path: Path) -> Opened:
    """An ONNX file, with the data that lie beside it.

    Raises:
        StriateError: it is none, or damaged; it refers to what is outside its folder; it is
            quantised, or takes several inputs.
    """
    model = model_of(path, content_of(path))
    _check_kind(path, model)
    model = _inlined(path, model)
    _bring_in(path, model)
    try:
        onnx.checker.check_model(model)
        arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    except Exception as reason:  # of the checker, of protobuf, of NumPy
        raise StriateError(f"{path} is damaged: {short(reason)}") from None
    inputs = [each for each in model.graph.input if each.name not in arrays]
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs[:5]) or "none"
        raise StriateError(f"{path} takes {len(inputs)} inputs, where one is wanted: {names}")
    output, others = _output(model.graph)
    return Opened(path, model, arrays, inputs[0], output, others)


def _check_kind(path: Path, model: Any) -> None:
    kinds = [node.op_type for node in nodes(model.graph)]
    if len(kinds) > MOST_NODES:
        raise StriateError(f"{path} has {len(kinds):,} nodes, of which {MOST_NODES:,} are read")
    if model.training_info or model.graph.sparse_initializer:
        raise StriateError(f"{path} holds training steps or sparse tensors, which are not read")
    if found := next((kind for kind in kinds if kind in QUANTISED), None):
        raise StriateError(
            f"{path} is quantised ({found}): recover the file that it was made from, in float32"
        )


def _inlined(path: Path, model: Any) -> Any:
    """The model without functions of its own, if that is not more than is read."""
    if not model.functions:
        return model
    bodies = {(each.domain, each.name): each for each in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(key: tuple[str, str], within: tuple[tuple[str, str], ...]) -> int:
        if key not in bodies:
            return 1
        if key in within or len(within) > 50:
            raise StriateError(f"{path} is damaged: its function {key[1]!r} calls itself")
        if key not in sizes:
            calls = [(node.domain, node.op_type) for node in nodes(bodies[key])]
            sizes[key] = min(sum(size(each, (*within, key)) for each in calls), MOST_NODES + 1)
        return sizes[key]

    count = sum(size((node.domain, node.op_type), ()) for node in nodes(model.graph))
    if count > MOST_NODES:
        raise StriateError(f"{path} comes to over {MOST_NODES:,} nodes, which are not read")
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as reason:
        raise StriateError(f"{path} is damaged: {short(reason)}") from None


# -- data beside the file


def _bring_in(path: Path, model: Any) -> None:
    """Put the values that lie in other files into the message."""
    contents: dict[str, bytes] = {}
    room = LARGEST - model.ByteSize()
    for tensor in [each for each in tensors(model.graph) if outside(each)]:
        said = {each.key: each.value for each in tensor.external_data}
        name = said.get("location", "")
        if name not in contents:
            contents[name] = content_of(_beside(path, name), links=False)
        content = contents[name]
        try:
            first, size = int(said.get("offset", 0)), _bytes(tensor)
            if int(said.get("length", size)) != size or not 0 <= first <= len(content) - size:
                raise ValueError(f"{tensor.name} is not within {name}")
        except (ValueError, KeyError, TypeError) as reason:
            raise StriateError(f"{path} is damaged: {short(reason)}") from None
        room -= size
        if room < 0:
            raise StriateError(f"{path} and its data are larger than the 2 GiB that are read")
        tensor.raw_data = content[first : first + size]
        tensor.ClearField("external_data")
        tensor.data_location = type(tensor).DEFAULT


def _beside(path: Path, name: str) -> Path:
    """A file in the folder of another one, or in a folder within it, no links followed."""
    plain = PurePosixPath(name)
    if (
        not name
        or plain.is_absolute()
        or PureWindowsPath(name).anchor
        or ".." in (*plain.parts, *PureWindowsPath(name).parts)
    ):
        raise StriateError(f"{path} refers to {name!r}, outside of its folder: that is not read")
    folder = path.parent.resolve()
    wanted = folder / plain
    try:
        found = wanted.resolve()
    except (OSError, RuntimeError, ValueError) as reason:  # loops of links; null bytes
        raise StriateError(f"{path} refers to {name!r}: {short(reason)}") from None
    if found != wanted:
        raise StriateError(f"{path} refers to {name!r}, which is a link: that is not read")
    return wanted


def _bytes(tensor: Any) -> int:
    """How many bytes a tensor's values take."""
    if any(side < 0 for side in tensor.dims):
        raise ValueError(f"{tensor.name} has a side below 0")
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if kind.hasobject or "int4" in kind.name or "int2" in kind.name or "float4" in kind.name:
        raise ValueError(f"{tensor.name} is of a type that is not read")
    return int(math.prod(tensor.dims) * kind.itemsize)


def _output(graph: Any) -> tuple[str, tuple[str, ...]]:
    """What the network gives: of several outputs one that comes from all others, else the first."""
    names = [each.name for each in graph.output[:100]]
    behind: dict[str, frozenset[str]] = {each: frozenset([each]) for each in names}
    for node in graph.node:
        read = frozenset().union(*(behind.get(each, frozenset()) for each in node.input))
        for each in node.output:
            behind[each] = behind.get(each, frozenset()) | read
    best = max(names, key=lambda name: (len(behind[name]), -names.index(name)))
    return best, tuple(each for each in names if each not in behind[best])
