"""What of an ONNX graph depends on the image; the rest, shape arithmetic first of all, is computed.

Every tensor's shape is inferred node by node, with the constants that are known by then, so that a
graph that asks its own shapes has only constants left to ask for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import TypeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from striate.errors import StriateError
from striate.foreign import short
from striate.recover.onnx.calls import Call, Live, read, shape_of
from striate.recover.onnx.opening import MOST_NODES, Array, Opened

MOST_CALLS = 5_000  # that depend on the image; ResNet-1202 comes to 4,200
WIDEST = 2**30  # values of one tensor of all images
SMALL = 10_000  # values that shapes are inferred from
COMPUTED = 2**24, 4  # values of all constants that are computed, and for each value in the file
# What is computed where it does not depend on the image. None reads files, loops or draws numbers.
CONSTANT = frozenset(
    [
        *("Abs", "Add", "And", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip", "Concat"),
        *("Constant", "Cos", "CumSum"),
        *("ConstantOfShape", "Div", "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather"),
        *("Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "MatMul", "Max"),
        *("Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad", "Pow", "Range", "Reciprocal"),
        *("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round"),
        *("ScatterElements", "ScatterND", "Sin", "Slice", "Split", "Sqrt", "Squeeze", "Sub"),
        *("Sum", "Tile", "Transpose", "Unsqueeze", "Where"),
    ]
)


def folded(file: Opened, kind: TypeProto) -> Live:
    """The calls of a file that depend on the image.

    Args:
        kind: of the input, all sides known.

    Raises:
        StriateError: shapes do not agree, or a tensor would be too large.
    """
    live = Live(file, arrays=dict(file.arrays), types={file.input.name: kind})
    live.origins = {name: frozenset([name]) for name in live.arrays}
    _follow(live, file.model.graph.node)
    needed = {file.output}
    kept = []
    for call in reversed(live.calls):
        if needed.intersection(call.outputs):
            needed.update(read(call))
            kept.append(call)
    if len(kept) > MOST_CALLS:
        raise StriateError(
            f"{file.path} has {len(kept):,} operators, of which {MOST_CALLS:,} are read"
        )
    live.calls = kept[::-1]
    return live


def _follow(live: Live, graph: Iterable[Any]) -> None:
    for node in graph:
        if len(live.calls) > MOST_NODES:
            raise StriateError(f"{live.file.path} comes to over {MOST_NODES:,} nodes")
        call = _call(node)
        names = read(call)
        if missing := [n for n in names if n not in live.types and n not in live.arrays]:
            raise StriateError(
                f"{live.file.path} is damaged: {_name(node)} reads {missing[0]!r}, which nothing "
                "before it gives"
            )
        if call.operator == "If" and node.domain == "" and names[0] in live.arrays:
            _branch(live, node)
        elif not _computed(live, call, names):
            live.types |= _types(live, call)
            live.calls.append(call)


def _call(node: Any) -> Call:
    attributes = {
        each.name: helper.get_attribute_value(each)
        for each in node.attribute
        if each.type not in (each.GRAPH, each.GRAPHS) and not each.ref_attr_name
    }
    words = {
        name: v.decode("utf-8", "replace") for name, v in attributes.items() if isinstance(v, bytes)
    }
    operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    return Call(operator, tuple(node.input), tuple(node.output), attributes | words, node)


def _name(node: Any) -> str:
    return f"{node.op_type} {node.name!r}" if node.name else str(node.op_type)


def _branch(live: Live, node: Any) -> None:
    """Which way an `If` goes is known: its nodes stand for it."""
    taken = "then_branch" if live.arrays[node.input[0]].any() else "else_branch"
    branch = next(each.g for each in node.attribute if each.name == taken)
    for each in branch.initializer:
        live.arrays[each.name] = _array(live, each)
        live.origins[each.name] = frozenset([each.name])
    _follow(live, branch.node)
    same = zip(branch.output, node.output, strict=False)
    _follow(live, [helper.make_node("Identity", [o.name], [name]) for o, name in same])


def _array(live: Live, tensor: Any) -> Array:
    try:
        found: Array = numpy_helper.to_array(tensor)
    except Exception as reason:
        raise StriateError(f"{live.file.path} is damaged: {short(reason)}") from None
    return found


# -- constants


def _computed(live: Live, call: Call, names: list[str]) -> bool:
    """Computes what depends on no image; says whether it did."""
    shape = live.shape(names[0]) if names else None
    if call.operator == "Shape" and shape is not None:
        part = slice(call.get("start", 0), call.get("end"))
        _keep(live, call, [np.array(shape, np.int64)[part]], frozenset())
        return True
    if call.operator == "Size" and shape is not None:
        _keep(live, call, [np.array(math.prod(shape), np.int64)], frozenset())
        return True
    if not all(name in live.arrays for name in names) or call.operator not in CONSTANT:
        return False
    origins = frozenset().union(*(live.origins.get(name, frozenset()) for name in names))
    if call.operator == "Constant":
        origins = frozenset(call.outputs)
    if call.operator == "Identity":  # its values need no copy
        _keep(live, call, [live.arrays[names[0]]], origins)
        return True
    sizes = [shape_of(kind) for kind in _types(live, call).values()]
    if any(size is None for size in sizes):
        return False
    live.computed += sum(math.prod(size) for size in sizes if size is not None)
    most = COMPUTED[0] + COMPUTED[1] * sum(each.size for each in live.file.arrays.values())
    if live.computed > most:
        raise StriateError(f"{live.file.path} computes over {most:,} constants: too many to read")
    graph = helper.make_graph(
        [call.node],
        "constant",
        [_info(name, live.arrays[name]) for name in dict.fromkeys(names)],
        [helper.make_empty_tensor_value_info(name) for name in call.outputs if name],
    )
    try:
        found = ReferenceEvaluator(graph, opsets=live.file.opsets).run(
            None, {name: live.arrays[name] for name in names}
        )
    except Exception as reason:
        where = f"{live.file.path} is damaged: {_name(call.node)}"
        raise StriateError(f"{where} cannot be computed: {short(reason)}") from None
    _keep(live, call, [np.asarray(each) for each in found], origins)
    return True


def _keep(live: Live, call: Call, found: list[Array], origins: frozenset[str]) -> None:
    for name, each in zip((name for name in call.outputs if name), found, strict=True):
        live.arrays[name] = each
        live.origins[name] = origins


def _info(name: str, array: Array) -> Any:
    return helper.make_tensor_value_info(name, _kind(array), array.shape)


def _kind(array: Array) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


# -- shapes


def _types(live: Live, call: Call) -> dict[str, TypeProto | None]:
    """Of what a call gives, as far as its operator tells."""
    unknown: dict[str, TypeProto | None] = {name: None for name in call.outputs if name}
    opsets = live.file.opsets
    node = call.node
    domain = "" if node.domain == "ai.onnx" else node.domain
    if domain not in opsets or not onnx.defs.has(node.op_type, opsets[domain], domain):
        return unknown
    kinds: dict[str, TypeProto] = {}
    for name in read(call):
        kind = live.types.get(name)
        if name in live.arrays:
            array = live.arrays[name]
            kind = helper.make_tensor_type_proto(_kind(array), array.shape)
        if kind is None:
            return unknown
        kinds[name] = kind
    small = {
        name: numpy_helper.from_array(live.arrays[name], name)
        for name in call.inputs
        if name in live.arrays and live.arrays[name].size <= SMALL
    }
    schema = onnx.defs.get_schema(node.op_type, opsets[domain], domain)
    try:
        found = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            kinds,
            small,
            opset_imports=list(live.file.model.opset_import),
            ir_version=live.file.model.ir_version,
        )
    except Exception as reason:
        raise StriateError(
            f"{live.file.path} does not fit together at {_name(node)}: {short(reason)}"
        ) from None
    for name, kind in found.items():
        sides = [each.dim_value for each in kind.tensor_type.shape.dim if each.dim_value > 0]
        if math.prod(sides) > WIDEST:
            raise StriateError(f"{live.file.path}: {name} would hold {math.prod(sides):,} values")
    return unknown | found
