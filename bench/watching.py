"""What watching costs: images a second of the lab, beside the same training that nobody looks at.

    CIFAR10=file python bench/watching.py [--rounds 40] [--images digits]

One process trains one network, by turns of a second alone and as the lab's process does: it looks,
sends what it saw to a server in a process of its own, and hears its commands. There is no window,
or one that takes every frame, one that connects and never reads, one whose process is stopped.
Bar: the lab at most 5% below training alone, whatever its window does. Exit 1 where one is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from statistics import median
from time import perf_counter

from pairs import aligned, heading, here, in_turn, ratios, use_threads, write

WINDOWS = NOBODY, READS, SLOW, DEAD = "no window", "reads", "never reads", "stopped"
TASKS = {"digits": None, "CIFAR-10": "CIFAR10"}  # the variable that names the images
PART = 1.0  # seconds of a turn's four: what is sent later than it was seen is little of them
BAR = 0.95
HEAD = "window", "alone, images/s", "lab", "lab / alone", "quartiles", "n"
TOKEN = "watching"

# A window in a process of its own.
WINDOW = """
import sys, time
from websockets.sync.client import connect
port, token, reads = sys.argv[1:]
origin = f"http://127.0.0.1:{port}"
headers = {"Cookie": f"striate-lab-{port}={token}", "Origin": origin}
with connect(f"ws://127.0.0.1:{port}/socket", max_size=None, additional_headers=headers) as window:
    print("open", flush=True)
    while True:
        window.recv() if reads == "1" else time.sleep(1)
"""


def serve_page(commands: Connection, frames: Connection, tell: Connection) -> None:
    """The lab's page on a port that is told: what the server's process runs."""
    from striate.lab.server import server
    from striate.lab.serving import listening_at, page_server

    listening = listening_at(0)
    port = listening.getsockname()[1]
    tell.send(port)
    page_server(server(port, TOKEN, commands, [frames])).run(sockets=[listening])


class Lab:
    """The lab, whose trainer is this process. It rests unless it has its turn."""

    def __init__(self, name: str) -> None:
        from striate.cli.lab import NET
        from striate.lab.outbox import Outbox
        from striate.lab.trainer import Trainer, Wanted, opened

        spawn = multiprocessing.get_context("spawn")
        commands, asks = spawn.Pipe(duplex=False)
        frames, tells = spawn.Pipe(duplex=False)
        told, tell = spawn.Pipe(duplex=False)
        self.server = spawn.Process(target=serve_page, args=(asks, frames, tell), daemon=True)
        self.server.start()
        self.port = told.recv()
        variable = TASKS[name]
        net, data = ("convnetjs-cifar10", os.environ[variable]) if variable else (NET, "digits")
        outbox = Outbox(tells)
        bench, telling, _ = opened(Wanted(net, data, "lab"), outbox, outbox)
        telling.all()
        self.trainer = Trainer(bench, telling, outbox, commands)
        self.rested = perf_counter()
        self.turn(NOBODY, 4 * PART)  # to warm up

    def turn(self, kind: str, seconds: float = PART) -> tuple[float, float]:
        """Images a second alone, and with such a window: alone, twice the lab, alone again."""
        with self.window(kind):
            first, *both, last = (
                part(seconds) for part in (self.alone, self.watched, self.watched, self.alone)
            )
        return (first + last) / 2, sum(both) / 2

    def alone(self, seconds: float) -> float:
        """Images a second of training alone."""
        assert self.server.pid
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            return self.rate(self.trainer.bench.train, seconds)
        finally:
            os.kill(self.server.pid, signal.SIGCONT)

    def watched(self, seconds: float) -> float:
        """Images a second of the lab."""
        last, began = self.trainer.telling.looks.last, perf_counter()
        for topic in last:  # a look that was due in a second still is
            last[topic] += began - self.rested
        try:
            return self.rate(self.trainer.turn, seconds)
        finally:
            self.rested = perf_counter()

    def rate(self, step: Callable[[], None], seconds: float) -> float:
        """Images a second."""
        branch = self.trainer.bench.branch
        began, seen = perf_counter(), branch.seen
        while perf_counter() - began < seconds:
            step()
        assert self.trainer.bench.at_work, "it has come to its end"
        return (branch.seen - seen) / (perf_counter() - began)

    @contextmanager
    def window(self, kind: str) -> Iterator[None]:
        """A window in a process of its own, if there is one."""
        if kind == NOBODY:
            yield
            return
        command = [sys.executable, "-c", WINDOW, str(self.port), TOKEN, str(int(kind == READS))]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert other.stdout is not None
            other.stdout.readline()
            if kind == DEAD:
                other.send_signal(signal.SIGSTOP)
            yield
        finally:
            other.kill()
            other.wait()

    def end(self) -> None:
        self.server.kill()
        self.server.join()


def measured(name: str, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Images a second alone and with each window, by rounds."""
    lab = Lab(name)
    try:
        return in_turn({kind: lambda kind=kind: lab.turn(kind) for kind in WINDOWS}, rounds)
    finally:
        lab.end()


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--images", choices=list(TASKS), action="append")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    given = options.parse_args()
    use_threads(given.threads)
    kept = True
    for name, variable in TASKS.items():
        if given.images and name not in given.images:
            continue
        if variable and not os.environ.get(variable):
            print(f"{name}: not run, {variable}=PATH names its images", file=sys.stderr)
            continue
        rows, found = [[*HEAD]], {}
        for window, rates in measured(name, given.rounds).items():
            alone, watched = zip(*rates, strict=True)
            found[window] = ratios(watched, alone)
            low, high = found[window]["quartiles"]
            ratio = found[window]["median"]
            kept &= ratio >= BAR
            figures = f"{median(alone):,.0f}", f"{median(watched):,.0f}", f"{ratio:.3f}"
            rows.append([window, *figures, f"{low:.3f} to {high:.3f}", str(len(rates))])
        result = here(given.threads, watching=found)
        title = heading(f"What watching costs: {name}", result)
        write(f"watching-{name.lower()}", result, f"{title}\n\n{aligned(rows)}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
