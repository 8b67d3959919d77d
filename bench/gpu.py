"""On a GPU: first whether all is right, then airbench94_muon, hiverge's script and ours by turns.

    AIRBENCH=DIR HIVERGE=DIR python bench/gpu.py --data cifar10-jpeg.zip [--runs 20] [--dry-run]

The scripts run as they are from the checkouts that the variables name, in this environment, ours
through the library; each in one process that has made a run to warm up, a new run in each turn.
Each counts as the scripts do: training and six views, on images that are there. Then training
throughput on the device, fast and --exact, and timm's where its environment can be made. --dry-run
does all of that on the CPU, with a slice of the images and a single run. Exit 1 where a check fails
or ours is slower or less accurate than a script.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from cifar import FEW, scripts
from contenders import Contender, Failed
from environments import PEERS, Missing, clean, python
from gpu_checks import checked
from pairs import aligned, heading, here, in_turn, ratios, spread, tell, use_threads, write
from peers.tasks import TASKS

OURS = "striate"
SLICE = 400  # images of ours in a dry run; the scripts need a batch of 2,000
ROUNDS = 5  # of throughput


def raced(given: argparse.Namespace) -> tuple[dict[str, Any], list[list[str]], bool]:
    """The runs of all, rows of a table, and whether ours holds."""
    dry, device = given.dry_run, given.device
    how = "autocast,eager" if dry else None
    found, missing = scripts(given.data, sys.executable, device, how, FEW if dry else None)
    command = [sys.executable, str(PEERS / "ours_cifar.py"), given.network, given.recipe]
    command += [str(given.data), "--device", device]
    command += ["--limit", str(SLICE), "--epochs", "1"] if dry else []
    running: dict[str, Contender] = {}
    try:
        running[OURS] = Contender(command, os.environ)
        for script in found:
            tell(f"{script.name}: warming up")
            running[script.name] = script.start()
        runs = in_turn({name: each.turn for name, each in running.items()}, given.runs)
    finally:
        for each in running.values():
            each.stop()
    rows = [["contender", "n", "mean accuracy, %", "deviation", "median s", "ours / it", "why not"]]
    holds = True
    for name, each in runs.items():
        accuracies = [100 * run["accuracy"] for run in each]
        seconds, ours = ([run["seconds"] for run in one] for one in (each, runs[OURS]))
        ratio = ratios(ours, seconds)["median"]
        deviation = f"{stdev(accuracies):.3f}" if len(each) > 1 else ""
        row = [name, str(len(each)), f"{mean(accuracies):.3f}", deviation]
        rows.append([*row, f"{spread(seconds)['median']:.3f}", f"{ratio:.3f}", ""])
        mine = 100 * mean(run["accuracy"] for run in runs[OURS])
        holds &= name == OURS or (ratio < 1 and mine >= mean(accuracies))
    rows += [[name, "0", "", "", "", "", why] for name, why in missing.items()]
    return runs, rows, holds and not missing


def throughput(given: argparse.Namespace) -> tuple[dict[str, Any], list[list[str]]]:
    """Images a second on the device, and rows of a table."""
    seconds, rounds = ("1", 1) if given.dry_run else ("5", ROUNDS)
    names = ("resnet20", "convnetjs-cifar10") if given.dry_run else tuple(TASKS)
    rows = [["network", "contender", "settings", "images/s", "ours / it", "rounds"]]
    kept: dict[str, Any] = {}
    for name in names:
        mine = [sys.executable, str(PEERS / "ours.py"), name, seconds, "--device", given.device]
        commands = {OURS: mine, f"{OURS} --exact": [*mine, "--exact"]}
        if not given.dry_run:
            try:
                timm = [python("torch"), str(PEERS / "timm_loop.py"), name, seconds]
                commands |= {f"timm, {w}": [*timm, w, given.device] for w in ("eager", "compile")}
            except Missing as reason:
                rows.append([name, "timm", str(reason), "", "", "0"])
        running: dict[str, Contender] = {}
        for who, command in commands.items():
            tell(f"{name}: starting {who}")
            try:
                each = Contender(command, os.environ if who.startswith(OURS) else clean())
                each.rate()
                running[who] = each
            except Failed as reason:
                rows.append([name, who, f"failed: {reason}", "", "", "0"])
        rates = in_turn({who: each.rate for who, each in running.items()}, rounds)
        for who, found in rates.items():
            settings, ratio = running[who].about["settings"], ratios(rates[OURS], found)["median"]
            rate = f"{spread(found, 1)['median']:,.0f}"
            rows.append([name, who, settings, rate, f"{ratio:.2f}", str(len(found))])
        kept[name] = rates
        for each in running.values():
            each.stop()
    return kept, rows


def main() -> int:
    """Check, measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--network", default="speed")
    options.add_argument("--recipe", default="speed")
    options.add_argument("--runs", type=int, default=20)
    options.add_argument("--dry-run", action="store_true")
    given = options.parse_args()
    if not given.dry_run and not torch.cuda.is_available():
        print("There is no GPU here; --dry-run does the same on the CPU.", file=sys.stderr)
        return 1
    given.device = "cpu" if given.dry_run else "cuda"
    given.data = given.data.resolve()
    if given.dry_run:
        given.runs = 1
        use_threads(os.cpu_count() or 1)
    tell("checking")
    checks = checked(given.device)
    parts = [aligned([["check", "passed", "found"], *(
        [name, "yes" if passed else "NO", said] for name, (passed, said) in checks.items()
    )])]  # fmt: skip
    result: dict[str, Any] = {"checks": checks}
    right = all(passed for passed, _ in checks.values())
    holds = True
    if right:  # what is wrong has no speed
        result["runs"], rows, holds = raced(given)
        result["throughput"], more = throughput(given)
        parts += [aligned(rows), aligned(more)]
    result = here(torch.get_num_threads(), **result)
    title = heading("On a GPU" if not given.dry_run else "Dry run on a CPU: no result", result)
    folder = Path(__file__).resolve().parents[1] / "build" / "bench" if given.dry_run else None
    write("gpu", result, "\n\n".join([title, *parts]), folder)
    return 0 if right and (holds or given.dry_run) else 1


if __name__ == "__main__":
    sys.exit(main())
