"""Layers that exporters write as several operators, found and put together again.

A pattern is an operator and what it is called on: `X` is the volume, `Some` any constant under a name, a
number a constant of one value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any, NamedTuple

from striate.recover.onnx_folding import Call, Live

X = "X"
NEAR = 1e-4  # of a constant in a pattern: in half precision it is rounded
SWAPS = frozenset(["Add", "Mul"])


class Some(NamedTuple):
    """Any constant."""

    name: str


@dataclass(frozen=True)
class Of:
    """An operator with these inputs, and attributes that are wanted of it.

    `keep` is a name under which its attributes are kept.
    """

    operator: str
    inputs: tuple[Any, ...]
    wanted: Mapping[str, float] = field(default_factory=dict)
    keep: str = ""


def _of(operator: str, *inputs: Any, keep: str = "", **wanted: float) -> Of:
    return Of(operator, inputs, wanted, keep)


class Found(NamedTuple):
    """What a pattern's names stand for: tensors, and attributes of what is kept."""

    tensors: dict[str, str]
    kept: dict[str, Mapping[str, Any]]


def fused(live: Live) -> list[Call]:
    """The calls of a graph, those that make up a layer as one."""
    live = replace(live, calls=[_plain(live, call) for call in live.calls])
    for pattern, made in PATTERNS:
        matcher = _Matcher(live)
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
    from striate.recover.onnx_folding import read

    needed, kept = {output}, []
    for call in reversed(calls):
        if needed.intersection(call.outputs):
            needed.update(read(call))
            kept.append(call)
    return kept[::-1]


class _Matcher:
    def __init__(self, live: Live) -> None:
        self.live = live
        self.makers = {name: call for call in live.calls for name in call.outputs if name}

    def replaced(self, call: Call, pattern: Of, made: Callable[[Live, Found], Call | None]) -> Call:
        for found in self.matches(pattern, call.outputs[0], Found({}, {})):
            layer = made(self.live, found)
            if layer is not None:
                return replace(layer, outputs=call.outputs, node=call.node)
        return call

    def matches(self, pattern: Any, name: str, found: Found) -> Iterator[Found]:
        """All ways in which a tensor is what a pattern says."""
        if isinstance(pattern, float | int):
            array = self.live.arrays.get(name)
            if array is not None and array.size == 1:
                value = float(array.reshape(-1)[0])
                if math.isclose(value, pattern, rel_tol=NEAR):
                    yield found
        elif isinstance(pattern, Some):
            if name in self.live.arrays and found.tensors.get(pattern.name, name) == name:
                yield found._replace(tensors=found.tensors | {pattern.name: name})
        elif pattern == X:
            if name and name not in self.live.arrays and found.tensors.get(X, name) == name:
                yield found._replace(tensors=found.tensors | {X: name})
        else:
            yield from self._calls(pattern, name, found)

    def _calls(self, pattern: Of, name: str, found: Found) -> Iterator[Found]:
        call = self.makers.get(name)
        if call is None or call.operator != pattern.operator:
            return
        inputs = tuple(each for each in call.inputs if each)
        if len(inputs) != len(pattern.inputs) or not all(
            math.isclose(float(call.get(key, math.nan)), value, rel_tol=NEAR)
            for key, value in pattern.wanted.items()
        ):
            return
        if pattern.keep:
            found = found._replace(kept=found.kept | {pattern.keep: call.attributes})
        orders = permutations(inputs) if call.operator in SWAPS else [inputs]
        for order in orders:
            ways = [found]
            for each, tensor in zip(pattern.inputs, order, strict=True):
                ways = [way for one in ways for way in self.matches(each, tensor, one)]
            yield from ways


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


