"""Transfer: five classes of CIFAR-10 learned well, five others from 50 images each, over seeds.

    python bench/transfer.py --data ../shared/data/cifar10-jpeg.zip [--seeds 5] [--before RUN]

The zoo's `speed` learns airplane to deer from all of their images, once. From its weights, dog to
truck are learned from 50 images a class, another 50 with each seed: the whole network at 0.29 of
the rates but the head's, and a new last layer alone on frozen features (recipe head). Beside them
the same network from scratch, by the same recipe and as many epochs. All are scored once, on the
5,000 test images of the five classes. Each run is `striate train` as a person says it; runs stay in
build/transfer. The bar: fine-tuning at least 5 points of accuracy above scratch.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pairs import ROOT, aligned, heading, here, use_threads, write

from striate.network import read

WORK = ROOT / "build" / "transfer"
BEFORE = ("airplane", "automobile", "bird", "cat", "deer")
AFTER = ("dog", "frog", "horse", "ship", "truck")
IMAGES, MANY = 50, 5000  # of each class, to move to and to learn before
BAR = 5.0  # points of accuracy
NETWORK = str(read("speed").with_classes(len(AFTER)))
FIRST = (NETWORK, "--recipe", "speed", "epochs=10")
SCRATCH, FINETUNED = "from scratch", "finetuned whole"
SPEED = ("--recipe", "speed", "epochs=60", "batch=50")
# As many epochs, the same changes to the images; lower rates for weights that know something.
WAYS = {
    SCRATCH: (NETWORK, *SPEED),
    FINETUNED: ("--from", "{before}", *SPEED, "learning_rate=0.04", "bias_rate=15"),
    "new head on frozen features": ("--from", "{before}", "--freeze", "features"),
}


def subset(source: Path, path: Path, classes: tuple[str, ...], images: int, seed: int) -> Path:
    """An archive with some training images of each of some classes, and all their test images."""
    if path.exists():
        return path
    part = path.with_suffix(".part")
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(part, "w") as kept:
        for kind in classes:
            every = [
                each for each in whole.namelist() if f"/{kind}/" in f"/{each}" and each[-1] != "/"
            ]
            train = sorted(each for each in every if "train/" in each)
            if images < len(train):
                train = random.Random(f"{seed} {kind}").sample(train, images)
            for name in (*train, *(each for each in every if "test/" in each)):
                kept.writestr(name, whole.read(name))
    part.rename(path)
    return path


def trained(arguments: tuple[str, ...], data: Path, run: Path, seed: int) -> dict[str, Any]:
    """A run's test accuracy in percent, the number of images behind it, and its seconds."""
    command = [sys.executable, "-m", "striate", "train", *arguments, "validation=0"]
    command += ["--data", str(data), "--seed", str(seed), "--run", str(run), "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    score = next(each["score"] for each in records if each.get("split") == "test")
    training = next(each["seconds"] for each in records if each["record"] == "Ended")
    return {
        "accuracy": round(100 * (1 - score["top1_error"]), 2),
        "count": score["count"],
        "training": round(training, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> int:
    """Train, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--before", type=Path, help="a run that has learned the first five")
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    use_threads(given.threads)
    WORK.mkdir(parents=True, exist_ok=True)
    stamp = f"{time.time():.0f}"
    many = subset(given.data, WORK / f"before-{MANY}.zip", BEFORE, MANY, 0)
    before = given.before or WORK / f"{stamp}-before"
    found: dict[str, list[dict[str, Any]]] = {}
    if not given.before:
        found["learned before"] = [trained(FIRST, many, before, 0)]
    found |= {way: [] for way in WAYS}
    for seed in range(given.seeds):
        few = subset(given.data, WORK / f"after-{IMAGES}-{seed}.zip", AFTER, IMAGES, seed)
        for way, arguments in WAYS.items():
            said = tuple(each.format(before=before) for each in arguments)
            run = WORK / f"{stamp}-{way.replace(' ', '-')}-{seed}"
            found[way].append(trained(said, few, run, seed))
        print(seed, *(each[-1] for each in found.values()), file=sys.stderr, flush=True)
    rows = [["", "test accuracy, %", "s.d.", "lowest", "highest", "training, s", "process, s"]]
    for way, runs in found.items():
        values = [each["accuracy"] for each in runs]
        spread = stdev(values) if len(values) > 1 else 0.0
        figures = (mean(values), spread, min(values), max(values))
        seconds = (mean(each[name] for each in runs) for name in ("training", "seconds"))
        rows.append([way, *(f"{each:.1f}" for each in (*figures, *seconds))])
    result = here(given.threads, seeds=given.seeds, network=NETWORK, transfer=found)
    tested = f"{found[SCRATCH][0]['count']:,} test images"
    text = f"{len(AFTER)} classes, {IMAGES} training images each, {tested}, {given.seeds} seeds."
    write("transfer", result, f"{heading('Transfer', result)}\n\n{text}\n\n{aligned(rows)}")
    gain = mean(each["accuracy"] for each in found[FINETUNED]) - mean(
        each["accuracy"] for each in found[SCRATCH]
    )
    return 0 if gain >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
