"""Where the network of an ONNX file begins: its input, after what prepares images for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from onnx import TensorProto, TypeProto, helper

from striate.errors import StriateError
from striate.layers import Volume
from striate.recover.onnx.calls import Call, Live, read
from striate.recover.onnx.constants import folded
from striate.recover.onnx.opening import Opened
from striate.recover.values import FLAT, LAST, SPATIAL, Value
from striate.steps import INPUT

IMAGES = 2  # where a file takes any number: so that it is not taken for a volume's side
COMMON = Volume(224, 224, 3)  # where nothing says otherwise
CHANNELS = 4  # images have at most so many
LAST_FIRST, FIRST_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
# What images go through before they are a network's input; values change in the first of them.
NUMBERS = ("Add", "Cast", "Div", "Mul", "Sub")
PREPARING = (*NUMBERS, "Identity", "Pad", "Slice", "Transpose")


@dataclass(frozen=True)
class Beginning:
    """The tensor that a network begins with.

    Attributes:
        name: of the tensor.
        value: what it is.
        calls: what comes after it.
        skipped: what comes before it.
    """

    name: str
    value: Value
    calls: list[Call]
    skipped: list[Call] = field(default_factory=list)

    @property
    def volume(self) -> Volume:
        return self.value.met(SPATIAL, LAST, FLAT)

    @property
    def read(self) -> frozenset[str]:
        """What the calls that are skipped read."""
        return frozenset(name for call in self.skipped for name in read(call))

    def said(self) -> list[str]:
        """What is skipped, in words."""
        names = [call.operator.lower() for call in self.skipped]
        if not any(call.operator in NUMBERS for call in self.skipped):
            return []
        return [
            f"left out: how pixels are prepared ({', '.join(names)}); the input is what that gives"
        ]


def begun(file: Opened, input: Volume | None) -> tuple[Live, Beginning]:
    """The graph of a file, and where its network begins.

    Args:
        input: the volume of an image; by default what the file says.

    Raises:
        StriateError: it takes no images.
    """
    last = _channels_last(file)
    kind = _kind(file, input, last)
    live = folded(file, kind)
    name, skipped = _prepared(live)
    order = LAST if last else SPATIAL
    for call in skipped:
        if call.operator == "Transpose":
            order = LAST if order == SPATIAL else SPATIAL
    shape = live.shape(name)
    if shape is None or len(shape) not in (2, 4):
        raise StriateError(f"{file.path} takes values of {shape}: no images")
    calls = [call for call in live.calls if not any(call is each for each in skipped)]
    if len(shape) == 2:
        return live, Beginning(name, Value(INPUT, FLAT, Volume(1, 1, shape[1])), calls, skipped)
    sides = shape[1:] if order == LAST else (*shape[2:], shape[1])
    return live, Beginning(name, Value(INPUT, order, Volume(*sides)), calls, skipped)


def _kind(file: Opened, input: Volume | None, last: bool) -> TypeProto:
    """The type of the input, every side a number."""
    said = file.input.type.tensor_type
    sides = [each.dim_value if each.dim_value > 0 else 0 for each in said.shape.dim]
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.DOUBLE)
    if len(sides) not in (2, 4) or said.elem_type not in kinds:
        raise StriateError(f"{file.path} takes no images: its input has {len(sides)} axes")
    batch, usual = sides[0] or IMAGES, input or COMMON
    if len(sides) == 2:
        flat = [batch, usual.size if input or not sides[1] else sides[1]]
        return helper.make_tensor_type_proto(said.elem_type, flat)
    whole = list(usual) if last else [usual.depth, *usual[:2]]
    depth = sides[3 if last else 1]
    if input and depth not in (0, input.depth):
        raise StriateError(f"{file.path} takes images of depth {depth}, not of {input}")
    wanted = whole if input else [s or w for s, w in zip(sides[1:], whole, strict=True)]
    if math.prod(wanted) * batch > 2**31:
        raise StriateError(f"{file.path} takes images of {'x'.join(map(str, wanted))} values")
    return helper.make_tensor_type_proto(said.elem_type, [batch, *wanted])


def _channels_last(file: Opened) -> bool:
    """Whether an image's channels come last: they do where they are moved before anything else."""
    readers: dict[str, list[Any]] = {}
    for node in file.model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    at, seen = file.input.name, 0
    while len(readers.get(at, [])) == 1 and seen < 100:
        node, seen = readers[at][0], seen + 1
        if node.op_type == "Transpose":
            perm = next((list(each.ints) for each in node.attribute if each.name == "perm"), [])
            return perm == LAST_FIRST
        if node.op_type not in PREPARING:
            break
        at = node.output[0]
    sides = [each.dim_value for each in file.input.type.tensor_type.shape.dim]
    return len(sides) == 4 and 0 < sides[3] <= CHANNELS < sides[1]


def _prepared(live: Live) -> tuple[str, list[Call]]:
    """What images go through before the network, up to the last change of their values."""
    readers = live.readers()
    at, chain = live.file.input.name, []
    while len(readers.get(at, [])) == 1:
        call = readers[at][0]
        constants = [name for name in read(call) if name in live.arrays]
        own = len(constants) + 1 == len(read(call)) and call.inputs.count(at) == 1
        moves = call.operator != "Transpose" or call.get("perm") in (LAST_FIRST, FIRST_LAST)
        if (
            call.operator not in PREPARING
            or not own
            or not moves
            or live.file.output in call.outputs
        ):
            break
        chain.append(call)
        at = call.outputs[0]
    changed = max((n for n, call in enumerate(chain, 1) if call.operator in NUMBERS), default=0)
    while changed < len(chain) and chain[changed].operator in ("Identity", "Transpose"):
        changed += 1
    skipped = chain[:changed]
    return (skipped[-1].outputs[0] if skipped else live.file.input.name), skipped
