"""`striate serve` under more than it can do: open-loop traffic with real JPEGs.

    python bench/load.py [NETWORK] [--seconds 20] [--rounds 5]

The server, a worker with a network of chance weights, has a core of its own, and this program,
which asks, has another: where there are two cores, the system's work for both is on them too.
Photos of 500x375, made here, are asked about as they come (Poisson), whether earlier ones are
answered or not; times are from when a request was due. Bars: at 1.5, 3 and 10 times what the
server can do, answers at least 90% of the most, p99 of those answered at most twice that at 80%
load, refusals within 50 ms, memory within 10%; after it, within 2 s as before at 80%. 500 slow
connections raise the p99 of the others by at most 20%. Exit 1 where one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from feeding import photo
from pairs import ROOT, aligned, heading, here, spread, tell, write

LOADS = (1.5, 3.0, 10.0)
BASE = 0.8
PHOTOS = 64
SLOW = 500
STEP = 0.25  # seconds: how finely recovery is looked at
STRETCH = 5.0  # seconds that are judged together
BARS = {
    "answered, of the most": ("at least", 0.90),
    "p99 answered, of that at 80%": ("at most", 2.0),
    "p99 refused, ms": ("at most", 50.0),
    "memory, of that at 80%": ("at most", 1.10),
    "recovered after, s": ("at most", 2.0),
    "p99 beside 500 slow ones, of that without": ("at most", 1.20),
}


@dataclass
class Seen:
    """What came of a stretch of traffic: (due, seconds, status) of each request, in seconds."""

    began: float
    seconds: float
    answers: list[tuple[float, float, int]] = field(default_factory=list)
    asked: int = 0
    memory: int = 0

    def took(self, refused: bool = False) -> np.ndarray[Any, Any]:
        return np.array([s for _, s, status in self.answers if (status != 200) == refused] or [0.0])

    @property
    def goodput(self) -> float:
        return sum(status == 200 for *_, status in self.answers) / self.seconds

    def p99(self, refused: bool = False) -> float:
        return float(np.quantile(self.took(refused), 0.99))

    def told(self) -> dict[str, Any]:
        statuses: dict[str, int] = {}
        for *_, status in self.answers:
            statuses[str(status)] = statuses.get(str(status), 0) + 1
        return {
            "asked_per_second": round(self.asked / self.seconds, 1),
            "answered_per_second": round(self.goodput, 1),
            "statuses": statuses,
            "p50_ms": round(1000 * float(np.quantile(self.took(), 0.5)), 1),
            "p99_ms": round(1000 * self.p99(), 1),
            "refused_p50_ms": round(1000 * float(np.quantile(self.took(True), 0.5)), 1),
            "refused_p99_ms": round(1000 * self.p99(True), 1),
            "refused_max_ms": round(1000 * float(self.took(True).max()), 1),
            "memory_mb": round(self.memory / 1e6, 1),
        }


class Asker(asyncio.Protocol):
    """A connection that asks one thing after the other."""

    def __init__(self, gone: Callable[[Asker], None]) -> None:
        self.read, self.answered, self.gone = b"", None, gone

    answered: Callable[[int], None] | None
    transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, request: bytes, answered: Callable[[int], None]) -> None:
        self.answered = answered
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.read += data
        head, blank, rest = self.read.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        if len(rest) >= length and self.answered:
            self.read = rest[length:]
            answered, self.answered = self.answered, None
            answered(int(head[9:12]))

    def connection_lost(self, reason: Exception | None) -> None:
        self.gone(self)
        if self.answered:
            self.answered(0)


class Traffic:
    """Asks a server, over as many connections as it needs."""

    def __init__(self, port: int, process: int, bodies: list[bytes]) -> None:
        self.port, self.process = port, process
        head = f"POST /predict HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: image/jpeg\r\n"
        self.requests = [
            f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies
        ]
        self.idle: list[Asker] = []
        self.chance = random.Random(0)

    def lost(self, asker: Asker) -> None:
        if asker in self.idle:
            self.idle.remove(asker)

    async def connected(self) -> Asker:
        loop = asyncio.get_running_loop()
        made = await loop.create_connection(lambda: Asker(self.lost), "127.0.0.1", self.port)
        return made[1]

    async def one(self, due: float, seen: Seen) -> int:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        try:
            asker = self.idle.pop() if self.idle else await self.connected()
        except OSError:
            seen.answers.append((due, time.perf_counter() - due, 0))
            return 0
        asker.ask(self.chance.choice(self.requests), lambda status: done.set_result(status))
        status = await done
        seen.answers.append((due, time.perf_counter() - due, status))
        if status:
            self.idle.append(asker)
        return status

    async def closed(self, together: int, seconds: float) -> Seen:
        """So many that each ask anew once they are answered."""
        seen = Seen(time.perf_counter(), seconds)

        async def asking() -> None:
            while time.perf_counter() < seen.began + seconds:
                await self.one(time.perf_counter(), seen)

        await asyncio.gather(*(asking() for _ in range(together)))
        seen.asked, seen.memory = len(seen.answers), memory(self.process)
        return seen

    async def open(self, rate: float, seconds: float, seed: int = 0) -> Seen:
        """So many a second, at random times, whatever has become of the others.

        With the same seed at the same times.
        """
        self.chance = random.Random(seed)
        seen, waiting = Seen(time.perf_counter(), seconds), set()
        due, sampled = seen.began, seen.began
        while (due := due + self.chance.expovariate(rate)) < seen.began + seconds:
            if (rest := due - time.perf_counter()) > 0:
                await asyncio.sleep(rest)
            elif len(waiting) % 16 == 0:
                await asyncio.sleep(0)
            task = asyncio.create_task(self.one(due, seen))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
            seen.asked += 1
            if due > sampled + STEP:
                sampled, seen.memory = due, max(seen.memory, memory(self.process))
        if waiting:
            await asyncio.wait(waiting, timeout=60)
        return seen


def memory(process: int) -> int:
    """Bytes that a process and those it began have in memory."""
    total, processes = 0, [process]
    while processes:
        each = processes.pop()
        status = Path(f"/proc/{each}/status").read_text()
        if resident := re.search(r"VmRSS:\s+(\d+)", status):
            total += 1024 * int(resident[1])
        for thread in Path(f"/proc/{each}/task").iterdir():
            processes += map(int, (thread / "children").read_text().split())
    return total


class Slow:
    """Connections that cost a server patience: heads, bodies and nothing, a byte a second."""

    def __init__(self, port: int) -> None:
        self.port, self.writers = port, list[asyncio.StreamWriter]()

    async def open(self, number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        begun = [b"", b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % self.port]
        begun.append(begun[1] + b"content-type: image/jpeg\r\ncontent-length: 50000\r\n\r\n")
        writer.write(begun[number % 3])
        self.writers.append(writer)

    async def keep(self) -> None:
        """500 of them; those that were closed come again."""
        while True:
            self.writers = [each for each in self.writers if not each.transport.is_closing()]
            for number in range(SLOW - len(self.writers)):
                await self.open(number)
            for number, writer in enumerate(self.writers):
                if number % 3:
                    writer.write(b"a")
            await asyncio.sleep(1)

    def close(self) -> None:
        for each in self.writers:
            each.transport.abort()


def recovered(after: Seen, before: Seen) -> float:
    """Seconds until a stretch begins that is as good as any of the same load before.

    At 80% load chance brings together more than there is room for: some are refused then, too.
    """
    slow = 2 * before.p99()
    worst = max(_bad(before, at, slow) for at in _steps(before))
    return next((at for at in _steps(after) if _bad(after, at, slow) <= worst), after.seconds)


def _steps(seen: Seen) -> Iterator[float]:
    return (STEP * each for each in range(int((seen.seconds - STRETCH) / STEP) + 1))


def _bad(seen: Seen, at: float, slow: float) -> float:
    """The part of a stretch's requests that was refused, or answered late."""
    found = [
        status != 200 or took > slow
        for due, took, status in seen.answers
        if at <= due - seen.began < at + STRETCH
    ]
    return sum(found) / max(1, len(found))


