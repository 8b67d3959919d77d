"""The image that is looked at: a test image, or a person's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data import Images
from striate.data.decode import decode


@dataclass(frozen=True, eq=False)
class Subject:
    """An image. What a network takes of it depends on the branch that is looked at.

    Attributes:
        name: how it goes by on the page.
        pixels: uint8 (height, width, depth), as it lies in the data.
        label: the position of its class; None of a person's own.
        number: of the test image; None of a person's own.
    """

    name: str
    pixels: NDArray[np.uint8]
    label: int | None = None
    number: int | None = None

    @classmethod
    def of(cls, images: Images, number: int) -> Subject:
        """A test image; numbers go round."""
        number %= len(images)
        pixels, label = np.array(images.pixels[number]), int(images.labels[number])
        return cls(f"test image {number}: {images.classes[label]}", pixels, label, number)

    @classmethod
    def own(cls, content: bytes, images: Images) -> Subject:
        """A person's image file, scaled and cut as those of the data.

        Raises:
            DataError: it cannot be decoded.
        """
        return cls("your image", decode(content, images.volume.depth, min(images.volume[:2])))
