"""How long training will take on this machine, and how much memory, before it begins.

A step is the sum of parts, measured where that is short and reckoned where it is not:

- each layer forward and backward, by itself, once for all layers that are alike (`alone.py`). Where
  a whole batch would take long, fewer images are taken, and the time grows with the larger of MACs
  over the machine's matrix-product peak and bytes over its traffic with memory;
- sums of gradients where branches part, by themselves;
- what lies between the layers: a few steps of two images, less their layers;
- feeding, the first and the last move of a batch and the loss: steps of the same batch, through a
  network that does next to nothing;
- the update: it does not depend on the batch, and is that of the steps of two images.

The network itself never sees a whole batch. Readings are kept in the user's cache folder, and the
next estimate takes them from there. Memory is reckoned from the accounting, and from what the steps
of two images keep for their backward passes (`needs.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from striate.compute import Compute
from striate.data.tell import Tell, silent
from striate.host import quiet
from striate.layers import Volume
from striate.network import Network
from striate.recipes import Recipe
from striate.records import Stepped
from striate.timing.alone import around, name_of, work_of
from striate.timing.calls import Call, Met
from striate.timing.machine import Readings, memory
from striate.timing.needs import needs, require_memory
from striate.timing.rehearsal import Rehearsal, laps_of
from striate.timing.rows import require_layers
from striate.timing.work import FEW, Work

WARM_UP = 3
STEPS = 24  # of each kind at most ...
SECONDS = 0.4  # ... and not many longer than this
# Of the zoo's 63 networks 57 took between 1 / (1 + WITHIN) and 1 + WITHIN of the time foretold
# (bench/results/estimate-*).
WITHIN = 0.2


@dataclass(frozen=True)
class Estimate:
    """What training is to take.

    Attributes:
        batch: images in a step.
        parts: seconds of a step, by what is done.
        memory: bytes at the most.
        room: bytes that there are.
        within: of the time by which most networks' differ, as it was measured: a fraction.
        quiet: whether no other program was at work.
        images: to train on, in an epoch; 0 where none were named.
        scored: images scored after each epoch, and after the last.
        epochs: of the run.
    """

    network: Network
    compute: Compute
    batch: int
    parts: dict[str, float]
    memory: int
    room: int
    within: float = WITHIN
    quiet: bool = True
    images: int = 0
    scored: tuple[int, int] = (0, 0)
    epochs: int = 0

    @property
    def step(self) -> float:
        """Seconds of a step of a whole batch."""
        return sum(self.parts.values())

    @property
    def epoch(self) -> float:
        """Seconds of an epoch, with the images scored after it."""
        return self.images / self.batch * self.step + self._scoring(self.scored[0])

    @property
    def run(self) -> float:
        """Seconds of all epochs and of scoring the test images after them."""
        return self.epochs * self.epoch + self._scoring(self.scored[1])

    def _scoring(self, images: int) -> float:
        return images / self.batch * (self.parts["feeding"] + self.parts["forward"])


def estimate(
    network: Network,
    recipe: Recipe,
    compute: Compute,
    *,
    volume: Volume | None = None,
    room: int | None = None,
    readings: Readings | None = None,
    tell: Tell = silent,
) -> Estimate:
    """Foretell a training step.

    Args:
        recipe: says the batch, the update rule and what is done to images.
        volume: of the images before they are fitted to the network; by default its input's.
        room: bytes of memory; by default those that this machine has.
        readings: where those are kept that were taken before, and these will be.
        tell: told how many layers are timed, of how many.

    Raises:
        DataError: the network cannot be trained to tell classes apart.
        RunError: the recipe cannot be followed, or training needs more memory than there is.
    """
    require_layers(compute)
    room = memory(compute.device) if room is None else room
    require_memory(needs(network, recipe, compute), recipe.batch, room)
    readings, still = readings or Readings(), quiet()
    few = Rehearsal(network, replace(recipe, accumulate=1), compute, FEW, 3 * STEPS + WARM_UP + 1)
    few.steps(WARM_UP)
    kept = few.kept()
    most = require_memory(needs(network, recipe, compute, kept), recipe.batch, room)
    laps, timed = laps_of(few.steps(STEPS, SECONDS)), few.timed(STEPS, SECONDS)
    calls = [call for call in timed[-1].calls if not call.idle and work_of(call) is not None]
    own = {"forward": _inside(calls, [each.forward for each in timed])}
    own["backward"] = _inside(calls, [each.backward for each in timed])

    others = around(recipe.batch * kept.image // recipe.accumulate, len(calls))
    work = Work(network, few.model, recipe, compute, readings, others)
    kinds = {name_of(call): call for call in calls}
    for number, call in enumerate([*kinds.values(), *kinds.values()]):
        tell("timing layers one by one", number + 1, 2 * len(kinds))
        work.layer(call, again=number >= len(kinds))
    times = {name: work.layer(call) for name, call in kinds.items()}
    spent = {"forward": sum(times[name_of(call)].forward for call in calls)}
    spent["backward"] = sum(times[name_of(call)].backward for call in calls)
    spent["backward"] += sum(work.sum(met) * more for met, more in _partings(calls).items())
    laps = _lower(laps, laps_of(few.steps(STEPS, SECONDS)))
    least = laps_of(_frame(network, recipe, compute, FEW, volume))
    frame = laps_of(_frame(network, recipe, compute, recipe.batch, volume))
    if still:  # what was measured beside another program holds for now alone
        readings.save()

    def passes(what: str) -> float:
        between = max(0.0, laps[what] - own[what] - least[what])
        return recipe.accumulate * (spent[what] + between) + frame[what]

    parts = {
        "feeding": frame["waiting"],
        "forward": passes("forward"),
        "backward": passes("backward"),
        "update": laps["update"],
    }
    return Estimate(network, compute, recipe.batch, parts, most, room, quiet=still)


def _lower(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Of two readings the lower: another program may have been at work."""
    return {what: min(seconds, other[what]) for what, seconds in one.items()}


def _inside(calls: Sequence[Call], spent: Sequence[Mapping[str, float]]) -> float:
    """Seconds in the layers themselves, medians over steps."""
    return sum(median(each.get(name, 0.0) for each in spent) for name in {c.name for c in calls})


def _frame(
    network: Network, recipe: Recipe, compute: Compute, batch: int, volume: Volume | None
) -> list[Stepped]:
    """Steps of a batch through next to nothing: what is fed, moved and judged."""
    nothing = Network.parse(f"[{network.input}] avgpool fc-{network.output.depth} softmax")
    recipe = replace(recipe, whiten=False, accumulate=1)
    rehearsal = Rehearsal(nothing, recipe, compute, batch, STEPS + WARM_UP, volume)
    rehearsal.steps(WARM_UP)
    return rehearsal.steps(STEPS, SECONDS)


def _partings(calls: Sequence[Call]) -> dict[Met, int]:
    """Volumes that several layers read, with how many gradients are added to the first."""
    met = {each.key: each for call in calls for each in call.met if each.learns}
    readers = Counter(each.key for call in calls for each in call.met if each.learns)
    found: Counter[Met] = Counter()
    for key, times in readers.items():
        if times > 1:
            found[met[key]] += times - 1
    return found
