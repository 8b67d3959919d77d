"""Layers that exporters write as several operators, put together again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from striate.recover.onnx.calls import Call, Live, read
from striate.recover.onnx.matching import Found, Matcher, Of, Some, X, of


def fused(live: Live) -> list[Call]:
    """The calls of a graph, those that make up a layer as one."""
    live = replace(live, calls=[_plain(live, call) for call in live.calls])
    for pattern, made in PATTERNS:
        matcher = Matcher(live)
        calls = [matcher.replaced(call, pattern, made) for call in live.calls]
        live = replace(live, calls=_needed(calls, live.file.output))
    return live.calls


def _plain(live: Live, call: Call) -> Call:
    """One operator for what earlier versions say otherwise."""
    if call.operator != "Clip":
        return call
    bounds = [call.get("min"), call.get("max")]
    for n, name in enumerate(call.inputs[1:3]):
        if name in live.arrays:
            bounds[n] = float(live.arrays[name].reshape(-1)[0]) if live.arrays[name].size else None
        elif name:
            return call
    if bounds == [0, 6]:
        return replace(call, operator="Relu6", inputs=call.inputs[:1], attributes={})
    if bounds[0] == 0 and (bounds[1] is None or bounds[1] > 1e38):
        return replace(call, operator="Relu", inputs=call.inputs[:1], attributes={})
    return call


def _needed(calls: list[Call], output: str) -> list[Call]:
    needed, kept = {output}, []
    for call in reversed(calls):
        if needed.intersection(call.outputs):
            needed.update(read(call))
            kept.append(call)
    return kept[::-1]


# -- what patterns come to


def _layer(operator: str, **attributes: Any) -> Callable[[Live, Found], Call]:
    return lambda live, found: Call(operator, (found.tensors[X],), (), attributes)


def _with(operator: str, *names: str) -> Callable[[Live, Found], Call]:
    """A layer with constants, all attributes that were kept among its own."""

    def make(live: Live, found: Found) -> Call:
        kept = {key: each for one in found.kept.values() for key, each in one.items()}
        return Call(operator, (found.tensors[X], *(found.tensors[n] for n in names)), (), kept)

    return make


def _scaled_tanh(live: Live, found: Found) -> Call | None:
    numbers = [live.arrays[found.tensors[name]] for name in ("amplitude", "slope")]
    if any(each.size != 1 for each in numbers):
        return None
    amplitude, slope = (float(each.reshape(-1)[0]) for each in numbers)
    return Call("ScaledTanh", (found.tensors[X],), (), {"amplitude": amplitude, "slope": slope})


def _over_channels(live: Live, found: Found) -> Call | None:
    """Layer normalisation, where what is averaged is the last axis."""
    rank = len(live.shape(found.tensors[X]) or ())
    epsilon = live.arrays[found.tensors["epsilon"]]
    for name in ("mean", "variance"):
        axes = found.kept[name].get("axes")
        axes = live.arrays[found.tensors[name]].tolist() if name in found.tensors else axes
        if not rank or axes is None or [each % rank for each in axes] != [rank - 1]:
            return None
    if epsilon.size != 1:
        return None
    inputs = [found.tensors[name] for name in (X, "weight", "bias")]
    attributes = {"axis": -1, "epsilon": float(epsilon.reshape(-1)[0])}
    return Call("LayerNormalization", tuple(inputs), (), attributes)


def _in_groups(live: Live, found: Found) -> Call | None:
    """Group normalisation as PyTorch exports it: each group as an instance of one channel."""
    ones, zeros = (live.arrays[found.tensors[name]] for name in ("ones", "zeros"))
    weight, bias = (live.arrays[found.tensors[name]] for name in ("weight", "bias"))
    if (ones != 1).any() or zeros.any() or weight.size != bias.size:
        return None
    inputs = [found.tensors[name] for name in (X, "weight", "bias")]
    attributes = {"num_groups": ones.size, "epsilon": found.kept["norm"].get("epsilon", 1e-5)}
    return Call("GroupNormalization", tuple(inputs), (), attributes)


def _padded_pool(live: Live, found: Found) -> Call | None:
    """A padding of the smallest values before a maximum is the maximum's own."""
    pads = live.arrays[found.tensors["pads"]].tolist()
    least = live.arrays[found.tensors["least"]]
    if len(pads) != 8 or any(pads[:2]) or any(pads[4:6]) or least.size != 1 or least > -1e38:
        return None
    own = found.kept["pool"].get("pads", [0, 0, 0, 0])
    around = [a + b for a, b in zip([*pads[2:4], *pads[6:]], own, strict=True)]
    return Call("MaxPool", (found.tensors[X],), (), {**found.kept["pool"], "pads": around})


