"""The page's server: static files, one socket, two addresses that take something; all guarded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from striate.lab.editor import LONGEST, checked
from striate.lab.frames import frame, topic_of, unframed
from striate.lab.guard import Guard
from striate.lab.hub import Hub

PAGE = Path(__file__).parent / "page"
ENDED = "A process of the lab has ended, as by the system for want of memory. Start it again."
ONCE = ("answer/", "unit/", "moment")  # topics of whoever asked
LARGEST_COMMAND = 200_000  # bytes
LARGEST_IMAGE = 32 * 2**20  # bytes of an image file


def server(
    port: int,
    token: str,
    commands: Connection,
    frames: Sequence[Connection],
    failed: Callable[[str], None] = lambda reason: None,
) -> Guard:
    """The application behind its guard.

    Args:
        commands: where what the page asks for goes.
        frames: where frames come from.
        failed: hears why the lab cannot begin.
    """
    hub, turn = Hub(), asyncio.Lock()

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        for each in frames:  # threads that nobody waits for: a long step holds up no Ctrl-C
            Thread(target=_read, args=(each, loop, hub, failed), daemon=True).start()
        yield

    async def ask(command: dict[str, Any]) -> None:
        async with turn:  # two windows would write into each other's command
            with suppress(OSError):  # the trainer has ended
                await asyncio.to_thread(commands.send, command)

    async def page(request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def check(request: Request) -> Response:
        text = (await _body(request, 4 * LONGEST)).decode("utf-8", "replace")
        return JSONResponse(await asyncio.to_thread(checked, text))

    async def image(request: Request) -> Response:
        content = await _body(request, LARGEST_IMAGE)
        asked = {"do": "own", "id": request.query_params.get("id"), "content": content}
        await ask(asked)
        return Response(status_code=202)

    async def socket(window: WebSocket) -> None:
        await window.accept()
        sending = asyncio.create_task(_send(window, hub))
        try:
            while True:
                text = await window.receive_text()
                if len(text) > LARGEST_COMMAND:
                    await window.close(1009)
                    break
                with suppress(json.JSONDecodeError, RecursionError):
                    asked = json.loads(text)
                    if isinstance(asked, dict) and asked.get("do") != "own":
                        await ask(asked)
        except (WebSocketDisconnect, KeyError):  # KeyError: bytes where text is expected
            pass
        finally:
            sending.cancel()

    routes = [
        Route("/", page),
        Route("/check", check, methods=["POST"]),
        Route("/image", image, methods=["POST"]),
        WebSocketRoute("/socket", socket),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Guard(Starlette(routes=routes, lifespan=life), port, token)


async def _send(window: WebSocket, hub: Hub) -> None:
    async for content in hub.frames():
        await window.send_bytes(content)


def _read(
    frames: Connection, loop: asyncio.AbstractEventLoop, hub: Hub, failed: Callable[[str], None]
) -> None:
    """A process's frames, as fast as they come: nothing may wait in its pipe."""
    with suppress(RuntimeError):  # the server has ended
        try:
            while True:
                content = frames.recv_bytes()
                topic = topic_of(content)
                if topic == "opening" and (reason := unframed(content)[0].get("failed")):
                    failed(reason)
                loop.call_soon_threadsafe(hub.publish, topic, content, topic.startswith(ONCE))
        except (EOFError, OSError):
            said = frame("opening", {"failed": ENDED}, {})
            loop.call_soon_threadsafe(hub.publish, "opening", said)


async def _body(request: Request, most: int) -> bytes:
    """The body, up to so many bytes.

    Raises:
        HTTPException: 413, there is more.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"more than {most:,} bytes")
        parts.append(part)
    return b"".join(parts)
