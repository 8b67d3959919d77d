"""Networks recovered from ONNX files: each operator, our own exports, hostile files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from shipped import model_of

from striate import read
from striate.errors import StriateError
from striate.layers import Volume
from striate.recover.onnx import recovered_file
from striate.ship.about import written
from striate.ship.export import export
from striate.ship.onnx_graph import to_onnx
from striate.storage import write_tensors
from striate.transfer import known, preparation_for
from striate.transfer.known import prepared

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


def test_a_logarithm_of_softmax_at_the_end_is_read_as_softmax(file: Callable[..., Path]) -> None:
    nodes = [
        op("Flatten", "x", "f"),
        op("Gemm", "f w", "g"),
        op("LogSoftmax", "g", "y", axis=1),
    ]
    made = file(nodes, {"w": chance(3 * 8 * 8, 5)})
    assert body(made) == "fc-5(bias=no) softmax"
    assert "logarithms" in recovered_file(made).aside[0]


def test_what_an_exported_file_says_of_its_images_is_kept(tmp_path: Path) -> None:
    model = model_of("[8x8x3] conv3-4 relu avgpool fc-3 softmax")
    path = export(model, "onnx", tmp_path / "m.onnx").paths[0]
    found = recovered_file(path)
    assert found.preparation == model.preparation
    write_tensors(tmp_path / "w.safetensors", found.weights, prepared(found.preparation))
    start = known(str(tmp_path / "w.safetensors"))
    assert preparation_for(start, found.network) == model.preparation


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


windows = st.fixed_dictionaries(
    {
        "kernel": st.tuples(*[st.integers(1, 4)] * 2),
        "strides": st.tuples(*[st.integers(1, 3)] * 2),
        "dilations": st.tuples(*[st.integers(1, 2)] * 2),
        "pads": st.tuples(*[st.integers(0, 3)] * 4),
        "auto_pad": st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
        "sides": st.tuples(*[st.integers(7, 11)] * 2),
    }
)


def stated(drawn: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a window: padding in numbers, or by a name where ONNX Runtime takes that."""
    named = drawn["auto_pad"] != "NOTSET"
    if not named:
        return {name: drawn[name] for name in ("strides", "dilations", "pads")}
    strides = [min(each) for each in zip(drawn["strides"], drawn["kernel"], strict=True)]
    return {"strides": strides, "auto_pad": drawn["auto_pad"]}


@given(drawn=windows)
def test_any_convolution_is_whole(drawn: dict[str, Any], tmp_path_factory: Any) -> None:
    """Padding that differs at the end, or is only named, dilated or not."""
    node = op("Conv", "x w b", "y", **stated(drawn))
    arrays = {"w": chance(4, 3, *drawn["kernel"]), "b": B3}
    model = model_with([node], arrays, shape=["N", 3, *drawn["sides"]])
    body(saved(tmp_path_factory.mktemp("any") / "model.onnx", model))


@given(
    drawn=windows,
    kind=st.sampled_from(["MaxPool", "AveragePool"]),
    ceil=st.booleans(),
    counted=st.booleans(),
)
def test_any_pool_is_whole_or_opaque(
    drawn: dict[str, Any], kind: str, ceil: bool, counted: bool, tmp_path_factory: Any
) -> None:
    small = [
        min(pad, side - 1) for pad, side in zip(drawn["pads"], drawn["kernel"] * 2, strict=True)
    ]
    said = {**stated({**drawn, "pads": small}), "kernel_shape": drawn["kernel"]}
    said |= {"count_include_pad": int(counted)} if kind == "AveragePool" else {}
    said.pop("dilations", None)
    said |= {"ceil_mode": int(ceil)} if drawn["auto_pad"] == "NOTSET" else {}
    model = model_with([op(kind, "x", "y", **said)], shape=["N", 3, *drawn["sides"]])
    found = recovered_file(saved(tmp_path_factory.mktemp("any") / "model.onnx", model))
    assert found.opaque or found.whole, str(found.network)


# -- how files say what they take


