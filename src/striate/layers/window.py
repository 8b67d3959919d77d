"""The arithmetic of sliding windows: (W - F + 2P)/S + 1, whole or rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

from striate.errors import Misfit
from striate.layers import settings
from striate.layers.base import Layer, Reach
from striate.layers.settings import BadSetting, Choice, Extent
from striate.layers.volume import Pair, Volume

AXES = ("height", "width")
MOST_TRIED = 1000


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
    def most(self) -> int:
        """The largest kernel with room to stand, at this dilation."""
        return max(1, (self.size + 2 * self.padding - 1) // self.dilation + 1)

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
        return f"({self.size} - {self.span}{padded})/{self.stride} + 1 = {value}"

    def dilated(self) -> str:
        """How a dilated kernel comes by its span, in words; empty where it is not dilated."""
        if self.dilation == 1 or self.kernel == 1:
            return ""
        return f" (a kernel of {self.kernel} dilated by {self.dilation} spans {self.span})"


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
        height, width = (
            Reach(s.span, s.stride, s.padding, 1, s.dilation) for s in self.slides(met)
        )
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
        slides, padding = self.slides(met), self.padding(met)
        stride = Pair(*(slide.stride for slide in slides))
        fits = self._kernels(met)
        fits += self._nearest(met, "stride", stride, range(max(stride), 0, -1))[2::-1]
        furthest = min(MOST_TRIED, max(slide.span for slide in slides) // 2 + 1)
        pads = range(max(0, max(padding) - MOST_TRIED), max(padding) + furthest + 1)
        near = sorted(pads, key=lambda pad: abs(pad - max(padding)))
        fits += self._nearest(met, "pad", padding, near)[:1]
        words = ("floor", "ceil") if self.rounding == "exact" else ()
        said = " or ".join(
            f"{word} -> {found.shape(met)} ({found.rounded(met)})"
            for word in words
            if (found := self._changed(met, {"rounding": word}))
        )
        parts = [", ".join(fits), f"or say {said}" if fits and said else said and f"say {said}"]
        return [f"fits: {'; '.join(filter(None, parts))}"] if fits or said else []

    def _kernels(self, met: Volume) -> list[str]:
        """The largest kernel that fits where this one spans more than the padded volume.

        A pool's stride may be stated or follow its kernel; what is said holds for both.
        """
        slides = self.slides(met)
        if all(slide.room >= 0 for slide in slides):
            return []
        kernel, stride, most = (
            Pair(*sides)
            for sides in zip(*((s.kernel, s.stride, s.most) for s in slides), strict=True)
        )
        square = range(min(most), 0, -1) if kernel.height == kernel.width else ()
        for pair in [*(Pair(n, n) for n in square[:MOST_TRIED]), Pair(*map(min, kernel, most))]:
            changes = ({"kernel": pair}, {"kernel": pair, "stride": stride})
            found = [self._changed(met, change) for change in changes]
            sizes = {fit.shape(met) for fit in found if fit}
            if all(found) and len(sizes) == 1:
                return [f"kernel {pair} -> {sizes.pop()}"]
        return []

    def _nearest(self, met: Volume, name: str, now: Pair, values: Sequence[int]) -> list[str]:
        """The values that fit in the place of a setting.

        Along both axes where the setting is the same along both; else, or where nothing fits so,
        along the axes that do not fit.
        """
        wrong = [not slide.fits for slide in self.slides(met)]
        square = [Pair(n, n) for n in values[:MOST_TRIED] if now.height == now.width]
        sides = ([n if w else old for old, w in zip(now, wrong, strict=True)] for n in values)
        return self._fitting(met, name, square) or self._fitting(
            met, name, [Pair(*each) for each in islice(sides, MOST_TRIED)]
        )

    def _fitting(self, met: Volume, name: str, pairs: Sequence[Pair]) -> list[str]:
        """Those that fit in the place of a setting, `stride 2 -> 3x3`; a few are enough."""
        sign = "=" if name == "pad" else " "
        found = ((pair, self._changed(met, {name: pair})) for pair in pairs)
        said = (f"{name}{sign}{pair} -> {fit.shape(met)}" for pair, fit in found if fit)
        return list(islice(said, 3))

    def _changed(self, met: Volume, change: dict[str, Any]) -> Window | None:
        """The layer with a change, if that fits the volume."""
        try:
            changed = replace(self, **change)
            if changed._count(met) is None:
                return None
            changed.volume(met)
        except (BadSetting, Misfit):
            return None
        return changed

    def shape(self, met: Volume) -> str:
        """Output height and width as messages say them: 3x3."""
        return "{}x{}".format(*self.positions(met))


def _reasons(slides: tuple[Slide, Slide]) -> str:
    """The arithmetic of the axes that do not fit, said once where both are the same."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for axis, slide in zip(AXES, slides, strict=True):
        why = slide.arithmetic()
        if slide.room < 0:
            padded = "padded " * (slide.padding > 0)
            size = slide.size + 2 * slide.padding
            why = f"the kernel spans {slide.span} and the {padded}volume only {size}"
        if not slide.fits:
            reasons.setdefault((why, slide.dilated()), []).append(axis)
    return "; ".join(
        f"{why} along {' and '.join(axes)}{dilated}" for (why, dilated), axes in reasons.items()
    )
