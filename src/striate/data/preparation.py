"""What a batch of pixels goes through before the network: the same in training and ever after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from striate.data.device import Device, moved
from striate.data.images import Images, Pixels, Splits
from striate.data.measure import margins, moments
from striate.errors import DataError, one_of
from striate.layers.volume import Volume
from striate.network import Network
from striate.recipes.choices import NORMALISATIONS


@dataclass(frozen=True)
class Layout:
    """How a batch's numbers lie in memory.

    Attributes:
        dtype: float32 or bfloat16.
        memory_format: of (n, depth, height, width), contiguous or channels_last.
    """

    dtype: torch.dtype = torch.float32
    memory_format: torch.memory_format = torch.contiguous_format

    def empty(self, count: int, input: Volume, device: Device) -> Tensor:
        """Room for images, (n, height, width, depth), that lie so."""
        size = (count, input.depth, input.height, input.width)
        made = torch.empty(size, dtype=self.dtype, device=device, memory_format=self.memory_format)
        return made.permute(0, 2, 3, 1)

    def of(self, images: Tensor) -> Tensor:
        """(n, height, width, depth) as (n, depth, height, width), copied only where it must be."""
        turned = images.permute(0, 3, 1, 2).to(self.dtype)
        return turned.contiguous(memory_format=self.memory_format)


PLAIN = Layout()


@dataclass(frozen=True, eq=False)
class Preparation:
    """Fits images to the network's input volume and normalises them.

    Of a larger image the centre is kept, a smaller one is centred with zeros around; of an odd
    difference, the odd row is cut or added at the bottom, the odd column at the right. A grey image
    for a network of three channels is repeated in each. Then (pixels - mean) / deviation.

    Attributes:
        input: the volume the network takes.
        mean, deviation: for each channel, of pixels from 0 to 1.
        mean_image: float32 (height, width, depth) of the input, of pixels from 0 to 1: it is
            subtracted in place of the channels' means.

    Raises:
        DataError: these disagree, or cannot be computed with.
    """

    input: Volume
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    mean_image: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.deviation) == self.input.depth:
            raise DataError(f"{self.input.depth} channels need as many means and deviations")
        if not np.isfinite(self.mean + self.deviation).all() or min(self.deviation) <= 0:
            raise DataError("a mean is not finite, or a deviation not above 0")
        if self.mean_image is not None and (
            self.mean_image.shape != tuple(self.input) or not np.isfinite(self.mean_image).all()
        ):
            raise DataError(f"the mean image is not a finite one of {self.input}")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Preparation)
            and self._plain == other._plain
            and np.array_equal(self._image, other._image)
        )

    def __hash__(self) -> int:
        return hash(self._plain)

    @classmethod
    def by_channel(cls, mean: Sequence[float], deviation: Sequence[float]) -> Preparation:
        """The same for every pixel of images of any size.

        Raises:
            DataError: these disagree, or cannot be computed with.
        """
        return cls(Volume(1, 1, len(mean)), tuple(mean), tuple(deviation))

    @property
    def of_channels(self) -> Preparation:
        """The same for every pixel: of a mean image the channels' means."""
        if self.mean_image is None:
            return self
        mean = tuple(self.mean_image.astype(np.float64).mean(axis=(0, 1)).tolist())
        return replace(self, mean=mean, mean_image=None)

    @property
    def _plain(self) -> tuple[object, ...]:
        return self.input, self.mean, self.deviation, self.mean_image is None

    @property
    def _image(self) -> NDArray[np.float32]:
        return np.zeros(0, np.float32) if self.mean_image is None else self.mean_image

    def __call__(
        self, pixels: Pixels | Tensor, device: Device | None = None, layout: Layout = PLAIN
    ) -> Tensor:
        """Make a batch ready for the network.

        Args:
            pixels: uint8 (n, height, width, depth).
            device: where to; by default where they lie. The bytes are moved and turned into
                numbers there.

        Returns:
            (n, depth, height, width) of the input, laid out as asked for.

        Raises:
            DataError: the images have another depth than the network takes.
        """
        levels = self.fitted(self.levels(pixels, device))
        return layout.of(self.normalised(levels, layout.dtype))

    def levels(self, pixels: Pixels | Tensor, device: Device | None = None) -> Tensor:
        """A batch on a device, uint8 (n, height, width, depth of the input), not copied there."""
        _check_depth(Volume(*pixels.shape[1:]), self.input)
        if not isinstance(pixels, Tensor):
            found = moved(np.asarray(pixels), "cpu" if device is None else device)
        else:
            found = pixels if device is None else pixels.to(device)
        return found.expand(-1, -1, -1, self.input.depth)

    def fitted(self, images: Tensor) -> Tensor:
        """(n, h, w, depth) of any size to the input's: its centre, with zeros around."""
        _, height, width, depth = images.shape
        (top, bottom), (left, right) = margins(Volume(height, width, depth), self.input)
        if (height, width) == self.input[:2]:
            return images
        return pad(images, (0, 0, left, right, top, bottom))  # below 0 it cuts

    def normalised(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """(n, height, width, depth) of levels from 0 to 255, bytes or fractions, to new numbers."""
        shift, scale = shift_and_scale(self, images.device)
        copied = images.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        return copied.sub_(shift).mul_(scale).to(dtype)


@lru_cache(maxsize=8)
def shift_and_scale(preparation: Preparation, device: Device) -> tuple[Tensor, Tensor]:
    """What is subtracted from levels, and what the difference is multiplied by, on a device.

    At least a row of pixels, (1 or height, width, depth): three numbers by themselves would be
    applied three at a time.
    """
    _, width, depth = preparation.input
    scale = np.float32(1) / (255 * np.array(preparation.deviation, dtype=np.float32))
    if preparation.mean_image is None:
        shift = np.broadcast_to(np.array(preparation.mean, dtype=np.float32), (1, width, depth))
    else:
        shift = preparation.mean_image
    with torch.inference_mode(False):  # they outlive the scoring that may have asked for them
        return (
            torch.tensor(shift * 255, device=device),
            torch.tensor(np.broadcast_to(scale, (1, width, depth)), device=device),
        )


def prepare(network: Network, splits: Splits, normalisation: str = "channels") -> Preparation:
    """Measure the training split for a network, as it is fitted to the network's input.

    Args:
        normalisation: `channels`, each channel's mean and deviation; `mean`, each channel's mean
            alone; `mean-image`, each pixel's mean; `centred`, pixels from -0.5 to 0.5; `none`,
            pixels from 0 to 1. With `mean` and `mean-image` a difference of one level of
            brightness stays 1, as in the papers that used them.

    Raises:
        DataError: the images do not fit the network's input, or the classes its output.
    """
    train, input = splits.train, network.input
    one_of("normalisation", normalisation, NORMALISATIONS)
    _check_depth(train.volume, input)
    require_classes(network, splits.source, train.classes)
    if len(train) < 2:
        raise DataError(f"{splits.source} has {len(train)} training image: too few to learn from")
    return _measured(train, input, normalisation)


def require_classes(network: Network, source: str, classes: Sequence[str]) -> None:
    """Refuse images that the network cannot be trained to tell apart.

    Raises:
        DataError: it scores another number of classes, it has no weights, or there is one class.
    """
    outputs = {"the network": network.expansion.output}
    outputs |= {f"its head {name}": step for name, step in network.expansion.head_outputs.items()}
    for what, step in outputs.items():
        if (found := network.steps[step].volume) != (1, 1, len(classes)):
            raise DataError(
                f"{source} has {len(classes)} classes, but {what} ends in a volume of "
                f"{found}: let its text end in fc-{len(classes)} softmax "
                "(`striate print NET > mine.net` writes the text of one that comes along)"
            )
    if network.account().totals.parameters == 0:  # of what is opaque they are not known
        raise DataError("the network has no weights or biases, so that there is nothing to learn")
    if len(classes) < 2:
        raise DataError(
            f"{source} has one class alone, {classes[0]}: there is nothing to tell "
            "apart; a folder of images holds a folder for each class"
        )


def _check_depth(images: Volume, input: Volume) -> None:
    if images.depth not in (input.depth, 1) or (images.depth == 1 and input.depth not in (1, 3)):
        begin = Volume(input.height, input.width, images.depth)
        raise DataError(
            f"the images are {images}, but the network takes {input}: let its text begin with "
            f"[{begin}] (larger images are cropped, smaller ones centred; only grey is recoloured)"
        )


def _measured(train: Images, input: Volume, normalisation: str) -> Preparation:
    depth = input.depth
    if normalisation in ("centred", "none"):
        middle = 0.5 if normalisation == "centred" else 0.0
        return Preparation(input, (middle,) * depth, (1.0,) * depth)
    image, mean, deviation = moments(train, input)
    means = tuple((mean / 255).tolist())
    if normalisation == "channels":
        # A channel that never changes has no deviation: one level of brightness stands in for it.
        return Preparation(input, means, tuple((np.maximum(deviation, 1) / 255).tolist()))
    kept = (image / 255).astype(np.float32) if normalisation == "mean-image" else None
    return Preparation(input, means, (1 / 255,) * depth, kept)