def test_channels_that_come_last(file: Callable[..., Path]) -> None:
    """As files made from TensorFlow have it: moved to and fro around each operator."""
    nodes = [
        op("Pad", "x p", "q"),
        op("Transpose", "q", "t", perm=[0, 3, 1, 2]),
        op("Conv", "t w b", "c", strides=[2, 2]),
        op("Relu", "c", "r"),
        op("Transpose", "r", "l", perm=[0, 2, 3, 1]),
        op("MatMul", "l v", "m"),
        op("Add", "m a", "n"),
        op("ReduceMean", "n", "y", axes=[1, 2], keepdims=0),
    ]
    arrays = {**CONV, "p": np.array([0, 1, 1, 0, 0, 0, 0, 0]), "v": chance(4, 5), "a": chance(5)}
    path = file(nodes, arrays, shape=["N", 8, 8, 3])
    assert body(path) == "pad(1, end=0) conv3-4/2(pad=0) relu conv1-5 avgpool"


def test_rows_of_channels_that_come_last(file: Callable[..., Path]) -> None:
    """As TensorFlow flattens: the weights of what follows are put in order."""
    nodes = [
        op("Transpose", "x", "t", perm=[0, 2, 3, 1]),
        op("Reshape", "t s", "f"),
        op("Relu", "f", "r"),
        op("MatMul", "r w", "m"),
        op("Add", "m b", "y"),
    ]
    path = file(nodes, {"s": np.array([-1, 192]), "w": chance(192, 4), "b": B3})
    assert body(path) == "relu fc-4"


