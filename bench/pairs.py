"""What every benchmark here does: contenders in turn, medians, ratios by round, a table, two files.

In a round each contender is measured once, in a new order, so that those of one round share the
machine's mood. A ratio is of two readings of one round; what counts is the median of the ratios.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles
from typing import Any, TypeVar

import machine

import striate

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
LOAD = os.getloadavg()[0]  # before anything is measured
Reading = TypeVar("Reading")


def in_turn(
    contenders: Mapping[str, Callable[[], Reading]], rounds: int
) -> dict[str, list[Reading]]:
    """Call each contender once in each round; their answers, in the order of the rounds."""
    readings: dict[str, list[Reading]] = {name: [] for name in contenders}
    order = random.Random(0)
    for number in range(1, rounds + 1):
        for name in order.sample(list(contenders), len(contenders)):
            tell(f"round {number} of {rounds}: {name}")
            readings[name].append(contenders[name]())
    return readings


def tell(what: str) -> None:
    """One line of progress, on a terminal over the one before."""
    end = "\033[K\r" if sys.stderr.isatty() else "\n"
    print(what, end=end, file=sys.stderr, flush=True)


def spread(values: Sequence[float], digits: int = 4) -> dict[str, Any]:
    """The median, the quartiles, and every value in the order of the rounds."""
    several = list(values) * (2 if len(values) == 1 else 1)
    low, middle, high = quantiles(several, n=4, method="inclusive")
    return {
        "median": round(middle, digits),
        "quartiles": [round(low, digits), round(high, digits)],
        "rounds": [round(value, digits) for value in values],
    }


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The spread of ours / theirs, round by round."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])


def here(threads: int, **more: Any) -> dict[str, Any]:
    """Where and when: the first part of every result."""
    ours = {"striate": striate.__version__, "torch": version("torch")}
    return {
        "machine": machine.describe(),
        "date": date.today().isoformat(),
        "commit": _commit(),
        "versions": ours | more.pop("versions", {}),
        "threads": threads,
        "load_before": round(LOAD, 2),
        **more,
    }


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def heading(title: str, result: Mapping[str, Any]) -> str:
    """The title, and the lines on the machine under it."""
    at = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    threads = f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    device = f"{at['gpu']}; " if at.get("gpu") else ""
    return (
        f"# {title}\n\n"
        f"{device}{at['processor']}, {at['cores']} cores, {at['memory_gib']} GiB; "
        f"{at['system']}.  \n"
        f"Python {at['python']}, {versions}; {threads}.  \n"
        f"{result['date']}, commit {result['commit']}; load before {result['load_before']}."
    )


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    cells = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in ruled)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def write(stem: str, result: Mapping[str, Any], text: str, folder: Path | None = None) -> None:
    """Keep a result as results/STEM-MACHINE.json and .md, and print it."""
    folder = folder or BENCH / "results"
    folder.mkdir(parents=True, exist_ok=True)
    flat = re.sub(
        r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), json.dumps(result, indent=1)
    )
    name = f"{stem}-{result['machine']['name']}"
    (folder / f"{name}.json").write_text(flat + "\n")
    (folder / f"{name}.md").write_text(text + "\n")
    print(text)


def use_threads(count: int) -> None:
    """Bind this process, and all that it starts, to so many cores and as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(count)
