"""Convolution and transposed convolution."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, isqrt

from striate.errors import Misfit
from striate.layers import settings
from striate.layers.base import Layer, Reach, Saved
from striate.layers.settings import Choice, Extent, Whole
from striate.layers.volume import Pair, Parameters, Volume
from striate.layers.window import AXES, Window

BIAS = Choice("auto", "yes", "no", "point")


def check_groups(depth: int, filters: int, groups: int) -> None:
    """Groups split both the volume's depth and the filters evenly, else Misfit."""
    for what, count in (("depth", depth), ("number of filters", filters)):
        if count % groups:
            common = gcd(depth, filters)
            halves = [n for n in range(1, isqrt(common) + 1) if common % n == 0]
            every = sorted({*halves, *(common // n for n in halves)})
            near = [n for n in every if n < groups][-3:] + [n for n in every if n > groups][:1]
            raise Misfit(
                f"cannot make {groups} groups",
                f"the {what}, {count}, is no multiple of {groups}",
                [f"groups that fit: {', '.join(map(str, near))}"],
            )


@dataclass(frozen=True, kw_only=True)
class Conv(Window):
    """`conv3-64/2(pad=1, groups=2)`: 64 filters of 3x3 over the whole depth of the volume.

    Without `pad`, zero padding keeps the size at stride 1: P = D(F - 1)/2. `bias=point` learns one
    bias for each position instead of each filter (AlphaGo's last layer, Silver et al. 2016).
    With `bias=auto`, the default, there is a bias unless the next word is `bn`.
    """

    kind = "conv"

    filters: int = settings.units()
    groups: int = settings.option(Whole(), 1)
    bias: str = settings.option(BIAS, "auto")

    def padding(self, met: Volume) -> Pair:
        if self.pad is not None:
            return self.pad
        spare = [d * (f - 1) for d, f in zip(self.dilation, self.kernel, strict=True)]
        if any(each % 2 for each in spare):
            pads = [Pair(*((each + up) // 2 for each in spare)) for up in (0, 1)]
            options = [
                (f"pad={pad}{word}", {"pad": pad, "rounding": word[2:] or self.rounding})
                for word in ("", ", floor")
                for pad in pads
            ]
            fits = [
                f"{option} -> {found.shape(met)}"
                for option, change in options
                if (found := self._changed(met, change))
            ][:2]
            raise Misfit(
                f"has no padding that keeps the size of the {met} volume",
                f"an even kernel {self.kernel} cannot be centred",
                [f"fits: {' or '.join(fits)}"],
            )
        return Pair(spare[0] // 2, spare[1] // 2)

    def volume(self, met: Volume) -> Volume:
        check_groups(met.depth, self.filters, self.groups)
        return Volume(*self.positions(met), self.filters)

    def parameters(self, met: Volume) -> Parameters:
        weights = self.kernel.height * self.kernel.width * met.depth * self.filters // self.groups
        if self.bias == "point":
            height, width = self.positions(met)
            return Parameters(weights, height * width)
        return Parameters(weights, self.filters if self.bias != "no" else 0)

    def macs(self, met: Volume) -> int:
        height, width = self.positions(met)
        return height * width * self.parameters(met).weights

    def operations(self, met: Volume) -> int:
        return self.volume(met).size if self.bias != "no" else 0

    def made_up(self, met: Volume) -> Pair:
        """Rows and columns of zeros that `ceil` adds at the end."""
        return Pair(*(max(0, -slide.excess(self.rounding)) for slide in self.slides(met)))

    def saved(self, met: Volume) -> Saved:
        rows, columns = self.made_up(met)
        if rows or columns:  # then it works on a larger copy
            return Saved(values=(met.height + rows) * (met.width + columns) * met.depth)
        return Saved(input=True)


@dataclass(frozen=True, kw_only=True)
class Deconv(Layer):
    """`deconv4-64/2(pad=1)`: transposed convolution, (W - 1)S + D(F - 1) + 1 - 2P + extra.

    `extra` rows and columns at the end choose among the sizes that a strided convolution would have
    mapped to the same one (PyTorch's output_padding; smaller than stride or dilation).
    """

    kind = "deconv"

    kernel: Pair = settings.kernel()
    filters: int = settings.units()
    stride: Pair = settings.stride()
    pad: Pair = settings.option(Extent(0), Pair(0, 0))
    extra: Pair = settings.option(Extent(0), Pair(0, 0))
    dilation: Pair = settings.option(Extent(), Pair(1, 1))
    groups: int = settings.option(Whole(), 1)
    bias: str = settings.option(Choice("auto", "yes", "no"), "auto")

    def volume(self, met: Volume) -> Volume:
        check_groups(met.depth, self.filters, self.groups)
        for axis in (0, 1):
            if self.extra[axis] >= max(self.stride[axis], self.dilation[axis]):
                raise Misfit(
                    f"cannot have {self.extra} as its extra",
                    f"it must be smaller than the stride or the dilation along {AXES[axis]}",
                    [f"extra up to {max(self.stride[axis], self.dilation[axis]) - 1}"],
                )
        sizes = [
            (met[axis] - 1) * self.stride[axis]
            + self._span(axis)
            - 2 * self.pad[axis]
            + self.extra[axis]
            for axis in (0, 1)
        ]
        if min(sizes) < 1:
            axis = sizes.index(min(sizes))
            extra = f" + {self.extra[axis]}" if self.extra[axis] else ""
            least = Pair(
                *(
                    p + (size - 1) // 2 if size < 1 else p
                    for p, size in zip(self.pad, sizes, strict=True)
                )
            )
            raise Misfit(
                f"leaves nothing of the {met} volume",
                f"({met[axis]} - 1)·{self.stride[axis]} + {self._span(axis)}"
                f" - 2·{self.pad[axis]}{extra} = {sizes[axis]} along {AXES[axis]}",
                [f"fits: pad up to {least}"],
            )
        return Volume(sizes[0], sizes[1], self.filters)

    def _span(self, axis: int) -> int:
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def parameters(self, met: Volume) -> Parameters:
        weights = self.kernel.height * self.kernel.width * met.depth * self.filters // self.groups
        return Parameters(weights, self.filters if self.bias != "no" else 0)

    def macs(self, met: Volume) -> int:
        return met.height * met.width * self.parameters(met).weights

    def operations(self, met: Volume) -> int:
        return self.volume(met).size if self.bias != "no" else 0

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True)

    def reach(self, met: Volume) -> tuple[Reach, Reach]:
        height, width = (
            Reach(
                self._span(axis),
                1,
                self._span(axis) - 1 - self.pad[axis],
                self.stride[axis],
                self.dilation[axis],
            )
            for axis in (0, 1)
        )
        return height, width
