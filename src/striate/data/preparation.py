"""What a batch of pixels goes through before the network: the same in training and ever after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.images import Images, Splits
from striate.errors import DataError
from striate.layers.volume import Volume
from striate.network import Network

CHUNK = 4096  # images measured at a time, so that squares of all of them never lie in memory


@dataclass(frozen=True)
class Preparation:
    """Centres images in the network's input volume, with zeros around, and normalises them.

    Attributes:
        input: the volume the network takes.
        mean, deviation: for each channel, of pixels from 0 to 1, measured on the training split
            with its zeros around.
    """

    input: Volume
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.deviation) == self.input.depth:
            raise DataError(f"{self.input.depth} channels need as many means and deviations")
        if not np.isfinite(self.mean + self.deviation).all() or min(self.deviation) <= 0:
            raise DataError("a mean is not finite, or a deviation not above 0")

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(count, height, width, depth) bytes to the (count, depth, height, width) of torch.

        Raises:
            DataError: the images do not fit the input.
        """
        margins = _margins(Volume(*pixels.shape[1:]), self.input)
        scale = np.float32(1) / (255 * np.array(self.deviation, dtype=np.float32))
        shift = np.array(self.mean, dtype=np.float32) * 255
        values = (np.pad(pixels, ((0, 0), *margins)) - shift) * scale
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def prepare(network: Network, splits: Splits) -> Preparation:
    """Measure the training split for a network.

    Raises:
        DataError: the images do not fit the network's input, or the classes its output.
    """
    train, classes = splits.train, len(splits.train.classes)
    _margins(train.volume, network.input)
    outputs = {"the network": network.expansion.output}
    outputs |= {f"its head {name}": step for name, step in network.expansion.head_outputs.items()}
    for what, step in outputs.items():
        if (found := network.steps[step].volume) != (1, 1, classes):
            raise DataError(
                f"{splits.source} has {classes} classes, but {what} ends in a volume of "
                f"{found}: let its text end in fc-{classes} softmax"
            )
    if not network.account().totals.parameters:
        raise DataError("the network has no weights or biases, so that there is nothing to learn")
    if len(train) < 2:
        raise DataError(f"{splits.source} has {len(train)} training image: too few to learn from")
    return Preparation(network.input, *_measured(train, network.input))


def _margins(images: Volume, input: Volume) -> tuple[tuple[int, int], ...]:
    """Rows, columns and channels of zeros (before, after); of an odd number, one more after."""
    rows, columns = input.height - images.height, input.width - images.width
    if rows < 0 or columns < 0 or images.depth != input.depth:
        raise DataError(
            f"the images are {images}, but the network takes {input}: let its text begin with "
            f"[{images}] (smaller images are centred; none is cropped, scaled or recoloured)"
        )
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0)


def _measured(images: Images, input: Volume) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the deviation of each channel, the zeros around the images included."""
    total = np.zeros(images.volume.depth)
    squares = np.zeros(images.volume.depth)
    for first in range(0, len(images), CHUNK):
        values = images.pixels[first : first + CHUNK].astype(np.uint32)
        total += values.sum(axis=(0, 1, 2), dtype=np.uint64)
        squares += (values * values).sum(axis=(0, 1, 2), dtype=np.uint64)
    count = len(images) * input.height * input.width
    mean = total / count
    deviation = np.sqrt(squares / count - mean**2)
    # A channel that never changes has no deviation: one level of brightness stands in for it.
    return tuple((mean / 255).tolist()), tuple((np.maximum(deviation, 1) / 255).tolist())
