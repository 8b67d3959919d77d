"""Images decoded or scaled when they are asked for, where all of them would fit no disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.build import Fit, fitted
from striate.data.decode import cut, square
from striate.data.files import Entry, Reader
from striate.data.images import Chosen, Lazy, Pixels
from striate.errors import DataError


def is_slow(pixels: Pixels) -> bool:
    """Whether a look at pixels decodes or scales them, so that other processes should do it."""
    return isinstance(pixels.store if isinstance(pixels, Chosen) else pixels, Streamed | Scaled)


def can_cut(pixels: Pixels) -> bool:
    """Whether `parts` can take rectangles out of the files themselves, which are larger."""
    store = pixels.store if isinstance(pixels, Chosen) else pixels
    return isinstance(store, Streamed) and store.fit.scaled


def parts(
    pixels: Pixels, positions: NDArray[np.int64], boxes: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """A rectangle of each image, scaled: (n, *size, depth).

    Args:
        pixels: those of which `can_cut` is true.
        boxes: (n, 4): top, left, height, width in pixels of the images.
    """
    store = pixels
    if isinstance(pixels, Chosen):
        store, positions = pixels.store, pixels.positions[positions]
    assert isinstance(store, Streamed)
    return store.parts(positions, boxes, size)


class Streamed(Lazy):
    """Image files that are read and decoded with every look; it can be pickled.

    Looking raises DataError where a file has gone or changed since it was listed.
    """

    def __init__(
        self, reader: Reader, entries: tuple[Entry, ...], fit: Fit, shape: tuple[int, ...]
    ) -> None:
        self.reader, self.entries, self.fit, self.shape = reader, entries, fit, shape

    def __getitem__(self, index: Any, /) -> Any:
        positions = np.arange(len(self))[index]
        if positions.ndim == 0:
            return self._image(int(positions))
        images = np.empty((len(positions), *self.shape[1:]), np.uint8)
        for place, position in enumerate(positions.tolist()):
            images[place] = self._image(position)
        return images

    def parts(
        self, positions: NDArray[np.int64], boxes: NDArray[np.int64], size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """A rectangle of each of these images, scaled from the file's own pixels."""
        depth, side = self.fit.depth, self.fit.height
        made = np.empty((len(positions), *size, depth), np.uint8)
        for place, position in enumerate(positions.tolist()):
            box = boxes[place].tolist()
            part = partial(cut, depth=depth, side=side, box=box, size=size)
            made[place] = self._read(position, part)
        return made

    def _image(self, position: int) -> Any:
        image = self._read(position, partial(fitted, fit=self.fit))
        if image.shape != self.shape[1:]:
            name = self.reader.name(self.entries[position].path)
            raise DataError(f"{name}: its size has changed since it was first read")
        return image

    def _read(self, position: int, made: Callable[[bytes], Any]) -> Any:
        entry = self.entries[position]
        try:
            return made(self.reader.read(entry))
        except DataError as reason:
            raise DataError(f"{self.reader.name(entry.path)}: {reason}") from None


class Scaled(Lazy):
    """Images of a store, scaled with every look: the shorter side to `side`, the centre square."""

    def __init__(self, store: Pixels, side: int) -> None:
        self.store, self.side = store, side
        self.shape = (len(store), side, side, store.shape[3])

    def __getitem__(self, index: Any, /) -> Any:
        images = np.asarray(self.store[index])
        if images.ndim == 3:
            return square(images, self.side)
        scaled = [square(image, self.side) for image in images]
        return np.array(scaled, np.uint8).reshape(-1, *self.shape[1:])
