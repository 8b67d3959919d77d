"""What a tensor is while a module is traced: a volume in some order of axes, or a constant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from striate.layers import Volume

# Orders of axes. N is the images; D, H, W depth, height and width.
SPATIAL = "NDHW"
LAST = "NHWD"  # channels last, as layer normalisation wants it
FLAT = "NK"  # all values in a row
ROWS = "NL"  # all values in a row, as they lie with channels last
LINE = "NDP"  # all positions in a row
TOKENS = "NPD"  # ... and channels last, as attention wants them
GROUPED = "NGCHW"  # the channels of each group together
SHUFFLED = "NCGHW"
CHANNELS = {SPATIAL: 1, FLAT: 1, LINE: 1, LAST: 3, TOKENS: 2}  # on which axis channels stand


class Unknown(Exception):
    """What is asked for is none of the layers that there are."""


class Constant(NamedTuple):
    """A tensor that does not depend on the image.

    Attributes:
        name: of the parameter or buffer that it is, in whatever shape; empty for anything else.
        read: the parameters that it comes from, where it is none itself.
    """

    name: str
    shape: tuple[int, ...]
    read: frozenset[str] = frozenset()

    @property
    def used(self) -> frozenset[str]:
        return frozenset([self.name]) if self.name else self.read

    @property
    def size(self) -> int:
        size = 1
        for side in self.shape:
            size *= side
        return size


@dataclass(frozen=True)
class Value:
    """A node's volume as a tensor.

    Attributes:
        order: of the tensor's axes.
        volume: None where the tensor is no volume.
        groups: of its channels, in an order that has them.
        stretched: whether its one position stands for many.
        origin: where the tensor is no volume, the last one that it comes from.
    """

    node: int
    order: str
    volume: Volume | None
    groups: int = 1
    stretched: bool = False
    origin: Value | None = None

    @property
    def spread(self) -> bool:
        """Whether it is flat where its node's volume is not."""
        return self.order == FLAT and self.volume is not None and self.volume[:2] != (1, 1)

    @property
    def rank(self) -> int:
        """How many axes its tensor has; raises Unknown where that is not known."""
        if self.volume is None:
            raise Unknown
        return len(self.shape()) + 1

    def met(self, *orders: str) -> Volume:
        """The volume, where the axes are in one of these orders; raises Unknown."""
        if self.volume is None or self.order not in orders or self.stretched:
            raise Unknown
        return self.volume

    def ordered(self, order: str) -> Value:
        return replace(self, order=order)

    def shape(self) -> tuple[int, ...]:
        """Of the tensor, without its number of images."""
        if self.volume is None:
            return ()
        height, width, depth = self.volume
        each = depth // self.groups
        return {
            SPATIAL: (depth, height, width),
            LAST: (height, width, depth),
            FLAT: (height * width * depth,),
            ROWS: (height * width * depth,),
            LINE: (depth, height * width),
            TOKENS: (height * width, depth),
            GROUPED: (self.groups, each, height, width),
            SHUFFLED: (each, self.groups, height, width),
        }[self.order]

    def channels(self) -> tuple[int, ...]:
        """The shape of a number for each channel; raises Unknown where they have no one axis."""
        if self.volume is None or self.order not in CHANNELS:
            raise Unknown
        found = [1] * len(self.shape())
        found[CHANNELS[self.order] - 1] = self.volume.depth
        return tuple(found)

    def against(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A constant's shape as it stands beside the tensor's, without its number of images."""
        rank = len(self.shape())
        while len(shape) > rank and shape[0] == 1:
            shape = shape[1:]
        return (1,) * (rank - len(shape)) + shape

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises Unknown where the tensor has not the shape that is expected of it."""
        if not self.stretched and (self.volume is None or shape[1:] != self.shape()):
            raise Unknown
