"""Where in an image the network looks: mirrored, shifted, cut out, scaled.

Images are (n, height, width, depth) of bytes or floats, `draws` float64 (n, k) in [0, 1).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from striate.data.augment.resample import Boxes, Size, cut
from striate.data.device import moved

Draws = NDArray[np.float64]
Range = tuple[float, float]

ASPECT = (3 / 4, 4 / 3)  # Szegedy et al. 2014, arXiv:1409.4842, section 6
TRIES = 10  # for a part of an image's area that fits in it
AREA_DRAWS = 2 + 2 * TRIES


def flipped(images: Tensor, draws: Draws) -> Tensor:
    """Mirror each image left to right with probability 1/2. Takes one draw."""
    return _mirrored(images, draws[:, 0] < 0.5)


def alternated(images: Tensor, draws: Draws, epoch: int) -> Tensor:
    """Mirror a random half of the images in the first epoch, the others in the next, and so on.

    Args:
        draws: one each, the same in every epoch.

    Source:
        Jordan 2024, arXiv:2404.00498, section 3.6: two epochs show both sides of every image.
    """
    return _mirrored(images, (draws[:, 0] < 0.5) ^ (epoch % 2 == 0))


def _mirrored(images: Tensor, which: NDArray[np.bool_]) -> Tensor:
    """Those to mirror are brought together, so that whole images are copied and no pixel asks."""
    count = int(which.sum())
    if count in (0, len(which)):
        return images.flip(2) if count else images
    order = np.argsort(which, kind="stable")
    together = images.index_select(0, moved(order, images.device))
    last = together[-count:]
    last.copy_(last.flip(2))
    return together.index_select(0, moved(np.argsort(order), images.device))


def shifted(images: Tensor, draws: Draws, most: int, padding: str = "zeros") -> Tensor:
    """Move each image by up to `most` whole pixels up or down and sideways. Takes two draws.

    Args:
        padding: what is moved in, `zeros` or the image `reflect`ed in its border; the border's own
            pixels are not repeated.

    Source:
        He et al. 2015, arXiv:1512.03385, section 4.2, in other words: padded by 4, cropped.
    """
    height, width = images.shape[1:3]
    if padding == "reflect":
        around = _reflected(_reflected(images, most, 2), most, 1)
    else:
        around = pad(images, (0, 0, most, most, most, most))
    return cropped(around, draws, (height, width))


def _reflected(images: Tensor, most: int, axis: int) -> Tensor:
    before, after = (
        images.narrow(axis, first, most).flip(axis) for first in (1, images.shape[axis] - most - 1)
    )
    return torch.cat((before, images, after), axis)


def cropped(images: Tensor, draws: Draws, size: Size) -> Tensor:
    """Cut a window out of each image, at whole pixels, all places alike. Takes two draws.

    Args:
        size: height and width of the windows.

    Source:
        Krizhevsky et al. 2012, section 4.1: 224x224 out of 256x256.
    """
    have = images.shape[1], images.shape[2]
    return cut(images, _corners(draws, np.array(size), have), size)


def windows(have: Size, draws: Draws, size: Size, scale: Range) -> Boxes:
    """Boxes of as much of each image as a window shows, once its shorter side is scaled to S.

    Takes three draws.

    Args:
        have: height and width of the images.
        size: height and width of the windows, neither above the scaled image's.
        scale: the least and the largest S, in pixels; S is uniform between them, up to what makes
            the window's sides whole pixels of the image.

    Source:
        Simonyan and Zisserman 2014, arXiv:1409.1556, section 3.1.
    """
    low, high = scale
    sides = _whole(min(have) / (low + (high - low) * draws[:, 2:]) * size, have)
    return np.hstack((_corners(draws, sides, have), sides))


def areas(have: Size, draws: Draws, area: Range, aspect: Range = ASPECT) -> Boxes:
    """Boxes of a part of random area and shape of each image.

    Args:
        have: height and width of the images.
        draws: AREA_DRAWS each.
        area: the least and the largest part of the image's area, uniform.
        aspect: of width to height, its logarithm uniform.

    Sides are rounded to whole pixels. A part that does not fit is drawn anew, up to ten times; then
    it is the largest centred one.

    Source:
        Szegedy et al. 2014, arXiv:1409.4842, section 6: 8% to 100%, 3/4 to 4/3.
    """
    height, width = have
    tries = draws[:, 2:].reshape(-1, TRIES, 2)
    pixels = height * width * (area[0] + (area[1] - area[0]) * tries[..., 0])
    low, high = np.log(aspect)
    shape = np.exp(low + (high - low) * tries[..., 1])
    sides = np.rint(np.stack((np.sqrt(pixels / shape), np.sqrt(pixels * shape)), axis=2))
    fits: NDArray[np.bool_] = np.all(sides <= have, axis=2)
    fitting = np.any(fits, axis=1)[:, np.newaxis]
    first = sides[np.arange(len(sides)), fits.argmax(axis=1)]
    nearest = min(max(width / height, aspect[0]), aspect[1])
    largest = min(height, width / nearest), min(width, height * nearest)
    chosen = _whole(np.where(fitting, first, largest), have)
    corners = np.where(fitting, _corners(draws, chosen, have), (np.array(have) - chosen) // 2)
    return np.hstack((corners, chosen))


def _whole(sides: Draws, most: Size) -> NDArray[np.int64]:
    return np.clip(np.rint(sides), 1, most).astype(np.int64)


def _corners(draws: Draws, sides: NDArray[np.int64], have: Size) -> NDArray[np.int64]:
    """Top and left of rectangles at any place within an image."""
    return (draws[:, :2] * (np.array(have) - sides + 1)).astype(np.int64)


def enlarged(images: Tensor, size: Size) -> Tensor:
    """Centre images in zeros where they are smaller than `size`, as a `Preparation` does."""
    rows, columns = (
        max(0, least - have) for have, least in zip(images.shape[1:3], size, strict=True)
    )
    if not rows and not columns:
        return images
    return pad(images, (0, 0, columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
