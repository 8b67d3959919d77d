"""Layers that move values without learning: padding, upsampling, choosing channels, shortcuts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.errors import Misfit
from striate.layers import settings
from striate.layers.base import Layer, Reach
from striate.layers.convolution import Conv, check_groups
from striate.layers.normalisation import BatchNorm
from striate.layers.settings import Choice, Extent, Whole, Wholes
from striate.layers.volume import Pair, Volume


@dataclass(frozen=True, kw_only=True)
class Identity(Layer):
    """`id`: the volume itself; the empty branch."""

    kind = "id"
    in_place = True
    view = True


@dataclass(frozen=True, kw_only=True)
class Pad(Layer):
    """`pad(1)` or `pad(1x2)`: zeros around the volume; `end` says what differs below and right."""

    kind = "pad"

    border: Pair = settings.option(Extent(0), position=0)
    end: Pair | None = settings.option(Extent(0), None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.end == self.border:  # said twice, it is the same layer
            object.__setattr__(self, "end", None)

    @property
    def after(self) -> Pair:
        """Rows below, columns on the right."""
        return self.border if self.end is None else self.end

    def volume(self, met: Volume) -> Volume:
        rows, columns = (sum(each) for each in zip(self.border, self.after, strict=True))
        return Volume(met.height + rows, met.width + columns, met.depth)

    @classmethod
    def canonical(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if settings.get("end") == settings.get("border"):
            settings.pop("end", None)
        return settings

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
class Slice(Layer):
    """`slice(0, 64)`: the channels from the first number up to, but not with, the second."""

    kind = "slice"
    in_place = True

    first: int = settings.option(Whole(0), position=0)
    stop: int = settings.option(Whole(), position=1)

    def volume(self, met: Volume) -> Volume:
        if not self.first < self.stop <= met.depth:
            raise Misfit(
                f"asks for channels {self.first} up to {self.stop} of the {met} volume",
                f"channels go from 0 to {met.depth - 1}; the second number is the first not taken",
            )
        return Volume(met.height, met.width, self.stop - self.first)


@dataclass(frozen=True, kw_only=True)
class Shuffle(Layer):
    """`shuffle(2)`: channels by turns from each of so many groups.

    Zhang et al. 2017, arXiv:1707.01083, section 3.1.
    """

    kind = "shuffle"
    in_place = True

    groups: int = settings.option(Whole(), position=0)

    def volume(self, met: Volume) -> Volume:
        check_groups(met.depth, met.depth, self.groups)
        return met


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
