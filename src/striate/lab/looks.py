"""When to look: the looks may take 2% of the time, shared out evenly among what there is to see.

As much again is lost to sending what was seen, and to caches that hold other numbers afterwards:
`make bench-watching`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

SHARE = 0.02  # of the time
RATE = 4.0  # looks of a kind a second, at most


@dataclass(eq=False)
class Looks:
    """Ways of looking, each as often as its part of the time allows.

    A way that took c seconds comes again after c / (share / ways) seconds, so that what is dear
    comes seldom and holds up nothing that is cheap.

    Attributes:
        ways: by topic.
        share: of the time that looking may take.
        spent, trained: seconds.
        costs: seconds that each takes: the fewer of the last two, for some were interrupted.
        last: when each was looked at, by `perf_counter`.
    """

    ways: Mapping[str, Callable[[], None]]
    share: float = SHARE
    spent: float = 0.0
    trained: float = 0.0
    costs: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def due(self) -> str | None:
        """What is late by the most, if anything is."""
        now = perf_counter()
        late = {topic: now - self.last.get(topic, 0.0) - self._pause(topic) for topic in self.ways}
        topic = max(late, key=late.__getitem__)
        return topic if late[topic] >= 0 else None

    def look(self, topic: str, *, free: bool = False) -> None:
        """Look now. What somebody asked for while nothing trains is `free`."""
        began = perf_counter()
        self.ways[topic]()
        self.took(topic, perf_counter() - began, free=free)

    def took(self, topic: str, seconds: float, *, free: bool = False) -> None:
        """A look ended now that took so long."""
        self.last[topic] = perf_counter()
        if free:
            return  # the first of all among them, which takes longest
        self.costs[topic] = min(seconds, self.before.get(topic, seconds))
        self.before[topic] = seconds
        self.spent += seconds

    @property
    def cost(self) -> float:
        """The part of the time that looking took, 0 to 1."""
        whole = self.spent + self.trained
        return self.spent / whole if whole else 0.0

    def _pause(self, topic: str) -> float:
        return max(1 / RATE, self.costs.get(topic, 0.0) * len(self.ways) / self.share)
