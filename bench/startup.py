"""How long `striate table` takes as a whole process, beside `import torch` and torchinfo.

    python bench/startup.py [--rounds 20]

Each round runs every command once, in a new order, so that a pair of one round shares the machine's
mood. The peers have their own environment, build/peers. Results go to bench/results/. Exit 1: a bar
is missed, or the two sides count differently. On a busy machine longer processes lose more, and
ratios flatter us; so torchinfo also runs on one thread, we are held against the faster of its two
runs, and a ratio must hold in CPU time too.
"""

import argparse
import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import machine

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
PEERS = ROOT / "build" / "peers"
STRIATE = str(Path(sys.executable).with_name("striate"))
# Without the caller's settings of Python: one of them turns compiled modules off.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

TABLE, LONGEST = "striate table resnet152", "striate table resnet1202"
IMPORT, BARE = "python -c 'import torch'", "python -c pass"
TORCHINFO, ONE_THREAD = "torchinfo, resnet152", "torchinfo, resnet152, one thread"
ON_META = "torchinfo, resnet152 on the meta device"
AGAINST = {(IMPORT,): Fraction(1, 3), (TORCHINFO, ONE_THREAD): Fraction(1, 10)}


@dataclass(frozen=True)
class Cost:
    """What one process took; `cpu` is user and system time."""

    seconds: float
    cpu: float


def cost(command: list[str]) -> Cost:
    """Run a command to its end."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{shlex.join(command)} failed")
    return Cost(seconds, used.ru_utime + used.ru_stime)


def output(command: list[str]) -> Any:
    """The JSON that a command prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, env=ENVIRONMENT, check=True)
    return json.loads(done.stdout)


def peers() -> list[str]:
    """The command that runs peers.py, its environment made or made anew as needed."""
    python, ready = str(PEERS / "bin" / "python"), PEERS / ".installed"
    files = [ROOT / "constraints.txt", BENCH / "peers.txt"]
    wanted = "\n".join([sys.version, *(file.read_text() for file in files)])
    if not ready.exists() or ready.read_text() != wanted:
        print(f"Installing the peers into {PEERS}; this takes some minutes.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEERS], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-c", *files[:1], "-r", *files[1:]], check=True)
        ready.write_text(wanted)
    return [python, str(BENCH / "peers.py")]


