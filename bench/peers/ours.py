"""Our side of bench/throughput.py: a run as `striate train` makes it, one step a time.

python bench/peers/ours.py TASK SECONDS [--exact] [--device cuda]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from tasks import SHIFT, TASKS, Task, resized
from turns import Turns

from striate.data import Images, Splits
from striate.network import Network, read
from striate.probe import fastest
from striate.recipes import Recipe
from striate.records import Stepped
from striate.session import Session, begin


def network_of(task: Task) -> Network:
    """Ours, at the task's size."""
    return read(resized(str(read(task.network)), task.side))


def splits_of(task: Task) -> Splits:
    """Noise, held in memory."""
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (task.images, task.side, task.side, 3), np.uint8)
    labels = chance.integers(0, task.classes, task.images)
    images = Images(pixels, labels, tuple(f"class {each}" for each in range(task.classes)))
    few = images.take(np.arange(2))
    return Splits("noise", images, few, few)


def session_of(task: Task, folder: Path, exact: bool = False, device: str | None = None) -> Session:
    """A run about to begin, computed as our command line would choose."""
    recipe = Recipe(
        epochs=10**6,
        batch=task.batch,
        learning_rate=task.rate,
        momentum=0.9,
        weight_decay=0.0,
        schedule="constant",
        flip="random",
        shift=SHIFT,
    )
    network = network_of(task)
    compute = fastest(network, recipe.batch, exact=exact, device=device)
    return begin(folder, network, splits_of(task), recipe, compute)


def main() -> None:
    """Train until there are no more turns."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("task", choices=TASKS)
    options.add_argument("seconds", type=float)
    options.add_argument("--exact", action="store_true")
    options.add_argument("--device")
    given = options.parse_args()
    turns = Turns(given.seconds)
    task = TASKS[given.task]
    with tempfile.TemporaryDirectory() as folder:
        session = session_of(task, Path(folder) / "run", given.exact, given.device)
        records = session.records()
        about = {"settings": str(session.run.compute), "versions": {}}
        turns.ready(**about, parameters=session.run.network.account().totals.parameters)
        before = perf_counter()
        for record in records:
            if isinstance(record, Stepped):
                turns.step(record.images)
            else:  # scores and checkpoints, which no peer makes in between
                turns.began += perf_counter() - before
            before = perf_counter()


if __name__ == "__main__":
    main()