_clipped = _of("Relu6", _of("Add", X, 3))
_doubts = [_of("Div", X, math.sqrt(2)), _of("Mul", X, math.sqrt(0.5))]
_cubes = [
    _of("Pow", X, 3),
    _of("Mul", X, _of("Mul", X, X)),
    _of("Mul", X, _of("Pow", X, 2)),
]
_bends = [_of("Add", 1, _of("Erf", each)) for each in _doubts]
_tanhs = [
    _of("Add", 1, _of("Tanh", _of("Mul", math.sqrt(2 / math.pi), inner)))
    for cube in _cubes
    for inner in (
        _of("Add", X, _of("Mul", 0.044715, cube)),
        _of("Mul", X, _of("Add", 1, _of("Mul", 0.044715, _of("Mul", X, X)))),
    )
]


def _half(bend: Of) -> list[Of]:
    return [
        _of("Mul", _of("Mul", X, bend), 0.5),
        _of("Mul", X, _of("Mul", 0.5, bend)),
        _of("Mul", _of("Mul", 0.5, X), bend),
        _of("Mul", _of("Div", X, 2), bend),
    ]


def _normed(inputs: tuple[Any, ...] = ()) -> Iterator[Of]:
    """x minus its mean, over the root of its variance, times a weight, plus a bias."""
    mean, variance = ((Some(name),) if inputs else () for name in ("mean", "variance"))
    apart = _of("Sub", X, _of("ReduceMean", X, *mean, keep="mean"))
    for square in (_of("Pow", apart, 2), _of("Mul", apart, apart)):
        spread = _of("ReduceMean", square, *variance, keep="variance")
        normed = _of("Div", apart, _of("Sqrt", _of("Add", spread, Some("epsilon"))))
        yield _of("Add", _of("Mul", normed, Some("weight")), Some("bias"))


_instances = _of(
    "InstanceNormalization",
    _of("Reshape", X, Some("parts")),
    Some("ones"),
    Some("zeros"),
    keep="norm",
)

Maker = Callable[[Live, Found], Call | None]
PATTERNS: list[tuple[Of, Maker]] = [
    (_of("Mul", X, _of("Sigmoid", X)), _layer("Swish")),
    (_of("Mul", X, _of("Tanh", _of("Softplus", X))), _layer("Mish")),
    (_of("Mul", X, _of("HardSigmoid", X, alpha=1 / 6, beta=0.5)), _layer("HardSwish")),
    (_of("Div", _of("Mul", X, _clipped), 6), _layer("HardSwish")),
    (_of("Mul", _of("Mul", X, _clipped), 1 / 6), _layer("HardSwish")),
    (_of("Mul", X, _of("Div", _clipped, 6)), _layer("HardSwish")),
    (_of("Mul", X, _of("Mul", _clipped, 1 / 6)), _layer("HardSwish")),
    (_of("Div", _clipped, 6), _layer("HardSigmoid", alpha=1 / 6, beta=0.5)),
    (_of("Mul", _clipped, 1 / 6), _layer("HardSigmoid", alpha=1 / 6, beta=0.5)),
    *((each, _layer("Gelu")) for bend in _bends for each in _half(bend)),
    *((each, _layer("Gelu", approximate="tanh")) for bend in _tanhs for each in _half(bend)),
    *((each, _over_channels) for inputs in ((), (X,)) for each in _normed(inputs)),
    (
        _of(
            "Add",
            _of("Mul", _of("Reshape", _instances, Some("whole")), Some("weight")),
            Some("bias"),
        ),
        _in_groups,
    ),
    (
        _of("Mul", _of("Tanh", _of("Mul", X, Some("slope"))), Some("amplitude")),
        _scaled_tanh,
    ),
    (_of("MaxPool", _of("Pad", X, Some("pads"), Some("least")), keep="pool"), _padded_pool),
    (
        _of(
            "Add",
            _of("Mul", _of("AveragePool", X, keep="pool"), Some("weight")),
            Some("bias"),
        ),
        _with("Subsample", "weight", "bias"),
    ),
    (
        _of(
            "Sub",
            _of("Gemm", X, Some("codes"), Some("lengths"), alpha=2, transB=1),
            _of("ReduceSumSquare", X, Some("axes")),
        ),
        _with("RadialBasis", "codes", "lengths"),
    ),
]
