"""Networks recovered from ONNX files: each operator, our own exports, hostile files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from striate.layers import Volume
from striate.recover.onnx import recovered_file

CHANCE = np.random.default_rng(0)
Node = Any
Arrays = dict[str, Any]


def chance(*shape: int) -> Any:
    return CHANCE.normal(0, 0.5, shape).astype(np.float32)


def op(kind: str, inputs: str, output: str, name: str = "", **attributes: Any) -> Node:
    """A node; inputs in one string."""
    given = ["" if each == "-" else each for each in inputs.split()]
    return helper.make_node(kind, given, output.split(), name=name, **attributes)


def model_with(
    nodes: Sequence[Node],
    arrays: Arrays | None = None,
    shape: Sequence[int | str | None] = ("N", 3, 8, 8),
    output: str = "y",
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> Any:
    constants = [
        numpy_helper.from_array(np.asarray(array), name) for name, array in (arrays or {}).items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "made",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, data_prop=True)


def saved(path: Path, model: Any) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def make(*given: Any, **options: Any) -> Path:
        return saved(tmp_path / "model.onnx", model_with(*given, **options))

    return make


def body(path: Path, input: Volume | None = None) -> str:
    """The text of a file, in one line, without front matter and checks; it came back whole."""
    found = recovered_file(path, input)
    assert found.whole, (str(found.network), found.difference, found.parameters)
    text = str(found.network).rpartition("---\n")[2]
    return " ".join(each for each in text.split() if not each.startswith("["))


# -- each operator, against ONNX Runtime

W3, B3, W1 = chance(4, 3, 3, 3), chance(4), chance(4, 3, 1, 1)
CONV = {"w": W3, "b": B3}
SAME: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
ERF = np.float32(2**0.5)
GELU = [
    op("Div", "x r", "d"),
    op("Erf", "d", "e"),
    op("Add", "e one", "f"),
    op("Mul", "x f", "g"),
    op("Mul", "g half", "y"),
]
NUMBERS = {"r": ERF, "one": np.float32(1), "half": np.float32(0.5)}

OPERATORS: dict[str, tuple[Sequence[Node], Arrays, str]] = {
    "conv": ([op("Conv", "x w b", "y", **SAME)], CONV, "conv3-4"),
    "conv without bias": ([op("Conv", "x w", "y", **SAME)], {"w": W3}, "conv3-4(bias=no)"),
    "bias by a sum": (
        [op("Conv", "x w", "c", **SAME), op("Add", "b c", "y")],
        {"w": W3, "b": B3.reshape(1, 4, 1, 1)},
        "conv3-4",
    ),
    "bias for each position": (
        [op("Conv", "x w", "c", **SAME), op("Add", "c b", "y")],
        {"w": W3, "b": chance(8, 8)},
        "conv3-4(bias=point)",
    ),
    "same upper": (
        [op("Conv", "x w b", "y", auto_pad="SAME_UPPER", strides=[2, 2])],
        CONV,
        "conv3-4/2(pad=0, ceil)",
    ),
    "same lower": (
        [op("Conv", "x w b", "y", auto_pad="SAME_LOWER", strides=[2, 2])],
        CONV,
        "conv3-4/2(floor)",
    ),
    "valid": ([op("Conv", "x w b", "y", auto_pad="VALID")], CONV, "conv3-4(pad=0)"),
    "uneven padding": (
        [op("Conv", "x w b", "y", pads=[0, 2, 3, 1])],
        CONV,
        "pad(0x2, end=3x1) conv3-4(pad=0)",
    ),
    "stride, dilation": (
        [op("Conv", "x w b", "y", strides=[2, 1], dilations=[1, 2], pads=[1, 2, 1, 2])],
        CONV,
        "conv3-4/2x1(dilation=1x2, floor)",
    ),
    "groups": (
        [op("Conv", "x w", "y", group=3, **SAME)],
        {"w": chance(6, 1, 3, 3)},
        "conv3-6(groups=3, bias=no)",
    ),
    "transposed": (
        [op("ConvTranspose", "x w b", "y", strides=[2, 2], pads=[1, 1, 0, 0])],
        {"w": chance(3, 4, 3, 3), "b": B3},
        "deconv3-4/2(pad=1, extra=1)",
    ),
    "maxpool": (
        [op("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])],
        {},
        "maxpool3/2(ceil)",
    ),
    "maxpool in ceil mode": (
        [op("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)],
        {},
        "maxpool3/2(ceil)",
    ),
    "maxpool of a padding": (
        [op("Pad", "x p v", "q"), op("MaxPool", "q", "y", kernel_shape=[3, 3], strides=[2, 2])],
        {"p": np.array([0, 0, 1, 1, 0, 0, 0, 0]), "v": np.float32(-np.inf)},
        "maxpool3/2(pad=1, floor)",
    ),
    "avgpool": ([op("AveragePool", "x", "y", kernel_shape=[2, 2], strides=[2, 2])], {}, "avgpool2"),
    "avgpool inside": (
        [op("AveragePool", "x", "y", strides=[1, 1], **SAME)],
        {},
        "avgpool3/1(pad=1, inside)",
    ),
    "avgpool padded": (
        [op("AveragePool", "x", "y", count_include_pad=1, **SAME)],
        {},
        "avgpool3/1(pad=1)",
    ),
    "whole average": ([op("GlobalAveragePool", "x", "y")], {}, "avgpool"),
    "whole maximum": ([op("GlobalMaxPool", "x", "y")], {}, "maxpool"),
    "mean of axes": ([op("ReduceMean", "x", "y", axes=[-1, -2], keepdims=0)], {}, "avgpool"),
    "gemm": (
        [op("Flatten", "x", "f"), op("Gemm", "f w b", "y", transB=1)],
        {"w": chance(4, 192), "b": B3},
        "fc-4",
    ),
    "gemm, transposed": (
        [op("Flatten", "x", "f"), op("Gemm", "f w b", "y")],
        {"w": chance(192, 4), "b": B3},
        "fc-4",
    ),
    "matmul, sum": (
        [op("Reshape", "x s", "f"), op("MatMul", "f w", "m"), op("Add", "m b", "y")],
        {"s": np.array([0, -1]), "w": chance(192, 4), "b": B3},
        "fc-4",
    ),
    "weights by an operator": (
        [op("Transpose", "w", "t"), op("Flatten", "x", "f"), op("MatMul", "f t", "y")],
        {"w": chance(4, 192)},
        "fc-4(bias=no)",
    ),
    "weights in a node": (
        [
            op("Constant", "", "w", value=numpy_helper.from_array(W3)),
            op("Conv", "x w", "y", **SAME),
        ],
        {},
        "conv3-4(bias=no)",
    ),
    "batch normalisation": (
        [op("BatchNormalization", "x a b m v", "y", epsilon=1e-3)],
        {"a": chance(3), "b": chance(3), "m": chance(3), "v": chance(3) ** 2 + 1},
        "bn(eps=0.001)",
    ),
    "lrn": ([op("LRN", "x", "y", size=5, alpha=5e-4, bias=2.0)], {}, "lrn"),
    "layer normalisation": (
        [
            op("Transpose", "x", "t", perm=[0, 2, 3, 1]),
            op("LayerNormalization", "t a b", "l", epsilon=1e-6),
            op("Transpose", "l", "y", perm=[0, 3, 1, 2]),
        ],
        {"a": chance(3), "b": chance(3)},
        "layernorm(eps=1e-06)",
    ),
    "group normalisation": (
        [
            op("Conv", "x w", "c", **SAME),
            op("Reshape", "c s", "g"),
            op("InstanceNormalization", "g i o", "n", epsilon=1e-5),
            op("Shape", "c", "z"),
            op("Reshape", "n z", "r"),
            op("Mul", "r a", "m"),
            op("Add", "m b", "y"),
        ],
        {
            **{"w": W3, "s": np.array([0, 2, -1]), "i": np.ones(2, np.float32)},
            **{"o": np.zeros(2, np.float32), "a": chance(4, 1, 1), "b": chance(4, 1, 1)},
        },
        "conv3-4(bias=no) groupnorm(2)",
    ),
    "layerscale": ([op("Mul", "x a", "y")], {"a": chance(3, 1, 1)}, "layerscale"),
    "scale": (
        [op("Conv", "x w b", "c"), op("Mul", "a c", "y")],
        {**CONV, "a": np.float32(0.25)},
        "conv3-4(pad=0) scale(0.25)",
    ),
    "shared": (
        [op("Relu", "x", "r"), op("Mul", "r h", "a"), op("Tanh", "r", "b"), op("Add", "a b", "y")],
        {"h": np.float32(2)},
        "relu add( scale(2) | tanh )",
    ),
    "concat": (
        [op("Relu", "x", "a"), op("Tanh", "x", "b"), op("Concat", "a b x", "y", axis=1)],
        {},
        "concat( relu | tanh | id )",
    ),
    "sum of three": (
        [op("Relu", "x", "a"), op("Tanh", "x", "b"), op("Sum", "a b x", "y")],
        {},
        "add( relu | tanh | id )",
    ),
    "split": (
        [op("Split", "x s", "a b", axis=1), op("Relu", "b", "c"), op("Concat", "c a", "y", axis=1)],
        {"s": np.array([1, 2])},
        "concat( slice(1, 3) relu | slice(0, 1) )",
    ),
    "slice": (
        [op("Slice", "x s e a", "y")],
        {"s": np.array([1]), "e": np.array([2**62]), "a": np.array([1])},
        "slice(1, 3)",
    ),
    "every second row": (
        [op("Slice", "x s e a t", "y")],
        {n: np.array(v) for n, v in {"s": [0, 0], "e": [8, 8], "a": [2, 3], "t": [2, 2]}.items()},
        "maxpool1/2(floor)",
    ),
    "gather": ([op("Gather", "x i", "y", axis=1)], {"i": np.array([2, 0])}, "take(2, 0)"),
    "shuffle": (
        [
            op("Conv", "x w b", "c"),
            op("Reshape", "c s", "g"),
            op("Transpose", "g", "t", perm=[0, 2, 1, 3, 4]),
            op("Reshape", "t u", "y"),
        ],
        {**CONV, "s": np.array([0, 2, 2, 6, 6]), "u": np.array([0, -1, 6, 6])},
        "conv3-4(pad=0) shuffle(2)",
    ),
    "pad": (
        [op("Pad", "x p", "y")],
        {"p": np.array([0, 0, 1, 2, 0, 0, 0, 3])},
        "pad(1x2, end=0x3)",
    ),
    "new channels": (
        [op("Slice", "x s e a t", "h"), op("Pad", "h p", "y")],
        {
            **{n: np.array(v) for n, v in {"s": [0, 0], "e": [8, 8], "a": [2, 3]}.items()},
            **{"t": np.array([2, 2]), "p": np.array([0, 0, 0, 0, 0, 3, 0, 0])},
        },
        "shortcut-6/2(a)",
    ),
    "resize": (
        [
            op(
                "Resize",
                "x - s",
                "y",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        ],
        {"s": np.array([1, 1, 2, 3], np.float32)},
        "upsample2x3",
    ),
    "resize as half pixels": (
        [op("Resize", "x - s", "y")],
        {"s": np.array([1, 1, 3, 3], np.float32)},
        "upsample3",
    ),
    "resize between": (
        [op("Resize", "x - - s", "y", mode="linear")],
        {"s": np.array([2, 3, 16, 16])},
        "upsample2(bilinear)",
    ),
    "relu": ([op("Relu", "x", "y")], {}, "relu"),
    "relu6": (
        [op("Clip", "x a b", "y")],
        {"a": np.float32(0), "b": np.float32(6)},
        "relu6",
    ),
    "leaky": ([op("LeakyRelu", "x", "y", alpha=0.1)], {}, "leakyrelu(0.1)"),
    "elu": ([op("Elu", "x", "y")], {}, "elu"),
    "sigmoid": ([op("Sigmoid", "x", "y")], {}, "sigmoid"),
    "softmax": ([op("Softmax", "x", "y", axis=1)], {}, "softmax"),
    "silu": ([op("Sigmoid", "x", "s"), op("Mul", "x s", "y")], {}, "silu"),
    "mish": ([op("Softplus", "x", "s"), op("Tanh", "s", "t"), op("Mul", "x t", "y")], {}, "mish"),
    "hardsigmoid": ([op("HardSigmoid", "x", "y", alpha=1 / 6)], {}, "hardsigmoid"),
    "hardswish": (
        [op("HardSigmoid", "x", "h", alpha=1 / 6, beta=0.5), op("Mul", "x h", "y")],
        {},
        "hardswish",
    ),
    "hardswish in parts": (
        [
            op("Add", "x c", "a"),
            op("Clip", "a l h", "b"),
            op("Mul", "b x", "m"),
            op("Div", "m h", "y"),
        ],
        {"c": np.float32(3), "l": np.float32(0), "h": np.float32(6)},
        "hardswish",
    ),
    "gelu": (GELU, NUMBERS, "gelu"),
    "identities": (
        [
            op("Identity", "x", "a"),
            op("Dropout", "a", "b"),
            op("Cast", "b", "c", to=1),
            op("Tanh", "c", "y"),
        ],
        {},
        "dropout(0.5) tanh",
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(file: Callable[..., Path], name: str) -> None:
    nodes, arrays, text = OPERATORS[name]
    assert body(file(nodes, arrays)) == text


def test_a_gate_is_a_product(file: Callable[..., Path]) -> None:
    nodes = [
        op("GlobalAveragePool", "x", "p"),
        op("Conv", "p w b", "c"),
        op("Sigmoid", "c", "s"),
        op("Mul", "s x", "y"),
    ]
    assert body(file(nodes, {"w": chance(3, 3, 1, 1), "b": chance(3)})) == (
        "mul( id | avgpool conv1-3 sigmoid )"
    )
