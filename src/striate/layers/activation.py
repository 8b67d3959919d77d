"""Activation functions: one value in, one value out; and softmax, over the depth."""

from __future__ import annotations

from dataclasses import dataclass

from striate.layers import settings
from striate.layers.base import Layer, Saved
from striate.layers.settings import Real
from striate.layers.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Activation(Layer):
    """Works value by value. By convention each value counts as one operation, whatever it costs."""

    in_place = True

    def operations(self, met: Volume) -> int:
        return met.size

    def saved(self, met: Volume) -> Saved:
        return Saved(output=True)


@dataclass(frozen=True, kw_only=True)
class Relu(Activation):
    """`relu`: max(0, x) (Nair and Hinton 2010)."""

    kind = "relu"


@dataclass(frozen=True, kw_only=True)
class LeakyRelu(Activation):
    """`leakyrelu(0.01)`: x, and a slope for x below 0 (Maas et al. 2013)."""

    kind = "leakyrelu"

    slope: float = settings.option(Real(), 0.01, position=0)

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True)


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
class Gelu(Activation):
    """`gelu`: x times the normal distribution function of x (Hendrycks and Gimpel 2016)."""

    kind = "gelu"

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True)


@dataclass(frozen=True, kw_only=True)
class Silu(Activation):
    """`silu`: x times sigmoid(x) (Elfwing et al. 2017)."""

    kind = "silu"

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True)


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
