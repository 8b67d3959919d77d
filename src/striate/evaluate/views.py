"""Views: the same images cut, shifted or mirrored, to be judged by the mean over all of them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import pad

from striate.data import Preparation
from striate.errors import DataError

Views = list[tuple[float, Tensor]]


def once(pixels: Tensor, preparation: Preparation) -> Views:
    """The images as they are prepared for training and everything else."""
    return [(1.0, preparation(pixels))]


def mirrored(pixels: Tensor, preparation: Preparation) -> Views:
    """The images and their mirrors."""
    return _with_mirrors([(1.0, preparation(pixels))])


def six(pixels: Tensor, preparation: Preparation) -> Views:
    """The images, shifted up-left and down-right by a pixel with a reflected border, and mirrors.

    The images that are not shifted have half the weight (Jordan 2024, arXiv:2404.00498).

    Raises:
        DataError: the input is a single pixel high or wide, so that no border can be reflected.
    """
    images = preparation(pixels)
    height, width = images.shape[2:]
    if min(height, width) < 2:
        raise DataError(f"six views need an input of at least 2x2, not {preparation.input}")
    padded = pad(images, (1, 1, 1, 1), mode="reflect")
    shifted = [padded[:, :, :height, :width], padded[:, :, 2:, 2:]]
    return _with_mirrors([(0.5, images), *((0.25, each) for each in shifted)])


def ten(pixels: Tensor, preparation: Preparation) -> Views:
    """The four corners and the centre, and mirrors (Krizhevsky et al. 2012, section 4.1).

    Corners are cut out of images larger than the network's input. Others, once prepared, get a
    border of zeros first, an eighth of the input wide, as 224 had 256 to be cut out of.
    """
    rows, columns = preparation.input[:2]
    spare = max(pixels.shape[1] - rows, 0), max(pixels.shape[2] - columns, 0)
    images = preparation(pixels)
    if any(spare):
        corners = [
            preparation(pixels[:, top : top + rows, left : left + columns])
            for top in (0, spare[0])
            for left in (0, spare[1])
        ]
    else:
        down, across = round(rows / 8), round(columns / 8)
        padded = pad(images, (across, across, down, down))
        corners = [
            padded[:, :, top : top + rows, left : left + columns]
            for top in (0, 2 * down)
            for left in (0, 2 * across)
        ]
    return _with_mirrors([(1 / 5, each) for each in (*corners, images)])


# Each takes pixels, uint8 (n, height, width, depth), and gives pairs of a weight and prepared
# images, float32 (n, depth, height, width), where the pixels lie. The weights sum to 1.
VIEWS: dict[str, Callable[[Tensor, Preparation], Views]] = {
    "1": once,
    "flip": mirrored,
    "6": six,
    "10": ten,
}


def _with_mirrors(views: Views) -> Views:
    """Each view and its mirror, with half its weight."""
    return [(weight / 2, each) for weight, image in views for each in (image, image.flip(3))]
