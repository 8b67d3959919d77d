"""Whether the fast path costs accuracy: the same runs fast and with --exact, over seeds.

    MNIST=folder CIFAR10=file python bench/exact.py [--networks speed] [--epochs speed=9]

lenet5 on MNIST, resnet20 and the speed network on CIFAR-10. The two runs of a seed differ in
nothing else, and take turns in going first. A network's bar: the means over the seeds differ by
less than the seeds do (the larger of the two standard deviations). Exit 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import mean, stdev
from typing import Any

from pairs import aligned, heading, here, in_turn, use_threads, write

FAST, EXACT = "fast", "exact"


@dataclass(frozen=True)
class Case:
    """A network, its recipe, the variable that names its data, and how long it trains by default.

    Attributes:
        views: as `striate score` takes them.
    """

    network: str
    recipe: str
    data: str
    epochs: int
    views: str = "1"


CASES = (
    Case("lenet5", "default", "MNIST", 3),
    Case("resnet20", "resnet-cifar-2015", "CIFAR10", 4),
    Case("speed", "speed", "CIFAR10", 3, "6"),
)


def accuracy(case: Case, data: str, way: str, seed: int) -> float:
    """Of one run on the test images."""
    striate = [sys.executable, "-m", "striate"]
    with tempfile.TemporaryDirectory() as folder:
        command = [*striate, "train", case.network, "--recipe", case.recipe, "--data", data]
        command += ["--seed", str(seed), "--run", f"{folder}/run", "--quiet"]
        command += ["--epochs", str(case.epochs)]
        command += ["--exact"] if way == EXACT else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        command = [*striate, "score", f"{folder}/run", "--views", case.views, "--format", "json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return 1 - float(json.loads(done.stdout)["top1_error"])


def compared(case: Case, data: str, seeds: int) -> dict[str, Any]:
    """Accuracies in percent of both ways over the seeds, and whether they differ."""
    counts = {way: iter(range(seeds)) for way in (FAST, EXACT)}

    def run(way: str) -> float:
        return 100 * accuracy(case, data, way, next(counts[way]))

    found = in_turn({way: partial(run, way) for way in counts}, seeds)
    difference = mean(found[FAST]) - mean(found[EXACT])
    deviation = max(stdev(each) for each in found.values())
    return asdict(case) | {
        "accuracies": {way: [round(one, 3) for one in each] for way, each in found.items()},
        "difference": round(difference, 3),
        "deviation": round(deviation, 3),
        "holds": abs(difference) < deviation,
    }


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--seeds", type=int, default=3, help="at least 2")
    options.add_argument("--epochs", nargs="*", default=[], metavar="NETWORK=N")
    names = [each.network for each in CASES]
    options.add_argument("--networks", nargs="*", default=names, choices=names)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    given = options.parse_args()
    use_threads(given.threads)
    epochs = {
        name: int(number) for name, _, number in (each.partition("=") for each in given.epochs)
    }
    found, missing = [], []
    for case in CASES:
        if case.network not in given.networks:
            continue
        if data := os.environ.get(case.data):
            wanted = replace(case, epochs=epochs.get(case.network, case.epochs))
            found.append(compared(wanted, data, max(2, given.seeds)))
        else:
            missing.append(f"{case.network}: no images; {case.data}=PATH names them")
    rows = [["network", "recipe", "epochs", "fast, %", "exact, %", "difference", "seeds", "holds"]]
    for each in found:
        means = [f"{mean(each['accuracies'][way]):.3f}" for way in (FAST, EXACT)]
        row = [each["network"], each["recipe"], str(each["epochs"]), *means]
        row += [f"{each['difference']:+.3f}", f"± {each['deviation']:.3f}"]
        rows.append([*row, "yes" if each["holds"] else "NO"])
    result = here(given.threads, networks=found, missing=missing, seeds=given.seeds)
    title = heading(f"Accuracy, fast and exact, {max(2, given.seeds)} seeds", result)
    some = given.networks if set(given.networks) != set(names) else []
    stem = "-".join(["exact", *some])
    write(stem, result, "\n\n".join([title, aligned(rows), *missing]))
    return 0 if all(each["holds"] for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
