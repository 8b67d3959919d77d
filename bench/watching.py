"""What watching costs: images a second of the lab, beside the same training that nobody looks at.

    CIFAR10=file python bench/watching.py [--rounds 12] [--seconds 4] [--images digits]

Two processes that train by turns, and rest while the other does: one without the lab; the lab,
without a window, with one that takes every frame, with one that connects and never reads, with one
whose process is stopped. Both begin anew every few rounds. Bar: the lab at most 5% below training
alone, whatever its window does. Exit 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from pairs import aligned, heading, here, in_turn, ratios, spread, use_threads, write
from websockets.sync.client import ClientConnection, connect

from striate.lab.frames import unframed

ALONE, NOBODY, READS, SLOW, DEAD = "training alone", "no window", "reads", "never reads", "stopped"
TASKS = {"digits": (None, []), "CIFAR-10": ("CIFAR10", ["convnetjs-cifar10", "--data"])}
BAR = 0.95
WARM_UP = 4.0  # seconds
AT_A_TIME = 4  # rounds with the same processes

# A process that trains as the lab does: for so many seconds, when it is asked to.
TRAIN = """
import sys, time
from striate.cli.lab import NET
from striate.data import load
from striate.lab.branch import begun
from striate.network import read
from striate import recipes
network = read(sys.argv[1] if len(sys.argv) > 2 else NET)
recipe = recipes.read("lab")
splits = load(sys.argv[-1] if len(sys.argv) > 2 else "digits", input=network.input,
              resize=recipe.resize, validation=recipe.validation)
branch = begun("main", network, recipe, splits)
for line in sys.stdin:
    began, seen = time.perf_counter(), branch.seen
    while time.perf_counter() - began < float(line):
        branch.step()
    print((branch.seen - seen) / (time.perf_counter() - began), flush=True)
"""

# A window in a process of its own.
WINDOW = """
import sys, time
from websockets.sync.client import connect
origin, cookie, reads = sys.argv[1:]
with connect(origin.replace("http", "ws") + "/socket", max_size=None,
             additional_headers={"Cookie": cookie, "Origin": origin}) as window:
    print("open", flush=True)
    while True:
        window.recv() if reads == "1" else time.sleep(1)
"""


class Alone:
    """Training without the lab."""

    def __init__(self, arguments: list[str]) -> None:
        command = [sys.executable, "-c", TRAIN, *[each for each in arguments if each != "--data"]]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def turn(self, seconds: float) -> float:
        """Images a second."""
        assert self.process.stdin and self.process.stdout
        print(seconds, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


class Lab:
    """The lab, which rests unless it has its turn."""

    def __init__(self, arguments: list[str]) -> None:
        command = [sys.executable, "-m", "striate", "lab", "--no-browser", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"(http://\S+)/\?token=(\S+)", self.process.stdout.readline())
        assert found, "the lab did not start"
        self.origin = found[1]
        self.cookie = f"striate-lab-{found[1].rpartition(':')[2]}={found[2]}"
        self.asked = 0
        self.state: dict[str, Any] | None = None
        with self.control() as window:
            next(header for header in self.heard(window) if header["topic"] == "state")
            self.ask(window, "pause")

    def turn(self, kind: str, seconds: float) -> float:
        """Images a second with such a window."""
        with self.window(kind):
            with self.control() as control:
                self.state = None
                seen = self.seen(control)
                self.ask(control, "run")
                began = time.perf_counter()
            time.sleep(seconds)
            with self.control() as control:
                self.ask(control, "pause")
                ended = time.perf_counter()
                return (self.seen(control) - seen) / (ended - began)

    def control(self) -> Any:
        """A connection that asks, and is gone while the lab trains."""
        headers = {"Cookie": self.cookie, "Origin": self.origin}
        address = self.origin.replace("http", "ws") + "/socket"
        return connect(address, additional_headers=headers, max_size=None, max_queue=None)

    def ask(self, control: ClientConnection, what: str) -> None:
        """Have it done; returns once it is."""
        self.asked, self.state = self.asked + 1, None
        control.send(json.dumps({"do": what, "id": self.asked}))
        next(each for each in self.heard(control) if each["topic"] == f"answer/{self.asked}")

    def seen(self, control: ClientConnection) -> int:
        """How many images it has seen, now that it rests."""
        heard = self.heard(control)
        while self.state is None or self.state["running"]:
            next(heard)
        return int(self.state["branches"][0]["seen"])

    def heard(self, control: ClientConnection) -> Iterator[dict[str, Any]]:
        """Frames as they come; the newest state is kept, as it may come before an answer."""
        for content in control:
            header, _ = unframed(bytes(content))
            if header["topic"] == "state":
                self.state = header
            yield header

    @contextmanager
    def window(self, kind: str) -> Iterator[None]:
        """A window in a process of its own, if there is one."""
        if kind == NOBODY:
            yield
            return
        command = [sys.executable, "-c", WINDOW, self.origin, self.cookie, str(int(kind == READS))]
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
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


def measured(arguments: list[str], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Images a second of each, by rounds."""
    rates: dict[str, list[float]] = {}
    while rounds > 0:
        alone, lab = Alone(arguments), Lab(arguments)
        try:
            alone.turn(WARM_UP)
            lab.turn(NOBODY, WARM_UP)
            contenders: dict[str, Any] = {ALONE: lambda alone=alone: alone.turn(seconds)}
            for kind in (NOBODY, READS, SLOW, DEAD):
                contenders[kind] = lambda lab=lab, kind=kind: lab.turn(kind, seconds)
            for name, found in in_turn(contenders, min(rounds, AT_A_TIME)).items():
                rates.setdefault(name, []).extend(found)
        finally:
            alone.end()
            lab.end()
        rounds -= AT_A_TIME
    return rates


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--seconds", type=float, default=4.0)
    options.add_argument("--images", choices=list(TASKS), action="append")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    given = options.parse_args()
    use_threads(given.threads)
    rows, found, kept = [["images", "window", "images/s", "of training alone", "n"]], {}, True
    for name, (variable, arguments) in TASKS.items():
        if given.images and name not in given.images:
            continue
        if variable and not os.environ.get(variable):
            found[name] = f"not run: {variable}=PATH names its images"
            continue
        words = [*arguments, os.environ[variable]] if variable else arguments
        rates = measured(words, given.rounds, given.seconds)
        for window, rate in rates.items():
            ratio = ratios(rate, rates[ALONE])["median"]
            kept &= window == ALONE or ratio >= BAR
            rows.append([name, window, f"{median(rate):,.0f}", f"{ratio:.3f}", str(len(rate))])
        found[name] = {window: spread(rate, 1) for window, rate in rates.items()}
    result = here(given.threads, watching=found)
    write("watching", result, f"{heading('What watching costs', result)}\n\n{aligned(rows)}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
