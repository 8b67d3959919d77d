"""From bytes to a batch for the network, in training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.batch import Batch
from striate.data.augment.colour import brightened, contrasted, lit
from striate.data.augment.geometry import (
    AREA_DRAWS,
    ASPECT,
    Draws,
    alternated,
    area_cropped,
    enlarged,
    flipped,
    scaled,
    shifted,
)
from striate.data.augment.mixing import cut_mixed, cut_out, mixed_up, partners
from striate.data.images import Images, Pixels
from striate.data.measure import components
from striate.data.order import draws
from striate.data.preparation import Device, Preparation
from striate.errors import RunError
from striate.recipes import Recipe

# Each change has numbers of its own, so that one more leaves the others as they are. Another
# numbering would change what recipes give.
FRAME, FLIP, LIGHTING, BRIGHTNESS, CONTRAST, SHIFT, CUTOUT, MIX = range(1, 9)


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Makes batches of training images ready for the network, changed at random.

    What is done to an image depends on the settings, the seed, the epoch and the image's number,
    and not on who does it; what it is mixed with is its neighbour in the batch.

    Attributes:
        preparation: what is done without any change.
        recipe: of which the settings of augmentation and the seed are read.
        colours: the principal components that `lighting` needs.
    """

    preparation: Preparation
    recipe: Recipe = Recipe()
    colours: NDArray[np.float64] | None = None

    def __call__(
        self,
        pixels: Pixels | Tensor,
        labels: NDArray[np.int64],
        samples: NDArray[np.int64],
        epoch: int,
        device: Device | None = None,
    ) -> Batch:
        """Make a batch.

        Args:
            pixels: uint8 (n, height, width, depth).
            labels: (n,).
            samples: the images' numbers in their split, (n,).
            epoch: counted from 1.
            device: where to; by default where the pixels lie.

        Raises:
            DataError: the images have another depth than the network takes.
        """
        recipe = self.recipe
        chance = partial(draws, recipe.seed, epoch, samples)
        images = self._framed(self.preparation.planes(pixels, device), chance)
        if recipe.flip == "random":
            images = flipped(images, chance(1, stream=FLIP))
        elif recipe.flip == "alternating":
            images = alternated(images, draws(recipe.seed, 0, samples, 1, stream=FLIP), epoch)
        images = self.preparation.normalised(self._coloured(images, chance))
        if recipe.shift:
            images = shifted(images, chance(2, stream=SHIFT), recipe.shift, recipe.padding)
        if recipe.cutout:
            images = cut_out(images, chance(2, stream=CUTOUT), recipe.cutout)
        given = torch.from_numpy(np.require(labels, requirements="W")).to(images.device)
        if not recipe.mixup and not recipe.cutmix:
            return Batch(images, given)
        images, share = self._mixed(images, chance(4, stream=MIX))
        return Batch(images, given, partners(given), share)

    def _framed(self, images: Tensor, chance: partial[Draws]) -> Tensor:
        """The part of each image that the network sees, in the size of its input."""
        input = self.preparation.input
        size = input.height, input.width
        if self.recipe.area:
            aspect = self.recipe.aspect or ASPECT
            drawn = chance(AREA_DRAWS, stream=FRAME)
            return area_cropped(enlarged(images, size), drawn, size, self.recipe.area, aspect)
        if self.recipe.scale:
            return scaled(enlarged(images, size), chance(3, stream=FRAME), size, self.recipe.scale)
        return self.preparation.fitted(images)

    def _coloured(self, images: Tensor, chance: partial[Draws]) -> Tensor:
        if not (self.recipe.lighting or self.recipe.brightness or self.recipe.contrast):
            return images
        images = images.float()
        if self.recipe.lighting and self.colours is not None:
            drawn = chance(len(self.colours), stream=LIGHTING)
            images = lit(images, drawn, self.recipe.lighting, self.colours)
        if self.recipe.brightness:
            images = brightened(images, chance(1, stream=BRIGHTNESS), self.recipe.brightness)
        if self.recipe.contrast:
            images = contrasted(images, chance(1, stream=CONTRAST), self.recipe.contrast)
        return images

    def _mixed(self, images: Tensor, drawn: Draws) -> tuple[Tensor, Tensor]:
        """By mixup or cutmix; where both are set, each image by one of them, with equal chances."""
        if not self.recipe.cutmix:
            return mixed_up(images, drawn, self.recipe.mixup)
        if not self.recipe.mixup:
            return cut_mixed(images, drawn, self.recipe.cutmix)
        whole, whole_share = mixed_up(images, drawn, self.recipe.mixup)
        part, part_share = cut_mixed(images, drawn, self.recipe.cutmix)
        by_part = torch.from_numpy(drawn[:, 3] < 0.5).to(images.device)
        return (
            torch.where(by_part[:, None, None, None], part, whole),
            torch.where(by_part, part_share, whole_share),
        )


def augmentation(recipe: Recipe, preparation: Preparation, images: Images) -> Augmentation:
    """The augmentation that a recipe's settings ask for, measured on the training images.

    Raises:
        RunError: the settings do not go with each other or with the images.
    """
    height, width, _ = preparation.input
    have = max(images.volume.height, height), max(images.volume.width, width)
    least = min(have) * max(height / have[0], width / have[1])
    if recipe.scale and recipe.scale[0] < least:
        raise RunError(
            f"recipe: scale begins at {recipe.scale[0]:g} pixels, but from images of "
            f"{images.volume} the network's {height}x{width} need at least {least:g}"
        )
    if recipe.shift and recipe.padding == "reflect" and recipe.shift >= min(height, width):
        raise RunError(
            f"recipe: a shift of {recipe.shift} pixels needs padding 'zeros': a border cannot be "
            f"reflected farther than the images of {height}x{width} reach"
        )
    colours = components(images, preparation.input.depth) if recipe.lighting else None
    return Augmentation(preparation, recipe, colours)
