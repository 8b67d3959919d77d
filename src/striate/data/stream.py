"""Images decoded or scaled when they are asked for, where all of them would fit no disk."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.data.build import Fit, fitted
from striate.data.decode import square
from striate.data.files import Entry, Reader
from striate.data.images import Chosen, Lazy, Pixels
from striate.errors import DataError


def is_slow(pixels: Pixels) -> bool:
    """Whether a look at pixels decodes or scales them, so that other processes should do it."""
    return isinstance(pixels.store if isinstance(pixels, Chosen) else pixels, Streamed | Scaled)


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

    def _image(self, position: int) -> Any:
        entry = self.entries[position]
        try:
            image = fitted(self.reader.read(entry), self.fit)
            if image.shape != self.shape[1:]:
                raise DataError("its size has changed since it was first read")
        except DataError as reason:
            raise DataError(f"{self.reader.name(entry.path)}: {reason}") from None
        return image


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
