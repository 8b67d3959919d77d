"""What this machine can do, measured once and kept: matrix products, traffic with the memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from striate import __version__
from striate.compute import PRECISIONS, Compute
from striate.data.folders import cache_folder
from striate.errors import RunError
from striate.host import cores, processor
from striate.storage import write

VERSION = 1  # of what is kept: another one is measured anew
SIDE = 2048  # of the matrices that are multiplied
COPIED = 2**28  # bytes copied: more than a core's caches hold
TURNS = 5


@dataclass(frozen=True)
class Rates:
    """The most that a machine does in a precision, on a number of threads.

    Attributes:
        products: FLOP/s, two for each multiply-add, of a product of 2048x2048 matrices: the best
            of five.
        traffic: bytes/s, read and written, of a copy too large for the caches: the best of five.
    """

    products: float
    traffic: float

    @property
    def ridge(self) -> float:
        """FLOP for a byte below which a computation waits for the memory (Williams et al. 2009)."""
        return self.products / self.traffic

    def seconds(self, flops: float, moved: float) -> float:
        """The least time for so many FLOP and bytes: the longer of the two."""
        return max(flops / self.products, moved / self.traffic)


class Readings:
    """What was measured here, by name, kept in the user's cache folder for later.

    Another processor, another number of cores, another release of PyTorch or striate: another file.
    Where the folder cannot be written, nothing is kept.

    Args:
        fresh: pass over what is kept.
    """

    def __init__(self, folder: Path | None = None, *, fresh: bool = False) -> None:
        folder = folder or cache_folder() / "readings"
        about = [VERSION, __version__, processor(), cores(), torch.__version__]
        self.path = folder / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}.json"
        self.kept: dict[str, list[float]] = {}
        self._once: set[str] = set()
        if not fresh:
            self.kept = _read(self.path)

    def get(
        self, name: str, measure: Callable[[], Sequence[float]], again: bool = False
    ) -> list[float]:
        """The readings of a name, measured if there are none.

        Args:
            again: what was measured since these readings began is measured a second time, later,
                and the lower counts: another program may have been at work the first time.
        """
        if name not in self.kept:
            self.kept[name] = list(measure())
            self._once.add(name)
        elif again and name in self._once:
            self.kept[name] = list(map(min, self.kept[name], measure()))
            self._once.discard(name)
        return self.kept[name]

    def save(self) -> None:
        """Write them, beside what another process has kept since."""
        with suppress(OSError, RunError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write(self.path, json.dumps(_read(self.path) | self.kept).encode())


def _read(path: Path) -> dict[str, list[float]]:
    """What a file keeps; nothing, if it is not there or damaged."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {name: [float(each) for each in found] for name, found in kept.items()}
    return {}


def rates(compute: Compute, readings: Readings | None = None) -> Rates:
    """How fast the machine multiplies and moves, under a Compute; about a second when it is new."""
    readings = readings or Readings()
    where = f"{_device_name(compute)}, {compute.threads}"
    before = torch.get_num_threads()
    torch.set_num_threads(compute.threads)
    try:
        products = readings.get(f"products {compute.precision} {where}", lambda: _products(compute))
        traffic = readings.get(f"traffic {where}", lambda: _traffic(compute))
    finally:
        torch.set_num_threads(before)
    readings.save()
    return Rates(products[0], traffic[0])


def _products(compute: Compute) -> list[float]:
    kind = PRECISIONS[compute.precision]
    left, right = (torch.randn(SIDE, SIDE, device=compute.device).to(kind) for _ in range(2))
    return [2 * SIDE**3 / min(turns(lambda: left @ right, compute.device))]


def _traffic(compute: Compute) -> list[float]:
    source = torch.ones(COPIED // 4, device=compute.device)
    target = torch.empty_like(source).fill_(0)
    return [2 * COPIED / min(turns(lambda: target.copy_(source), compute.device))]


def turns(do: Callable[[], object], device: str, count: int = TURNS) -> list[float]:
    """Seconds that something takes, each of so many times, after once that does not count."""
    do()
    found = []
    for _ in range(count):
        began = now(device)
        do()
        found.append(now(device) - began)
    return found


def now(device: str) -> float:
    """The time, once a device has done what it was told to."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return perf_counter()


def spread(found: Sequence[float]) -> tuple[float, float]:
    """The median, and how far from it the middle of the others lies."""
    middle = median(found)
    return middle, median(abs(each - middle) for each in found)


def memory(device: str = "cpu") -> int:
    """Bytes that a program may have: of the machine, of its container, or of a GPU."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[1])
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # of cgroups, 2 and 1
        with suppress(OSError, ValueError):
            found.append(int((Path("/sys/fs/cgroup") / limit).read_text()))
    return min(found)


def _device_name(compute: Compute) -> str:
    cuda = compute.device.startswith("cuda")
    return torch.cuda.get_device_name(compute.device) if cuda else "cpu"
