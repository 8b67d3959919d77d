"""The side of what is measured: it works while it is its turn, and rests in between.

Every loop that bench/throughput.py measures calls `step` after each of its steps. The loop goes on
inside its own framework; where the turn is over, `step` says how many images were trained on in how
many seconds, and waits. The first steps of a turn are not counted: they use up what was loaded
while the loop rested. Whoever makes a whole run in a turn calls `done` after each.
"""

from __future__ import annotations

import json
import os
import sys
from time import perf_counter
from typing import Any

UNCOUNTED, LEAST = 5, 3  # steps


class Turns:
    """Answers on what was standard output; all that a framework prints goes to standard error.

    Args:
        seconds: of a turn, at least.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def ready(self, **about: Any) -> None:
        """Say what will train, and wait for the first turn."""
        self._say(about)
        self._rest()

    def step(self, images: int) -> None:
        """A step on so many images is done."""
        self.steps += 1
        now = perf_counter()
        if self.steps <= UNCOUNTED:
            self.began = now
            return
        self.images += images
        if now - self.began >= self.seconds and self.steps >= UNCOUNTED + LEAST:
            self._say({"images": self.images, "seconds": now - self.began})
            self._rest()

    def done(self, **answer: Any) -> None:
        """A turn's work is done; wait for the next one."""
        self._say(answer)
        self._rest()

    def _say(self, answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=self.answers, flush=True)

    def _rest(self) -> None:
        if not sys.stdin.readline():  # no more turns
            sys.exit()
        self.steps = self.images = 0
        self.began = perf_counter()
