"""What a server is asked to be, and how much it takes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from striate.errors import StriateError
from striate.host import cores

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TOKEN = 8  # characters


@dataclass(frozen=True)
class Limits:
    """What one client may ask for, so that none takes all.

    Attributes:
        body: bytes of a request.
        images: in a request.
        pixels: of an image, as its header says.
        head: seconds from a connection's beginning, or its last answer, to a whole head.
        reading: seconds in which a body has to arrive.
        answer: seconds after which an answer is given up.
        held: bytes of all bodies in a worker together.
        connections: of a worker.
        queue: images in a worker at once; None, as many as its speed allows.
    """

    body: int = 16 * 2**20
    images: int = 64
    pixels: int = 50_000_000
    head: float = 15.0
    reading: float = 30.0
    answer: float = 30.0
    held: int = 256 * 2**20
    connections: int = 1024
    queue: int | None = None


@dataclass(frozen=True)
class Settings:
    """Where a server listens, to whom it answers, and with how many processes.

    Attributes:
        token: asked of every request but those for /health; None asks for none.
        names: further names that requests may call the server by, as those of a proxy.
        workers: processes, each with a network of its own.
        threads: that compute, in each worker.
        decoders: threads that decode images, in each worker.

    Raises:
        StriateError: the token could be guessed, or not be sent in a header.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    names: tuple[str, ...] = ()
    workers: int = 1
    threads: int = 0
    decoders: int = 0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        each = max(1, cores() // self.workers)
        for name in ("threads", "decoders"):
            object.__setattr__(self, name, getattr(self, name) or each)
        if self.token is not None and not (
            len(self.token) >= SHORTEST_TOKEN and all("!" <= each <= "~" for each in self.token)
        ):
            raise StriateError(
                f"a token has at least {SHORTEST_TOKEN} letters, digits or signs of ASCII and no "
                'space: python -c "import secrets; print(secrets.token_urlsafe())" makes one'
            )

    @property
    def alone(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return self.host in LOOPBACK
