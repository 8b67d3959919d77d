"""Where branches meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from striate.errors import Misfit
from striate.layers.base import Layer, Saved
from striate.layers.volume import Volume


def largest(volumes: Sequence[Volume]) -> Volume:
    """The largest side of all volumes along each axis."""
    return Volume(*map(max, *volumes)) if len(volumes) > 1 else volumes[0]


@dataclass(frozen=True, kw_only=True)
class Join(Layer):
    """Several volumes become one. `branches` is how many; the notation writes them out."""

    hands_on: ClassVar[bool] = True  # each branch gets its gradient as it is

    branches: int = 2

    def join(self, volumes: Sequence[Volume]) -> Volume:
        """The joined volume. Raises Misfit where the branches disagree."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Add(Join):
    """`add( ... | ... )`: the sum of volumes that are all the same."""

    kind = "add"
    in_place = True

    def join(self, volumes: Sequence[Volume]) -> Volume:
        if len(set(volumes)) > 1:
            raise Misfit("joins volumes that differ")
        return volumes[0]

    def operations(self, met: Volume) -> int:
        return (self.branches - 1) * met.size


@dataclass(frozen=True, kw_only=True)
class Mul(Join):
    """`mul( ... | ... )`: the product of volumes; a side of 1 stands for all along it.

    So a gate for each channel is a branch of one position (Hu et al. 2017, arXiv:1709.01507).
    """

    kind = "mul"
    in_place = True
    hands_on = False

    def join(self, volumes: Sequence[Volume]) -> Volume:
        joined = largest(volumes)
        sides = (zip(each, joined, strict=True) for each in volumes)
        if any(side not in (1, most) for pairs in sides for side, most in pairs):
            raise Misfit("joins volumes that differ in more than sides of 1")
        return joined

    def operations(self, met: Volume) -> int:
        return (self.branches - 1) * met.size

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True, values=(self.branches - 2) * met.size)

    def saved_of(self, volumes: Sequence[Volume], learns: Sequence[bool]) -> Saved:
        """What autograd keeps of factors that it takes from the left: each for those that learn.

        What the first several come to is a volume of its own, kept for the next if that learns.
        """
        kept, values = set[int](), 0
        for at in range(1, len(volumes)):
            if any(learns[:at]):
                kept.add(at)
            if learns[at] and at == 1:
                kept.add(0)
            elif learns[at]:
                values += largest(volumes[:at]).size
        return Saved(branches=tuple(sorted(kept)), values=values)


@dataclass(frozen=True, kw_only=True)
class Concat(Join):
    """`concat( ... | ... )`: volumes of one height and width, one behind the other in depth."""

    kind = "concat"
    in_place = True

    def join(self, volumes: Sequence[Volume]) -> Volume:
        if len({(each.height, each.width) for each in volumes}) > 1:
            raise Misfit("joins volumes whose height or width differ")
        return volumes[0]._replace(depth=sum(each.depth for each in volumes))
