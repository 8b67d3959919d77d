"""How long `striate table` takes as a whole process, beside `import torch` and torchinfo.

    python bench/startup.py [--rounds 20]

Each round runs every command once, in a new order, so that a pair of one round shares the machine's
mood. The peers have their own environment, build/environments/torch. Results go to bench/results/.
Exit 1: a bar is missed, or the two sides count differently. On a busy machine longer processes lose
more, and ratios flatter us; so torchinfo also runs on one thread, we are held against the faster of
its two runs, and a ratio must hold in CPU time too.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import environments
from pairs import aligned, heading, here, in_turn, spread, write

STRIATE = str(Path(sys.executable).with_name("striate"))
# Without the caller's settings of Python: one of them turns compiled modules off.
ENVIRONMENT = environments.clean()

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


def declared(python: str) -> list[str]:
    """The option of summary.py that a torchvision needs whose operators do not load."""
    probe = [python, "-c", "import torchvision"]
    fits = subprocess.run(probe, stderr=subprocess.DEVNULL, env=ENVIRONMENT).returncode == 0
    return [] if fits else ["--declare"]


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[Cost]]:
    """The cost of each command in each round, after one round that only warms the file cache."""
    costs = in_turn({name: partial(cost, commands[name]) for name in commands}, rounds + 1)
    return {name: found[1:] for name, found in costs.items()}


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


def report(result: dict[str, Any]) -> str:
    """The result as Markdown, to read in a terminal too."""
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
            heading("Time to start", result),
            f"{result['rounds']} rounds, every command once in each.",
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
    python = environments.python("torch")
    run, declare = [python, str(environments.PEERS / "summary.py")], declared(python)
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
    ours = {name: version(name) for name in ("lark", "rich", "click")}
    result = here(
        theirs["threads"],
        versions=ours | theirs["versions"],
        operators_declared=bool(declare),
        rounds=rounds,
        bars=judge(costs),
        answers=compare(theirs["counts"]),
        seconds={name: spread([each.seconds for each in costs[name]]) for name in costs},
        cpu_seconds={name: spread([each.cpu for each in costs[name]]) for name in costs},
    )
    write("startup", result, report(result))
    return 0 if result["answers"]["agree"] and all(bar["holds"] for bar in result["bars"]) else 1


if __name__ == "__main__":
    sys.exit(main())
