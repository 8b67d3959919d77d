"""A plan as an ONNX graph: pixels to probabilities and scores."""

from __future__ import annotations

import onnx
import torch
from onnx import TensorProto, helper

from striate.data.preparation import shift_and_scale
from striate.ship.about import KEY
from striate.ship.engines import PIXELS, PROBABILITIES, SCORES
from striate.ship.model import Model, borders
from striate.ship.onnx_layers import WRITERS
from striate.ship.onnx_nodes import Graph
from striate.ship.stages import Plan, plan
from striate.steps import INPUT

OPSET = 20  # the first with Gelu
IR = 10  # what ONNX Runtime reads from 1.18 on
BATCH = "N"


class _Writer:
    """Follows a plan; makes volumes flat or spatial where a layer takes them so."""

    def __init__(self, model: Model, graph: Graph, made: Plan) -> None:
        self.graph, self.plan = graph, made
        self.tensors: dict[tuple[int, bool], str] = {}
        self.volumes, self.flat = made.volumes, made.flat
        self.tensors[INPUT, False] = _prepared(model, graph)

    def write(self) -> str:
        """The tensor of the scores."""
        for stage in self.plan.stages:
            inputs = [self.tensor(index, stage.flat) for index in stage.inputs]
            self.tensors[stage.index, stage.flat] = WRITERS[type(stage.layer)](
                self.graph, stage, inputs
            )
        at = self.plan.output
        volume = self.volumes[at]
        return self.tensor(at, self.flat[at] or volume[:2] == (1, 1))

    def tensor(self, index: int, flat: bool) -> str:
        """A stage's volume as (N, K) or as (N, D, H, W)."""
        if (index, flat) not in self.tensors:
            found = self.tensors[index, not flat]
            height, width, depth = self.volumes[index]
            shape = [0, height * width * depth] if flat else [0, depth, height, width]
            constant = self.graph.constant(shape, f"{found}/shape")
            self.tensors[index, flat] = self.graph.op(
                "Reshape", [found, constant], f"{found}/{'flat' if flat else 'volume'}"
            )
        return self.tensors[index, flat]


def to_onnx(model: Model, about: str, *, fold: bool = True) -> bytes:
    """The file of a model: `pixels`, uint8 (N, H, W, D), to `probabilities` and `scores`, (N, K).

    Args:
        about: what its metadata says under the key `striate`.
    """
    graph = Graph()
    made = plan(model.network, model.module, fold=fold)
    with torch.no_grad():
        scores = _Writer(model, graph, made).write()
    graph.nodes.append(helper.make_node("Identity", [scores], [SCORES], name=SCORES))
    softmax = helper.make_node("Softmax", [SCORES], [PROBABILITIES], name=PROBABILITIES, axis=1)
    graph.nodes.append(softmax)
    height, width, depth = model.network.output
    shape: list[str | int | None] = [BATCH, depth]
    shape = shape if (height, width) == (1, 1) else [BATCH, depth, height, width]
    whole = helper.make_graph(
        graph.nodes,
        _plain(model.name),
        [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [BATCH, *model.volume])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name in (PROBABILITIES, SCORES)
        ],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    proto = helper.make_model(whole, opset_imports=opsets, producer_name="striate", ir_version=IR)
    helper.set_model_props(proto, {KEY: about})
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name) or "network"


def _prepared(model: Model, graph: Graph) -> str:
    """Cut or centred, normalised, the depth in front: as `Preparation` does, in its order."""
    _, _, left, right, top, bottom = borders(model)
    height, width, _ = model.volume
    at = PIXELS
    if min(left, right, top, bottom) < 0:
        starts = [max(0, -top), max(0, -left)]
        ends = [height - max(0, -bottom), width - max(0, -right)]
        cut = [graph.constant(each, "pixels/cut") for each in (starts, ends, [1, 2])]
        at = graph.op("Slice", [at, *cut], "pixels/centre")
    at = graph.op("Cast", [at], "pixels/float", to=TensorProto.FLOAT)
    around = [max(0, each) for each in (top, left, bottom, right)]
    if any(around):
        zeros = [0, *around[:2], 0, 0, *around[2:], 0]
        at = graph.op("Pad", [at, graph.constant(zeros, "pixels/around")], "pixels/padded")
    shift, scale = shift_and_scale(model.preparation, torch.device("cpu"))
    at = graph.op("Sub", [at, graph.constant(shift, "pixels/mean")], "pixels/centred")
    at = graph.op("Mul", [at, graph.constant(scale, "pixels/scale")], "pixels/normalised")
    return graph.op("Transpose", [at], "input", perm=[0, 3, 1, 2])
