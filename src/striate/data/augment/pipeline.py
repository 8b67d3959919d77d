"""From bytes to a batch for the network, in training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.batch import Batch
from striate.data.augment.colour import brightened, contrasted, lit
from striate.data.augment.frame import FRAME, boxes
from striate.data.augment.geometry import (
    Draws,
    alternated,
    enlarged,
    flipped,
    shifted,
)
from striate.data.augment.mixing import cut_mixed, cut_out, mixed_up, partners
from striate.data.augment.resample import Boxes, resampled
from striate.data.device import Device, moved
from striate.data.images import Images, Pixels
from striate.data.measure import components
from striate.data.order import draws
from striate.data.preparation import PLAIN, Layout, Preparation
from striate.errors import RunError
from striate.recipes import Recipe

# Each change has numbers of its own, so that one more leaves the others as they are. Another
# numbering would change what recipes give.
FLIP, LIGHTING, BRIGHTNESS, CONTRAST, SHIFT, CUTOUT, MIX = range(FRAME + 1, 9)
PIECE = 400_000  # numbers of images that go through all changes together, and stay in a CPU's cache


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
        layout: Layout = PLAIN,
    ) -> Batch:
        """Make a batch.

        Args:
            pixels: uint8 (n, height, width, depth).
            labels: (n,).
            samples: the images' numbers in their split, (n,).
            epoch: counted from 1.
            device: where to; by default where the pixels lie.
            layout: of the images.

        Raises:
            DataError: the images have another depth than the network takes.
        """
        images = self.changed(pixels, samples, epoch, device, layout)
        return self.batch(images, labels, samples, epoch, layout)

    def changed(
        self,
        pixels: Pixels | Tensor,
        samples: NDArray[np.int64],
        epoch: int,
        device: Device | None = None,
        layout: Layout = PLAIN,
        *,
        framed: bool = False,
    ) -> Tensor:
        """All that is done to each image by itself; see `__call__`. A `batch` is made of any of it.

        Args:
            framed: the pixels are the parts that the network sees already: `in_parts`.

        Returns:
            (n, height, width, depth) of the input.
        """
        levels = self.preparation.levels(pixels, device)
        # What is mixed keeps all its digits until then.
        layout = replace(layout, dtype=torch.float32) if self._mixes else layout
        count, input = len(levels), self.preparation.input
        size = max(1, PIECE // input.size) if levels.device.type == "cpu" else count
        drawn = self._drawn(samples, epoch)
        places = None
        if not framed and (self.recipe.area or self.recipe.scale):
            levels = enlarged(levels, input[:2])
            have = levels.shape[1], levels.shape[2]
            places = boxes(self.recipe, input[:2], have, samples, epoch)
        if size >= count:
            return self._changed(levels, places, drawn, epoch, layout.dtype)
        made = layout.empty(count, input, levels.device)
        for first in range(0, count, size):
            part = slice(first, first + size)
            chance = {stream: each[part] for stream, each in drawn.items()}
            some = None if places is None else places[part]
            made[part] = self._changed(levels[part], some, chance, epoch, layout.dtype)
        return made

    def batch(
        self,
        images: Tensor,
        labels: NDArray[np.int64],
        samples: NDArray[np.int64],
        epoch: int,
        layout: Layout = PLAIN,
    ) -> Batch:
        """Images that are `changed`, mixed with their neighbours and laid out."""
        given = moved(labels, images.device)
        if not self._mixes:
            return Batch(layout.of(images), given)
        drawn = draws(self.recipe.seed, epoch, samples, 4, stream=MIX)
        images, share = self._mixed(images, drawn)
        return Batch(layout.of(images), given, partners(given), share)

    @property
    def _mixes(self) -> bool:
        return bool(self.recipe.mixup or self.recipe.cutmix)

    def _drawn(self, samples: NDArray[np.int64], epoch: int) -> dict[int, Draws]:
        """The numbers of each change that is asked for."""
        recipe = self.recipe
        numbers = {
            FLIP: int(recipe.flip != "none"),
            LIGHTING: 0 if self.colours is None or not recipe.lighting else len(self.colours),
            BRIGHTNESS: int(bool(recipe.brightness)),
            CONTRAST: int(bool(recipe.contrast)),
            SHIFT: 2 if recipe.shift else 0,
            CUTOUT: 2 if recipe.cutout else 0,
        }
        when = {FLIP: 0} if recipe.flip == "alternating" else {}
        return {
            stream: draws(recipe.seed, when.get(stream, epoch), samples, count, stream=stream)
            for stream, count in numbers.items()
            if count
        }

    def _changed(
        self,
        images: Tensor,
        places: Boxes | None,
        drawn: dict[int, Draws],
        epoch: int,
        dtype: torch.dtype,
    ) -> Tensor:
        recipe = self.recipe
        if places is None:
            images = self.preparation.fitted(images)
        else:
            images = resampled(images, places, self.preparation.input[:2])
        if recipe.flip == "random":
            images = flipped(images, drawn[FLIP])
        elif recipe.flip == "alternating":
            images = alternated(images, drawn[FLIP], epoch)
        images = self._coloured(images, drawn)
        # Bytes are moved faster than numbers, where what is moved in is bytes too.
        early = images.dtype == torch.uint8 and recipe.padding == "reflect"
        early = early and self.preparation.mean_image is None
        if recipe.shift and early:
            images = shifted(images, drawn[SHIFT], recipe.shift, recipe.padding)
        images = self.preparation.normalised(images, dtype)
        if recipe.shift and not early:
            images = shifted(images, drawn[SHIFT], recipe.shift, recipe.padding)
        if recipe.cutout:
            images = cut_out(images, drawn[CUTOUT], recipe.cutout)
        return images

    def _coloured(self, images: Tensor, drawn: dict[int, Draws]) -> Tensor:
        if not (self.recipe.lighting or self.recipe.brightness or self.recipe.contrast):
            return images
        images = images.float()
        if self.recipe.lighting and self.colours is not None:
            images = lit(images, drawn[LIGHTING], self.recipe.lighting, self.colours)
        if self.recipe.brightness:
            images = brightened(images, drawn[BRIGHTNESS], self.recipe.brightness)
        if self.recipe.contrast:
            images = contrasted(images, drawn[CONTRAST], self.recipe.contrast)
        return images

    def _mixed(self, images: Tensor, drawn: Draws) -> tuple[Tensor, Tensor]:
        """By mixup or cutmix; where both are set, each image by one of them, with equal chances."""
        if not self.recipe.cutmix:
            return mixed_up(images, drawn, self.recipe.mixup)
        if not self.recipe.mixup:
            return cut_mixed(images, drawn, self.recipe.cutmix)
        whole, whole_share = mixed_up(images, drawn, self.recipe.mixup)
        part, part_share = cut_mixed(images, drawn, self.recipe.cutmix)
        by_part = moved(drawn[:, 3] < 0.5, images.device)
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
