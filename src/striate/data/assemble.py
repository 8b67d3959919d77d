"""Image files to splits: to what size they are fitted, and which of them are for what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.build import Fit, Mixed
from striate.data.cache import Decoded, decoded
from striate.data.decode import WORDS, decode
from striate.data.files import UNSPLIT, Listing
from striate.data.images import Chosen, Images, Splits, Unreadable, for_validation, hold_out
from striate.data.stream import Scaled
from striate.data.tell import Tell, silent
from striate.errors import DataError
from striate.layers.volume import Volume

VALIDATION = 0.1  # of the training images, where a source has no such split
TEST = 0.1  # of all images, where it has neither
LARGEST_SIDE = 4096
MARGIN = 8 / 7  # 256 / 224: how much larger stored images are than what is cut out of them


def from_files(
    listing: Listing,
    *,
    seed: int = 0,
    input: Volume | None = None,
    resize: int | None = None,
    validation: float = VALIDATION,
    tell: Tell = silent,
    workers: int | None = None,
) -> Splits:
    """The images of a listing, in three splits; see `load`.

    Without a test split its validation split is for testing; with neither, a tenth of each class
    is, always the same images. Validation without a split of its own is that part of the rest.
    """
    if listing.splits.keys().isdisjoint(("train", UNSPLIT)):
        first = f" ({_first_of(listing.unreadable)})" if listing.unreadable else ""
        raise DataError(
            f"{listing.source} holds no training images, only {', '.join(listing.splits)}{first}"
        )
    whole, files, unreadable = read_files(listing, input, resize, tell, workers)
    parts = _parts(listing, whole, files.positions, unreadable)

    training = parts.pop("train", None) or parts.pop(UNSPLIT)
    _require_every_class(listing, training, unreadable)
    if not parts:
        training, parts["test"] = hold_out(training, TEST)
    if "test" not in parts:
        parts["test"] = parts.pop("validation")
    if "validation" not in parts:
        training, held_out = for_validation(training, validation, seed)
    else:
        held_out = parts["validation"]
    splits = (training, held_out, parts["test"])
    contents = [(each.labels, [files.digests[_rows(each)]]) for each in splits if each]
    return Splits(listing.source, *splits, unreadable, fingerprint(whole, contents))


class Files(NamedTuple):
    """All readable images of a listing, and the files that cannot be used."""

    images: Images
    decoded: Decoded
    unreadable: tuple[Unreadable, ...]


def read_files(
    listing: Listing,
    input: Volume | None = None,
    resize: int | None = None,
    tell: Tell = silent,
    workers: int | None = None,
) -> Files:
    """All images of a listing, whatever their splits, fitted as `load` says.

    Raises:
        DataError: none can be read, or they have several sizes and neither `input` nor `resize`.
    """
    found = _decoded(listing, input, resize, tell, workers)
    entries = listing.entries
    refused = (Unreadable(listing.name(entries[at]), why) for at, why in found.unreadable)
    unreadable = (*listing.unreadable, *refused)
    if not len(found.positions):
        raise DataError(f"{listing.source}: no image can be read; {_first_of(unreadable)}")
    labels = np.array([entry.label for entry in entries], dtype=np.int64)[found.positions]
    return Files(Images(found.pixels, labels, listing.classes), found, unreadable)


def _decoded(
    listing: Listing, input: Volume | None, resize: int | None, tell: Tell, workers: int | None
) -> Decoded:
    depth = input.depth if input else 3
    if depth not in WORDS:
        raise DataError(f"image files are grey (1) or RGB (3), but the network takes {input}")
    if resize is not None:
        require_side(resize)
        return decoded(listing, Fit(depth, resize, resize, True), tell, workers)
    height, width = _first_size(listing, depth)
    if input is None or (height <= MARGIN * input.height and width <= MARGIN * input.width):
        try:
            return decoded(listing, Fit(depth, height, width, False), tell, workers)
        except Mixed as sizes:
            if input is None:
                raise DataError(
                    f"the images of {listing.source} differ in size ({sizes}): say to what they "
                    "are to be resized, or for what input volume"
                ) from None
    side = round(MARGIN * max(input.height, input.width))
    return decoded(listing, Fit(depth, side, side, True), tell, workers)


def require_side(resize: int) -> None:
    """Raise DataError for a size that no image can be scaled to."""
    if not 1 <= resize <= LARGEST_SIDE:
        raise DataError(f"images cannot be resized to {resize} pixels: 1 to {LARGEST_SIDE} can be")


def scaled(images: Images, side: int | None) -> Images:
    """Images of an array, scaled whenever they are looked at; as they are without a side."""
    if side is None:
        return images
    require_side(side)
    return Images(Scaled(images.pixels, side), images.labels, images.classes)


def _first_size(listing: Listing, depth: int) -> tuple[int, int]:
    """(height, width) of the first image that can be read."""
    reason = ""
    for entry in listing.entries:
        try:
            height, width, _ = decode(listing.read(entry), depth).shape
            return height, width
        except DataError as error:
            reason = reason or f"{listing.name(entry)}: {error}"
    raise DataError(f"{listing.source}: no image can be read; {reason}")


def _parts(
    listing: Listing,
    whole: Images,
    positions: NDArray[np.int64],
    unreadable: Sequence[Unreadable],
) -> dict[str, Images]:
    """The readable images of each split."""
    lengths = [len(entries) for entries in listing.splits.values()]
    numbers = np.repeat(np.arange(len(lengths)), lengths)[positions]
    parts = {}
    for number, name in enumerate(listing.splits):
        rows = np.flatnonzero(numbers == number)
        if not len(rows):
            raise DataError(
                f"{listing.source}: no image of its split {name} can be read; "
                f"{_first_of(unreadable)}"
            )
        parts[name] = whole.take(rows)
    return parts


def _require_every_class(
    listing: Listing, training: Images, unreadable: Sequence[Unreadable]
) -> None:
    counts = np.bincount(training.labels, minlength=len(listing.classes))
    missing = [listing.classes[label] for label in np.flatnonzero(counts == 0)]
    if missing:
        names = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise DataError(
            f"{listing.source}: no training image of {'class' if len(missing) == 1 else 'classes'} "
            f"{names} can be read: add some, or remove the folder or the rows"
            + (f" ({len(unreadable)} unreadable; {_first_of(unreadable)})" if unreadable else "")
        )


def _first_of(unreadable: Sequence[Unreadable]) -> str:
    return "; ".join(f"{path}: {reason}" for path, reason in unreadable[:1]) or "it has none"


def _rows(images: Images) -> NDArray[np.int64]:
    assert isinstance(images.pixels, Chosen)
    return images.pixels.positions


def fingerprint(
    images: Images, splits: Iterable[tuple[NDArray[np.int64], Iterable[NDArray[np.uint8]]]]
) -> str:
    """SHA-256 of the classes, the images' size and, for each split, the labels and the content."""
    about = [images.classes, images.pixels.shape[1:]]
    total = sha256(json.dumps(about).encode())
    for labels, contents in splits:
        total.update(f"{len(labels)}".encode())
        total.update(labels.astype("<i8").tobytes())
        for content in contents:
            total.update(np.ascontiguousarray(content).data)
    return total.hexdigest()
