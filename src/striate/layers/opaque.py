"""What the notation cannot express."""

from __future__ import annotations

from dataclasses import dataclass

from striate.layers import settings
from striate.layers.base import Layer
from striate.layers.settings import Identifier, Whole
from striate.layers.volume import Pair, Parameters, Volume


@dataclass(frozen=True, kw_only=True)
class Opaque(Layer):
    """`opaque7x7-2048(attention)`: something of this name that gives this volume.

    What it costs is not known, but for its parameters where they are stated. It is there so that
    all around it can be counted and looked at, and cannot be built.
    """

    kind = "opaque"

    extent: Pair = settings.kernel()
    depth: int = settings.units()
    name: str = settings.option(Identifier(), "unknown", position=0)
    learned: int | None = settings.option(Whole(0), None)

    def volume(self, met: Volume) -> Volume:
        return Volume(self.extent.height, self.extent.width, self.depth)

    def parameters(self, met: Volume) -> Parameters | None:
        return None if self.learned is None else Parameters(self.learned, 0)

    def buffers(self, met: Volume) -> None:
        return None

    def macs(self, met: Volume) -> None:
        return None

    def operations(self, met: Volume) -> None:
        return None

    def saved(self, met: Volume) -> None:
        return None

    def reach(self, met: Volume) -> None:
        return None
