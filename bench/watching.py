"""What watching costs: images a second of the lab, beside the same training that nobody looks at.

    CIFAR10=file python bench/watching.py [--rounds 5] [--seconds 10] [--images digits]

In turn: training alone, without the lab; the lab without a window; with a window that takes every
frame; with one that connects and never reads; with one whose process is stopped. Bar: the lab at
most 5% below training alone, whatever its window does. Exit 1 where one is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from statistics import median
from typing import Any

from pairs import aligned, heading, here, in_turn, ratios, spread, use_threads, write

ALONE, NOBODY, READS, SLOW, DEAD = "training alone", "no window", "reads", "never reads", "stopped"
TASKS = {"digits": (None, []), "CIFAR-10": ("CIFAR10", ["convnetjs-cifar10", "--data"])}
BAR = 0.95
WARM_UP = 5.0  # seconds

# A process that trains as the lab does and tells how many images it has seen when asked.
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
def train(seconds):
    began, seen = time.perf_counter(), branch.seen
    while time.perf_counter() - began < seconds:
        branch.step()
    return (branch.seen - seen) / (time.perf_counter() - began)
train({warm_up})
print(train({seconds}))
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


def alone(arguments: list[str], seconds: float) -> float:
    """Images a second of a branch in training, in a process of its own."""
    code = TRAIN.replace("{warm_up}", str(WARM_UP)).replace("{seconds}", str(seconds))
    command = [sys.executable, "-c", code, *[each for each in arguments if each != "--data"]]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def watched(arguments: list[str], seconds: float, window: str) -> float:
    """Images a second of the lab, as its own frames say."""
    lab = subprocess.Popen(
        [sys.executable, "-m", "striate", "lab", "--no-browser", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    other = None
    try:
        assert lab.stdout is not None
        found = re.search(r"(http://\S+)/\?token=(\S+)", lab.stdout.readline())
        assert found, "the lab did not start"
        cookie = f"striate-lab-{found[1].rpartition(':')[2]}={found[2]}"
        _seen(found[1], cookie)
        if window != NOBODY:
            reads = "1" if window == READS else "0"
            command = [sys.executable, "-c", WINDOW, found[1], cookie, reads]
            other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert other.stdout is not None
            other.stdout.readline()
            if window == DEAD:
                other.send_signal(signal.SIGSTOP)
        time.sleep(WARM_UP)
        began, seen = _seen(found[1], cookie)
        time.sleep(seconds)
        ended, now = _seen(found[1], cookie)
        return (now - seen) / (ended - began)
    finally:
        if other is not None:
            other.kill()
        lab.send_signal(signal.SIGINT)
        lab.wait()


def _seen(origin: str, cookie: str) -> tuple[float, int]:
    """When a frame with the newest state came, and how many images it says were seen.

    A window that opens is sent the newest of each topic at once: what counts is the next one.
    """
    from websockets.sync.client import connect

    from striate.lab.frames import unframed

    headers = {"Cookie": cookie, "Origin": origin}
    address = origin.replace("http", "ws") + "/socket"
    first = None
    with closing(connect(address, additional_headers=headers, max_size=None)) as window:
        for content in window:
            header, _ = unframed(bytes(content))
            if header["topic"] != "state":
                continue
            seen = header["branches"][0]["seen"]
            if first is not None and seen > first:
                return time.perf_counter(), seen
            first = seen if first is None else first
    raise RuntimeError("the lab has ended")


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=10.0)
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
        contenders: dict[str, Any] = {ALONE: lambda words=words: alone(words, given.seconds)}
        for window in (NOBODY, READS, SLOW, DEAD):
            contenders[window] = lambda words=words, window=window: watched(
                words, given.seconds, window
            )
        rates = in_turn(contenders, given.rounds)
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
