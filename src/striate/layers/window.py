"""The arithmetic of sliding windows: (W - F + 2P)/S + 1, whole or rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from striate.errors import Misfit
from striate.layers import settings
from striate.layers.base import Layer, Reach
from striate.layers.settings import Choice, Extent
from striate.layers.volume import Pair, Volume

AXES = ("height", "width")


class Slide(NamedTuple):
    """A window sliding along one axis: all that its arithmetic needs."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def span(self) -> int:
        """How far the kernel reaches: D(F - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def room(self) -> int:
        """How far the window can slide: W - F + 2P."""
        return self.size - self.span + 2 * self.padding

    @property
    def fits(self) -> bool:
        return self.room >= 0 and self.room % self.stride == 0

    def positions(self, rounding: str) -> int:
        """How many outputs; 0 where the window is larger than the padded volume.

        `ceil` follows Caffe: the last window starts inside the volume or its leading padding.
        """
        if self.room < 0:
            return 0
        count = self.room // self.stride + 1
        if rounding == "ceil" and self.room % self.stride:
            count += count * self.stride < self.size + self.padding
        return count

    def excess(self, rounding: str) -> int:
        """Rows of the padded volume that no window reaches; negative for rows made up."""
        return self.room - (self.positions(rounding) - 1) * self.stride

    def arithmetic(self) -> str:
        """The formula with its numbers: (7 - 3)/3 + 1 = 2.33."""
        padded = f" + 2·{self.padding}" if self.padding else ""
        value = f"{self.room / self.stride + 1:.2f}".removesuffix(".00")
        spans = f", where dilation {self.dilation} makes {self.kernel} span {self.span}"
        formula = f"({self.size} - {self.span}{padded})/{self.stride} + 1 = {value}"
        return formula + (spans if self.dilation > 1 < self.kernel else "")


def _rows_and_columns(counts: Sequence[int]) -> str:
    """`1 row and 2 columns`, leaving out what there is none of."""
    words = zip(counts, ("row", "column"), strict=True)
    return " and ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in words if n > 0)


@dataclass(frozen=True, kw_only=True)
class Window(Layer):
    """A layer that slides a kernel over height and width. Not a kind of its own."""

    kernel: Pair = settings.kernel()
    stride: Pair = settings.stride()
    pad: Pair | None = settings.option(Extent(0), None)
    dilation: Pair = settings.option(Extent(), Pair(1, 1))
    rounding: str = settings.option(Choice("exact", "floor", "ceil", flags=True), "exact")

    def padding(self, met: Volume) -> Pair:
        """The zero padding on each side."""
        return self.pad or Pair(0, 0)

    def slides(self, met: Volume) -> tuple[Slide, Slide]:
        padding = self.padding(met)
        height, width = (
            Slide(
                met[axis], self.kernel[axis], self.stride[axis], padding[axis], self.dilation[axis]
            )
            for axis in (0, 1)
        )
        return height, width

    def positions(self, met: Volume) -> Pair:
        """Output height and width. Raises Misfit where the window does not fit."""
        found = self._count(met)
        if found is None:
            reasons, repairs = _reasons(self.slides(met)), self._repairs(met)
            raise Misfit(f"does not fit the {met} volume", reasons, repairs)
        return found

    def _count(self, met: Volume) -> Pair | None:
        slides = self.slides(met)
        if self.rounding == "exact" and not all(slide.fits for slide in slides):
            return None
        found = Pair(*(slide.positions(self.rounding) for slide in slides))
        return None if 0 in found else found

    def reach(self, met: Volume) -> tuple[Reach, Reach]:
        height, width = (Reach(s.span, s.stride, s.padding) for s in self.slides(met))
        return height, width

    def rounded(self, met: Volume) -> str:
        excess = [slide.excess(self.rounding) for slide in self.slides(met)]
        padding = self.padding(met)
        lost = [max(0, each - p) for each, p in zip(excess, padding, strict=True)]
        unused = [min(p, each) if each > 0 else 0 for each, p in zip(excess, padding, strict=True)]
        said = [
            ("drops", _rows_and_columns(lost), ""),
            ("drops", _rows_and_columns(unused), " of padding"),
            ("makes up", _rows_and_columns([-each for each in excess]), ""),
        ]
        return ", ".join(f"{verb} {what}{of}" for verb, what, of in said if what)

    def _repairs(self, met: Volume) -> list[str]:
        """The nearest changes that fit, each with the size it gives."""
        slides = self.slides(met)
        largest = min(1000, max(slide.stride for slide in slides))
        strides = range(largest - (slides[0].stride == slides[1].stride), 0, -1)
        padding = self.padding(met)
        most = max(padding) + min(1000, max(slide.span for slide in slides) // 2 + 1)
        pads = [p for p in range(max(0, most - 1000), most + 1) if Pair(p, p) != padding]
        by_stride = self._fitting(met, {f"stride {s}": {"stride": Pair(s, s)} for s in strides})
        by_pad = self._fitting(met, {f"pad={p}": {"pad": Pair(p, p)} for p in pads})
        by_word = self._fitting(met, {word: {"rounding": word} for word in ("floor", "ceil")})
        fits = ", ".join(sorted(by_stride[:3]) + by_pad[:1])
        says = " or ".join(by_word) if self.rounding == "exact" else ""
        parts = [fits, f"or say {says}" if fits and says else f"say {says}" if says else ""]
        return [f"fits: {'; '.join(filter(None, parts))}"] if fits or says else []

    def _fitting(self, met: Volume, changes: dict[str, dict[str, Any]]) -> list[str]:
        """Those of the changes that fit: `stride 2 -> 3x3`, `floor -> 2x2 (drops 1 row)`."""
        said = []
        for what, change in changes.items():
            changed = replace(self, **change)
            if (size := changed._count(met)) is not None:
                rounded = f" ({changed.rounded(met)})" if "rounding" in change else ""
                said.append(f"{what} -> {size.height}x{size.width}{rounded}")
        return said


def _reasons(slides: tuple[Slide, Slide]) -> str:
    """The arithmetic of the axes that do not fit, said once where both are the same."""
    reasons: dict[str, list[str]] = {}
    for axis, slide in zip(AXES, slides, strict=True):
        if slide.room < 0:
            padded = slide.size + 2 * slide.padding
            volume = "padded volume" if slide.padding else "volume"
            why = f"the kernel spans {slide.span}, the {volume} {padded}"
            reasons.setdefault(why, []).append(axis)
        elif not slide.fits:
            reasons.setdefault(slide.arithmetic(), []).append(axis)
    return "; ".join(f"{why} along {' and '.join(axes)}" for why, axes in reasons.items())
