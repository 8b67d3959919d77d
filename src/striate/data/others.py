"""Images that a network was not trained on, to score it on: as many of a source as there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.data.assemble import read_files, scaled
from striate.data.files import UNSPLIT
from striate.data.images import Images, Unreadable
from striate.data.look import Arrays, open_source
from striate.data.tell import Tell, silent
from striate.errors import DataError, nearest
from striate.layers.volume import Volume

SPLITS = ("test", "validation", UNSPLIT, "train")  # the first of these that there is


class Part(NamedTuple):
    """Images of a source.

    Attributes:
        split: which of its splits they are; `all` where it has none.
        unreadable: the files of the source that could not be used.
    """

    split: str
    images: Images
    unreadable: tuple[Unreadable, ...] = ()


def load_others(
    source: str | Path,
    *,
    classes: tuple[str, ...],
    input: Volume | None = None,
    resize: int | None = None,
    tell: Tell = silent,
    workers: int | None = None,
) -> Part:
    """The test images of a source, or all where it has no splits; none are held out.

    Without a test split they are those for validation, or those to train on.

    Args:
        source, input, resize, tell, workers: as for `load`.
        classes: those that the network knows, in the order of its scores. The source's own, which
            may be fewer and in another order, are found among them by their names.

    Raises:
        DataError: as for `load`, or an image is of a class that the network does not know.
    """
    opened = open_source(source, tell=tell)
    split = next(name for name in SPLITS if name in opened.splits)
    if isinstance(opened, Arrays):
        return Part(split, relabelled(scaled(opened.splits[split], resize), classes, source))
    listing = opened
    if len(opened.splits) > 1:
        stamp = f"{opened.stamp} {split}"
        listing = replace(opened, splits={split: opened.splits[split]}, stamp=stamp)
    found = read_files(listing, input, resize, tell, workers)
    return Part(split, relabelled(found.images, classes, source), found.unreadable)


def relabelled(images: Images, classes: tuple[str, ...], source: str | Path) -> Images:
    """The images with their classes' places among others, by name.

    Raises:
        DataError: an image is of none of these classes.
    """
    places = {name: label for label, name in enumerate(classes)}
    numbers = np.array([places.get(name, -1) for name in images.classes], dtype=np.int64)
    labels = numbers[images.labels]
    if (labels < 0).any():
        first = images.classes[images.labels[np.argmin(labels)]]
        raise DataError(
            f"{source} has images of class {first!r}, which the network does not know; "
            f"{nearest(first, classes)}"
        )
    return Images(images.pixels, labels, classes)
