"""How many images there are to train on, before any is decoded."""

from __future__ import annotations

from typing import NamedTuple

from striate.data.assemble import TEST, VALIDATION
from striate.data.files import UNSPLIT, Listing
from striate.data.findings import TRAIN
from striate.data.look import open_source
from striate.data.tell import Tell, silent
from striate.errors import DataError
from striate.layers import Volume


class Extent(NamedTuple):
    """A source's images, split as for training; each number within some images of `load`'s.

    Attributes:
        volume: of an image as it is stored; None where that is known only once it is decoded.
        classes: their names.
    """

    train: int
    validation: int
    test: int
    volume: Volume | None
    classes: tuple[str, ...]


def extent(source: str, tell: Tell = silent, *, validation: float = VALIDATION) -> Extent:
    """Count a source's images. Files that cannot be read are counted too: none is opened.

    Args:
        source, validation: as for `striate.data.load`.

    Raises:
        DataError: there is no such source, or it holds no images to train on.
    """
    opened = open_source(source, tell=tell)
    counts = {split: len(found) for split, found in opened.splits.items()}
    listed = isinstance(opened, Listing)
    if isinstance(opened, Listing):
        volume, classes = None, opened.classes
    else:
        volume, classes = opened.splits[TRAIN].volume, opened.splits[TRAIN].classes
    whole = counts.get(TRAIN) or counts.get(UNSPLIT, 0)
    if not whole:
        raise DataError(f"{source} holds no training images, only {', '.join(counts)}")
    held_out, test = counts.get("validation", 0), counts.get("test", 0)
    if not test:  # a validation split alone is for testing
        held_out, test = 0, held_out
    if not test and listed:
        test = round(TEST * whole)
        whole -= test
    if not held_out:
        held_out = round(validation * whole)
        whole -= held_out
    return Extent(whole, held_out, test, volume, classes)
