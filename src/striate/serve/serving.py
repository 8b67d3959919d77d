"""Workers that share a port: begun, begun again when they end, stopped."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TYPE_CHECKING, Any

from striate.errors import StriateError
from striate.serve.metrics import Metrics, room_for
from striate.serve.settings import Settings
from striate.serve.worker import GRACE, work
from striate.web import unheard

if TYPE_CHECKING:
    from striate.ship.predictor import Predictor

PAUSE = 1.0  # seconds before a worker is begun again that lived for less than SHORT
SHORT = 10.0


@dataclass
class Worker:
    """A process and the pipe to it."""

    number: int
    process: SpawnProcess
    pipe: Pipe
    since: float
    ready: bool = False


def serve(
    opened: Callable[[], Predictor],
    settings: Settings,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Serve until Ctrl-C or SIGTERM; then finish what was accepted.

    Args:
        opened: opens the network, in each worker; what pickles.
        say: takes each line that a person is to read.

    Raises:
        StriateError: the port is taken, or the network cannot be opened.
    """
    with _listening(settings) as listening, _told_to_stop() as stop:
        _Supervisor(opened, settings, listening, stop, say).run()


class _Supervisor:
    def __init__(
        self,
        opened: Callable[[], Predictor],
        settings: Settings,
        listening: socket.socket,
        stop: socket.socket,
        say: Callable[[str], None],
    ) -> None:
        self.opened, self.settings, self.listening = opened, settings, listening
        self.stop, self.say = stop, say
        self.spawn: SpawnContext = multiprocessing.get_context("spawn")  # a forked PyTorch may hang
        self.shared: Any = room_for(settings.workers + 1, self.spawn.RawArray)
        self.metrics = Metrics(self.shared, settings.workers)
        self.workers: list[Worker] = []
        self.announced = False

    def run(self) -> None:
        """Keep as many workers as are wanted until told to stop."""
        try:
            for number in range(self.settings.workers):
                self.begin(number)
            while not self.told_to_stop():
                self.look_after()
        finally:
            self.end()

    def begin(self, number: int) -> None:
        ours, theirs = self.spawn.Pipe()
        late = bool(self.workers)  # another answers, if only that it is being loaded
        given = (self.opened, self.settings, self.listening, self.shared, number, theirs, late)
        process = self.spawn.Process(target=work, args=given, name=f"worker {number}")
        with unheard():
            process.start()
        theirs.close()
        self.workers.append(Worker(number, process, ours, time.monotonic()))

    def told_to_stop(self) -> bool:
        """Wait until something has happened; whether it is the order to stop."""
        pipes: list[Any] = [each.pipe for each in self.workers]
        happened = wait([self.stop, *pipes, *(each.process.sentinel for each in self.workers)])
        return self.stop in happened

    def look_after(self) -> None:
        for worker in list(self.workers):
            with suppress(EOFError, OSError):
                while worker.pipe.poll():
                    self.hear(worker, *worker.pipe.recv())
            if not worker.process.is_alive():
                self.begin_again(worker)

    def hear(self, worker: Worker, what: str, said: str) -> None:
        if what == "failed":
            if not any(each.ready for each in self.workers):
                raise StriateError(said)
            self.say(said)
            return
        worker.ready = True
        if not self.announced and all(each.ready for each in self.workers):
            self.announced = True
            host, port = self.listening.getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            self.say(f"{said}\nstriate serve: http://{host}:{port}/\nCtrl-C ends it.")

    def begin_again(self, worker: Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        code = worker.process.exitcode or 0
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        if not self.announced:
            raise StriateError(f"the server ended {how} before it was ready")
        self.say(f"worker {worker.number} ended {how} and is begun again")
        self.metrics.add("striate_begun_again_total")
        Metrics(self.shared, worker.number).set(inside=0, room=0, connections=0, rate=0, ready=0)
        if time.monotonic() - worker.since < SHORT:
            wait([self.stop], PAUSE)
        self.begin(worker.number)

    def end(self) -> None:
        """Refuse what comes, let the workers finish; on a second order, end them at once."""
        self.listening.close()
        for worker in self.workers:
            with suppress(OSError):
                worker.pipe.send("stop")
        with suppress(BlockingIOError):
            while self.stop.recv(64):
                pass
        left, until = [each.process for each in self.workers], time.monotonic() + GRACE + 5
        while left and time.monotonic() < until:
            sentinels = [each.sentinel for each in left]
            if self.stop in wait([self.stop, *sentinels], until - time.monotonic()):
                break
            left = [each for each in left if each.is_alive()]
        for process in left:
            process.kill()
        for worker in self.workers:
            worker.process.join()


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket that listens: each worker takes connections from it as it has time."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((settings.host, settings.port))
        except (OSError, OverflowError, UnicodeError) as reason:  # the last of names
            said = reason.strerror if isinstance(reason, OSError) else reason
            where = f"{settings.host} port {settings.port}"
            raise StriateError(
                f"{where} cannot be listened on: {said}; --port 0 takes a free one"
            ) from None
        yield made


@contextmanager
def _told_to_stop() -> Iterator[socket.socket]:
    """A socket from which something can be read once SIGINT or SIGTERM has come."""
    hears, says = socket.socketpair()
    for each in (hears, says):
        each.setblocking(False)

    def handle(number: int, frame: object) -> None:
        with suppress(OSError):
            says.send(b".")

    before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield hears
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        hears.close()
        says.close()
