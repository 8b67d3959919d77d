"""Training images a second of five networks: ours, and each peer at its best, by turns.

    python bench/throughput.py [NETWORK ...] [--rounds 5] [--seconds 10] [--without keras-torch]

Everyone trains the same network on the same noise, held in memory as bytes, by SGD with momentum in
batches of the same size on the same cores: shifted by 4 pixels, mirrored, normalised, forward,
backward, update. A first turn tries each peer's ways to compute; the fastest goes on. Then there is
a round of turns, in a new order, as often as asked. Exit 1 where a bar is missed: never below the
best peer, 1.5 times it in the geometric mean, 4 times the tutorial's way.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import geometric_mean, median
from typing import Any

from contenders import Contender, Failed
from environments import BUILD, PEERS, Missing, clean, convnetjs, python
from limits import explained, flops_per_image, peak
from pairs import aligned, heading, here, in_turn, ratios, spread, tell, use_threads, write
from peers.tasks import TASKS, Task, resized

from striate import read

OURS, TUTORIAL = "striate", "tutorial"
KERAS = tuple(f"keras-{backend}" for backend in ("jax", "tensorflow", "torch"))
# Each peer: the environment and the ways to try of each of its loops.
WAYS = {
    TUTORIAL: {"torch": ("tutorial.py", [[]])},
    "timm": {"torch": ("timm_loop.py", [["eager"], ["compile"]])},
    "keras": {each: ("keras_loop.py", [["float32"], ["mixed_bfloat16"]]) for each in KERAS},
    "fastai": {"fastai": ("fastai_loop.py", [["contiguous"], ["channels-last"]])},
    "convnetjs": {"node": ("convnetjs_loop.js", [[]])},
}
BARS = {
    "each network, ours / best peer": 1.0,
    "geometric mean, ours / best peer": 1.5,
    "geometric mean, ours / tutorial": 4.0,
}


@dataclass
class Measured:
    """What was found for one network.

    Attributes:
        rates: images a second of each contender, by rounds.
        settings: of each contender, as it says itself.
        tried: images a second of every way in its first turn, or why there is none.
    """

    rates: dict[str, list[float]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    tried: dict[str, float | str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The peer with the highest median."""
        peers = [name for name in self.rates if name != OURS]
        return max(peers, key=lambda name: median(self.rates[name]), default="")

    def ratio(self, peer: str) -> dict[str, Any]:
        """Ours to a peer's."""
        return ratios(self.rates[OURS], self.rates[peer])


def loops(peer: str, task: Task, seconds: float, without: list[str]) -> dict[str, list[str]]:
    """The command of each way in which a peer can train.

    Raises:
        Missing: there is none here.
    """
    found: dict[str, list[str]] = {}
    why = f"it has no {task.name}"
    for environment, (script, ways) in WAYS[peer].items():
        if environment in without or peer in without:
            why = "left out"
            continue
        try:
            for way in ways:
                if environment == "node":
                    if task.name != "convnetjs-cifar10":
                        continue
                    given = [str(convnetjs()), json.dumps(asdict(task)), str(seconds)]
                    command = ["node", str(PEERS / script), *given]
                else:
                    given = [task.name, str(seconds), *way]
                    command = [python(environment), str(PEERS / script), *given]
                found[" ".join([environment, *way])] = command
        except Missing as reason:
            why = str(reason)
    if not found:
        raise Missing(why)
    return found


def variables(way: str) -> Mapping[str, str]:
    """A loop's environment; what it compiles is kept, so that another start is faster."""
    found = clean() | {"TORCHINDUCTOR_CACHE_DIR": str(BUILD / "inductor")}
    if way.startswith("keras-"):
        found["KERAS_BACKEND"] = way.split()[0].removeprefix("keras-")
    return found | {"TF_CPP_MIN_LOG_LEVEL": "2"}


def fastest(peer: str, task: Task, seconds: float, without: list[str], into: Measured) -> Any:
    """The peer's contender that was fastest in its first turn, or None."""
    kept: tuple[float, Contender] | None = None
    try:
        commands = loops(peer, task, seconds, without)
    except Missing as reason:
        into.tried[peer] = str(reason)
        return None
    for way, command in commands.items():
        tell(f"{task.name}: trying {peer}, {way}")
        try:
            contender = Contender(command, variables(way))
            rate = contender.rate()
        except Failed as reason:
            into.tried[f"{peer}, {way}"] = f"failed: {reason}"
            continue
        into.tried[f"{peer}, {way}"] = round(rate, 1)
        if kept and rate <= kept[0]:
            contender.stop()
            continue
        if kept:
            kept[1].stop()
        kept = rate, contender
    return kept[1] if kept else None


