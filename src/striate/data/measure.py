"""What is measured on training images: means, deviations, the principal components of colour."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from striate.data.images import Images
from striate.layers.volume import Volume

CHUNK = 2**22  # bytes of pixels measured at a time, so that squares of all never lie in memory
EXACT = 2**24 // 255**2  # squares of levels whose sum a float32 holds exactly
MOST = 2**32  # bytes of pixels measured at all: to decode a huge set only for this takes hours


def margins(images: Volume, input: Volume) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of zeros (before, after) that centre an image; below 0 they are cut.

    Of an odd number, zeros or cut, one more is after.
    """
    (top, bottom), (left, right) = (
        (before := int((there - here) / 2), there - here - before)
        for here, there in zip(images[:2], input[:2], strict=True)
    )
    return (top, bottom), (left, right)


def moments(
    images: Images, input: Volume
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The mean image, and the mean and the deviation of each channel, in levels from 0 to 255.

    Images are taken as they reach the network: their centres, with zeros around. All sums are
    exact. Of more than 4 GiB, images evenly spread over the set are measured.

    Returns:
        (height, width, depth) of the input, (depth,), (depth,).
    """
    (top, bottom), (left, right) = margins(images.volume, input)
    rows = slice(max(0, -top), images.volume.height - max(0, -bottom))
    columns = slice(max(0, -left), images.volume.width - max(0, -right))
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for values in _chunks(images, EXACT):
        centre = values[:, rows, columns].astype(np.float32)
        count += len(values)
        total = total + centre.sum(axis=0)
        squares = squares + np.square(centre, out=centre).sum(axis=0)
    squares = np.sum(squares, axis=(0, 1))
    around = (max(0, top), max(0, bottom)), (max(0, left), max(0, right)), (0, 0)
    image = np.pad(total, around) / count
    pixels = count * input.height * input.width
    mean = total.sum(axis=(0, 1)) / pixels
    deviation = np.sqrt(squares / pixels - mean**2)
    return (
        np.broadcast_to(image, tuple(input)),
        np.broadcast_to(mean, input.depth),
        np.broadcast_to(deviation, input.depth),
    )


def components(images: Images, depth: int) -> NDArray[np.float64]:
    """The principal components of the colours of all pixels, as long as the deviations along them.

    Returns:
        (depth, depth): a component in each column, in levels from 0 to 255, the shortest first. A
        grey image's one component is repeated in `depth` channels.
    """
    count, total = 0, np.zeros(depth)
    products = np.zeros((depth, depth))
    for values in _chunks(images):
        colours = np.broadcast_to(values, (*values.shape[:3], depth)).reshape(-1, depth)
        colours = colours.astype(np.float64)  # exact: all sums of whole numbers are below 2**53
        count += len(colours)
        total += colours.sum(axis=0)
        products += colours.T @ colours
    mean = total / count
    variances, directions = np.linalg.eigh(products / count - np.outer(mean, mean))
    # A direction's sign is arbitrary: the largest part of each is made positive.
    largest = np.abs(directions).argmax(axis=0)
    directions *= np.sign(directions[largest, np.arange(depth)])
    made: NDArray[np.float64] = directions * np.sqrt(np.maximum(variances, 0))
    return made


def _chunks(images: Images, most: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """The pixels of all images or of as many as are measured, some at a time."""
    size = images.volume.height * images.volume.width * images.volume.depth
    measured = min(len(images), max(2, MOST // size))
    positions = np.arange(measured, dtype=np.int64) * len(images) // measured
    together = min(max(1, CHUNK // size), most or measured)
    for first in range(0, measured, together):
        yield images.pixels[positions[first : first + together]]
