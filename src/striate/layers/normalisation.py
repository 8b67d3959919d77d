"""Normalisation and dropout: layers that behave otherwise in training than at test time."""

from __future__ import annotations

from dataclasses import dataclass

from striate.errors import Misfit
from striate.layers import settings
from striate.layers.base import Layer, Saved
from striate.layers.convolution import check_groups
from striate.layers.settings import Choice, Real, Whole
from striate.layers.volume import Parameters, Volume

YES_NO = Choice("yes", "no")


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Layer):
    """`bn`: batch normalisation (Ioffe and Szegedy 2015), a learned scale and shift per channel.

    `scale=no` keeps the scale at 1 (the airbench networks). `momentum` is the weight of the newest
    batch in the running statistics, PyTorch's sense.
    """

    kind = "bn"
    in_place = True

    scale: str = settings.option(YES_NO, "yes")
    eps: float = settings.option(Real(1e-12, 1), 1e-5)
    momentum: float = settings.option(Real(0, 1), 0.1)

    def parameters(self, met: Volume) -> Parameters:
        return Parameters(0, met.depth * (2 if self.scale == "yes" else 1))

    def buffers(self, met: Volume) -> int:
        return 2 * met.depth

    def operations(self, met: Volume) -> int:
        return 2 * met.size

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True, fixed=2 * met.depth)


def _several(met: Volume, sets: int) -> None:
    if met.size == sets:
        raise Misfit(
            f"normalises single values of the {met} volume",
            "minus its mean, nothing is left of a single value",
        )


def _operations(met: Volume, sets: int) -> int:
    """A mean, differences, their squares, a variance and what it divides; a scale and a shift.

    And for each set of values that is normalised, what is added to its variance and the root.
    """
    return 7 * met.size + 2 * sets


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Layer):
    """`layernorm`: each position over its channels, with a learned scale and shift per channel.

    Layer normalisation (Ba et al. 2016, arXiv:1607.06450) as ConvNeXt has it (Liu et al. 2022,
    arXiv:2201.03545).
    """

    kind = "layernorm"
    in_place = True

    eps: float = settings.option(Real(1e-12, 1), 1e-5)

    def volume(self, met: Volume) -> Volume:
        _several(met, sets=met.height * met.width)
        return met

    def parameters(self, met: Volume) -> Parameters:
        return Parameters(0, 2 * met.depth)

    def operations(self, met: Volume) -> int:
        return _operations(met, sets=met.height * met.width)

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True, values=2 * met.height * met.width)


@dataclass(frozen=True, kw_only=True)
class GroupNorm(Layer):
    """`groupnorm(32)`: groups of channels, each over all its values, with a scale and shift.

    Learned, one of each per channel (Wu and He 2018, arXiv:1803.08494).
    """

    kind = "groupnorm"
    in_place = True

    groups: int = settings.option(Whole(), position=0)
    eps: float = settings.option(Real(1e-12, 1), 1e-5)

    def volume(self, met: Volume) -> Volume:
        check_groups(met.depth, met.depth, self.groups)
        _several(met, sets=self.groups)
        return met

    def parameters(self, met: Volume) -> Parameters:
        return Parameters(0, 2 * met.depth)

    def operations(self, met: Volume) -> int:
        return _operations(met, sets=self.groups)

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True, values=2 * self.groups)


@dataclass(frozen=True, kw_only=True)
class LayerScale(Layer):
    """`layerscale(1e-6)`: a learned factor for each channel, which starts as this.

    Touvron et al. 2021, arXiv:2103.17239, section 2.
    """

    kind = "layerscale"
    in_place = True

    initial: float = settings.option(Real(), 1e-6, position=0)

    def parameters(self, met: Volume) -> Parameters:
        return Parameters(met.depth, 0)

    def operations(self, met: Volume) -> int:
        return met.size

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True)


@dataclass(frozen=True, kw_only=True)
class LocalResponseNorm(Layer):
    """`lrn(5, alpha=1e-4, beta=0.75, k=2)`: a/(k + alpha sum a^2)^beta over 5 near channels.

    The formula of Krizhevsky et al. 2012, section 3.3. Caffe, ConvNetJS and PyTorch divide alpha by
    n; the module is built so that the paper's formula holds.
    """

    kind = "lrn"
    in_place = True

    size: int = settings.option(Whole(), 5, position=0)
    alpha: float = settings.option(Real(0), 1e-4)
    beta: float = settings.option(Real(0), 0.75)
    k: float = settings.option(Real(0), 2.0)

    def operations(self, met: Volume) -> int:
        return met.size * (self.size + 4)

    def saved(self, met: Volume) -> Saved:
        neighbours = (met.depth + self.size - 1) * met.height * met.width
        return Saved(input=True, values=neighbours + 2 * met.size)


@dataclass(frozen=True, kw_only=True)
class Dropout(Layer):
    """`dropout(0.5)`: in training each value is dropped with this probability, the rest scaled up.

    What is kept for the backward pass is the mask: as floating-point values on a CPU.
    """

    kind = "dropout"
    in_place = True

    probability: float = settings.option(Real(0, 1), position=0)

    def shares(self, training: bool) -> bool:
        return not training or self.probability == 0

    def saved(self, met: Volume) -> Saved:
        if self.probability in (0, 1):  # nothing is left to chance
            return Saved(fixed=int(self.probability))
        return Saved(values=met.size)