async def measured(traffic: Traffic, seconds: float, rounds: int) -> dict[str, Any]:
    """All stretches."""
    tell("warming up")
    await traffic.closed(8, 5)
    tell("the most that it can do")
    most = max(
        [await traffic.closed(each, seconds) for each in (4, 8, 16)], key=lambda s: s.goodput
    )
    peak = most.goodput
    found: dict[str, Any] = {"peak_per_second": round(peak, 1), "loads": {}, "slow": {}}
    tell(f"{peak:.1f} a second; 80% of it")
    base = await traffic.open(BASE * peak, 2 * seconds)
    found["loads"]["0.8"] = base.told()
    bars: dict[str, dict[str, float]] = {name: {} for name in BARS}
    for load in LOADS:
        tell(f"{load:g} times it")
        over = await traffic.open(load * peak, seconds)
        after = await traffic.open(BASE * peak, seconds)
        found["loads"][f"{load:g}"] = over.told()
        for name, value in zip(
            BARS,
            (
                over.goodput / peak,
                over.p99() / base.p99(),
                1000 * over.p99(refused=True),
                over.memory / base.memory,
                recovered(after, base),
            ),
            strict=False,
        ):
            bars[name][f"{load:g}"] = round(value, 3)
    ratios = []
    for number in range(rounds):
        tell(f"slow connections, round {number + 1} of {rounds}")
        without = await traffic.open(BASE * peak, seconds, number)
        slow = Slow(traffic.port)
        keeping = asyncio.create_task(slow.keep())
        await asyncio.sleep(2)
        beside = await traffic.open(BASE * peak, seconds, number)
        keeping.cancel()
        slow.close()
        await asyncio.sleep(1)
        found["slow"][str(number)] = {"without": without.told(), "beside": beside.told()}
        ratios.append(beside.p99() / without.p99())
    if ratios:
        found["slow"]["ratios"] = spread(ratios, 3)
        bars["p99 beside 500 slow ones, of that without"]["0.8"] = found["slow"]["ratios"]["median"]
    found["bars"] = bars
    return found


