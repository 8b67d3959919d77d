"""Frames on their way from the trainer to the server: of each topic the newest, and no queue."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol

from striate.lab.frames import frame


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
        self.lock = threading.Condition()
        threading.Thread(target=self._send, daemon=True).start()

    def put(
        self, topic: str, about: Mapping[str, Any], arrays: Mapping[str, Any] | None = None
    ) -> None:
        """Replace what has not been sent of a topic."""
        made = frame(topic, about, arrays or {})
        with self.lock:
            self.waiting[topic] = made
            self.lock.notify()

    def _send(self) -> None:
        with suppress(OSError):  # the server has gone, and this process goes with it
            while True:
                with self.lock:
                    self.lock.wait_for(lambda: self.waiting)
                    topic = next(iter(self.waiting))
                    content = self.waiting.pop(topic)
                self.out.send_bytes(content)
