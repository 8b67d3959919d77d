"""What a network's layers take on a whole batch: measured by themselves, or grown from fewer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

import torch
from torch import nn

from striate.account import Row
from striate.compute import Compute
from striate.network import Network
from striate.recipes import Recipe
from striate.timing.alone import Around, Times, alone, name_of, noise
from striate.timing.calls import Call, Met
from striate.timing.machine import Rates, Readings, rates, turns
from striate.timing.rows import PER_MAC, layers_of, names_of, products, rows_of

FEW = 2  # images; batch normalisation needs more than one
LONG = 0.1  # seconds at least of one layer, from which on fewer images are timed


@dataclass(frozen=True)
class Work:
    """Readings of a network's layers on a batch, taken where there are none.

    Attributes:
        others: what other layers work on while one does.
    """

    network: Network
    model: nn.Module
    recipe: Recipe
    compute: Compute
    readings: Readings
    others: Around

    @property
    def batch(self) -> int:
        """Images that go through the network at once."""
        return -(-self.recipe.batch // self.recipe.accumulate)

    @cached_property
    def rates(self) -> Rates:
        return rates(self.compute, self.readings)

    def layer(self, call: Call, again: bool = False) -> Times:
        """A layer's times on a batch; `again` as for `Readings.get`."""
        names = layers_of(call, self._rows, self._names)
        macs = sum(self._rows[name].known("macs") for name in names)
        images, whole = self.batch, self._least(call, macs, self.batch)
        while images > FEW and self._least(call, macs, images) > LONG:
            images = max(FEW, images // 2)
        grown = whole / self._least(call, macs, images) if images < self.batch else 1.0
        name = f"{name_of(call)} {images} {tuple(self.others)} {self._where}"
        found = self.readings.get(
            name, lambda: alone(call, images, self.compute, self.others), again
        )
        return Times(*(grown * each for each in found))

    def sum(self, met: Met) -> float:
        """Seconds that two gradients of a volume take to be added up."""
        name = f"sum {met.shape[1:]} {met.kind} {self.batch} {self._where}"

        def measure() -> list[float]:
            one, other = (noise(met, self.batch, self.compute.device) for _ in range(2))
            return [median(turns(lambda: one + other, self.compute.device))]

        with torch.no_grad():
            return self.readings.get(name, measure)[0]

    @cached_property
    def _rows(self) -> dict[str, Row]:
        return rows_of(self.network)

    @cached_property
    def _names(self) -> dict[nn.Module, str]:
        return names_of(self.model)

    @property
    def _where(self) -> str:
        return str(replace(self.compute, reason=""))

    def _least(self, call: Call, macs: int, images: int) -> float:
        flops = PER_MAC * macs * products(call) * images
        moved = images * sum(each.bytes // each.shape[0] for each in (*call.met, *call.gave))
        return max(self.rates.seconds(flops, 2 * moved + 3 * call.weights), 1e-9)
