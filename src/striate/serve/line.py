"""From image files to probabilities: decoded by some threads, gathered and scored by another.

An image that comes while the network rests is scored at once, by itself. While it computes, others
gather, and go together as the next batch. It waits for one that is being decoded only as long as
their sharing a batch would save, and at most some milliseconds.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from statistics import median
from threading import Condition, Thread, get_native_id
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import DataError
from striate.serve.speed import Network, Speed

LONGEST_WAIT = 0.005  # seconds
FEWEST = 8  # images that are let in, however large they are
BATCHES = 2  # that those let in make: one is computed while another gathers
REMEMBERED = 15  # batches whose median is the rate: a pause that falls into one is none of all
GIVES_WAY = 5  # by which threads that compute are nicer than those that answer
LOG = "uvicorn.error"  # that of the server

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]
Answer = Future[Scores]


class Line:
    """Images on their way through decoders and the network. Any thread may put one in.

    Args:
        decode: an image file -> uint8 (height, width, depth); its errors become the answer's.
        network: uint8 (n, height, width, depth) -> float32 (n, classes).
        queue: images in it at once; None, as many as make two batches, at least eight, if they are
            answered in time.
        patience: seconds after which nobody waits for an answer any more.
        scored: hears of each batch: its size and its seconds.

    Attributes:
        inside: images that are waiting or worked on, those included whose client has gone until
            they are passed over.
        rate: images a second, of late, decoding included.
    """

    def __init__(
        self,
        decode: Callable[[bytes], Pixels],
        network: Network,
        speed: Speed,
        *,
        decoders: int = 1,
        queue: int | None = None,
        patience: float = 30.0,
        scored: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self.speed, self.inside = speed, 0
        self._decode, self._network, self._scored = decode, network, scored
        self._queue, self._patience = queue, patience
        self._turn = Condition()
        self._waiting: deque[tuple[Pixels, Answer]] = deque()
        self._coming = 0  # put in, not decoded yet
        self._first = 0.0  # when the first of those waiting came
        self._open = True
        self.rate = speed.rate
        self._decoders = ThreadPoolExecutor(decoders, "decoder", give_way)
        self._scorer = Thread(target=self._score, name="network", daemon=True)
        self._scorer.start()

    @property
    def room(self) -> int:
        """Images that may be inside before others are refused."""
        if self._queue is not None:
            return self._queue
        in_time = int(self.rate * self._patience / 2)
        return max(1, min(in_time, max(FEWEST, BATCHES * self.speed.best)))

    @property
    def full(self) -> bool:
        """Whether another image would have to wait too long."""
        return self.inside >= self.room

    @property
    def clears(self) -> float:
        """Seconds in which those inside will be done."""
        return self.inside / self.rate

    def put(self, content: bytes) -> Answer:
        """An image file's probabilities, to come. One that is cancelled in time is not computed."""
        answer: Answer = Future()
        with self._turn:
            self.inside += 1
            self._coming += 1
        self._decoders.submit(self._decoded, content, answer)
        return answer

    def close(self) -> None:
        """Finish all that is inside, and end."""
        self._decoders.shutdown()
        with self._turn:
            self._open = False
            self._turn.notify_all()
        self._scorer.join()

    def _decoded(self, content: bytes, answer: Answer) -> None:
        pixels = None
        try:
            if not answer.cancelled():
                pixels = self._decode(content)
        except Exception as reason:
            if not isinstance(reason, DataError):
                logging.getLogger(LOG).exception("an image could not be decoded")
            if answer.set_running_or_notify_cancel():
                answer.set_exception(reason)
        with self._turn:
            self._coming -= 1
            if pixels is None:
                self.inside -= 1
            else:
                self._first = self._first if self._waiting else time.monotonic()
                self._waiting.append((pixels, answer))
            self._turn.notify()

    def _gathered(self) -> list[tuple[Pixels, Answer]]:
        """The next batch, of those that somebody still waits for; empty at the end."""
        while True:
            with self._turn:
                while not self._ripe():
                    if not (self._open or self._waiting or self._coming):
                        return []
                    self._turn.wait(self._left())
                taken = [self._waiting.popleft() for _ in range(self._size())]
                self._first = time.monotonic()
                batch = [each for each in taken if each[1].set_running_or_notify_cancel()]
                self.inside -= len(taken) - len(batch)
            if batch:
                return batch

    def _size(self) -> int:
        return min(len(self._waiting), self.speed.best)

    def _left(self) -> float | None:
        """Seconds that those waiting wait for others to share their batch."""
        if not self._waiting:
            return None
        wait = min(LONGEST_WAIT, self.speed.gain(len(self._waiting)))
        return self._first + wait - time.monotonic()

    def _ripe(self) -> bool:
        if not self._waiting:
            return False
        if len(self._waiting) >= self.speed.best or not self._coming:
            return True
        left = self._left()
        return left is None or left <= 0

    def _score(self) -> None:
        give_way()
        ended, busy, rates = time.perf_counter(), False, deque([self.rate], REMEMBERED)
        while batch := self._gathered():
            began = time.perf_counter()
            try:
                scores: Any = self._network(np.stack([pixels for pixels, _ in batch]))
            except Exception as reason:
                logging.getLogger(LOG).exception("the network failed on %d images", len(batch))
                scores = reason
            now = time.perf_counter()
            with self._turn:
                self.inside -= len(batch)  # before whoever waited can ask again
                left = self.inside > 0
            for row, (_, answer) in enumerate(batch):
                if isinstance(scores, Exception):
                    answer.set_exception(scores)
                else:
                    answer.set_result(scores[row])
            self._scored(len(batch), now - began)
            if busy:  # with no rest between the ends of two batches
                rates.append(len(batch) / max(now - ended, 1e-6))
                self.rate = median(rates)
            ended, busy = now, left


def give_way() -> None:
    """Let who answers have the processor before this thread and those that it begins."""
    if sys.platform == "linux":  # where threads have priorities of their own
        with suppress(OSError):
            niceness = os.getpriority(os.PRIO_PROCESS, os.getpid()) + GIVES_WAY
            os.setpriority(os.PRIO_PROCESS, get_native_id(), niceness)
