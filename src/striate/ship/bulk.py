"""Many image files predicted: decoded by several processes, in shards that need no second time."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.build import Fit, chunks
from striate.data.files import Entry
from striate.data.loose import Loose
from striate.data.tell import Tell, silent
from striate.errors import RunError
from striate.host import cores
from striate.ship.predictor import Predictor
from striate.storage import write

BATCH = 32  # images at a time
NOT_FINITE = "the network's scores of it are not finite"
Top = tuple[tuple[str, float], ...]


class Prediction(NamedTuple):
    """What is said of an image.

    Attributes:
        image: its file, as a person would name it.
        top: the most probable classes with their probabilities, the first first.
        error: why there is nothing to be said, if so.
    """

    image: str
    top: Top = ()
    error: str = ""


def predict(
    predictor: Predictor,
    loose: Loose,
    entries: Sequence[Entry],
    *,
    top: int = 5,
    workers: int | None = None,
    tell: Tell = silent,
) -> Iterator[Prediction]:
    """Predictions for image files, in their order; one for each, also for those that are bad.

    Args:
        entries: those of `loose`, or some of them.
        top: how many classes.
        workers: processes that decode; by default as many as there are processors, or none for few
            images.
    """
    height, width, depth = predictor.volume
    fit = Fit(depth, height, width, scaled=True)
    left, done = iter(entries), 0
    for chunk in chunks(loose.reader, entries, fit, True, workers):
        pixels = np.frombuffer(chunk.pixels, np.uint8).reshape(-1, height, width, depth)
        said: list[Top] = []
        for first in range(0, len(pixels), BATCH):
            found = predictor(pixels[first : first + BATCH])
            said += [_likeliest(predictor.classes, each, top) for each in found]
        answers = iter(said)
        for reason, entry in zip(chunk.reasons, left, strict=False):
            best = () if reason else next(answers)
            yield Prediction(loose.name(entry), best, reason or ("" if best else NOT_FINITE))
        done += len(chunk.reasons)
        tell("predicting", done, len(entries))


def _likeliest(classes: Sequence[str], found: NDArray[np.float32], top: int) -> Top:
    """None where a probability is not a number."""
    if not np.isfinite(found).all():
        return ()
    return tuple((classes[at], float(found[at])) for at in np.argsort(-found, kind="stable")[:top])


class Done(NamedTuple):
    """What came of shards.

    Attributes:
        images: predicted now.
        passed_over: bad ones among those.
        shards: written now.
        earlier: shards that were there.
    """

    images: int
    passed_over: tuple[Prediction, ...]
    shards: int
    earlier: int


def in_shards(
    predictor: Predictor,
    loose: Loose,
    folder: Path,
    count: int,
    text: Callable[[Sequence[Prediction]], str],
    *,
    ending: str,
    top: int = 5,
    rank: int = 0,
    world: int = 1,
    workers: int | None = None,
    tell: Tell = silent,
) -> Done:
    """Predict in so many files, `shard-0003-of-0016-MARK.jsonl`; those that are there are skipped.

    A shard is whole or not there. MARK tells the model, the images and what is said of them, so
    that no shard of another prediction is taken for one of this.

    Args:
        text: a shard's content.
        ending: of the files' names.
        rank, world: this process takes the shards that leave `rank` when divided by `world`.

    Raises:
        RunError: the folder cannot be written, or holds shards of another prediction.
    """
    said = [predictor.mark, loose.stamps, top, count, ending]
    mark = sha256(repr(said).encode()).hexdigest()[:8]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = {each.name for each in folder.iterdir()}
    except OSError as reason:
        raise RunError(f"{folder} cannot be written: {reason.strerror}") from None
    pattern = re.compile(r"shard-\d+-of-\d+-([0-9a-f]{8})\.\w+")
    others = {match[1] for name in there if (match := pattern.fullmatch(name))} - {mark}
    if others:
        raise RunError(
            f"{folder} holds shards of another prediction (of other images, another model, or in "
            "another form): name another folder"
        )
    total = len(loose.entries)
    images, passed, written, earlier = 0, [], 0, 0
    mine = range(rank, count, world)
    for number in mine:
        name = f"shard-{number:04}-of-{count:04}-{mark}{ending}"
        if name in there:
            earlier += 1
            continue
        entries = loose.entries[total * number // count : total * (number + 1) // count]
        what = f"shard {number + 1} of {count}"

        def told(_: str, done: int, of: int, what: str = what) -> None:
            tell(what, done, of)

        made = predict(predictor, loose, entries, top=top, workers=workers, tell=told)
        found = list(made)
        write(folder / name, text(found).encode("utf-8", "surrogateescape"))
        images += len(found)
        passed += [each for each in found if each.error]
        written += 1
    return Done(images, tuple(passed), written, earlier)


def place() -> tuple[int, int, int]:
    """This process's number, of how many, and of how many on this machine, as torchrun says."""
    rank, world, here = (
        int(os.environ.get(name) or usual)
        for name, usual in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_WORLD_SIZE", "1"))
    )
    return rank, world, here


def share_of_cores(here: int) -> int:
    """Threads for each of so many processes on this machine."""
    return max(1, cores() // here)
