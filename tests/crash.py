"""Kills, torn files and full disks: is anything ever lost?

    python tests/crash.py --kills 200 --tears 200 --flips 200

`make crash-test` runs it in full, the test suite a slice. Each child is a fork of this process,
which has imported everything already: a kill is one of training and saving, not of importing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from striate import checkpoints
from striate.compute import Compute
from striate.data import load
from striate.errors import RunError
from striate.network import read
from striate.recipes import Recipe
from striate.runs import open_run
from striate.session import Session, begin, resume

NETWORK = read("[8x8x1] conv3-8(bias=no) bn relu maxpool2 fc-16 relu dropout(0.5) fc-10 softmax")
# Everything that has a memory: momentum, batch normalisation, an average, dropout, a plateau.
RECIPE = Recipe(
    epochs=3,
    batch=64,
    schedule="plateau",
    patience=1,
    factor=0.5,
    average=0.9,
    shift=1,
    mixup=0.2,
    label_smoothing=0.1,
)
SPLITS = load("digits")


@dataclass(frozen=True)
class Outcome:
    """What a run came to: its weights, and the loss of each step as its folder tells."""

    weights: str
    losses: tuple[float, ...]


def outcome(path: Path) -> Outcome:
    """Of a finished run."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    losses = tuple(line["loss"] for line in lines if line["record"] == "Stepped")
    model = open_run(path).model()
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return Outcome(digest.hexdigest(), losses)


def session(path: Path) -> Session:
    """The run of a folder, begun or gone on with."""
    if not (path / "run.json").exists():
        shutil.rmtree(path, ignore_errors=True)
        return begin(path, NETWORK, SPLITS, RECIPE, Compute())
    return resume(open_run(path))


def train(path: Path, workers: int, every: float) -> None:
    """Go on with a run to its end."""
    for _ in session(path).records(workers=workers, every=every):
        pass


def forked(work: Callable[[], None]) -> int:
    """The process number of a child that does this and ends."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        work()
        status = 0
    except RunError as error:
        status = 3
        with suppress(OSError):  # the limit holds for this stream too, where it is a file
            print(error, file=sys.stderr)
    finally:
        os._exit(status)


def killed_until_done(path: Path, workers: int, longest: float, chance: random.Random) -> int:
    """Train a run under kills at random instants; returns how many there were."""
    kills = 0
    while True:
        child = forked(lambda: train(path, workers, every=0.0))
        deadline = time.monotonic() + chance.uniform(0, longest)
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                assert status == 0, f"a run ended with status {status}"
                return kills
            time.sleep(0.002)
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:  # it has not made its group yet
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        longest *= 1.05  # so that it ends some time, on the slowest machine too


def kills(folder: Path, count: int, workers: tuple[int, ...], seed: int) -> dict[str, int]:
    """Kill runs until there were `count` kills; every run must come to the same end."""
    chance = random.Random(seed)
    train(folder / "warm", 0, every=0.0)  # PyTorch imports a great deal at its first step
    reference = folder / "reference"
    began = time.monotonic()
    _, status = os.waitpid(forked(lambda: train(reference, 0, every=0.0)), 0)
    assert status == 0
    expected, longest = outcome(reference), 0.6 * (time.monotonic() - began)
    found = {"runs": 0, "kills": 0, "bit-identical runs": 0}
    while found["kills"] < count:
        path = folder / f"run-{found['runs']}"
        number = workers[found["runs"] % len(workers)]
        found["kills"] += killed_until_done(path, number, longest * (1 + number), chance)
        found["runs"] += 1
        found["bit-identical runs"] += outcome(path) == expected
        shutil.rmtree(path)
    return found


def damages(folder: Path, tears: int, flips: int, seed: int) -> dict[str, int]:
    """Tear and flip a run's newest checkpoint; the one before it must be used, with a warning."""
    chance = random.Random(seed)
    path = folder / "damaged"
    os.waitpid(forked(lambda: train(path, 0, every=0.0)), 0)
    held = path / "checkpoints"
    newest, before = sorted(checkpoints.steps(held), reverse=True)[:2]
    files = sorted((held / f"step-{newest:08d}").iterdir())
    weights = path / "weights.safetensors"
    found = {"tears": 0, "flips": 0, "recognised": 0, "fell back": 0, "weights recognised": 0}
    for kind, count in (("tears", tears), ("flips", flips)):
        for number in range(count):
            damage = torn if kind == "tears" else flipped
            found[kind] += 1
            with damage(files[number % len(files)], chance):
                good, warnings = checkpoints.newest(held)
                found["recognised"] += len(warnings) == 1
                found["fell back"] += good is not None and good.path.name == f"step-{before:08d}"
            with damage(weights, chance):
                try:
                    open_run(path).model()
                except RunError:
                    found["weights recognised"] += 1
    return found


