"""The newest frame of each topic, for as many windows as are open.

A window that is slow misses frames, and nobody waits for it: it is told which topics have changed
since it was last served, and takes the newest of each when it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(eq=False)
class Window:
    """One open page.

    Attributes:
        waiting: frames that it has not been sent, by topic, the one that waits longest first.
    """

    waiting: dict[str, bytes] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Frames by topic. Belongs to one event loop."""

    def __init__(self) -> None:
        self.newest: dict[str, bytes] = {}
        self.windows: set[Window] = set()

    def publish(self, topic: str, frame: bytes, once: bool = False) -> None:
        """Replace a topic's frame.

        Args:
            once: for the windows that are open alone, not for those that will be.
        """
        if not once:
            self.newest[topic] = frame
        for window in self.windows:
            window.waiting[topic] = frame
            window.news.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """Everything there is, then what is new, until the window is closed."""
        window = Window(dict(self.newest))
        self.windows.add(window)
        try:
            while True:
                while window.waiting:
                    yield window.waiting.pop(next(iter(window.waiting)))
                window.news.clear()
                await window.news.wait()
        finally:
            self.windows.discard(window)
