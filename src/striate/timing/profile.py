"""Where the time of training goes: layer by layer, forward and backward, beside what was counted.

Real training steps on noise are timed twice: as they are, and with timers at every module
(`timers.py`). The layers' times are the timers'; what they leave of the plain steps' time is said
as spent outside the layers: the loss, sums of gradients where branches part, calls between layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from torch import nn

from striate.account import Row
from striate.compute import Compute
from striate.layers import Volume
from striate.network import Network
from striate.recipes import Recipe
from striate.timing.calls import Call
from striate.timing.machine import Rates, rates
from striate.timing.rehearsal import Rehearsal, laps_of
from striate.timing.rows import PER_MAC, layers_of, names_of, products, require_layers, rows_of
from striate.timing.timers import Timed

WARM_UP = 4  # steps until the memory that training needs is the process's own
STEPS = 9  # at most, without timers and with them ...
SECONDS = 10.0  # ... and not many longer than this
CALLS = 10  # times the least time: from there on a layer is bound by neither work nor traffic


@dataclass(frozen=True)
class Timing:
    """A layer, or several computed at once, in a training step.

    Attributes:
        name: of the layer's row in the table; of several `conv1.bn1+relu1`.
        kind: of the layer, or several: `bn+relu`.
        volume: that it leaves, of one image.
        macs: multiply-adds of the batch, forward.
        bytes: read and written at least, forward and backward, in the precision it had.
        flops: forward and backward, two for each multiply-add.
        forward, backward: seconds.
        limit: seconds that the machine needs at least, by its measured rates.
        bound: what sets that limit, arithmetic or memory; calls, where it is far from both.
    """

    name: str
    kind: str
    volume: Volume
    macs: int
    bytes: int
    flops: int
    forward: float
    backward: float
    limit: float
    bound: str

    @property
    def seconds(self) -> float:
        return self.forward + self.backward

    @property
    def rate(self) -> float:
        """FLOP/s."""
        return self.flops / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Profile:
    """A training step, taken apart.

    Attributes:
        batch: images in it.
        layers: in the order of the forward pass.
        outside: seconds of all else, by what it is.
        step: seconds of a whole step, without timers.
    """

    network: Network
    compute: Compute
    rates: Rates
    batch: int
    layers: tuple[Timing, ...]
    outside: dict[str, float]
    step: float

    @property
    def flops(self) -> int:
        return sum(each.flops for each in self.layers)

    @property
    def share(self) -> float:
        """Of the machine's matrix-product peak, over the whole step."""
        return self.flops / self.step / self.rates.products

    @property
    def limit(self) -> float:
        """Seconds of a step whose every layer ran at its limit."""
        return sum(each.limit for each in self.layers)


def profile(
    network: Network, recipe: Recipe, compute: Compute, *, batch: int | None = None
) -> Profile:
    """Train some steps and see where their time goes.

    Args:
        batch: images in a step; by default the recipe's.

    Raises:
        DataError: the network cannot be trained to tell classes apart.
        RunError: the recipe cannot be followed, or the engine has no layers to look at.
    """
    require_layers(compute)
    batch = batch or recipe.batch
    rehearsal = Rehearsal(network, recipe, compute, batch, WARM_UP + 2 * STEPS)
    rehearsal.steps(WARM_UP)
    plain = rehearsal.steps(STEPS, SECONDS)
    timed = rehearsal.timed(STEPS, SECONDS)
    found = rates(compute)
    layers = timings(network, rehearsal.model, timed, found)
    laps = laps_of(plain)
    step = sum(laps.values())
    inside = {what: sum(getattr(each, what) for each in layers) for what in ("forward", "backward")}
    outside = {
        "feeding": laps["waiting"],
        "between layers, loss": max(0.0, laps["forward"] - inside["forward"]),
        "between layers, backward": max(0.0, laps["backward"] - inside["backward"]),
        "update": laps["update"],
    }
    return Profile(network, compute, found, batch, layers, outside, step)


def timings(
    network: Network, model: nn.Module, steps: Sequence[Timed], rates: Rates
) -> tuple[Timing, ...]:
    """Steps that were timed, as layers of the network; medians over the steps."""
    rows, modules = rows_of(network), names_of(model)
    calls: dict[tuple[str, ...], list[Call]] = defaultdict(list)
    for call in steps[-1].calls:
        if not call.idle and (layers := layers_of(call, rows, modules)):
            calls[layers].append(call)
    found = []
    for layers, made in calls.items():
        names = {call.name for call in made}
        forward, backward = (
            median(sum(spent.get(name, 0.0) for name in names) for spent in passes)
            for passes in ([step.forward for step in steps], [step.backward for step in steps])
        )
        found.append(_timing([rows[each] for each in layers], made, forward, backward, rates))
    return tuple(found)


def _timing(
    rows: list[Row], calls: list[Call], forward: float, backward: float, rates: Rates
) -> Timing:
    batch = calls[0].gave[0].shape[0]
    macs = batch * sum(row.known("macs") for row in rows)
    flops = PER_MAC * macs * max(map(products, calls))
    moved = sum(call.forward_bytes + call.backward_bytes for call in calls)
    limit = rates.seconds(flops, moved)
    bound = "arithmetic" if flops / rates.products > moved / rates.traffic else "memory"
    if forward + backward > CALLS * limit:
        bound = "calls"
    # A part that is computed as a whole, as LeNet-5's C3, goes by its own name, its join's.
    whole = any(row.name == call.name for row in rows for call in calls)
    shown = [row for row in rows if not whole or row.name in {call.name for call in calls}]
    others = (row.name.rpartition(".")[2] for row in shown[1:])
    return Timing(
        name="+".join([shown[0].name, *others]),
        kind="+".join(row.kind for row in shown),
        volume=shown[-1].volume,
        macs=macs,
        bytes=moved,
        flops=flops,
        forward=forward,
        backward=backward,
        limit=limit,
        bound=bound,
    )