@pytest.mark.parametrize("order", ["first", "last"])
def test_an_output_in_either_order(file: Callable[..., Path], order: str) -> None:
    nodes = [op("Conv", "x w b", "c"), op("Transpose", "c", "t", perm=[0, 2, 3, 1])]
    nodes.append(op("Identity", {"first": "c", "last": "t"}[order], "y"))
    assert body(file(nodes, CONV)) == "conv3-4(pad=0)"


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (5, 3, 8, 8), ("N", 3, 8, 8), (None, 3, 8, 8)])
def test_any_number_of_images(file: Callable[..., Path], shape: tuple[Any, ...]) -> None:
    """Also where it stands in the file, or is asked of the graph itself."""
    nodes = [
        op("Relu", "x", "r"),
        op("Shape", "r", "s"),
        op("Gather", "s zero", "n"),
        op("Unsqueeze", "n axes", "u"),
        op("Concat", "u rest", "z", axis=0),
        op("Reshape", "r z", "f"),
        op("Gemm", "f w b", "y", transB=1),
    ]
    arrays = {
        **{"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])},
        **{"w": chance(4, 192), "b": B3},
    }
    assert body(file(nodes, arrays, shape=shape)) == "relu fc-4"


def test_sides_that_the_file_leaves_open(file: Callable[..., Path]) -> None:
    nodes = [op("Conv", "x w b", "c", **SAME), op("GlobalAveragePool", "c", "y")]
    path = file(nodes, CONV, shape=["N", 3, "H", "W"])
    assert recovered_file(path).network.input == (224, 224, 3)
    assert recovered_file(path, Volume(9, 12, 3)).network.input == (9, 12, 3)
    with pytest.raises(StriateError, match="takes images of depth 3, not of 9x12x4"):
        recovered_file(path, Volume(9, 12, 4))


def test_preparation_is_left_out(file: Callable[..., Path]) -> None:
    """Pixels cast, normalised and turned; what comes after is the network."""
    nodes = [
        op("Cast", "x", "f", to=1),
        op("Sub", "f m", "a"),
        op("Div", "a d", "b"),
        op("Transpose", "b", "t", perm=[0, 3, 1, 2]),
        op("Conv", "t w b3", "y"),
    ]
    arrays = {"m": chance(3), "d": chance(3) + 3, "w": W3, "b3": B3}
    path = file(nodes, arrays, shape=["N", 8, 8, 3], kind=TensorProto.UINT8)
    found = recovered_file(path)
    assert found.whole and not found.unused
    assert found.aside == (
        "left out: how pixels are prepared (cast, sub, div, transpose); the input is what that "
        "gives",
    )


def test_which_way_an_if_goes(file: Callable[..., Path]) -> None:
    """As PyTorch exports a squeeze: the condition is known once the shapes are."""
    yes, no = (
        helper.make_graph(
            [op(kind, "p", f"{kind}_out")],
            kind,
            [],
            [helper.make_empty_tensor_value_info(f"{kind}_out")],
        )
        for kind in ("Relu", "Tanh")
    )
    nodes = [
        op("Relu", "x", "p"),
        op("Shape", "p", "s"),
        op("Gather", "s i", "n"),
        op("Equal", "n c", "e"),
        op("If", "e", "y", then_branch=yes, else_branch=no),
    ]
    for channels, text in ((3, "relu*2"), (4, "relu tanh")):
        path = file(nodes, {"i": np.array(1), "c": np.array(channels)})
        assert body(path) == text


def test_equal_tensors_that_a_file_keeps_once(file: Callable[..., Path]) -> None:
    nodes = [op("Conv", "x w b", "c", **SAME), op("Conv", "c v b", "y", **SAME)]
    path = file(nodes, {"w": W3, "b": B3, "v": chance(4, 4, 3, 3)})
    found = recovered_file(path)
    assert found.whole and found.parameters == W3.size + 2 * 4 + 144
    assert found.aside == ("1 tensors are read by several layers, each of which has its own: b",)


def test_functions_of_the_file_are_put_in_their_place(file: Callable[..., Path]) -> None:
    model = model_with([op("Relu", "x", "y")])
    opset = [helper.make_opsetid("", 17)]
    inner = helper.make_function(
        "mine", "Twice", ["a"], ["c"], [op("Relu", "a", "b"), op("Tanh", "b", "c")], opset
    )
    model.functions.append(inner)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    model.graph.node[0].op_type, model.graph.node[0].domain = "Twice", "mine"
    assert body(saved(file([op("Relu", "x", "y")]), model)) == "relu tanh"


# -- blocks, by the names of nodes


def residual(path: str, at: str, out: str, named: Callable[[str, str], str]) -> list[Node]:
    return [
        op("Conv", f"{at} {path}w {path}b", f"{path}1", named(path, "conv1/Conv"), **SAME),
        op("Relu", f"{path}1", f"{path}2", named(path, "relu/Relu")),
        op("Conv", f"{path}2 {path}v {path}c", f"{path}3", named(path, "conv2/Conv"), **SAME),
        op("Add", f"{path}3 {at}", f"{path}4", named(path, "Add")),
        op("Relu", f"{path}4", out, named(path, "relu_1/Relu")),
    ]


def two_blocks(named: Callable[[str, str], str]) -> tuple[list[Node], Arrays]:
    nodes = [
        *residual("layer1.0.", "x", "a", named),
        op("Conv", "a p q", "d", **SAME),
        *residual("layer2.0.", "d", "y", named),
    ]
    arrays: Arrays = {"p": chance(6, 3, 3, 3), "q": chance(6)}
    for layer, depth in (("layer1.0.", 3), ("layer2.0.", 6)):
        arrays |= {f"{layer}{each}": chance(depth, depth, 3, 3) for each in "wv"}
        arrays |= {f"{layer}{each}": chance(depth) for each in "bc"}
    return nodes, arrays


BLOCKS = "block(k) = add( conv3-k relu conv3-k | id ) relu"


def test_blocks_by_names(file: Callable[..., Path]) -> None:
    """As PyTorch's older exporter names nodes."""
    nodes, arrays = two_blocks(
        lambda path, part: f"/{path.split('.')[0]}/{path.removesuffix('.')}/{part}"
    )
    found = recovered_file(file(nodes, arrays))
    assert found.whole and BLOCKS in str(found.network)
    assert str(found.network).endswith("block(3) conv3-6 block(6)")


def test_blocks_by_classes(file: Callable[..., Path]) -> None:
    """As its newer exporter lists them."""
    nodes, arrays = two_blocks(lambda path, part: "")
    for node in nodes:
        layer = node.output[0][:8] if node.output[0].startswith("layer") else ""
        layer = {"a": "layer1.0", "y": "layer2.0"}.get(node.output[0], layer)
        scopes = f"['', '{layer[:6]}', '{layer}', 'node']" if layer else "['', 'node']"
        classes = (
            "['a.Net', 'torch.nn.Sequential', 'a.BasicBlock', 'aten']" if layer else "['', '']"
        )
        said = (("pkg.torch.onnx.name_scopes", scopes), ("pkg.torch.onnx.class_hierarchy", classes))
        for key, value in said:
            node.metadata_props.add(key=key, value=value)
    found = recovered_file(file(nodes, arrays))
    assert found.whole and BLOCKS.replace("block", "basic_block", 1) in str(found.network)


# -- our own exports


@pytest.mark.parametrize("fold", [True, False], ids=["folded", "not folded"])
@pytest.mark.parametrize(
    "name",
    [
        *("lenet5", "lenet-caffe", "convnetjs-cifar10", "airbench", "speed", "alphago-policy"),
        *("resnet20", "resnet20-b", "plain20", "linear-classifier", "lecture-toy"),
    ],
)
def test_our_own_exports_come_back(tmp_path: Path, name: str, fold: bool) -> None:
    model = model_of(name, border=2)
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(model, written(model), fold=fold))
    found = recovered_file(path)
    assert found.whole and found.network.input == model.network.input
    ours, back = model.network.account().totals, found.network.account().totals
    assert back.macs == ours.macs
    assert back.parameters == ours.parameters or fold or name in ("airbench", "speed")


