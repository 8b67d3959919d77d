"""Pooling: windows without filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from striate.errors import Misfit
from striate.layers import settings
from striate.layers.base import Saved
from striate.layers.settings import Choice
from striate.layers.volume import Pair, Parameters, Volume
from striate.layers.window import Slide, Window


@dataclass(frozen=True, kw_only=True)
class Pool(Window):
    """A window over each channel by itself. The stride is the kernel unless stated; no padding."""

    dilates: ClassVar[bool] = True

    kernel: Pair | None = settings.kernel(None)  # type: ignore[assignment]  # None: the whole volume
    stride: Pair | None = settings.stride(None)  # type: ignore[assignment]  # None: as the kernel

    def slides(self, met: Volume) -> tuple[Slide, Slide]:
        window = self.kernel or Pair(met.height, met.width)
        step, padding = self.stride or window, self.padding(met)
        height, width = (
            Slide(met[axis], window[axis], step[axis], padding[axis], self.dilation[axis])
            for axis in (0, 1)
        )
        return height, width

    @property
    def whole(self) -> bool:
        """Global: one output for each channel, whatever the volume's size."""
        return self.kernel is None

    def volume(self, met: Volume) -> Volume:
        if not self.dilates and self.dilation != (1, 1):
            raise Misfit("cannot be dilated", f"{self.kind} has no dilation")
        if self.whole and (self.pad or self.stride or self.dilation != (1, 1)):
            raise Misfit(
                "has no kernel to move",
                "without a kernel size a pool takes the whole volume",
                [f"say {self.kind}2, or leave out stride, pad and dilation"],
            )
        if any(2 * slide.padding > slide.kernel for slide in self.slides(met)):
            most = min(slide.kernel for slide in self.slides(met)) // 2
            raise Misfit(
                f"pads more than half of its kernel {self.kernel}",
                "a window could see padding alone",
                [f"pad up to {most}"],
            )
        if any(slide.padding and slide.dilation > slide.size for slide in self.slides(met)):
            raise Misfit(
                f"is dilated beyond the {met} volume",
                "a window could see padding alone",
                ["pad=0, or a smaller dilation"],
            )
        return Volume(*self.positions(met), met.depth)

    def window_size(self, met: Volume) -> int:
        height, width = self.slides(met)
        return height.kernel * width.kernel

    @classmethod
    def canonical(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if settings.get("stride") == settings.get("kernel"):
            settings.pop("stride", None)
        return settings


@dataclass(frozen=True, kw_only=True)
class MaxPool(Pool):
    """`maxpool3/2`: the largest value of each window; bare, of each channel."""

    kind = "maxpool"

    def operations(self, met: Volume) -> int:
        return self.volume(met).size * (self.window_size(met) - 1)

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True, indices=self.volume(met).size)


@dataclass(frozen=True, kw_only=True)
class AvgPool(Pool):
    """`avgpool5/3`: the mean of each window, padding counted as zeros; bare, of each channel.

    `inside` counts only what lies inside the volume.
    """

    kind = "avgpool"
    dilates = False

    counted: str = settings.option(Choice("padded", "inside", flags=True), "padded")

    def operations(self, met: Volume) -> int:
        return self.volume(met).size * self.window_size(met)

    def saved(self, met: Volume) -> Saved:
        return Saved(input=not self.whole)


@dataclass(frozen=True, kw_only=True)
class Subsample(Pool):
    """`subsample2`: LeNet-5's S layers: the sum of each window, times a coefficient, plus a bias.

    One learned coefficient and one learned bias for each channel (LeCun et al. 1998, section II.B).
    The squashing that follows is a word of its own.
    """

    kind = "subsample"
    dilates = False

    def parameters(self, met: Volume) -> Parameters:
        return Parameters(met.depth, met.depth)

    def operations(self, met: Volume) -> int:
        return self.volume(met).size * (self.window_size(met) + 1)

    def saved(self, met: Volume) -> Saved:
        return self.saved_first(met)._replace(input=True)

    def saved_first(self, met: Volume) -> Saved:
        return Saved(values=self.volume(met).size)
