"""Layers that move values without learning: padding, upsampling, choosing channels, shortcuts."""

from __future__ import annotations

from dataclasses import dataclass

from striate.errors import Misfit
from striate.layers import settings
from striate.layers.base import Layer, Reach
from striate.layers.convolution import Conv
from striate.layers.normalisation import BatchNorm
from striate.layers.settings import Choice, Extent, Wholes
from striate.layers.volume import Pair, Volume


@dataclass(frozen=True, kw_only=True)
class Identity(Layer):
    """`id`: the volume itself; the empty branch."""

    kind = "id"
    in_place = True
    view = True


@dataclass(frozen=True, kw_only=True)
class Pad(Layer):
    """`pad(1)` or `pad(1x2)`: zeros around the volume."""

    kind = "pad"

    border: Pair = settings.option(Extent(0), position=0)

    def volume(self, met: Volume) -> Volume:
        rows, columns = self.border
        return Volume(met.height + 2 * rows, met.width + 2 * columns, met.depth)

    def reach(self, met: Volume) -> tuple[Reach, Reach]:
        return Reach(before=self.border.height), Reach(before=self.border.width)


@dataclass(frozen=True, kw_only=True)
class Upsample(Layer):
    """`upsample2` or `upsample2(bilinear)`: each row and column becomes several."""

    kind = "upsample"

    factor: Pair = settings.kernel()
    method: str = settings.option(Choice("nearest", "bilinear", flags=True), "nearest")

    def volume(self, met: Volume) -> Volume:
        return Volume(met.height * self.factor.height, met.width * self.factor.width, met.depth)

    def operations(self, met: Volume) -> int:
        return 7 * self.volume(met).size if self.method == "bilinear" else 0

    def reach(self, met: Volume) -> tuple[Reach, Reach]:
        height, width = (self._reach(factor) for factor in self.factor)
        return height, width

    def _reach(self, factor: int) -> Reach:
        """Bilinear: the source of output i lies at (i + 1/2)/S - 1/2, between two inputs."""
        if self.method == "nearest":
            return Reach(factor, 1, factor - 1, factor)
        if factor % 2:
            return Reach(2 * factor - 1, 1, 3 * (factor - 1) // 2, factor)
        return Reach(2 * factor, 1, 3 * factor // 2 - 1, factor)


@dataclass(frozen=True, kw_only=True)
class Take(Layer):
    """`take(0, 1, 2)`: these channels of the volume, counted from 0."""

    kind = "take"
    in_place = True

    channels: tuple[int, ...] = settings.option(Wholes(), position=0)

    def volume(self, met: Volume) -> Volume:
        if max(self.channels) >= met.depth:
            raise Misfit(
                f"asks for channel {max(self.channels)} of the {met} volume",
                f"channels are counted from 0 to {met.depth - 1}",
            )
        return Volume(met.height, met.width, len(self.channels))


@dataclass(frozen=True, kw_only=True)
class Shortcut(Layer):
    """`shortcut-64/2`: the volume itself where it agrees, else what makes it agree.

    The options are those of He et al. 2015, section 4.1. A: every S-th row and column, and zeros
    for the new channels; nothing is learned. B, the default: a 1x1 convolution and batch
    normalisation where the volume changes. C: the same everywhere.
    """

    kind = "shortcut"
    in_place = True

    filters: int = settings.units()
    stride: Pair = settings.stride()
    option: str = settings.option(Choice("a", "b", "c", flags=True), "b")

    def expand(self, met: Volume) -> tuple[Layer, ...]:
        """The layers that the word stands for here."""
        agrees = self.volume(met) == met
        if agrees and self.option != "c":
            return (Identity(),)
        if self.option == "a":
            return (self,)
        projection = Conv(
            kernel=Pair(1, 1), filters=self.filters, stride=self.stride, rounding="floor"
        )
        return (projection, BatchNorm())

    def volume(self, met: Volume) -> Volume:
        if self.option == "a" and self.filters < met.depth:
            raise Misfit(
                f"cannot narrow the {met} volume to {self.filters} channels",
                "option A adds channels of zeros and drops none",
                ["option b narrows, by a projection"],
            )
        return Volume(
            -(-met.height // self.stride.height), -(-met.width // self.stride.width), self.filters
        )

    def reach(self, met: Volume) -> tuple[Reach, Reach]:
        return Reach(step=self.stride.height), Reach(step=self.stride.width)