_clipped = of("Relu6", of("Add", X, 3))
_doubts = [of("Div", X, math.sqrt(2)), of("Mul", X, math.sqrt(0.5))]
_cubes = [
    of("Pow", X, 3),
    of("Mul", X, of("Mul", X, X)),
    of("Mul", X, of("Pow", X, 2)),
]
_bends = [of("Add", 1, of("Erf", each)) for each in _doubts]
_tanhs = [
    of("Add", 1, of("Tanh", of("Mul", math.sqrt(2 / math.pi), inner)))
    for cube in _cubes
    for inner in (
        of("Add", X, of("Mul", 0.044715, cube)),
        of("Mul", X, of("Add", 1, of("Mul", 0.044715, of("Mul", X, X)))),
    )
]


def _half(bend: Of) -> list[Of]:
    return [
        of("Mul", of("Mul", X, bend), 0.5),
        of("Mul", X, of("Mul", 0.5, bend)),
        of("Mul", of("Mul", 0.5, X), bend),
        of("Mul", of("Div", X, 2), bend),
    ]


def _normed(inputs: tuple[Any, ...] = ()) -> Iterator[Of]:
    """x minus its mean, over the root of its variance, times a weight, plus a bias."""
    mean, variance = ((Some(name),) if inputs else () for name in ("mean", "variance"))
    apart = of("Sub", X, of("ReduceMean", X, *mean, keep="mean"))
    for square in (of("Pow", apart, 2), of("Mul", apart, apart)):
        spread = of("ReduceMean", square, *variance, keep="variance")
        normed = of("Div", apart, of("Sqrt", of("Add", spread, Some("epsilon"))))
        yield of("Add", of("Mul", normed, Some("weight")), Some("bias"))


_instances = of(
    "InstanceNormalization",
    of("Reshape", X, Some("parts")),
    Some("ones"),
    Some("zeros"),
    keep="norm",
)

Maker = Callable[[Live, Found], Call | None]
PATTERNS: list[tuple[Of, Maker]] = [
    (of("Mul", X, of("Sigmoid", X)), _layer("Swish")),
    (of("Mul", X, of("Tanh", of("Softplus", X))), _layer("Mish")),
    (of("Mul", X, of("HardSigmoid", X, alpha=1 / 6, beta=0.5)), _layer("HardSwish")),
    (of("Div", of("Mul", X, _clipped), 6), _layer("HardSwish")),
    (of("Mul", of("Mul", X, _clipped), 1 / 6), _layer("HardSwish")),
    (of("Mul", X, of("Div", _clipped, 6)), _layer("HardSwish")),
    (of("Mul", X, of("Mul", _clipped, 1 / 6)), _layer("HardSwish")),
    (of("Div", _clipped, 6), _layer("HardSigmoid", alpha=1 / 6, beta=0.5)),
    (of("Mul", _clipped, 1 / 6), _layer("HardSigmoid", alpha=1 / 6, beta=0.5)),
    *((each, _layer("Gelu")) for bend in _bends for each in _half(bend)),
    *((each, _layer("Gelu", approximate="tanh")) for bend in _tanhs for each in _half(bend)),
    *((each, _over_channels) for inputs in ((), (X,)) for each in _normed(inputs)),
    (
        of(
            "Add",
            of("Mul", of("Reshape", _instances, Some("whole")), Some("weight")),
            Some("bias"),
        ),
        _in_groups,
    ),
    (
        of("Mul", of("Tanh", of("Mul", X, Some("slope"))), Some("amplitude")),
        _scaled_tanh,
    ),
    (of("MaxPool", of("Pad", X, Some("pads"), Some("least")), keep="pool"), _padded_pool),
    (
        of(
            "Add",
            of("Mul", of("AveragePool", X, keep="pool"), Some("weight")),
            Some("bias"),
        ),
        _with("Subsample", "weight", "bias"),
    ),
    (
        of(
            "Sub",
            of("Gemm", X, Some("codes"), Some("lengths"), alpha=2, transB=1),
            of("ReduceSumSquare", X, Some("axes")),
        ),
        _with("RadialBasis", "codes", "lengths"),
    ),
]
