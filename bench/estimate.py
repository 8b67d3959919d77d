"""How far `striate estimate` is from the truth: every network of the zoo, foretold, then trained.

    python bench/estimate.py [--batch 16] [--networks NAME ...]

For each network, in processes of their own that start alike: real training steps on images of
noise; the estimate, every layer of it measured anew; the same training steps again, by the same
loop, recipe and Compute. Where the two trainings differ by more than a fifth, another program was
at work, and the network is taken again, at most twice; else the lower counts.
Compared are a usual step (the sum of the medians of its parts) and the process's peak memory. Bars:
the median error within 15%, the worst within 40%. Results go to bench/results/.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import machine

import striate
from striate import __version__, zoo
from striate.compute import choose
from striate.errors import StriateError
from striate.recipes import Recipe
from striate.timing.estimate import estimate
from striate.timing.machine import Readings
from striate.timing.rehearsal import Rehearsal, laps_of

BENCH = Path(__file__).resolve().parent
WARM_UP, STEPS, SECONDS = 3, 60, 1.5
AGREE, TURNS = 1.2, 3
BARS = 0.15, 0.40  # of the median and the worst error


def foretell(name: str, batch: int) -> dict[str, Any]:
    """What the estimate says, and how long it took to say it."""
    network, recipe = striate.read(name), replace(Recipe(), batch=batch)
    compute = choose(network, batch)
    began = time.perf_counter()
    with TemporaryDirectory() as folder:
        found = estimate(network, recipe, compute, readings=Readings(Path(folder)))
    took = time.perf_counter() - began
    parts = {f"foretold_{what}": seconds for what, seconds in found.parts.items()}
    return {
        "name": name,
        "compute": str(compute),
        "foretold": found.step,
        "foretold_memory": found.memory,
        "took": took,
        **parts,
    }


def measure(name: str, batch: int) -> dict[str, Any]:
    """What training takes."""
    network, recipe = striate.read(name), replace(Recipe(), batch=batch)
    rehearsal = Rehearsal(network, recipe, choose(network, batch), batch, WARM_UP + STEPS)
    rehearsal.steps(WARM_UP)
    steps = rehearsal.steps(STEPS, SECONDS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    laps = laps_of(steps)
    return {
        "measured": sum(laps.values()),
        "steps": len(steps),
        "measured_memory": peak * (1 if sys.platform == "darwin" else 1024),
        **{f"measured_{lap}": seconds for lap, seconds in laps.items()},
    }


def told(what: Any, name: str, batch: int, pipe: Any) -> None:
    """Runs one of the two in a process of its own and hands over what it gives."""
    try:
        pipe.send(what(name, batch))
    except (StriateError, MemoryError, RuntimeError) as reason:
        pipe.send({"left_out": f"{reason}".splitlines()[0]})


def apart(what: Any, name: str, batch: int) -> dict[str, Any]:
    """The same from here; a process that dies is told as well."""
    context = multiprocessing.get_context("fork")  # PyTorch is there already
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=told, args=(what, name, batch, there))
    process.start()
    there.close()
    try:
        found: dict[str, Any] = here.recv()
    except EOFError:
        found = {"left_out": "the process was killed, as by the system for want of memory"}
    process.join()
    return found


def compared(name: str, batch: int) -> dict[str, Any]:
    """Training, the estimate, training."""
    before, row, after = (apart(what, name, batch) for what in (measure, foretell, measure))
    for each in (before, row, after):
        if "left_out" in each:
            return each
    low, high = sorted((before, after), key=lambda each: float(each["measured"]))
    return row | low | {"disagree": high["measured"] / low["measured"]}


def main() -> None:
    """Foretell, measure, compare, write."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--networks", nargs="*", default=zoo.names())
    options.add_argument(
        "--missing", action="store_true", help="take only those that the results do not hold yet"
    )
    given = options.parse_args()
    file = BENCH / "results" / f"estimate-{machine.describe()['name']}.json"
    rows: dict[str, Any] = {}
    if given.missing and file.exists():
        rows = {row["name"]: row for row in json.loads(file.read_text())}
    for name in given.networks:
        if name in rows:
            continue
        for _ in range(TURNS):
            row = compared(name, given.batch)
            if row.get("disagree", 1.0) <= AGREE:
                break
        row["name"] = name
        if "left_out" not in row:
            row["error"] = row["foretold"] / row["measured"] - 1
            row["memory_error"] = row["foretold_memory"] / row["measured_memory"] - 1
        rows[name] = row
        print(line(row), flush=True)
        if set(given.networks) == set(zoo.names()):
            ordered = [rows[each] for each in zoo.names() if each in rows]
            file.write_text(json.dumps(ordered, indent=1) + "\n")
            file.with_suffix(".md").write_text(report(ordered, given.batch))
    taken = [row for row in rows.values() if "left_out" not in row]
    print(report(list(rows.values()), given.batch))
    middle, worst = errors(taken, "error")
    sys.exit(middle > BARS[0] or worst > BARS[1])


def errors(rows: list[dict[str, Any]], what: str) -> tuple[float, float]:
    """The median and the largest, whichever way they point."""
    found = [abs(row[what]) for row in rows]
    return median(found), max(found)


def line(row: dict[str, Any]) -> str:
    """A network's row of the table."""
    if "left_out" in row:
        return f"| {row['name']} | left out: {row['left_out']} | | | | | | | |"
    return (
        f"| {row['name']} | {row['compute'].removeprefix('cpu, ')} | {1000 * row['foretold']:,.1f} "
        f"| {1000 * row['measured']:,.1f} | {row['error']:+.0%} | {row['took']:.1f} "
        f"| {row['foretold_memory'] / 1e6:,.0f} | {row['measured_memory'] / 1e6:,.0f} "
        f"| {row['memory_error']:+.0%} |"
    )


def report(every: list[dict[str, Any]], batch: int) -> str:
    """The comparison as Markdown."""
    here, rows = machine.describe(), [row for row in every if "left_out" not in row]
    within = sorted(abs(row["error"]) for row in rows)[int(0.9 * len(rows))]
    middle, worst = errors(rows, "error")
    middle_memory, worst_memory = errors(rows, "memory_error")
    lines = [
        "# striate estimate, beside what training took\n",
        f"A training step of {batch} images, over {len(rows)} networks of the zoo. Error of the",
        f"time: median **{middle:.1%}** (bar {BARS[0]:.0%}), worst **{worst:.1%}** (bar",
        f"{BARS[1]:.0%}), 9 of 10 within {within:.1%}. Error of the peak memory: median",
        f"{middle_memory:.1%}, worst {worst_memory:.1%}. Foretold with each layer by itself,",
        f"nothing kept from before; measured: medians over up to {STEPS} steps of the training",
        f"loop, after {WARM_UP}, before the estimate and after it, the lower.\n",
        f"{here['processor']}, {here['cores']} cores, {here['memory_gib']} GiB; {here['system']}.",
        f"Python {here['python']}, torch {version('torch')}, striate {__version__}.",
        f"{date.today()}.\n",
        "| network | computed on the CPU with | foretold, ms | measured, ms | error "
        "| to foretell, s | memory foretold, MB | measured, MB | error |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *map(line, every),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
