"""CIFAR-10 from process start to a scored model: ours, airbench94_muon, hiverge's script, in turn.

    AIRBENCH=DIR HIVERGE=DIR python bench/cifar.py --data cifar10-jpeg.zip [--rounds 3]

Ours is `striate train NET --recipe RECIPE --views 6`, a process, with the images decoded before, as
the scripts' are. The scripts run as they are from the checkouts that the two variables name, under
peers/adapter.py, with their convolutions in bfloat16, eager or compiled, whichever was faster in a
try on a few images. Each round is another seed. Two times: of the processes, and as each counts for
itself, training and views. Exit 1 where ours is below airbench in mean accuracy or takes more than
half of its time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

from contenders import Contender, Failed
from environments import PEERS, ROOT, Missing, checkout, clean, python
from limits import explained, flops_of_run, peak
from pairs import aligned, heading, here, in_turn, ratios, spread, tell, use_threads, write

from striate import read, recipes
from striate.data import load

OURS, AIRBENCH, HIVERGE = "striate", "airbench94_muon", "hiverge"
SCRIPTS = {
    AIRBENCH: ("AIRBENCH", "airbench94_muon.py"),
    HIVERGE: ("HIVERGE", "cifar10_speedrun.py"),
}
WAYS = ("autocast,eager", "autocast,compiled")
BAR = 0.5
FEW = 2000  # the least that fills one of airbench's batches


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        accuracy: on the test images, six views.
        seconds: of training and views, as the contender counts them itself.
        process: seconds of whole processes, by the clock on the wall.
        parts: of `process`, by name.
    """

    accuracy: float
    seconds: float
    process: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Script:
    """A peer's script and how to run it. `interpreter` has torch; `how` is the adapter's."""

    name: str
    path: Path
    interpreter: str
    images: Path
    device: str = "cpu"
    how: str = WAYS[0]

    def start(self) -> Contender:
        """A process that makes a run in each turn."""
        command = [self.interpreter, str(PEERS / "adapter.py"), "run", str(self.path)]
        command += ["--images", str(self.images), "--device", self.device, "--how", self.how]
        return Contender(command, clean())

    def outcome(self) -> Outcome:
        """A run in a process of its own."""
        began = time.perf_counter()
        process = self.start()
        found = process.turn()
        seconds = time.perf_counter() - began
        process.stop()
        return Outcome(found["accuracy"], found["seconds"], seconds, {})


@dataclass(frozen=True)
class Ours:
    """`striate train` and `striate score` with these arguments; a call is a run with a new seed."""

    network: str
    recipe: str
    data: str
    more: tuple[str, ...] = ()

    def outcome(self, seed: int) -> Outcome:
        """Train, and score the test images."""
        command = [sys.executable, "-m", "striate", "train", self.network, "--recipe", self.recipe]
        command += ["--data", self.data, "--seed", str(seed), "--views", "6", "--json", *self.more]
        with tempfile.TemporaryDirectory() as folder:
            process, told = timed([*command, "--run", f"{folder}/run"], dict(os.environ))
        records = [json.loads(line) for line in told.splitlines()]
        ended = next(each for each in records if each["record"] == "Ended")
        tested = next(each for each in records if each.get("split") == "test")
        own, loop = tested["seconds"], ended["seconds"]
        parts = {"loop": round(loop, 3), "score": round(own - loop, 3)}
        return Outcome(1 - tested["score"]["top1_error"], own, process, parts)


def timed(command: list[str], variables: dict[str, str]) -> tuple[float, str]:
    """The seconds that a process takes, and what it prints."""
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=variables)
    if done.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    return time.perf_counter() - began, done.stdout


def prepared(data: Path, interpreter: str, limit: int | None = None) -> Path:
    """The folder with the images as the scripts read them, made once."""
    folder = ROOT / "build" / "bench" / f"{data.stem}-{limit or 'all'}"
    if not (folder / "cifar10" / "test.pt").exists():
        tell(f"decoding {data} for the scripts")
        command = [interpreter, str(PEERS / "adapter.py"), "prepare", str(data), str(folder)]
        command += ["--limit", str(limit)] if limit else []
        subprocess.run(command, check=True, env=clean())
    return folder


def tried_out(script: Script) -> float:
    """The seconds of a run, or infinity where this way does not work."""
    try:
        return script.outcome().seconds
    except Failed:
        return math.inf


