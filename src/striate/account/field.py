"""Receptive fields: which input positions one output position sees, along each axis.

A field is exact and static. Output `i` sees the inputs from `low(i)` to `high(i)`; both are
periodic in `i`, because a transposed convolution treats its outputs in turns: `low(i + period)` is
`low(i) + shift`. For everything without upsampling the period is 1 and this is the recurrence
r <- r + (F - 1) j, j <- j S of the lectures, with the offset kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from math import gcd, lcm

from striate.layers import Join, Reach, Volume
from striate.layers.base import SAME_PLACE
from striate.steps import INPUT, Step

LONGEST_PERIOD = 1024

Interval = tuple[int, int] | None


@dataclass(frozen=True)
class Sight:
    """What the outputs of a layer see along one axis; None in the table: nothing at all.

    With a shift of 0 every output sees the same: behind a gate that looked at the whole volume.
    """

    shift: int = 1
    table: tuple[Interval, ...] = ((0, 0),)

    @property
    def period(self) -> int:
        return len(self.table)

    def at(self, output: int) -> Interval:
        turn, phase = divmod(output, self.period)
        seen = self.table[phase]
        return seen and (seen[0] + turn * self.shift, seen[1] + turn * self.shift)

    @cached_property
    def size(self) -> int:
        """The widest view of any output."""
        return max((seen[1] - seen[0] + 1 for seen in self.table if seen), default=0)

    @property
    def jump(self) -> Fraction:
        return Fraction(self.shift, self.period)


def hull(seen: Sequence[Interval]) -> Interval:
    """From the first position to the last that any of them sees."""
    known = [each for each in seen if each]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


@lru_cache(maxsize=4096)
def through(sight: Sight | None, reach: Reach) -> Sight | None:
    """What is seen through one more layer; None where the pattern is too long to be followed."""
    if sight is None or reach == SAME_PLACE:
        return sight
    cycle = reach.spread * sight.period
    period = cycle // gcd(cycle, reach.step)
    if period > LONGEST_PERIOD:
        return None
    table = tuple(_view(sight, reach, output) for output in range(period))
    return reduced(Sight(sight.shift * (reach.step * period // cycle), table))


def _view(sight: Sight, reach: Reach, output: int) -> Interval:
    """An output sees what its taps see; a transposed convolution's taps may fall between inputs.

    Taps take turns as what they see does, so that some at either end reach as far as all.
    """
    start, taps = output * reach.step - reach.before, (reach.span - 1) // reach.skip
    turns = reach.spread // gcd(reach.spread, reach.skip) * sight.period
    near = range(min(taps, turns) + 1)
    far = range(max(0, taps - turns), taps + 1)
    places = [start + reach.skip * tap for tap in (*near, *far)]
    return hull([sight.at(place // reach.spread) for place in places if place % reach.spread == 0])


def reduced(sight: Sight) -> Sight:
    """The same with the shortest period."""
    for period in range(1, sight.period):
        if sight.period % period == 0 and sight.shift * period % sight.period == 0:
            shift = sight.shift * period // sight.period
            shorter = Sight(shift, sight.table[:period])
            if all(shorter.at(i) == sight.at(i) for i in range(sight.period)):
                return shorter
    return sight


def together(sights: Sequence[Sight]) -> Sight:
    """What outputs see that see through several paths at the same jump."""
    if len(set(sights)) == 1:
        return sights[0]
    period = lcm(*(each.period for each in sights))
    table = tuple(hull([each.at(i) for each in sights]) for i in range(period))
    return reduced(Sight(sights[0].shift * period // sights[0].period, table))


@dataclass(frozen=True)
class Axis:
    """The receptive field along one axis.

    Attributes:
        sight: everything seen over all paths; None where it is unknown.
        narrow: what is seen over the narrowest path.
        aligned: whether all paths that meet are centred on the same input position.
    """

    sight: Sight | None = Sight()
    narrow: Sight | None = Sight()
    aligned: bool = True

    @property
    def size(self) -> int | None:
        """Input positions from the first to the last one seen, the most of any output."""
        return self.sight.size if self.sight else None

    @property
    def smallest(self) -> int | None:
        """The same over the narrowest path (id in a residual block)."""
        return self.narrow.size if self.narrow else None

    @property
    def jump(self) -> Fraction | None:
        """Input positions from one output to the next."""
        return self.sight.jump if self.sight else None

    @property
    def start(self) -> int | None:
        """The first input position that output 0 sees; negative in the padding."""
        seen = self.sight.at(0) if self.sight else None
        return seen[0] if seen else None

    @property
    def offset(self) -> Fraction | None:
        """The centre of what output 0 sees, in input positions counted from 0."""
        seen = self.sight.at(0) if self.sight else None
        return Fraction(seen[0] + seen[1], 2) if seen else None

    def through(self, reach: Reach) -> Axis:
        if reach == SAME_PLACE:
            return self
        sight = through(self.sight, reach)
        narrow = sight if self.narrow is self.sight else through(self.narrow, reach)
        return Axis(sight, narrow, self.aligned)


def spread(axis: Axis, positions: int, outputs: int) -> Axis:
    """The field of a factor whose one position stands for all outputs of a product."""
    if positions == outputs:
        return axis
    sight, narrow = (each and Sight(0, (each.at(0),)) for each in (axis.sight, axis.narrow))
    return Axis(sight, narrow, axis.aligned)


def joined(axes: Sequence[Axis], outputs: int) -> Axis:
    """The field behind a join that has so many outputs along the axis."""
    if all(axis is axes[0] for axis in axes):
        return axes[0]
    sights = [axis.sight for axis in axes if axis.sight]
    narrows = [axis.narrow for axis in axes if axis.narrow]
    if len(sights) < len(axes) or len(narrows) < len(axes):
        return Axis(None, None, all(axis.aligned for axis in axes))
    if outputs == 1:  # then jumps do not matter
        longest = max(each.shift for each in sights)
        sights = [Sight(longest, each.table[:1]) for each in sights]
        narrows = [Sight(longest, each.table[:1]) for each in narrows]
    narrow = min(narrows, key=lambda each: each.size)
    still = [each for each in sights if not each.shift]
    if still:
        whole, aligned = together(still), all(axis.aligned for axis in axes)
        if all(each in still or _within(each, whole, outputs) for each in sights):
            return Axis(whole, narrow, aligned)
    if len({each.jump for each in sights}) > 1:
        return Axis(None, None, False)  # no pattern holds for all outputs
    period = lcm(*(each.period for each in sights))
    centred = len({_centres(each, period) for each in sights}) == 1
    return Axis(together(sights), narrow, centred and all(axis.aligned for axis in axes))


def _within(sight: Sight, whole: Sight, outputs: int) -> bool:
    """Whether no output sees beyond what they all see. The first turns reach lowest, the last ones
    highest.
    """
    turn = lcm(sight.period, whole.period)
    for output in {*range(min(turn, outputs)), *range(max(0, outputs - turn), outputs)}:
        seen, most = sight.at(output), whole.at(output)
        if seen and (most is None or seen[0] < most[0] or seen[1] > most[1]):
            return False
    return True


def _centres(sight: Sight, period: int) -> tuple[int | None, ...]:
    return tuple(seen and seen[0] + seen[1] for seen in map(sight.at, range(period)))


@dataclass(frozen=True)
class Field:
    """The receptive field of one output position, in input pixels."""

    height: Axis = Axis()
    width: Axis = Axis()

    @property
    def size(self) -> tuple[int | None, int | None]:
        return self.height.size, self.width.size

    @property
    def aligned(self) -> bool:
        return self.height.aligned and self.width.aligned


def fields(steps: Sequence[Step]) -> list[Field]:
    """The receptive field of every step's outputs."""
    found: list[Field] = []
    start, input = Field(), steps[0].met if steps else Volume(1, 1, 1)
    for step in steps:
        met = [start if index == INPUT else found[index] for index in step.inputs]
        if isinstance(step.layer, Join):
            volumes = [input if at == INPUT else steps[at].volume for at in step.inputs]
            found.append(_joined(met, volumes, step.volume))
        else:
            reach = step.layer.reach(step.met)
            found.append(_through(met[0], *reach) if reach else _unknown(met[0]))
    return found


def _joined(met: Sequence[Field], volumes: Sequence[Volume], made: Volume) -> Field:
    if all(each is met[0] for each in met) and len({each[:2] for each in volumes}) == 1:
        return met[0]
    pairs = list(zip(met, volumes, strict=True))
    rows, columns, _ = made
    height = [spread(field.height, volume.height, rows) for field, volume in pairs]
    width = [spread(field.width, volume.width, columns) for field, volume in pairs]
    return Field(joined(height, rows), joined(width, columns))


def _unknown(met: Field) -> Field:
    return Field(*(Axis(None, None, axis.aligned) for axis in (met.height, met.width)))


def _through(met: Field, height: Reach, width: Reach) -> Field:
    if height == width == SAME_PLACE:
        return met
    if met.height is met.width and height == width:
        axis = met.height.through(height)
        return Field(axis, axis)
    return Field(met.height.through(height), met.width.through(width))
