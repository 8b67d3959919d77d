"""Where branches meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striate.errors import Misfit
from striate.layers.base import Layer, Saved
from striate.layers.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Join(Layer):
    """Several volumes become one. `branches` is how many; the notation writes them out."""

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

    def join(self, volumes: Sequence[Volume]) -> Volume:
        largest = Volume(*map(max, zip(*volumes, strict=True)))
        if any(
            side not in (1, most)
            for each in volumes
            for side, most in zip(each, largest, strict=True)
        ):
            raise Misfit("joins volumes that differ")
        return largest

    def saved(self, met: Volume) -> Saved:
        return Saved(input=True)


@dataclass(frozen=True, kw_only=True)
class Concat(Join):
    """`concat( ... | ... )`: volumes of one height and width, one behind the other in depth."""

    kind = "concat"
    in_place = True

    def join(self, volumes: Sequence[Volume]) -> Volume:
        if len({(each.height, each.width) for each in volumes}) > 1:
            raise Misfit("joins volumes whose height or width differ")
        return volumes[0]._replace(depth=sum(each.depth for each in volumes))
