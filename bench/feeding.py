"""Images a second from memory or disk to batches ready for the network: ours and torchvision's.

    python bench/feeding.py [--rounds 5] [--seconds 5] [--photos 1000]

CIFAR-10-sized images in memory: moved by up to 4 pixels, mirrored, normalised, in batches of 128.
JPEG photos of 500x375, made here: a random part, scaled to 224x224, mirrored, normalised, in
batches of 64. torchvision changes image by image in two worker processes. Ours does as its training
loop does, which decodes photos once where the disk has room for them; with every look where it has
not is measured too. The bars are for float32, contiguous. Exit 1 where one is missed: 5 times
torchvision on CIFAR-10, 1.5 times on photos.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from contenders import Contender
from environments import PEERS, ROOT, clean, python
from pairs import aligned, heading, here, in_turn, ratios, spread, tell, use_threads, write
from peers.tasks import PHOTO_BATCH, TASKS
from PIL import Image

CIFAR, PHOTOS = "resnet20", "photos of 500x375"  # the first is that network's images
TORCHVISION, PLAIN, KEPT = "torchvision", "striate", "striate, decoded once"
FAST = "striate, bfloat16"
BARS = {CIFAR: (PLAIN, 5.0), PHOTOS: (KEPT, 1.5)}


def photo(number: int) -> Image.Image:
    """Like a photograph to a decoder: smooth light, soft shapes of all sizes, a little grain."""
    chance = np.random.default_rng(number)
    height, width = 375, 500
    pixels = np.zeros((height, width, 3))
    for size in (2, 5, 12, 30, 80, 200):
        coarse = chance.normal(128, 50, (size, size * 4 // 3, 3)).clip(0, 255).astype(np.uint8)
        scaled = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        pixels += (np.asarray(scaled, np.float64) - 128) / size**0.5
    pixels += 128 + chance.normal(0, 12, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def photos(count: int) -> Path:
    """A folder of two classes of JPEG photos, made once."""
    folder = ROOT / "build" / "bench" / f"photos-{count}"
    if not folder.exists():
        tell(f"making {count} photos")
        making = folder.with_name(folder.name + ".part")
        shutil.rmtree(making, ignore_errors=True)
        for number in range(count):
            place = making / ("even", "odd")[number % 2] / f"{number:05}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            photo(number).save(place, quality=90)
        making.rename(folder)
    return folder


def commands(what: str, images: str, seconds: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Each contender's command and variables."""
    ours = [sys.executable, str(PEERS / "feeding_ours.py"), images, seconds]
    theirs = [python("torch"), str(PEERS / "feeding_torchvision.py"), images, seconds]
    workers = [] if what in TASKS else ["--workers", "2"]
    mine = dict(os.environ)
    found = {
        PLAIN: ([*ours, "contiguous", *workers], mine),
        FAST: ([*ours, "channels-last", *workers], mine),
        TORCHVISION: (theirs, clean()),
    }
    return found if what in TASKS else found | {KEPT: ([*ours, "contiguous", "--decoded"], mine)}


def measured(what: str, images: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Images a second of each contender, by rounds, after a turn that is thrown away."""
    running: dict[str, Contender] = {}
    try:
        for name, (command, variables) in commands(what, images, str(seconds)).items():
            running[name] = Contender(command, variables)
            running[name].rate()
        rates = in_turn({name: each.rate for name, each in running.items()}, rounds)
        return {
            name: {"settings": running[name].about["settings"], "rates": found}
            for name, found in rates.items()
        }
    finally:
        for each in running.values():
            each.stop()


def main() -> int:
    """Measure, write, print."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=5.0, help="of a turn, at least")
    options.add_argument("--photos", type=int, default=1000)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    given = options.parse_args()
    use_threads(given.threads)
    sources = {CIFAR: CIFAR, PHOTOS: str(photos(given.photos))}
    found = {
        what: measured(what, images, given.rounds, given.seconds)
        for what, images in sources.items()
    }
    head = ["images", "contender", "settings", "images/s", "batches/s", "it / torchvision", "n"]
    rows, bars = [head], [["bar", "at least", "found", "holds"]]
    kept = True
    for what, sides in found.items():
        batch = TASKS[what].batch if what in TASKS else PHOTO_BATCH
        title = "CIFAR-10's size" if what in TASKS else what
        theirs = sides[TORCHVISION]["rates"]
        for name, side in sides.items():
            rate, ratio = median(side["rates"]), ratios(side["rates"], theirs)["median"]
            row = [title, name, side["settings"], f"{rate:,.0f}", f"{rate / batch:,.1f}"]
            rows.append([*row, f"{ratio:.2f}", str(len(theirs))])
            side["images_per_second"], side["ratio"] = spread(side.pop("rates"), 1), ratio
        judged, least = BARS[what]
        reading = sides[judged]["ratio"]
        kept &= reading >= least
        bar = f"{title}: {judged} / torchvision"
        bars.append([bar, f"{least:g}", f"{reading:.2f}", "yes" if reading >= least else "NO"])
    result = here(given.threads, photos=given.photos, feeding=found)
    write(
        "feeding", result, "\n\n".join([heading("Feeding", result), aligned(rows), aligned(bars)])
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