def scripts(
    data: Path, interpreter: str, device: str, how: str | None, limit: int | None = None
) -> tuple[list[Script], dict[str, str]]:
    """Those that can run here, each at its faster way; and why the others cannot."""
    found, missing = [], {}
    for name, (variable, file) in SCRIPTS.items():
        try:
            path = checkout(variable, file)
        except Missing as reason:
            missing[name] = str(reason)
            continue
        images = prepared(data, interpreter, limit)
        script = Script(name, path, interpreter, images, device, how or WAYS[0])
        if device == "cpu" and how is None:
            few = prepared(data, interpreter, FEW)
            tell(f"{name}: trying ways to compute on {FEW} images")
            tried = {way: tried_out(replace(script, how=way, images=few)) for way in WAYS}
            script = replace(script, how=min(WAYS, key=tried.__getitem__))
        found.append(script)
    return found, missing


def table(runs: dict[str, list[Outcome]], how: dict[str, str], missing: dict[str, str]) -> str:
    """A row for each contender, with the ratios of ours to theirs."""
    ours = runs[OURS]
    head = ["contender", "how", "n", "mean accuracy, %", "own seconds", "process seconds"]
    rows = [[*head, "ours / theirs, own", "ours / theirs, process"]]
    for name, found in runs.items():
        row = [name, how[name], str(len(found)), f"{100 * mean(o.accuracy for o in found):.2f}"]
        for what in ("seconds", "process"):
            row.append(f"{spread([getattr(one, what) for one in found])['median']:.1f}")
        for what in ("seconds", "process"):
            mine, their = ([getattr(one, what) for one in each] for each in (ours, found))
            row.append("" if name == OURS else f"{ratios(mine, their)['median']:.3f}")
        rows.append(row)
    rows += [[name, why, "0", *[""] * 5] for name, why in missing.items()]
    return aligned(rows)


def judged(runs: dict[str, list[Outcome]]) -> dict[str, bool]:
    """The bars, where airbench ran."""
    if AIRBENCH not in runs:
        return {}
    ours, theirs = runs[OURS], runs[AIRBENCH]
    process = ratios([one.process for one in ours], [one.process for one in theirs])["median"]
    accurate = mean(one.accuracy for one in ours) >= mean(one.accuracy for one in theirs)
    return {
        f"at most {BAR} of airbench's process time": process <= BAR,
        "at least airbench's mean accuracy": accurate,
    }


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--network", default="speed")
    options.add_argument("--recipe", default="speed")
    options.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="of `striate train`")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--how", help="the scripts': PRECISION,eager|compiled (default: tried)")
    given = options.parse_args()
    use_threads(given.threads)
    data = str(given.data.resolve())
    ours = Ours(given.network, given.recipe, data, tuple(given.more))
    found, missing = scripts(given.data.resolve(), python("torch"), "cpu", given.how)
    tell("decoding the images for ours")
    network, recipe = read(given.network), recipes.read(given.recipe)
    splits = load(data, input=network.input, validation=recipe.validation)
    limit = peak(given.threads)
    seeds = iter(range(given.rounds))
    runs = in_turn(
        {OURS: lambda: ours.outcome(next(seeds))} | {each.name: each.outcome for each in found},
        given.rounds,
    )
    how = {OURS: f"train {given.network} --recipe {given.recipe} {' '.join(given.more)}".strip()}
    how |= {each.name: each.how for each in found}
    bars = judged(runs)
    kept = {name: [asdict(one) for one in outcomes] for name, outcomes in runs.items()}
    result = here(given.threads, how=how, missing=missing, peak=limit, runs=kept, bars=bars)
    holds = "\n".join(f"- {bar}: {'yes' if held else 'NO'}" for bar, held in bars.items())
    title = heading(f"CIFAR-10, {given.data.name}: from start to a scored model", result)
    flops = flops_of_run(network, recipe, len(splits.train))
    loop = spread([one.parts["loop"] for one in runs[OURS]])["median"]
    share = (
        f"Our training loop takes {loop:.1f} s for {flops / 1e12:.1f} TFLOP, "
        f"{flops / loop / limit:.0%} of the peak. {explained(limit)}"
    )
    parts = [title, table(runs, how, missing), *([] if given.more else [share]), holds]
    write("cifar", result, "\n\n".join(parts).strip())
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
