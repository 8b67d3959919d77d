"""Our side of bench/feeding.py: batches as the training loop makes them.

    python feeding_ours.py TASK|PHOTOS SECONDS contiguous|channels-last [--decoded] [--workers 2]

A folder of photos is read anew with every look, by the workers; with --decoded as `striate train`
does it where there is room: decoded once, 256x256, into a memory map.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from ours import splits_of
from tasks import PHOTO_BATCH, PHOTO_SIDE, SHIFT, TASKS
from turns import Turns

from striate.data import Images, Preparation, load
from striate.data.augment import augmentation
from striate.data.build import Fit
from striate.data.feed import feed
from striate.data.files import list_files
from striate.data.loader import Batches
from striate.data.preparation import Layout
from striate.data.stream import Streamed
from striate.fast.memory import keep_freed_memory
from striate.layers import Volume
from striate.recipes import Recipe

LAYOUTS = {
    "contiguous": Layout(),
    "channels-last": Layout(torch.bfloat16, torch.channels_last),
}
KEPT = PHOTO_SIDE * 8 // 7  # the side that photos are decoded to


def photos(folder: str, decoded: bool) -> Images:
    """The training images of a folder."""
    if decoded:
        return load(folder, input=Volume(PHOTO_SIDE, PHOTO_SIDE, 3)).train
    listing = list_files(folder)
    fit = Fit(3, KEPT, KEPT, scaled=True)
    entries = listing.entries
    pixels = Streamed(listing.reader, entries, fit, (len(entries), KEPT, KEPT, 3))
    labels = np.array([entry.label for entry in entries], np.int64)
    return Images(pixels, labels, listing.classes)


def fed(images: Images, recipe: Recipe, side: int, layout: Layout, workers: int) -> Iterator[int]:
    """Make batches without end; yields how many images each has."""
    preparation = Preparation(Volume(side, side, 3), (0.5,) * 3, (0.25,) * 3)
    augmented = augmentation(recipe, preparation, images)
    batches = Batches(images, recipe.batch, recipe.seed)
    for batch in feed(batches, augmented, 0, 10**6, layout=layout, workers=workers):
        yield len(batch.images)


def main() -> None:
    """Make batches until there are no more turns."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("what")
    options.add_argument("seconds", type=float)
    options.add_argument("layout", choices=LAYOUTS)
    options.add_argument("--decoded", action="store_true")
    options.add_argument("--workers", type=int, default=0)
    given = options.parse_args()
    keep_freed_memory()
    turns, layout = Turns(given.seconds), LAYOUTS[given.layout]
    if given.what in TASKS:
        task = TASKS[given.what]
        images, side = splits_of(task).train, task.side
        recipe = Recipe(batch=task.batch, flip="random", shift=SHIFT)
    else:
        images, side = photos(given.what, given.decoded), PHOTO_SIDE
        recipe = Recipe(batch=PHOTO_BATCH, flip="random", area=(0.08, 1.0))
    where = "decoded once" if given.decoded else f"{given.workers} workers"
    kind = str(layout.dtype).removeprefix("torch.")
    turns.ready(settings=f"{kind}, {given.layout}, {where}", folder=str(Path(given.what)))
    for made in fed(images, recipe, side, layout, given.workers):
        turns.step(made)


if __name__ == "__main__":
    main()
