"""Which way computes a model fastest on this machine, among those that are right."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.compute import SMALL_STEP
from striate.data.folders import cache_folder
from striate.data.tell import Tell
from striate.errors import NotationError, RunError, StriateError
from striate.host import cores, processor, quiet
from striate.layers.volume import Volume
from striate.network import Network
from striate.ship.engines import EXTRAS, Way, installed, opened, ways
from striate.ship.model import Infer, Model
from striate.storage import write

WORK = 20_000_000_000  # multiply-adds of a measured batch, at most, if it can be
MOST = 16  # images in it
ENOUGH = 0.2  # seconds of measured batches in each way
GAIN = 1.05  # what a way must bring before it is taken in place of a plainer one
CHECKED = 4  # images whose answers are compared
AGREE = {"float32": 1e-3, "bfloat16": 2e-2}  # how far a probability may be off
VERSION = 1  # of what is kept


@dataclass(frozen=True, eq=False)
class Subject:
    """What is to be computed.

    Attributes:
        network: its text.
        mark: SHA-256, in hexadecimal, of its weights and all else that decides its answers.
        model: None of an ONNX file.
        content: gives it as an ONNX model; None where there is nothing to make one.
    """

    name: str
    network: str
    classes: tuple[str, ...]
    volume: Volume
    mark: str
    model: Model | None
    content: Callable[[], bytes] | None

    @property
    def macs(self) -> int:
        """Multiply-adds for one image; 0 where its text is not understood."""
        with suppress(NotationError):
            return Network.parse(self.network).account().known("macs")
        return 0

    def open(self, way: Way, threads: int) -> Infer:
        """What computes it in a way."""
        return opened(way, self.model, self.content, threads)


class Chosen(NamedTuple):
    """A way, what computes in it, and why it was taken."""

    way: Way
    infer: Infer
    words: str


def choose(subject: Subject, engine: str, threads: int, tell: Tell) -> Chosen:
    """The fastest way of those of an engine whose answers agree with plain float32.

    Raises:
        StriateError: none does.
    """
    if engine == "exact" and subject.model:
        return Chosen(Way("pytorch"), subject.model.exact, "pytorch float32, layer by layer")
    way = Way("onnxruntime")
    if engine == "exact" or (
        subject.model is None and ways(engine, own=False, small=True) == [way]
    ):
        return Chosen(way, subject.open(way, threads), str(way))
    macs = subject.macs
    batch = max(1, min(MOST, WORK // max(1, macs)))
    found = ways(engine, own=subject.model is not None, small=batch * macs < SMALL_STEP)
    found = [way for way in found if way.engine == "pytorch" or subject.content]
    kept = cache_folder() / "probes" / f"{_key(subject, found, threads, batch)}.json"
    rates = _recalled(kept, found)
    remembered = bool(rates)
    wrong: dict[Way, str] = {}
    best: tuple[Way, Infer, float] | None = None
    truth = _truth(subject, threads)
    began = perf_counter()
    for number, way in enumerate(sorted(found, key=lambda way: -rates.get(way, 0.0))):
        tell(f"measuring {way}", number, len(found))
        try:
            infer = subject.open(way, threads)
            off = _off(infer, truth, way)
        except (StriateError, RuntimeError) as reason:
            wrong[way] = str(reason)
            continue
        if remembered:
            best = way, infer, off  # the fastest of all, and right
            break
        rates[way] = _rate(infer, subject.volume, batch)
        # No more than two of them in memory at once.
        if best is None or rates[way] > GAIN * rates[best[0]]:
            best = way, infer, off
    tell("measuring", len(found), len(found))
    if best is None:
        said = "; ".join(f"{way}: {reason}" for way, reason in wrong.items())
        reasons = said or f"{engine} takes no ONNX files"
        raise StriateError(f"{subject.name} cannot be computed here: {reasons}")
    lasts = quiet()
    if not remembered and lasts:
        _keep(kept, {str(way): rates.get(way, 0.0) for way in found})
    way, infer, off = best
    words = f"{way}, {threads} thread{'s' * (threads > 1)}"
    if len(found) > 1:
        seconds = perf_counter() - began
        probe = f"the fastest of {len(rates)} ways in a probe of {seconds:.1f} s"
        probe += "" if lasts else " beside other programs: the next time it is measured anew"
        words += f", {'as measured before' if remembered else probe}"
    return Chosen(way, infer, f"{words}; probabilities within {off:.1g} of float32")


def _truth(subject: Subject, threads: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Images, and their probabilities in plain float32."""
    pixels = images(subject.volume, CHECKED)
    exact = subject.model.exact if subject.model else subject.open(Way("onnxruntime"), threads)
    return pixels, exact(pixels)


def _off(infer: Infer, truth: tuple[NDArray[np.uint8], NDArray[np.float32]], way: Way) -> float:
    """How far probabilities are off at most.

    Raises:
        StriateError: too far.
    """
    pixels, wanted = truth
    found = infer(pixels)
    off = float(np.abs(found - wanted).max())
    if not off <= AGREE[way.precision]:  # NaN is not either
        raise StriateError(f"its probabilities are off by {off:.1g}")
    return off


def images(volume: Volume, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Images (N, H, W, D) made by chance, rough and smooth, for comparisons."""
    chance = np.random.default_rng(seed)
    height, width, depth = volume
    coarse = chance.integers(0, 256, (count, -(-height // 8), -(-width // 8), depth))
    smooth = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    noise = chance.integers(-40, 41, (count, height, width, depth))
    made: NDArray[np.uint8] = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    return made


def _rate(infer: Infer, volume: Volume, batch: int) -> float:
    """Images a second, of the fastest batch."""
    pixels = images(volume, batch, 1)
    infer(pixels)
    fastest, spent = float("inf"), 0.0
    while spent < ENOUGH:
        began = perf_counter()
        infer(pixels)
        seconds = perf_counter() - began
        fastest, spent = min(fastest, seconds), spent + seconds
    return batch / fastest


def _key(subject: Subject, found: list[Way], threads: int, batch: int) -> str:
    """A name for what decides the measurement."""
    engines = ["torch", *(each for each in EXTRAS if installed(each))]
    said = [VERSION, subject.network, subject.volume, threads, batch, processor(), cores()]
    said += [list(map(str, found)), [(each, _version(each)) for each in engines]]
    return sha256(repr(said).encode()).hexdigest()[:24]


def _version(engine: str) -> str:
    """As it was installed: `onnxruntime` also comes as onnxruntime-gpu and others."""
    with suppress(PackageNotFoundError):
        return version(engine)
    return str(getattr(import_module(engine), "__version__", ""))


def _recalled(kept: Path, found: list[Way]) -> dict[Way, float]:
    """What was measured before; empty if it was not, or is damaged."""
    try:
        rates = json.loads(kept.read_text("utf-8"))
        return {way: float(rates[str(way)]) for way in found}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _keep(kept: Path, rates: dict[str, float]) -> None:
    with suppress(OSError, RunError):  # else it is measured again the next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        write(kept, json.dumps(rates, indent=1).encode())
