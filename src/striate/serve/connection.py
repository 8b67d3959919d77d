"""HTTP on one connection: uvicorn's, with the caps that it leaves to a proxy.

A connection that sends no whole head in time is closed, however busily it sends; one whose head has
no end is, too; where there are too many, the quietest goes. None of them costs more than its file
descriptor.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from striate.serve.bodies import Bodies
from striate.serve.settings import Limits

LONGEST_HEAD = 65_536  # bytes
MOST_WAITING = 16  # requests sent before the first is answered


# Method, address and headers -> an answer that can be given without more ado, or None.
AtOnce = Callable[[bytes, bytes, list[tuple[bytes, bytes]]], bytes | None]


class Connections:
    """Those of a worker that are open, and which of them are waited for: to ask, or to read.

    Args:
        at_once: gives the answers that need no application.
        answered: hears the status of each answer that is given here.
    """

    def __init__(
        self, limits: Limits, bodies: Bodies, at_once: AtOnce, answered: Callable[[int], None]
    ) -> None:
        self.limits, self.bodies, self.at_once, self.answered = limits, bodies, at_once, answered
        self.count = 0
        self.quiet: dict[Connection, float] = {}  # since when; the longest quiet first

    def made(self) -> None:
        """One more; where there are too many, one that is slow ends."""
        self.count += 1
        if self.count > self.limits.connections:
            if self.quiet:
                longest = next(iter(self.quiet))
                del self.quiet[longest]
                longest.transport.abort()
            else:
                self.bodies.hurry()

    def rests(self, connection: Connection) -> None:
        """From now on it is waited for."""
        self.quiet.pop(connection, None)  # to the end: the longest quiet are first
        self.quiet[connection] = connection.loop.time()

    def sweep(self, now: float) -> None:
        """End those that have been quiet for too long."""
        for connection, since in list(self.quiet.items()):
            if now - since <= self.limits.head:
                break
            connection.late()

    async def keep_swept(self) -> None:
        """Sweep, until cancelled."""
        while True:
            await asyncio.sleep(min(1.0, self.limits.head / 4))
            self.sweep(asyncio.get_running_loop().time())


class Connection(HttpToolsProtocol):
    """One connection."""

    def __init__(self, others: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.others = others
        self._in_head, self._head, self._passed_over = True, 0, 0
        self._turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.others.rests(self)
        self.others.made()

    def connection_lost(self, exc: Exception | None) -> None:
        self.others.count -= 1
        self.others.quiet.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self in self.others.quiet:
            self._weigh(len(data))

    def _weigh(self, size: int) -> None:
        """What is sent where nothing is answered: a head without an end, a body that is refused."""
        if self._in_head:
            self._head += size
            if self._head > LONGEST_HEAD:
                hint = "send fewer and shorter headers"
                self._end(431, "the head of the request is too large", hint)
        else:
            self._passed_over += size
            if self._passed_over > self.others.limits.body:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head, self._passed_over = True, 0, 0
        self._turned_away = False

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.pipeline) >= MOST_WAITING:
            raise ValueError("too many requests at once")  # which uvicorn answers with 400
        if self._answered_at_once():
            return
        super().on_headers_complete()
        self._works()

    def _answered_at_once(self) -> bool:
        """No task, no application: where there is too much to do, most is refused."""
        special = self.expect_100_continue or self.parser.should_upgrade()
        if self._busy or special or self.flow.write_paused or not self.parser.should_keep_alive():
            return False
        said = self.others.at_once(self.parser.get_method(), self.url, self.headers)
        if said is None:
            return False
        self.transport.write(said)
        self._turned_away = True
        self.others.rests(self)
        return True

    def on_body(self, body: bytes) -> None:
        if not self._turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._turned_away:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._busy:
            self.others.rests(self)

    def pause_writing(self) -> None:
        """It does not read what it asked for, which nobody may wait for without an end."""
        super().pause_writing()
        self.others.rests(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._busy:
            self._works()

    def _works(self) -> None:
        """It is not waited for, unless it does not read."""
        if not self.flow.write_paused:
            self.others.quiet.pop(self, None)

    @property
    def _busy(self) -> bool:
        """Whether something is to be answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def late(self) -> None:
        """It has been quiet for too long."""
        if self._in_head and self._head and not self.transport.is_closing():
            hint = f"send all of it within {self.others.limits.head:g} seconds"
            self._end(408, "the head of the request did not arrive in time", hint)
            self.others.rests(self)  # to read that; then it is aborted
            self._head = 0
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._end(400, "this is not a request of HTTP/1.1", "curl sends one")

    def _end(self, status: int, error: str, hint: str) -> None:
        content = json.dumps({"error": error, "hint": hint}).encode()
        head = (
            f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        self.others.answered(status)
        self.transport.write(head.encode() + content)
        self.transport.close()
