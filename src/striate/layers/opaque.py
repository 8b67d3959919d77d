"""What the notation cannot express."""

from __future__ import annotations

from dataclasses import dataclass

from striate.layers import settings
from striate.layers.base import Layer
from striate.layers.settings import Identifier, Whole
from striate.layers.volume import Pair, Volume


@dataclass(frozen=True, kw_only=True)
class Opaque(Layer):
    """`opaque7x7-2048(attention)`: something that gives this volume; its cost is unknown."""

    kind = "opaque"

    extent: Pair = settings.kernel()
    depth: int = settings.units()
    name: str = settings.option(Identifier(), "unknown", position=0)
    learned: int | None = settings.option(Whole(0), None)

    def volume(self, met: Volume) -> Volume:
        return Volume(self.extent.height, self.extent.width, self.depth)