def declared(python: str) -> list[str]:
    """The option of peers.py that a torchvision needs whose operators do not load."""
    probe = [python, "-c", "import torchvision"]
    fits = subprocess.run(probe, stderr=subprocess.DEVNULL, env=ENVIRONMENT).returncode == 0
    return [] if fits else ["--declare"]


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[Cost]]:
    """The cost of each command in each round, after one round that only warms the file cache."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    order = random.Random(0)
    for each in range(rounds + 1):
        for name in order.sample(list(commands), len(commands)):
            spent = cost(commands[name])
            if each:
                costs[name].append(spent)
        if sys.stderr.isatty():
            print(f"round {each} of {rounds}", end="\r", file=sys.stderr, flush=True)
    return costs


def spread(values: list[float]) -> dict[str, Any]:
    """The median, the quartiles, and every value in the order of the rounds."""
    low, middle, high = quantiles(values, n=4, method="inclusive")
    rounds = [round(value, 4) for value in values]
    quartiles = [round(low, 4), round(high, 4)]
    return {"median": round(middle, 4), "quartiles": quartiles, "rounds": rounds}


def judge(costs: dict[str, list[Cost]]) -> list[dict[str, Any]]:
    """Each bar, with its readings; it holds where all of them do."""
    bars = []
    for peers, limit in AGAINST.items():
        seconds, cpu = (
            ([getattr(each, what) for each in costs[name]] for name in (TABLE, *peers))
            for what in ("seconds", "cpu")
        )
        ours, *theirs = seconds
        fastest = [min(each) for each in zip(*theirs, strict=True)]
        ratios = spread([mine / other for mine, other in zip(ours, fastest, strict=True)])
        our_cpu, *their_cpu = (median(each) for each in cpu)
        readings = {
            "median of the ratios": ratios["median"],
            "ratio of the medians": median(ours) / median(fastest),
            "ratio of the medians, CPU time": our_cpu / min(their_cpu),
        }
        bars.append(bar(f"{TABLE} / {peers[0]}", limit, readings) | {"ratios": ratios})
    used = spread([each.cpu for each in costs[LONGEST]])
    readings = {"median": used["median"], "most": max(used["rounds"])}
    return [*bars, bar(f"{LONGEST}, CPU seconds", Fraction(1), readings)]


def bar(what: str, limit: Fraction, readings: dict[str, float]) -> dict[str, Any]:
    """One bar, as it stands in the results."""
    rounded = {name: round(value, 4) for name, value in readings.items()}
    holds = all(value < limit for value in readings.values())
    return {"what": what, "limit": str(limit), "readings": rounded, "holds": holds}


def compare(theirs: dict[str, int]) -> dict[str, Any]:
    """The counts of both sides for one network, and whether they agree.

    torchinfo counts a multiply-add for each scale, shift and bias, once; leaving those out it must
    agree with ours, and so must torch's own counter, which counts two operations for each MAC.
    """
    totals = output([STRIATE, "table", "resnet152-torchvision", "--format", "json"])["totals"]
    published = output([STRIATE, "table", "resnet152", "--format", "json"])["totals"]
    kept = ("parameters", "macs")
    alone = theirs["torchinfo_mult_adds"] - theirs["scales_shifts_and_biases"]
    return {
        "striate, resnet152-torchvision": {key: totals[key] for key in kept},
        "striate, resnet152": {key: published[key] for key in kept},
        "peers, torchvision's resnet152": theirs,
        "agree": totals["parameters"] == theirs["parameters"]
        and totals["macs"] == alone == theirs["torch_flops"] / 2,
    }


def aligned(rows: list[list[str]]) -> str:
    """A Markdown table, columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    cells = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def report(result: dict[str, Any]) -> str:
    """The result as Markdown, to read in a terminal too."""
    at = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    times = [["whole process, seconds", "median", "quartiles", "CPU"]]
    for name, spent in result["seconds"].items():
        low, high = spent["quartiles"]
        cpu = result["cpu_seconds"][name]["median"]
        times.append([name, f"{spent['median']:.3f}", f"{low:.3f} to {high:.3f}", f"{cpu:.3f}"])
    bars = [["bar", "reading", "found", "below", "holds"]]
    for each in result["bars"]:
        for reading, found in each["readings"].items():
            holds = "yes" if found < Fraction(each["limit"]) else "NO"
            bars.append([each["what"], reading, f"{found:.3f}", each["limit"], holds])
    counts = [["counted", "", ""]]
    for side, found in result["answers"].items():
        if isinstance(found, dict):
            counts += [[side, name, f"{number:,}"] for name, number in found.items()]
    agree = "agree" if result["answers"]["agree"] else "DISAGREE"
    return "\n\n".join(
        [
            "# Time to start",
            f"{at['processor']}, {at['cores']} cores, {at['memory_gib']} GiB; {at['system']}.  \n"
            f"Python {at['python']}, {versions}; {result['threads']} threads in torch.  \n"
            f"{result['date']}, commit {result['commit']}, {result['rounds']} rounds, "
            f"every command once in each; load before {result['load_before']}.",
            aligned(times),
            aligned(bars),
            f"For torchvision's variant of the network both sides {agree}:",
            aligned(counts),
        ]
    )


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=20, help="at least 10 (default: 20)")
    rounds = max(10, options.parse_args().rounds)
    run = peers()
    declare = declared(run[0])
    load = os.getloadavg()[0]
    costs = measure(
        {
            BARE: [sys.executable, "-c", "pass"],
            TABLE: [STRIATE, "table", "resnet152"],
            LONGEST: [STRIATE, "table", "resnet1202"],
            IMPORT: [sys.executable, "-c", "import torch"],
            TORCHINFO: [*run, "summary", "cpu", *declare],
            ONE_THREAD: ["env", "OMP_NUM_THREADS=1", *run, "summary", "cpu", *declare],
            ON_META: [*run, "summary", "meta", *declare],
        },
        rounds,
    )
    theirs = output([*run, "count", *declare])
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    result = {
        "machine": machine.describe(),
        "date": date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "versions": {name: version(name) for name in ("striate", "lark", "rich", "click")}
        | theirs["versions"],
        "threads": theirs["threads"],
        "operators_declared": bool(declare),
        "rounds": rounds,
        "load_before": round(load, 2),
        "bars": judge(costs),
        "answers": compare(theirs["counts"]),
        "seconds": {name: spread([each.seconds for each in costs[name]]) for name in costs},
        "cpu_seconds": {name: spread([each.cpu for each in costs[name]]) for name in costs},
    }
    text = report(result)
    file = BENCH / "results" / f"startup-{result['machine']['name']}"
    file.parent.mkdir(exist_ok=True)
    flat = re.sub(
        r"\[[^][]*\]", lambda found: " ".join(found[0].split()), json.dumps(result, indent=1)
    )
    file.with_suffix(".json").write_text(flat + "\n")
    file.with_suffix(".md").write_text(text + "\n")
    print(text)
    return 0 if result["answers"]["agree"] and all(bar["holds"] for bar in result["bars"]) else 1


if __name__ == "__main__":
    sys.exit(main())
