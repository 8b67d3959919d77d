"""Activation functions: one value in, one value out; and softmax, over the depth."""

from __future__ import annotations

from dataclasses import dataclass

from striate.layers import settings
from striate.layers.base import Layer, Saved
from striate.layers.settings import Choice, Real
from striate.layers.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Activation(Layer):
    """Works value by value. By convention each value counts as one operation, whatever it costs.

    Its gradient is computed from its output.
    """

    in_place = True

    def operations(self, met: Volume) -> int:
        return met.size

    def saved(self, met: Volume) -> Saved:
        return Saved(output=True)


@dataclass(frozen=True, kw_only=True)
class ByInput(Activation):
    """An activation whose gradient is computed from its input."""

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True)


@dataclass(frozen=True, kw_only=True)
class Relu(Activation):
    """`relu`: max(0, x) (Nair and Hinton 2010)."""

    kind = "relu"


@dataclass(frozen=True, kw_only=True)
class Relu6(ByInput):
    """`relu6`: min(max(0, x), 6) (Krizhevsky 2010; Howard et al. 2017, arXiv:1704.04861)."""

    kind = "relu6"


@dataclass(frozen=True, kw_only=True)
class LeakyRelu(ByInput):
    """`leakyrelu(0.01)`: x, and a slope for x below 0 (Maas et al. 2013)."""

    kind = "leakyrelu"

    slope: float = settings.option(Real(), 0.01, position=0)


@dataclass(frozen=True, kw_only=True)
class Elu(ByInput):
    """`elu(1)`: x, and alpha (exp(x) - 1) for x below 0 (Clevert et al. 2015, arXiv:1511.07289)."""

    kind = "elu"

    alpha: float = settings.option(Real(0), 1.0, position=0)


@dataclass(frozen=True, kw_only=True)
class Tanh(Activation):
    """`tanh`."""

    kind = "tanh"


@dataclass(frozen=True, kw_only=True)
class ScaledTanh(Activation):
    """`scaledtanh`: 1.7159 tanh(2x/3), so that f(1) = 1, f(-1) = -1 (LeCun et al. 1998, eq. 6)."""

    kind = "scaledtanh"

    amplitude: float = settings.option(Real(), 1.7159, position=0)
    slope: float = settings.option(Real(), 2 / 3, position=1)

    def saved(self, met: Volume) -> Saved:
        return Saved(values=met.size)


@dataclass(frozen=True, kw_only=True)
class Sigmoid(Activation):
    """`sigmoid`: 1/(1 + exp(-x))."""

    kind = "sigmoid"


@dataclass(frozen=True, kw_only=True)
class Gelu(ByInput):
    """`gelu`: x times the normal distribution function of x (Hendrycks and Gimpel 2016).

    `gelu(tanh)` is the paper's approximation: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
    """

    kind = "gelu"

    approximation: str = settings.option(Choice("exact", "tanh", flags=True), "exact")


@dataclass(frozen=True, kw_only=True)
class Silu(ByInput):
    """`silu`: x times sigmoid(x) (Elfwing et al. 2017)."""

    kind = "silu"


@dataclass(frozen=True, kw_only=True)
class Mish(ByInput):
    """`mish`: x tanh(ln(1 + exp(x))) (Misra 2019, arXiv:1908.08681)."""

    kind = "mish"


@dataclass(frozen=True, kw_only=True)
class HardSigmoid(ByInput):
    """`hardsigmoid`: min(max(0, x + 3), 6)/6 (Howard et al. 2019, arXiv:1905.02244)."""

    kind = "hardsigmoid"


@dataclass(frozen=True, kw_only=True)
class HardSwish(ByInput):
    """`hardswish`: x times hardsigmoid(x) (Howard et al. 2019, arXiv:1905.02244, section 5.2)."""

    kind = "hardswish"


@dataclass(frozen=True, kw_only=True)
class Softmax(Activation):
    """`softmax`: exp(s_k)/sum_j exp(s_j) over the depth.

    As the last word it is kept apart: training sees class scores, prediction gives probabilities.
    """

    kind = "softmax"

    def operations(self, met: Volume) -> int:
        return 3 * met.size


@dataclass(frozen=True, kw_only=True)
class Scale(Layer):
    """`scale(0.25)`: every value times a fixed factor."""

    kind = "scale"
    in_place = True

    factor: float = settings.option(Real(), position=0)

    def operations(self, met: Volume) -> int:
        return met.size
