"""What the tests of `striate serve` share: a network that waits when told to, a server of it."""

from __future__ import annotations

import json
import socket
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from threading import Event, Thread
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from striate.data.decode import decode
from striate.layers import Volume
from striate.serve.app import Service
from striate.serve.metrics import Metrics, room_for
from striate.serve.settings import Limits, Settings
from striate.serve.worker import Server

CLASSES = ("dark", "grey", "bright")
PATIENCE = 100.0  # seconds, of a machine that does much else


def picture(level: int = 255, size: tuple[int, int] = (12, 9), form: str = "PNG") -> bytes:
    """An image file of one grey, size as (width, height)."""
    written = BytesIO()
    Image.new("RGB", size, (level, level, level)).save(written, form)
    return written.getvalue()


@dataclass
class Fake:
    """Tells dark from bright; rests while `free` is not set.

    Attributes:
        batches: how many images were in each, once the server is ready.
    """

    name: str = "fake"
    classes: tuple[str, ...] = CLASSES
    volume: Volume = field(default_factory=lambda: Volume(8, 8, 3))
    engine: str = "pytorch"
    free: Event = field(default_factory=Event)
    entered: Event = field(default_factory=Event)
    batches: list[int] = field(default_factory=list)
    spoiled: Any = None

    def pixels(self, content: bytes) -> np.ndarray[Any, Any]:
        return decode(content, 3, (8, 8))

    def __call__(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.entered.set()
        assert self.free.wait(PATIENCE)
        self.batches.append(len(pixels))
        if isinstance(self.spoiled, Exception):
            raise self.spoiled
        level = pixels.mean((1, 2, 3)) / 255
        scores = -((level[:, None] - np.array([0.0, 0.5, 1.0])) ** 2) * 10
        found = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        if self.spoiled is not None:
            found[:] = self.spoiled
        return found.astype(np.float32)

    def hold(self) -> None:
        """Rest from the next batch on."""
        self.free.clear()
        self.entered.clear()


def service(fake: Fake, settings: Settings, port: int) -> Service:
    """What a worker does, with the network that waits."""
    shared = room_for(1, lambda kind, size: array(kind, bytes(8 * size)))
    made = Service(settings, port, Metrics(shared, 0))
    fake.free.set()
    made.begin(fake)  # type: ignore[arg-type]
    fake.batches.clear()
    return made


@dataclass
class Served:
    """A server that listens, in a thread."""

    port: int
    fake: Fake
    service: Service
    server: Server

    def connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        made.settimeout(PATIENCE)
        return made

    def send(self, content: bytes) -> socket.socket:
        made = self.connect()
        made.sendall(content)
        return made

    def ask(
        self, body: bytes = b"", kind: str = "image/png", path: str = "/predict", **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Post; the status, the headers, what the JSON says."""
        with self.send(self.request(body, kind, path, **headers)) as made:
            return answer(made)

    def request(
        self, body: bytes, kind: str = "image/png", path: str = "/predict", **headers: str
    ) -> bytes:
        given = {"host": f"127.0.0.1:{self.port}", "content-type": kind}
        given |= {"content-length": str(len(body))}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in given.items()]
        return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
        lines = [f"host: 127.0.0.1:{self.port}", *(f"{n}: {v}" for n, v in headers.items())]
        asked = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""])
        with self.send(asked.encode()) as made:
            return answer(made)

    def counted(self, column: str) -> float:
        """A number of /metrics."""
        text = self.get("/metrics")[2]
        return float(
            next(line for line in text.splitlines() if line.startswith(column)).split()[-1]
        )


def answer(made: socket.socket, reading: BinaryIO | None = None) -> tuple[int, dict[str, str], Any]:
    """The next response on a connection: status, headers, body; JSON as what it says."""
    reading = reading or made.makefile("rb")
    status = int(reading.readline().split()[1])
    headers = {}
    while line := reading.readline().strip().decode("latin-1"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reading.read(int(headers.get("content-length", 0)))
    json_ = headers.get("content-type") == "application/json"
    return status, headers, json.loads(body) if json_ else body.decode("utf-8", "replace")


def until(holds: Callable[[], object]) -> None:
    """Wait for it."""
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.005)


@contextmanager
def served(fake: Fake | None = None, **given: Any) -> Iterator[Served]:
    """A server in a thread; keywords are of Settings or Limits."""
    limits = Limits(**{name: given.pop(name) for name in [*given] if name in FIELDS})
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        fake = fake or Fake()
        made = service(fake, Settings(port=port, decoders=2, limits=limits, **given), port)
        server = Server(made)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield Served(port, fake, made, server)
        finally:
            fake.free.set()
            server.should_exit = True
            thread.join(PATIENCE)
            made.close()
            assert not thread.is_alive()


FIELDS = Limits.__dataclass_fields__
