"""What both servers of pages do alike: the lab's, and that of predictions."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Message, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
FIELDS = 8  # of an address, of which one may be the token


def header(scope: Scope, name: bytes) -> list[str]:
    """All values that a request gives a header."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def tokens(scope: Scope) -> list[str]:
    """Those in the address: taken on the first page alone, so that no other address carries one."""
    if scope["type"] != "http" or scope["path"] != "/":
        return []
    try:
        asked = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=FIELDS)
    except ValueError:
        return []
    return asked.get("token", [])


def with_headers(send: Send) -> Send:
    """Sends what is sent, each answer with HEADERS."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own: list[Any] = [*message.get("headers", []), *RAW_HEADERS]
            message = {**message, "headers": own}
        await send(message)

    return sending


@contextmanager
def unheard() -> Iterator[None]:
    """A terminal's Ctrl-C reaches no process that is started within, before that ignores it."""
    if current_thread() is not main_thread():  # which alone may say how signals are heard
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