def test_blocks_come_back_by_their_own_names(tmp_path: Path) -> None:
    model = model_of("resnet20-b")
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(model, written(model), fold=False))
    text = str(recovered_file(path).network)
    assert "basic(k, s=1) = add( conv3-k/s(floor) bn relu conv3-k bn | shortcut-k/s ) relu" in text


# -- hostile files


def external(path: Path, location: str, **said: Any) -> Path:
    """A convolution whose weights lie elsewhere."""
    model = model_with([op("Conv", "x w", "y", **SAME)], {"w": W3})
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    return saved(path, model)


def test_data_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(b"1234" + W3.tobytes())
    path = external(tmp_path / "m.onnx", "data/w.bin", offset=4, length=W3.nbytes)
    assert body(path) == "conv3-4(bias=no)"


@pytest.mark.parametrize(
    ("location", "said", "message"),
    [
        ("../secret", {}, "outside of its folder"),
        ("inner/../../secret", {}, "outside of its folder"),
        ("..\\secret", {}, "outside of its folder"),
        ("C:\\secret", {}, "outside of its folder"),
        ("/etc/hostname", {}, "outside of its folder"),
        ("", {}, "outside of its folder"),
        ("w\0.bin", {}, "m.onnx"),
        ("link", {}, "is a link"),
        ("folder/w.bin", {}, "is a link"),
        ("hard", {}, "is a link"),
        ("loop", {}, "m.onnx"),
        ("pipe", {}, "is a link|is not a file"),
        ("none.bin", {}, "No such file"),
        ("w.bin", {"offset": 4}, "is not within w.bin"),
        ("w.bin", {"offset": -4}, "is not within w.bin"),
        ("w.bin", {"length": 8}, "is not within w.bin"),
        ("w.bin", {"offset": "x"}, "is damaged"),
        ("w.bin", {"offset": "9" * 5000}, "is damaged"),
        ("w.bin", {"offset": 2**62}, "is not within w.bin"),
    ],
)
def test_data_never_come_from_elsewhere(
    tmp_path: Path, location: str, said: dict[str, Any], message: str
) -> None:
    (tmp_path / "secret").write_bytes(W3.tobytes())
    home = tmp_path / "home"
    home.mkdir()
    (home / "w.bin").write_bytes(W3.tobytes())
    (home / "link").symlink_to(tmp_path / "secret")
    (home / "loop").symlink_to(home / "loop")
    (home / "folder").symlink_to(home, target_is_directory=True)
    os.link(tmp_path / "secret", home / "hard")
    os.mkfifo(home / "pipe")
    with pytest.raises(StriateError, match=message) as error:
        recovered_file(external(home / "m.onnx", location, **said))
    assert "\n" not in str(error.value)


def test_huge_data_are_not_asked_for(tmp_path: Path) -> None:
    path = external(tmp_path / "m.onnx", "w.bin")
    model = onnx.load(str(path), load_external_data=False)
    model.graph.initializer[0].dims[:] = [2**31, 2**31, 2**31, 3]
    (tmp_path / "w.bin").write_bytes(W3.tobytes())
    with pytest.raises(StriateError, match=r"is not within w\.bin"):
        recovered_file(saved(path, model))


def nested(depth: int) -> Node:
    """An If within an If within an If."""
    out = helper.make_empty_tensor_value_info("y")
    graph = helper.make_graph([op("Relu", "x", "y")], "g", [], [out])
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [out])
    return graph.node[0]