def measured(task: Task, rounds: int, seconds: float, without: list[str]) -> Measured:
    """All contenders on one network."""
    result = Measured()
    running: dict[str, Contender] = {}
    try:
        for peer in WAYS:
            if contender := fastest(peer, task, seconds, without, result):
                running[peer] = contender
        command = [sys.executable, str(PEERS / "ours.py"), task.name, str(seconds)]
        running[OURS] = Contender(command, os.environ)
        result.tried[OURS] = round(running[OURS].rate(), 1)
        for name, contender in running.items():
            result.settings[name] = contender.about["settings"]
            result.versions |= contender.about["versions"]
        names = [OURS, *(name for name in running if name != OURS)]
        result.rates = in_turn({name: running[name].rate for name in names}, rounds)
    except Failed as reason:  # the other networks are worth having all the same
        result.rates, result.tried["broken off"] = {}, str(reason)
    finally:
        for contender in running.values():
            contender.stop()
    return result


def rows(task: Task, found: Measured, limit: float) -> list[list[str]]:
    """A row for each contender of one network; `limit` is the machine's FLOP/s."""
    made = []
    flops = flops_per_image(read(resized(str(read(task.network)), task.side)))
    for name, rates in found.rates.items():
        rate, ratio = spread(rates, 1), found.ratio(name)["median"]
        low, high = rate["quartiles"]
        made.append([f"{task.name}, {task.side}x{task.side}, batch {task.batch}", name])
        made[-1] += [found.settings[name], f"{rate['median']:,.1f}", f"{low:,.1f} to {high:,.1f}"]
        made[-1] += ["" if name == OURS else f"{ratio:.2f}"]
        made[-1] += [f"{rate['median'] * flops / limit:.0%}", str(len(rates))]
    return made


def judged(found: Mapping[str, Measured]) -> dict[str, float]:
    """The readings for BARS that can be taken."""
    best = [one.ratio(one.best)["median"] for one in found.values() if one.best]
    tutorial = [one.ratio(TUTORIAL)["median"] for one in found.values() if TUTORIAL in one.rates]
    readings = [min(best, default=0), geometric_mean(best or [1]), geometric_mean(tutorial or [1])]
    return {
        bar: round(reading, 3)
        for bar, reading, taken in zip(BARS, readings, (best, best, tutorial), strict=True)
        if taken
    }


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(TASKS))
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=10.0, help="of a turn, at least")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--without", nargs="*", default=[], help="peers or environments")
    given = options.parse_args()
    if unknown := set(given.networks) - set(TASKS):
        options.error(f"there is no {', '.join(unknown)}; there are {', '.join(TASKS)}")
    use_threads(given.threads)
    tasks = [TASKS[name] for name in given.networks or TASKS]
    limit = peak(given.threads)
    found = {
        task.name: measured(task, given.rounds, given.seconds, given.without) for task in tasks
    }
    versions = {name: number for one in found.values() for name, number in one.versions.items()}
    bars = judged(found)
    networks = {name: asdict(one) for name, one in found.items()}
    result = here(given.threads, versions=versions, peak=limit, bars=bars, networks=networks)
    head = ["network", "contender", "settings", "images/s", "quartiles", "ours / it"]
    head += ["of peak", "rounds"]
    table = [head, *(row for task in tasks for row in rows(task, found[task.name], limit))]
    tried = [["network", "way", "images/s in its first turn"]]
    tried += [
        [name, way, str(rate)] for name, one in found.items() for way, rate in one.tried.items()
    ]
    judgement = [["bar", "at least", "found", "holds"]]
    for bar, reading in bars.items():
        holds = "yes" if reading >= BARS[bar] else "NO"
        judgement.append([bar, f"{BARS[bar]:g}", f"{reading:.2f}", holds])
    title = heading("Training throughput", result)
    parts = [
        title,
        aligned(table),
        explained(limit),
        aligned(judgement),
        "Each peer's ways:",
        aligned(tried),
    ]
    stem = "-".join(["throughput", *given.networks])
    write(stem, result, "\n\n".join(parts))
    return 0 if all(reading >= BARS[bar] for bar, reading in bars.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