def run_of(network: str) -> Path:
    """A run folder with weights of chance: answers are wrong in the same time."""
    import torch

    from striate.compute import Compute
    from striate.data import Preparation
    from striate.network import read
    from striate.recipes import Recipe
    from striate.runs import Run
    from striate.storage import write_tensors

    path = ROOT / "build" / "bench" / f"serve-{network}"
    if not (path / "weights.safetensors").exists():
        path.mkdir(parents=True, exist_ok=True)
        read_ = read(network)
        depth, classes = read_.input.depth, read_.output.depth
        preparation = Preparation(read_.input, (0.5,) * depth, (0.25,) * depth)
        names = tuple(f"class {each}" for each in range(classes))
        torch.manual_seed(0)
        run = Run(
            path, read_, Recipe(), preparation, "made", "0" * 64, names, Compute(), read_.input
        )
        run.write()
        write_tensors(path / "weights.safetensors", dict(read_.build().state_dict()), {})
    return path


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("network", nargs="?", default="resnet18")
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--engine", default="auto")
    given = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    bodies = []
    for number in range(PHOTOS):
        written = BytesIO()
        photo(number).save(written, "JPEG", quality=90)
        bodies.append(written.getvalue())
    words = [str(run_of(given.network)), "--port", "0", "--engine", given.engine]
    server = subprocess.Popen(
        [sys.executable, "-m", "striate", "serve", *words, "--threads", "1"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, cores[-1:]),
    )
    try:
        assert server.stdout is not None
        about, address = server.stdout.readline().strip(), server.stdout.readline()
        os.sched_setaffinity(0, cores[:1])
        port = int(re.search(r":(\d+)/", address)[1])  # type: ignore[index]
        tell(about)
        traffic = Traffic(port, server.pid, bodies)
        work: Awaitable[dict[str, Any]] = measured(traffic, given.seconds, given.rounds)
        found = asyncio.run(work)  # type: ignore[arg-type]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(90)
    size = f"{np.mean([len(each) for each in bodies]) / 1e3:.0f} kB"
    result = here(1, served=about, photos=f"{PHOTOS} JPEGs of 500x375, {size} each", **found)
    write(f"load-{given.network}", result, report(result, given.network))
    return 0 if all(holds(name, value) for name, value in readings(result)) else 1


def readings(result: dict[str, Any]) -> list[tuple[str, float]]:
    """Each bar's name with what was found at each load."""
    return [(name, value) for name, each in result["bars"].items() for value in each.values()]


def holds(name: str, value: float) -> bool:
    """Whether a bar holds."""
    how, bar = BARS[name]
    return value >= bar if how == "at least" else value <= bar


def report(result: dict[str, Any], network: str) -> str:
    """The result as Markdown."""
    rows = [["load", "asked/s", "answered/s", "p50 ms", "p99 ms", "refused p99 ms", "max", "MB"]]
    for load, seen in result["loads"].items():
        numbers = ("asked_per_second", "answered_per_second", "p50_ms", "p99_ms")
        refused = ("refused_p99_ms", "refused_max_ms", "memory_mb")
        rows.append([load, *(f"{seen[name]:,}" for name in (*numbers, *refused))])
    bars = [["bar", "", "at load", "found", "holds"]]
    for name, found in result["bars"].items():
        how, bar = BARS[name]
        for load, value in found.items():
            bars.append(
                [name, f"{how} {bar:g}", load, f"{value:g}", "yes" if holds(name, value) else "NO"]
            )
    return "\n\n".join(
        [
            heading(f"`striate serve` under load, {network}", result),
            f"{result['served']}. {result['photos']}. At most {result['peak_per_second']:g} "
            "answers a second, on a core; whoever asks has the other.",
            aligned(rows),
            aligned(bars),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
