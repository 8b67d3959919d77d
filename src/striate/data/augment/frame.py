"""Which part of an image the network sees in training, and at what scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.augment.geometry import AREA_DRAWS, ASPECT, areas, windows
from striate.data.augment.resample import Boxes, Size
from striate.data.images import Pixels
from striate.data.order import draws
from striate.data.stream import can_cut, parts
from striate.layers.volume import Volume
from striate.recipes import Recipe

FRAME = 1  # the stream of chance


def boxes(
    recipe: Recipe, size: Size, have: Size, samples: NDArray[np.int64], epoch: int
) -> Boxes | None:
    """The part of each image that is scaled to `size`; None where a recipe asks for no such thing.

    Args:
        have: height and width of the images, neither less than in `size`.
    """
    if recipe.area:
        drawn = draws(recipe.seed, epoch, samples, AREA_DRAWS, stream=FRAME)
        return areas(have, drawn, recipe.area, recipe.aspect or ASPECT)
    if recipe.scale:
        drawn = draws(recipe.seed, epoch, samples, 3, stream=FRAME)
        return windows(have, drawn, size, recipe.scale)
    return None


@dataclass(frozen=True)
class Parts:
    """Takes of images in files what the network will see of them: decoded and scaled at once."""

    recipe: Recipe
    size: Size

    def __call__(self, pixels: Pixels, samples: NDArray[np.int64], epoch: int) -> NDArray[np.uint8]:
        """Bytes, (n, *size, depth)."""
        have = pixels.shape[1], pixels.shape[2]
        places = boxes(self.recipe, self.size, have, samples, epoch)
        assert places is not None
        return parts(pixels, samples, places, self.size)


def in_parts(recipe: Recipe, input: Volume, pixels: Pixels) -> Parts | None:
    """The way to take parts, where there is one: of larger images that are decoded on demand."""
    large = pixels.shape[1] >= input.height and pixels.shape[2] >= input.width
    if not (recipe.area or recipe.scale) or not large or not can_cut(pixels):
        return None
    return Parts(recipe, (input.height, input.width))
