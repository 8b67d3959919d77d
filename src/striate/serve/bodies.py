"""Bodies as they arrive: only so large, only so long, and all together only so much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import Receive

from striate.serve.refusal import Gone, Refusal
from striate.serve.settings import Limits


def stopping() -> Refusal:
    """What is said once the server has been told to end."""
    hint = "ask again a little later"
    return Refusal(503, "the server is about to end", hint, {"retry-after": "1"})


class Bodies:
    """All bodies that a worker reads or holds.

    Where they come to more than may be held, the one that has been at it longest gives way: whoever
    sends slowly, not whoever came last.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits, self.held, self.stopping = limits, 0, False
        self._reading: dict[asyncio.Timeout, None] = {}  # the oldest first

    @asynccontextmanager
    async def read(self, headers: Mapping[str, str], receive: Receive) -> AsyncIterator[bytes]:
        """A request's body, which counts as held until the block is left.

        Raises:
            Refusal: 413, it is too large; 408, it took too long or had to give way; 503, the server
                ends.
            Gone: its client has closed the connection.
        """
        said = headers.get("content-length", "0")
        if not said.isdecimal() or len(said) > 18 or int(said) > self.limits.body:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        try:
            async with self._in_time():
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    part: Any = message.get("body", b"")
                    size += len(part)
                    self.held += len(part)
                    parts.append(part)
                    if size > self.limits.body:
                        raise self._too_large()
                    if self.held > self.limits.held:
                        self.hurry()
                    more = message.get("more_body", False)
            yield b"".join(parts) if len(parts) != 1 else parts[0]
        finally:
            self.held -= size

    def hurry(self) -> bool:
        """End the reading that began first; whether there was one."""
        for deadline in self._reading:
            if not deadline.expired():
                deadline.reschedule(0)
                del self._reading[deadline]
                return True
        return False

    def stop(self) -> None:
        """Refuse what has not arrived, and whatever comes."""
        self.stopping = True
        while self.hurry():
            pass

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        if self.stopping:
            raise stopping()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.limits.reading) as deadline:
                self._reading[deadline] = None
                try:
                    yield
                finally:
                    self._reading.pop(deadline, None)
        except TimeoutError:
            if self.stopping:
                raise stopping() from None
            if time.monotonic() - began < self.limits.reading:
                raise Refusal(
                    429,
                    "too much is being sent at once, this most slowly",
                    "ask again a little later",
                    {"retry-after": "1", "connection": "close"},
                ) from None
            raise Refusal(
                408,
                "the body did not arrive in time",
                f"send all of it within {self.limits.reading:g} seconds, or a smaller image",
                {"connection": "close"},
            ) from None

    def _too_large(self) -> Refusal:
        return Refusal(
            413,
            f"the body is larger than {self.limits.body:,} bytes",
            "send fewer images at once, or smaller ones: they are scaled down anyway",
        )
