"""One process that answers. The first listens at once, and loads its network beside that."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection as Pipe
from socket import socket
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING, Any

import uvicorn

from striate.draw.plain import line
from striate.errors import StriateError
from striate.serve.app import Service
from striate.serve.connection import Connection, Connections
from striate.serve.line import LOG, give_way
from striate.serve.metrics import Metrics
from striate.serve.settings import Settings

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from striate.ship.predictor import Predictor

GRACE = 60.0  # seconds that clients have to take their answers when the server ends
HEARS = 0.1  # seconds between looks for orders while it loads
BACKLOG = 2048  # connections that the system holds until they are accepted


def work(
    opened: Callable[[], Predictor],
    settings: Settings,
    listening: socket,
    shared: Any,
    number: int,
    orders: Pipe,
    late: bool,
) -> None:
    """Answer until told to stop, or until whoever would tell so has ended.

    Args:
        opened: opens the network.
        shared: memory for all workers' numbers.
        orders: says ("ready", sentence) or ("failed", reason); anything that comes in, and its
            end, means to stop.
        late: listen once the network is loaded, as others answer meanwhile.
    """
    _raise_open_files()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, to all at once: one decides
    service = Service(settings, listening.getsockname()[1], Metrics(shared, number))
    server = Server(service)
    Thread(target=_obey, args=(orders, server), daemon=True).start()
    loading = Thread(target=_load, args=(opened, service, orders, server), daemon=True)
    loading.start()
    while late and loading.is_alive() and not server.should_exit:
        loading.join(HEARS)
    if not (late and server.should_exit):
        server.run(sockets=[listening])
    service.close()
    if loading.is_alive():
        os._exit(0)  # an engine's own threads do not bear an end while they begin


class Server(uvicorn.Server):
    """Stops when it is told to, by signal or otherwise, and then takes nothing more on."""

    def __init__(self, service: Service) -> None:
        self.service = service
        limits = service.settings.limits
        connections = Connections(limits, service.bodies, service.at_once, service.count)
        service.connections = lambda: connections.count
        super().__init__(
            uvicorn.Config(
                _Living(service, connections),
                http=partial(Connection, connections),  # type: ignore[arg-type]
                ws="none",
                lifespan="on",
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=math.ceil(limits.head),
                timeout_graceful_shutdown=round(GRACE),
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, self.handle_exit)
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % 3 == 0:
            self.service.tell()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self.service.stop()
        await super().shutdown(sockets)


class _Living:
    """The application, with what runs beside it."""

    def __init__(self, service: Service, connections: Connections) -> None:
        self.app = service.app
        self.connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        await receive()
        sweeping = asyncio.create_task(self.connections.keep_swept())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        sweeping.cancel()
        await send({"type": "lifespan.shutdown.complete"})


def _load(
    opened: Callable[[], Predictor], service: Service, orders: Pipe, server: uvicorn.Server
) -> None:
    give_way()  # as all threads that the engine begins
    try:
        predictor = opened()
        speed = service.begin(predictor)
        said = line(
            f"{predictor.name}: {len(predictor.classes):,} classes, {predictor.volume}, "
            f"{predictor.engine}; {speed.rate:,.0f} images/s in batches of {speed.best}"
        )
        told = ("ready", said)
    except (StriateError, OSError) as reason:
        told = ("failed", str(reason))
    except Exception as reason:
        logging.getLogger(LOG).exception("the network cannot be loaded")
        told = ("failed", f"the network cannot be loaded: {reason}")
    with suppress(OSError):
        orders.send(told)
    if told[0] == "failed":
        server.should_exit = True


def _obey(orders: Pipe, server: uvicorn.Server) -> None:
    with suppress(EOFError, OSError):  # the supervisor has ended: so does this
        orders.recv()
    server.should_exit = True


def _raise_open_files() -> None:
    """As many open files as the system allows: each connection is one."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
