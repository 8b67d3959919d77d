"""Pictures of a run as it was, to scrub through: so many at most, spread evenly however long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MOST = 120
Moment = TypeVar("Moment")


@dataclass(eq=False)
class Timeline(Generic[Moment]):
    """Moments by the images seen. When it is full every second one goes.

    Attributes:
        every: images from one moment to the next, at least.
    """

    every: int = 1
    moments: dict[int, Moment] = field(default_factory=dict)

    def wants(self, seen: int) -> bool:
        """Whether a moment is due after so many images."""
        return seen >= max(self.moments, default=-self.every) + self.every

    def keep(self, seen: int, moment: Moment) -> None:
        """Take one in."""
        self.moments[seen] = moment
        if len(self.moments) > MOST:
            self.moments = dict(list(self.moments.items())[::2])
            self.every = max(1, (seen - min(self.moments)) // (len(self.moments) - 1))

    def at(self, seen: int) -> Moment | None:
        """The last moment up to so many images."""
        before = [each for each in self.moments if each <= seen]
        return self.moments[max(before)] if before else None

    def until(self, seen: int) -> Timeline[Moment]:
        """The moments up to so many images, to go on apart."""
        moments = {each: moment for each, moment in self.moments.items() if each <= seen}
        return Timeline(self.every, moments)

    def __iter__(self) -> Iterator[int]:
        return iter(self.moments)
