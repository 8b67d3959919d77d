"""From bytes to a batch for the network, in training."""

from __future__ import annotations

from dataclasses import dataclass, fields
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
    Range,
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
        colours: the principal components that `lighting` needs.
        seed, ...: settings by the names that they have in a recipe.
    """

    preparation: Preparation
    colours: NDArray[np.float64] | None = None
    seed: int = 0
    flip: str = "none"
    shift: int = 0
    padding: str = "zeros"
    scale: Range | None = None
    area: Range | None = None
    aspect: Range | None = None
    lighting: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0

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
        chance = partial(draws, self.seed, epoch, samples)
        images = self._framed(self.preparation.planes(pixels, device), chance)
        if self.flip == "random":
            images = flipped(images, chance(1, stream=FLIP))
        elif self.flip == "alternating":
            images = alternated(images, draws(self.seed, 0, samples, 1, stream=FLIP), epoch)
        images = self.preparation.normalised(self._coloured(images, chance))
        if self.shift:
            images = shifted(images, chance(2, stream=SHIFT), self.shift, self.padding)
        if self.cutout:
            images = cut_out(images, chance(2, stream=CUTOUT), self.cutout)
        given = torch.from_numpy(np.require(labels, requirements="W")).to(images.device)
        if not self.mixup and not self.cutmix:
            return Batch(images, given)
        images, share = self._mixed(images, chance(4, stream=MIX))
        return Batch(images, given, partners(given), share)

    def _framed(self, images: Tensor, chance: partial[Draws]) -> Tensor:
        """The part of each image that the network sees, in the size of its input."""
        input = self.preparation.input
        size = input.height, input.width
        if self.area:
            aspect = self.aspect or ASPECT
            drawn = chance(AREA_DRAWS, stream=FRAME)
            return area_cropped(enlarged(images, size), drawn, size, self.area, aspect)
        if self.scale:
            return scaled(enlarged(images, size), chance(3, stream=FRAME), size, self.scale)
        return self.preparation.fitted(images)

    def _coloured(self, images: Tensor, chance: partial[Draws]) -> Tensor:
        if not (self.lighting or self.brightness or self.contrast):
            return images
        images = images.float()
        if self.lighting and self.colours is not None:
            drawn = chance(len(self.colours), stream=LIGHTING)
            images = lit(images, drawn, self.lighting, self.colours)
        if self.brightness:
            images = brightened(images, chance(1, stream=BRIGHTNESS), self.brightness)
        if self.contrast:
            images = contrasted(images, chance(1, stream=CONTRAST), self.contrast)
        return images

    def _mixed(self, images: Tensor, drawn: Draws) -> tuple[Tensor, Tensor]:
        """By mixup or cutmix; where both are set, each image by one of them, with equal chances."""
        if not self.cutmix:
            return mixed_up(images, drawn, self.mixup)
        if not self.mixup:
            return cut_mixed(images, drawn, self.cutmix)
        whole, whole_share = mixed_up(images, drawn, self.mixup)
        part, part_share = cut_mixed(images, drawn, self.cutmix)
        by_part = torch.from_numpy(drawn[:, 3] < 0.5).to(images.device)
        return (
            torch.where(by_part[:, None, None, None], part, whole),
            torch.where(by_part, part_share, whole_share),
        )


def augmentation(recipe: object, preparation: Preparation, images: Images) -> Augmentation:
    """The augmentation that a recipe's settings ask for, measured on the training images.

    Raises:
        RunError: the settings do not go with each other or with the images.
    """
    chosen = {each.name: getattr(recipe, each.name) for each in fields(Augmentation)[2:]}
    made = Augmentation(preparation, **chosen)
    height, width, _ = preparation.input
    have = max(images.volume.height, height), max(images.volume.width, width)
    least = min(have) * max(height / have[0], width / have[1])
    if made.scale and made.scale[0] < least:
        raise RunError(
            f"recipe: scale begins at {made.scale[0]:g} pixels, but from images of "
            f"{images.volume} the network's {height}x{width} need at least {least:g}"
        )
    if made.shift and made.padding == "reflect" and made.shift >= min(height, width):
        raise RunError(
            f"recipe: a shift of {made.shift} pixels needs padding 'zeros': a border cannot be "
            f"reflected farther than the images of {height}x{width} reach"
        )
    if not made.lighting:
        return made
    colours = components(images, preparation.input.depth)
    return Augmentation(preparation, colours, **chosen)
