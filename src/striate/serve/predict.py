"""`POST /predict`: from a request to the likeliest classes of its images."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive

from striate.errors import DataError
from striate.serve.bodies import Bodies, stopping
from striate.serve.forms import Asked, Given, asked, tellable
from striate.serve.line import Answer, Line
from striate.serve.metrics import Metrics
from striate.serve.refusal import Gone, Refusal
from striate.serve.settings import Limits

SMALL = 2**18  # bytes of a body that is read without a thread of its own


class TooManyPixels(DataError):
    """An image is larger than the server takes."""


def retry_after(line: Line) -> int:
    """Seconds after which there will be room."""
    return math.ceil(max(1.0, line.clears))


def overloaded(seconds: int) -> Refusal:
    """What is said to whom there is no room for."""
    return Refusal(
        429,
        "more is asked than can be answered in time",
        f"ask again in {seconds} s",
        {"retry-after": str(seconds)},
    )


class Predict:
    """The endpoint of a worker whose network is ready."""

    def __init__(
        self,
        line: Line,
        name: str,
        classes: Sequence[str],
        bodies: Bodies,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self.line, self.name, self.classes = line, tellable(name), tuple(map(tellable, classes))
        self._bodies, self._limits, self._metrics = bodies, limits, metrics

    async def __call__(self, request: Request) -> Response:
        """The answer.

        Raises:
            Refusal: there is none, and why.
            Gone: the client does not wait for it.
        """
        began = time.monotonic()
        self._make_sure_of_room()  # before the body is read
        async with self._bodies.read(request.headers, request.receive) as body:
            wanted = await self._asked(request, body)
            self._make_sure_of_room()
            if self._bodies.stopping:
                raise stopping()
            answers = [self.line.put(image.content) for image in wanted.images]
            left = began + self._limits.answer - time.monotonic()
            scores = await self._waited(answers, request.receive, max(left, 0.001))
        response = self._told(wanted, scores)
        self._metrics.observe("striate_request_seconds", time.monotonic() - began)
        return response

    def _make_sure_of_room(self) -> None:
        if self.line.full:
            raise overloaded(retry_after(self.line))

    async def _asked(self, request: Request, body: bytes) -> Asked:
        given = (
            request.headers.get("content-type", ""),
            request.scope["query_string"],
            body,
            self._limits.images,
        )
        return asked(*given) if len(body) <= SMALL else await asyncio.to_thread(asked, *given)

    async def _waited(
        self, answers: Sequence[Answer], receive: Receive, seconds: float
    ) -> list[NDArray[np.float32] | BaseException]:
        """Scores or errors. If the client goes or it takes too long, what is left is dropped."""
        together = asyncio.gather(*map(asyncio.wrap_future, answers), return_exceptions=True)
        gone = asyncio.ensure_future(_gone(receive))
        try:
            first = asyncio.FIRST_COMPLETED
            both: set[asyncio.Future[Any]] = {together, gone}
            done, _ = await asyncio.wait(both, timeout=seconds, return_when=first)
            if together in done:
                return list(together.result())
        finally:
            gone.cancel()
            left = sum(each.cancel() for each in answers)
            self._metrics.add("striate_images_total", left, fate="gone")
        if gone in done:
            raise Gone
        raise Refusal(
            504,
            f"no answer within {self._limits.answer:g} seconds",
            "ask again later, or about fewer images at once",
            {"retry-after": str(retry_after(self.line))},
        )

    def _told(self, wanted: Asked, scores: Sequence[Any]) -> Response:
        """One image that cannot be used does not spoil the others; if none can, it is an error."""
        predictions = [
            self._one(image, found, wanted.top)
            for image, found in zip(wanted.images, scores, strict=True)
        ]
        scored = sum("top" in each for each in predictions)
        self._metrics.add("striate_images_total", scored, fate="scored")
        self._metrics.add("striate_images_total", len(predictions) - scored, fate="refused")
        if scored:
            return JSONResponse({"model": self.name, "predictions": predictions})
        failed, first = _failure(scores[0]), predictions[0]["error"]
        raise Refusal(failed[0], first, failed[1], failed[2], predictions=predictions)

    def _one(self, image: Given, found: Any, top: int) -> dict[str, Any]:
        named: dict[str, Any] = {"name": image.name}
        if isinstance(found, BaseException):
            return named | {"error": str(found) or type(found).__name__}
        if not np.isfinite(found).all():
            return named | {"error": "the network's scores of it are not finite"}
        likeliest = np.argsort(-found, kind="stable")[:top]
        return named | {
            "top": [
                # The shortest number that is this float32.
                {"class": self.classes[at], "index": int(at), "probability": float(str(found[at]))}
                for at in likeliest
            ]
        }


def _failure(reason: Any) -> tuple[int, str, dict[str, str] | None]:
    """Status, hint and headers where no image could be used."""
    from striate.data.decode import NoMemory

    if isinstance(reason, TooManyPixels):
        return 413, "scale it down: the network sees much less", None
    if isinstance(reason, NoMemory):
        return 503, "ask again a little later", {"retry-after": "1"}
    if isinstance(reason, DataError) or not isinstance(reason, BaseException):
        return 422, "send JPEG, PNG, WebP or another image of pixels, whole and alone", None
    return 503, "ask again: the server's log has the reason", {"retry-after": "1"}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