CYCLE = [op("Add", "x b", "a"), op("Relu", "a", "b"), op("Relu", "b", "y")]
BOMBS: dict[str, tuple[Sequence[Node], Arrays, str]] = {
    "cyclic": (CYCLE, {}, "is damaged"),
    "out of nothing": ([op("Relu", "nothing", "y")], {}, "is damaged"),
    "given twice": ([op("Relu", "x", "y"), op("Tanh", "x", "y")], {}, "is damaged"),
    "huge by scales": (
        [op("Resize", "x - s", "z"), op("Relu", "z", "y")],
        {"s": np.array([1, 1, 2**20, 2**20], np.float32)},
        "would hold [0-9,]+ values",
    ),
    "huge constant": (
        [op("ConstantOfShape", "s", "c"), op("Add", "x c", "y")],
        {"s": np.array([2**40, 2**20])},
        "would hold|computes over",
    ),
    "huge by steps": (
        [
            op("ConstantOfShape", "s", "c0"),
            *(op("Concat", f"c{n} c{n}", f"c{n + 1}", axis=0) for n in range(12)),
            op("Add", "x c12", "y"),
        ],
        {"s": np.array([2**20])},
        "computes over",
    ),
    "huge range": (
        [op("Range", "a b c", "r"), op("Add", "x r", "y")],
        {n: np.array(v) for n, v in {"a": 0, "b": 2**60, "c": 1}.items()},
        "would hold|computes over",
    ),
    "huge tile": (
        [op("Tile", "t r", "c"), op("Add", "x c", "y")],
        {"t": np.zeros((1, 1), np.float32), "r": np.array([2**31, 2**31])},
        "would hold|computes over",
    ),
    "division by nothing": (
        [op("Div", "a z", "d"), op("Reshape", "x d", "y")],
        {"a": np.array([3]), "z": np.array([0])},
        "m.onnx",
    ),
    "an unknown operator of a known domain": ([op("Frobnicate", "x", "y")], {}, "is damaged"),
    "deep": ([nested(9)], {}, "is damaged"),
    "quantised": (
        [op("QuantizeLinear", "x s", "q"), op("DequantizeLinear", "q s", "y")],
        {"s": np.float32(0.1)},
        r"is quantised \(QuantizeLinear\)",
    ),
    "no image": ([op("Identity", "c", "y")], {"c": B3}, "nothing that depends on its input|m.onnx"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_graphs_are_one_clear_line(tmp_path: Path, name: str) -> None:
    nodes, arrays, message = BOMBS[name]
    graph = helper.make_graph(
        list(nodes),
        "hostile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, None, None])],
        [numpy_helper.from_array(np.asarray(each), key) for key, each in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(StriateError, match=message) as error:
        recovered_file(saved(tmp_path / "m.onnx", made))
    assert "\n" not in str(error.value)


def test_weights_that_do_not_fit_are_no_layer(file: Callable[..., Path]) -> None:
    found = recovered_file(file([op("Conv", "x w", "y")], {"w": chance(4, 5, 3, 3)}))
    assert len(found.opaque) == 1 and not found.weights


def test_functions_that_call_each_other(tmp_path: Path) -> None:
    """Without end, and twice each time, which comes to 2^40 nodes."""
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]

    def calling(name: str, other: str) -> Any:
        nodes = [helper.make_node(other, ["a"], ["b"], domain="f")]
        nodes.append(helper.make_node(other, ["b"], ["c"], domain="f"))
        return helper.make_function("f", name, ["a"], ["c"], nodes, opset)

    for functions, message in (
        ([calling("F0", "F1"), calling("F1", "F0")], "calls itself"),
        ([calling(f"F{n}", f"F{n + 1}") for n in range(40)], r"over 20,000 nodes"),
    ):
        model = model_with([op("Relu", "x", "y")])
        model.functions.extend(functions)
        model.opset_import.append(helper.make_opsetid("f", 1))
        model.graph.node[0].op_type, model.graph.node[0].domain = "F0", "f"
        with pytest.raises(StriateError, match=message):
            recovered_file(saved(tmp_path / "m.onnx", model))


def test_graphs_within_graphs(tmp_path: Path) -> None:
    """Deeper than any parser follows: fields of messages, each with the next in it."""
    content = b""
    for _ in range(5000):
        for field in (6, 5, 1):  # an attribute's graph, a node's attribute, a graph's node
            size, length = len(content), b""
            while size > 127:
                length, size = length + bytes([size % 128 | 128]), size // 128
            content = bytes([field << 3 | 2]) + length + bytes([size]) + content
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(StriateError, match="is no ONNX file, or is cut off"):
        recovered_file(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("kind", "count", "message"),
    [
        ("Relu", 20_001, "has 20,002 nodes"),
        ("Relu", 6_000, "has 6,001 operators"),
        ("Sin", 1_001, "is no ConvNet: 1,001 of its operators are no layers"),
    ],
)
def test_many_nodes(tmp_path: Path, kind: str, count: int, message: str) -> None:
    nodes = [op(kind, f"a{n}" if n else "x", f"a{n + 1}") for n in range(count)]
    model = model_with([*nodes, op("Relu", f"a{count}", "y")])
    with pytest.raises(StriateError, match=message):
        recovered_file(saved(tmp_path / "m.onnx", model))


def test_sums_within_sums(tmp_path: Path) -> None:
    """Nested as deep as anyone likes: written down, or refused."""
    nodes = []
    for n in range(600):
        at = f"a{n}" if n else "x"
        nodes += [op("Relu", at, f"r{n}"), op("Add", f"r{n} x", f"a{n + 1}")]
    path = saved(tmp_path / "m.onnx", model_with([*nodes, op("Relu", "a600", "y")]))
    try:
        recovered_file(path)
    except StriateError as reason:
        assert "nested" in str(reason)


def test_torn_files(file: Callable[..., Path]) -> None:
    path = file([op("Conv", "x w b", "c", **SAME), op("Relu", "c", "y")], CONV)
    content = path.read_bytes()
    draw = np.random.default_rng(0)
    for case in [
        b"",
        b"\0",
        b"PK\3\4",
        draw.bytes(500),
        *(content[: int(n)] for n in draw.integers(0, len(content), 40)),
    ]:
        path.write_bytes(case)
        with pytest.raises(StriateError, match=r"model\.onnx"):
            recovered_file(path)
    for at in draw.integers(0, len(content), 200):
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(draw.integers(8))
        path.write_bytes(flipped)
        try:
            recovered_file(path).difference  # noqa: B018
        except StriateError as reason:
            assert "\n" not in str(reason)


# -- what is installed


def test_without_onnxruntime(file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """By onnx's own evaluator."""
    from striate.recover.onnx import reading

    monkeypatch.setattr(reading, "find_spec", lambda name: None)
    monkeypatch.delattr(reading, "session_of")
    assert (
        body(file([op("Conv", "x w b", "c", **SAME), op("Relu", "c", "y")], CONV)) == "conv3-4 relu"
    )


def test_without_onnx(python: Run, tmp_path: Path) -> None:
    code = "import sys; sys.modules['onnx'] = None; import striate; striate.read('model.onnx')"
    ran = python("-c", code)
    assert "StriateError: onnx is not here: pip install onnx" in ran.stderr


# -- the command


def test_the_command(python: Run, tmp_path: Path) -> None:
    nodes = [
        op("Conv", "x w b", "c", **SAME),
        op("Relu", "c", "r"),
        op("GlobalAveragePool", "r", "y"),
    ]
    saved(tmp_path / "small.onnx", model_with(nodes, CONV))
    ran = python("-m", "striate", "recover", str(tmp_path / "small.onnx"))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "name: small.onnx\n---\n[8x8x3]\nconv3-4 relu [8x8x4]\navgpool\n"
    assert "112 parameters, all of the source's" in ran.stderr
    ran = python("-m", "striate", "table", str(tmp_path / "small.onnx"))
    assert ran.returncode == 0 and "conv3-4" in ran.stdout, ran.stderr
    (tmp_path / "torn.onnx").write_bytes(b"not at all")
    for verb in ("recover", "check"):
        ran = python("-m", "striate", verb, str(tmp_path / "torn.onnx"))
        assert ran.returncode == 1 and "Traceback" not in ran.stderr
        assert "torn.onnx is no ONNX file, or is cut off" in ran.stderr
    assert str(read(tmp_path / "small.onnx")).endswith("conv3-4 relu [8x8x4]\navgpool")
