"""The image that is looked at: a test image, or a person's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data import Images, Preparation
from striate.data.decode import decode


@dataclass(frozen=True, eq=False)
class Subject:
    """An image.

    Attributes:
        name: how it goes by on the page.
        pixels: uint8 (height, width, depth), as it lies in the data.
        prepared: as the network takes it, (D, H, W).
        label: the position of its class; None of a person's own.
        number: of the test image; None of a person's own.
    """

    name: str
    pixels: NDArray[np.uint8]
    prepared: Tensor
    label: int | None = None
    number: int | None = None

    @classmethod
    def of(cls, images: Images, preparation: Preparation, number: int) -> Subject:
        """A test image; numbers go round."""
        number %= len(images)
        pixels, label = np.array(images.pixels[number]), int(images.labels[number])
        name = f"test image {number}: {images.classes[label]}"
        return cls(name, pixels, preparation(pixels[None])[0], label, number)

    @classmethod
    def own(cls, content: bytes, images: Images, preparation: Preparation) -> Subject:
        """A person's image file, scaled and cut as those of the data.

        Raises:
            DataError: it cannot be decoded.
        """
        height, width, depth = images.volume
        pixels = decode(content, depth, min(height, width))
        return cls("your image", pixels, preparation(pixels[None])[0])
