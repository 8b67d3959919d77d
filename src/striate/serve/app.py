"""The application: its addresses, its errors, its page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from striate.errors import nearest
from striate.serve.bodies import Bodies, stopping
from striate.serve.guard import Guard
from striate.serve.line import Line, Pixels
from striate.serve.metrics import STATUSES, Metrics
from striate.serve.openapi import openapi
from striate.serve.predict import Predict, TooManyPixels, overloaded, retry_after
from striate.serve.refusal import Gone, Refusal
from striate.serve.settings import Limits, Settings
from striate.serve.speed import Speed, measure
from striate.web import RAW_HEADERS

if TYPE_CHECKING:
    from striate.ship.predictor import Predictor

GONE = 499  # what nginx's log calls a client that did not wait
PAGE = Path(__file__).parent / "page"
KINDS = {"page.css": "text/css", "page.js": "text/javascript"}


@dataclass
class Service:
    """What a worker does: at first it loads, then it answers, in the end it stops.

    Attributes:
        connections: counts those that are open.
        predict: once the network is ready.
    """

    settings: Settings
    port: int
    metrics: Metrics
    connections: Callable[[], int] = lambda: 0
    predict: Predict | None = None
    bodies: Bodies = field(init=False)
    guard: Guard = field(init=False)
    app: ASGIApp = field(init=False)

    def __post_init__(self) -> None:
        self.bodies = Bodies(self.settings.limits)
        self.guard = Guard(self._application(), self.settings, self.port)
        self.app = Counted(self.guard, self)

    def begin(self, predictor: Predictor) -> Speed:
        """Measure the network, then answer with it."""
        limits, speed = self.settings.limits, measure(predictor, predictor.volume)
        line = Line(
            _careful(predictor, limits),
            predictor,
            speed,
            decoders=self.settings.decoders,
            queue=limits.queue,
            patience=limits.answer,
            scored=self._scored,
        )
        given = line, predictor.name, predictor.classes, self.bodies, limits, self.metrics
        self.predict = Predict(*given)
        self.metrics.set(ready=1)
        return speed

    def stop(self) -> None:
        """Take nothing more on; what was put into the line is finished."""
        self.bodies.stop()
        self.metrics.set(ready=0)

    def close(self) -> None:
        """Finish what is in the line."""
        if self.predict is not None:
            self.predict.line.close()

    def _scored(self, size: int, seconds: float) -> None:
        self.metrics.observe("striate_batch_size", size)
        self.metrics.observe("striate_batch_seconds", seconds)

    def count(self, status: int) -> None:
        """One more answer."""
        status = status if status in STATUSES else 500
        self.metrics.add("striate_requests_total", status=status)

    # -- addresses

    async def answer(self, request: Request) -> Response:
        """POST /predict."""
        if self.predict is None:
            hint = "ask again in a second, or when /ready says yes"
            raise Refusal(503, "the network is being loaded", hint, {"retry-after": "1"})
        try:
            return await self.predict(request)
        except Gone:
            return Response(status_code=GONE)  # which nobody reads

    async def health(self, request: Request) -> Response:
        """GET /health: the process is alive."""
        return JSONResponse({"health": "alive"})

    async def ready(self, request: Request) -> Response:
        """GET /ready: the network is loaded, and the server does not end."""
        if self.bodies.stopping:
            raise stopping()
        if self.predict is None:
            hint = "ask again in a second"
            raise Refusal(503, "the network is being loaded", hint, {"retry-after": "1"})
        return JSONResponse({"ready": True, "model": self.predict.name})

    async def numbers(self, request: Request) -> Response:
        """GET /metrics."""
        self.tell()
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return PlainTextResponse(self.metrics.text(), media_type=kind)

    def tell(self) -> None:
        """How things stand, for whichever worker is asked about all."""
        self.metrics.set(connections=self.connections())
        if self.predict is not None:
            line = self.predict.line
            self.metrics.set(inside=line.inside, room=line.room, rate=line.rate)

    async def described(self, request: Request) -> Response:
        """GET /openapi.json."""
        return JSONResponse(openapi(self.settings))

    def at_once(
        self, method: bytes, address: bytes, headers: list[tuple[bytes, bytes]]
    ) -> bytes | None:
        """The refusal of an image for which there is no room, as it is sent: there may be many."""
        if self.predict is None or not self.predict.line.full:
            return None
        path, _, query = address.partition(b"?")
        asked = {"type": "http", "path": "/predict", "query_string": query, "headers": headers}
        if method != b"POST" or path != b"/predict" or not self.guard.passes(asked):
            return None
        self.count(429)
        return _sent(retry_after(self.predict.line))

    # -- the application

    def _application(self) -> ASGIApp:
        """All of it, without its guard."""
        routes = [
            Route("/predict", self.answer, methods=["POST"]),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/metrics", self.numbers),
            Route("/openapi.json", self.described),
            Route("/", _page("index.html", "text/html")),
            *(Route(f"/{name}", _page(name, kind)) for name, kind in KINDS.items()),
        ]
        handlers = {Refusal: _refused, HTTPException: _unknown, Exception: _failed}
        return Starlette(routes=routes, exception_handlers=handlers)


@dataclass(frozen=True)
class Counted:
    """Counts answers."""

    app: ASGIApp
    service: Service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.service.count(message["status"])
            await send(message)

        await self.app(scope, receive, sending)


def _page(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (PAGE / name).read_bytes()

    async def page(request: Request) -> Response:
        return Response(content, media_type=kind)

    return page


@lru_cache(maxsize=64)
def _sent(seconds: int) -> bytes:
    """A refusal for so many seconds as bytes of HTTP."""
    response = overloaded(seconds).response()
    headers = [*response.raw_headers, *RAW_HEADERS]
    lines = [b"HTTP/1.1 429 Too Many Requests", *(b": ".join(each) for each in headers), b"", b""]
    return b"\r\n".join(lines) + bytes(response.body)


def _careful(predictor: Predictor, limits: Limits) -> Callable[[bytes], Pixels]:
    """Decodes as the predictor does, but not what says that it is larger than is taken."""
    from striate.data.decode import opened

    def decode(content: bytes) -> Pixels:
        with opened(content) as image:
            width, height = image.size
        if width * height > limits.pixels:
            raise TooManyPixels(
                f"{width} x {height} pixels are more than the {limits.pixels:,} taken here"
            )
        return predictor.pixels(content)

    return decode


async def _refused(request: Request, reason: Exception) -> Response:
    assert isinstance(reason, Refusal)
    return reason.response()


async def _unknown(request: Request, reason: Exception) -> Response:
    assert isinstance(reason, HTTPException)
    path = request.url.path[:100]
    if reason.status_code == 405:
        allowed = Headers(reason.headers).get("allow", "")
        error, hint = f"{path} does not take {request.method[:20]}", f"it takes {allowed}"
    else:
        known = ["/", "/predict", "/health", "/ready", "/metrics", "/openapi.json"]
        error, hint = f"there is nothing at {path}", nearest(path, known)
    return Refusal(reason.status_code, error, hint, reason.headers).response()


async def _failed(request: Request, reason: Exception) -> Response:
    hint = "the server's log has the reason; it is a fault of striate"
    return Refusal(500, "something went wrong here", hint).response()
