"""Layers in which every unit sees the whole volume."""

from __future__ import annotations

from dataclasses import dataclass

from striate.layers import settings
from striate.layers.base import Layer, Reach, Saved
from striate.layers.settings import Choice
from striate.layers.volume import Parameters, Volume


def everything(met: Volume) -> tuple[Reach, Reach]:
    """Every output sees every input."""
    return Reach(met.height), Reach(met.width)


@dataclass(frozen=True, kw_only=True)
class FullyConnected(Layer):
    """`fc-4096`: each unit has a weight for every value of the volume. Flattening is implied."""

    kind = "fc"

    units: int = settings.units()
    bias: str = settings.option(Choice("auto", "yes", "no"), "auto")

    def volume(self, met: Volume) -> Volume:
        return Volume(1, 1, self.units)

    def parameters(self, met: Volume) -> Parameters:
        return Parameters(met.size * self.units, self.units if self.bias != "no" else 0)

    def macs(self, met: Volume) -> int:
        return met.size * self.units

    def operations(self, met: Volume) -> int:
        return self.units if self.bias != "no" else 0

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True)

    def reach(self, met: Volume) -> tuple[Reach, Reach]:
        return everything(met)


@dataclass(frozen=True, kw_only=True)
class RadialBasis(Layer):
    """`rbf-10`: LeNet-5's output: squared distances to fixed codes of +1 and -1.

    The paper's y_i = sum_j (x_j - w_ij)^2 is a penalty (LeCun et al. 1998, equation 7); here the
    score is -y_i, so that the largest wins as everywhere else. Nothing is learned.
    """

    kind = "rbf"

    units: int = settings.units()

    def volume(self, met: Volume) -> Volume:
        return Volume(1, 1, self.units)

    def buffers(self, met: Volume) -> int:
        return met.size * self.units

    def macs(self, met: Volume) -> int:
        return met.size * self.units

    def operations(self, met: Volume) -> int:
        return met.size * self.units

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True)

    def reach(self, met: Volume) -> tuple[Reach, Reach]:
        return everything(met)


@dataclass(frozen=True, kw_only=True)
class Flatten(Layer):
    """`flatten`: HxWxD becomes 1x1x(HWD). Implied before `fc`."""

    kind = "flatten"
    in_place = True
    view = True

    def volume(self, met: Volume) -> Volume:
        return Volume(1, 1, met.size)

    def reach(self, met: Volume) -> tuple[Reach, Reach]:
        return everything(met)