class Damaged:
    """A file with other content for a while."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content, self.before = path, content, path.read_bytes()

    def __enter__(self) -> None:
        self.path.write_bytes(self.content)

    def __exit__(self, *error: object) -> None:
        self.path.write_bytes(self.before)


def torn(path: Path, chance: random.Random) -> Damaged:
    """The file ends too early."""
    content = path.read_bytes()
    return Damaged(path, content[: chance.randrange(len(content))])


def flipped(path: Path, chance: random.Random) -> Damaged:
    """One bit of the file is another."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return Damaged(path, bytes(content))


def ends_between_calls(folder: Path) -> dict[str, int]:
    """End a process at every call to the file system that a save makes, one after the other."""
    path = folder / "between"
    os.waitpid(forked(lambda: train(path, 0, every=0.0)), 0)
    found = {"points": 0, "whole after": 0}
    while True:
        copy = folder / "between-copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy)
        child = forked(partial(_save_and_end, copy, found["points"]))
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            return found  # it came to the end of the save
        found["points"] += 1
        good, warnings = checkpoints.newest(copy / "checkpoints")
        found["whole after"] += good is not None and not warnings


def _save_and_end(path: Path, calls: int) -> None:
    state = resume(open_run(path)).state
    left = calls

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event.startswith(("open", "os.", "shutil.")):
            left -= 1
            if left < 0:
                os._exit(9)

    sys.addaudithook(watch)
    held = path / "checkpoints"
    checkpoints.save(held, state.progress.step + 1, state.tensors(), {"made from": {}})
    left = sys.maxsize


def full_disks(folder: Path) -> dict[str, int]:
    """Let files grow no further than a limit: the error is said, and what was saved stays."""
    path = folder / "full"
    os.waitpid(forked(lambda: train(path, 0, every=0.0)), 0)
    size = (path / "weights.safetensors").stat().st_size
    found = {"limits": 0, "said": 0, "kept": 0}
    for limit in (0, 1, 100, size // 4, size // 2, size, 2 * size):
        copy = folder / "full-copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy)
        before = checkpoints.newest(copy / "checkpoints")[0]

        def go_on(copy: Path = copy, limit: int = limit) -> None:
            run = open_run(copy)
            more = resume(run, recipe=run.recipe.with_settings({"epochs": "4"}), accept=True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            for _ in more.records(every=0.0):
                pass

        status = os.waitstatus_to_exitcode(os.waitpid(forked(go_on), 0)[1])
        after = checkpoints.newest(copy / "checkpoints")
        found["limits"] += 1
        found["said"] += status == 3
        found["kept"] += (
            before is not None
            and after[0] is not None
            and not after[1]
            and after[0].about["progress"]["step"] >= before.about["progress"]["step"]
            and open_run(copy).model() is not None
        )
    return found


def main() -> None:
    """All of it, with the counts; exit code 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--tears", type=int, default=200)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        killed = kills(folder, given.kills, (0, 2, 4), given.seed)
        print("kill -9, with 0, 2 and 4 workers:", killed, flush=True)
        damaged = damages(folder, given.tears, given.flips, given.seed)
        print("torn files and flipped bits:", damaged, flush=True)
        ended = ends_between_calls(folder)
        print("ended between two calls of a save:", ended, flush=True)
        full = full_disks(folder)
        print("disks that take no more:", full, flush=True)
    total = given.tears + given.flips
    good = (
        killed["bit-identical runs"] == killed["runs"]
        and damaged["recognised"] == damaged["fell back"] == damaged["weights recognised"] == total
        and ended["whole after"] == ended["points"] > 0
        and full["said"] == full["kept"] == full["limits"]
    )
    print("nothing was lost" if good else "SOMETHING WAS LOST")
    sys.exit(not good)


if __name__ == "__main__":
    main()
