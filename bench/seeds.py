"""How well a recipe does, over seeds: mean and deviation of the test error of whole runs.

    python bench/seeds.py lenet5 --data ../shared/data/mnist --seeds 5 [--recipe default]

Each run is a process of its own, `striate train` as a person says it, and is scored by it on the
test images, once. Results go to bench/results/.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import machine

from striate import __version__

BENCH = Path(__file__).resolve().parent


def trained(network: str, arguments: list[str], seed: int) -> dict[str, Any]:
    """A run's test error, the number of images it was measured on, its threads and its seconds."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "striate", "train", network, *arguments, "--json"]
        command += ["--seed", str(seed), "--run", f"{folder}/run"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    score = next(each["score"] for each in records if each.get("split") == "test")
    opening = next(each for each in records if each["record"] == "Started")
    found = {"seed": seed, "top1_error": score["top1_error"], "count": score["count"]}
    return found | {"compute": opening["compute"], "seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    """Train, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("network")
    options.add_argument("--data", required=True)
    options.add_argument("--recipe", default="default")
    options.add_argument("--set", nargs="*", default=[])
    options.add_argument("--seeds", type=int, default=5)
    given = options.parse_args()
    arguments = ["--data", given.data, "--recipe", given.recipe]
    data = Path(given.data).name
    said = ["striate train", given.network, "--data", data, "--recipe", given.recipe, *given.set]
    for setting in given.set:
        arguments += ["--set", setting]
    runs = []
    for seed in range(given.seeds):
        runs.append(trained(given.network, arguments, seed))
        print(runs[-1], flush=True)
    stem = re.sub(r"[^a-z0-9]+", "-", f"seeds {given.network} {data} {given.recipe}".lower())
    text = report(f"{given.network} on {data}, recipe {given.recipe}", " ".join(said), runs)
    (BENCH / "results" / f"{stem}-{machine.describe()['name']}.md").write_text(text)
    print(text)


def report(title: str, command: str, runs: list[dict[str, Any]]) -> str:
    """The runs as Markdown."""
    accuracies = [100 * (1 - run["top1_error"]) for run in runs]
    here = machine.describe()
    spread = stdev(accuracies) if len(accuracies) > 1 else 0.0
    lines = [
        f"# {title}\n",
        f"`{command}`, seeds 0 to {len(runs) - 1}: test accuracy",
        f"**{mean(accuracies):.3f}%**, standard deviation {spread:.3f},",
        f"lowest {min(accuracies):.2f}, highest {max(accuracies):.2f};",
        f"{runs[0]['count']:,} test images, scored once, after the last epoch.\n",
        f"{here['processor']}, {here['cores']} cores; {here['system']}; {runs[0]['compute']}.",
        f"Python {here['python']}, torch {version('torch')}, striate {__version__}.",
        f"{date.today()}.\n",
        "| seed | test accuracy, % | seconds, other programs running |",
        "| ---: | ---: | ---: |",
    ]
    for run, accuracy in zip(runs, accuracies, strict=True):
        lines.append(f"| {run['seed']} | {accuracy:.2f} | {run['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
