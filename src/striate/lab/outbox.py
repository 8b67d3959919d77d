"""Frames on their way from the trainer to the server: of each topic the newest, and no queue.

The server wakes on a core that the network computes on, which holds up every thread of a step. So
frames go in company, a few times a second; what somebody waits for goes at once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol

from striate.lab.frames import frame

GATHERED = 0.2  # seconds that a frame may wait for others
AT_ONCE = ("answer/", "unit/", "opening")


class Outlet(Protocol):
    """Takes frames, in parts."""

    def put(
        self, topic: str, about: Mapping[str, Any], arrays: Mapping[str, Any] | None = None
    ) -> None:
        """Replace what has not been sent of a topic."""


class Outbox:
    """Sends in a thread of its own; a frame that nobody has taken yet is replaced by the next."""

    def __init__(self, out: Connection) -> None:
        self.out, self.waiting = out, dict[str, bytes]()
        self.hurried = False
        self.lock = threading.Condition()
        threading.Thread(target=self._send, daemon=True).start()

    def put(
        self, topic: str, about: Mapping[str, Any], arrays: Mapping[str, Any] | None = None
    ) -> None:
        """Replace what has not been sent of a topic."""
        made = frame(topic, about, arrays or {})
        with self.lock:
            self.waiting[topic] = made
            self.hurried |= topic.startswith(AT_ONCE)
            self.lock.notify()

    def _send(self) -> None:
        with suppress(OSError):  # the server has gone, and this process goes with it
            while True:
                with self.lock:
                    self.lock.wait_for(lambda: self.waiting)
                    self.lock.wait_for(lambda: self.hurried, GATHERED)
                    going, self.waiting, self.hurried = self.waiting, {}, False
                for content in going.values():
                    self.out.send_bytes(content)
