"""Numbers of all workers, for Prometheus: a row of memory for each that they share.

A worker that ends leaves its row to the one that takes its place, so that no counter falls.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)
STATUSES = (200, 303, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431, 499, 500, 503, 504)
FATES = ("scored", "refused", "gone")

COUNTERS = {
    "striate_requests_total": "Answers, by status; 499 where the client did not wait for it.",
    "striate_images_total": "Images asked about: scored, not readable, or no longer wanted.",
    "striate_begun_again_total": "Workers that had to be begun again.",
}
GAUGES = {
    "striate_inside": "Images that are waiting or worked on.",
    "striate_room": "Images that may be inside before others are refused.",
    "striate_connections": "Connections that are open.",
    "striate_rate": "Images a second that can be answered, as of late.",
    "striate_ready": "Workers that answer.",
}
HISTOGRAMS = {
    "striate_request_seconds": (
        "From a request's head to the answer, those with status 200.",
        SECONDS,
    ),
    "striate_batch_size": ("Images scored at once.", SIZES),
    "striate_batch_seconds": ("What the network took for a batch.", SECONDS),
}


def _columns() -> Iterator[str]:
    yield from (f'striate_requests_total{{status="{status}"}}' for status in STATUSES)
    yield from (f'striate_images_total{{fate="{fate}"}}' for fate in FATES)
    yield from ("striate_begun_again_total", *GAUGES)
    for name, (_, bounds) in HISTOGRAMS.items():
        yield from (f'{name}_bucket{{le="{bound:g}"}}' for bound in bounds)
        yield from (f'{name}_bucket{{le="+Inf"}}', f"{name}_sum")


COLUMNS = {name: at for at, name in enumerate(_columns())}


def room_for(workers: int, array: Callable[[str, int], Any]) -> Any:
    """Memory for so many workers' numbers: `array` is multiprocessing's `RawArray`."""
    return array("d", workers * len(COLUMNS))


class Metrics:
    """One worker's numbers. To be changed by one thread at a time.

    Args:
        shared: the memory of all, as `room_for` makes it.
        worker: whose row is written.
    """

    def __init__(self, shared: Any, worker: int) -> None:
        self._shared, self._start = shared, worker * len(COLUMNS)

    def add(self, name: str, number: float = 1.0, **labels: object) -> None:
        """Raise a counter."""
        said = ",".join(f'{key}="{value}"' for key, value in labels.items())
        self._shared[self._start + COLUMNS[f"{name}{{{said}}}" if said else name]] += number

    def set(self, **gauges: float) -> None:
        """Say what is so now; names without `striate_`."""
        for name, value in gauges.items():
            self._shared[self._start + COLUMNS[f"striate_{name}"]] = value

    def observe(self, name: str, value: float) -> None:
        """Count a value in a histogram."""
        bounds = HISTOGRAMS[name][1]
        first = COLUMNS[f'{name}_bucket{{le="{bounds[0]:g}"}}']
        self._shared[self._start + first + bisect_left(bounds, value)] += 1
        self._shared[self._start + first + len(bounds) + 1] += value

    def text(self) -> str:
        """All workers' numbers together, in Prometheus' text format 0.0.4."""
        values = list(self._shared)
        rows = [values[at : at + len(COLUMNS)] for at in range(0, len(values), len(COLUMNS))]
        return "\n".join(_lines([sum(column) for column in zip(*rows, strict=True)])) + "\n"


def _lines(values: Sequence[float]) -> Iterator[str]:
    for kind, names in (("counter", COUNTERS), ("gauge", GAUGES)):
        for name, help in names.items():
            yield from _head(name, help, kind)
            for column, at in COLUMNS.items():
                if column.partition("{")[0] == name:
                    yield (
                        f"{column} {values[at]:g}"
                        if kind == "gauge"
                        else f"{column} {values[at]:.0f}"
                    )
    for name, (help, bounds) in HISTOGRAMS.items():
        yield from _head(name, help, "histogram")
        first = COLUMNS[f'{name}_bucket{{le="{bounds[0]:g}"}}']
        counts = list(accumulate(values[first : first + len(bounds) + 1]))
        for bound, count in zip([*(f"{each:g}" for each in bounds), "+Inf"], counts, strict=True):
            yield f'{name}_bucket{{le="{bound}"}} {count:.0f}'
        yield f"{name}_sum {values[first + len(bounds) + 1]:.9g}"
        yield f"{name}_count {counts[-1]:.0f}"


def _head(name: str, help: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"
